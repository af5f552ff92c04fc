"""Recordings and synthetic speech, in the form that training reads."""
