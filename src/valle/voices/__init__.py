"""Voices: what one is, how it is enrolled, where it is kept."""
