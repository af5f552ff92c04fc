"""Dubbing: speech in the time of subtitles or of a film's own speech."""
