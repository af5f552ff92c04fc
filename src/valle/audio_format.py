"""The audio format of the models that this package trains: 16 kHz mono, 50 codec frames per second.

A bundle states its own format in `config.json`, and what runs a bundle reads it there.
"""

from __future__ import annotations

SAMPLE_RATE = 16_000  # Hz
HOP = 320  # samples per codec frame
FRAME_RATE = SAMPLE_RATE // HOP  # 50 codec frames per second
