"""Evaluation of a bundle by independent models (extra `eval`)."""
