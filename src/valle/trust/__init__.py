"""Signed statements: keys, consent receipts, the ledger, and records of how a file was made."""
