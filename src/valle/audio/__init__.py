"""Recordings in, files out, and what is measured of sound."""
