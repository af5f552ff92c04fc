"""Consent: statements read aloud, their verification, and the validity of receipts."""
