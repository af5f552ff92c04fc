"""The watermark: embedding it into speech, and detecting it."""
