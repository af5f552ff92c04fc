"""Voices: their files, enrollment, and the registry of the user's voices."""
