"""Keys, consent receipts, the ledger, and records of how a file was made."""
