"""Subtitles and films, read and written with new sound (extra `media`)."""
