"""Synthetic speech detection, and everything that can be told about an audio file."""
