"""Corpora: recordings and made speech, brought into one form that training reads."""
