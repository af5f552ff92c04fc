"""Consent statements, their verification, and the validity of receipts."""
