"""Voices: their files, enrollment, and the registry of the user's own voices."""
