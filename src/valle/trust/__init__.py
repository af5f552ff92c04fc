"""Signed facts: keys, receipts, the ledger, records of how a file was made."""
