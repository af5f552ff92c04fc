"""Corpora: recordings and synthetic speech, brought into one form that training reads."""
