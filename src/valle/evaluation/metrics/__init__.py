"""Metrics of speech, most of them by independent models.

All of them take mono samples in [-1, 1] at `EVALUATION_RATE`.
"""

EVALUATION_RATE = 16_000
"""Hz: the only rate that PocketSphinx, Resemblyzer, DNSMOS, Whisper and wide-band PESQ accept."""
