"""Trained models as the graphs of a bundle, and back."""
