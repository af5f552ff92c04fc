"""Listening tests: preference, CMOS, SMOS and MUSHRA, and their results."""
