"""The watermark: laid into speech, and found in it."""
