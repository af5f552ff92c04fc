"""Signed speech, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from signed_speech import KEY, OWNER_KEY, RATE, RECORD
from valle.synthesis.speech import Speech
from valle.watermark.embed import Payload, embed_watermark


@pytest.fixture(scope="module")
def speech() -> Speech:
    """Return 3 s of watermarked speech with the owner's payload."""
    read, rate = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    assert rate == RATE
    payload = Payload.for_receipt(OWNER_KEY, "c0ffee")
    audio = embed_watermark(read[: 3 * RATE].astype(np.float32), RATE, OWNER_KEY, payload)
    none = np.zeros((0, 8), np.int64)
    return Speech(audio, RATE, none, [], [], None, [], RECORD)


@pytest.fixture
def saved(speech: Speech, tmp_path: Path) -> Path:
    speech.save(tmp_path / "speech.wav", key=KEY)
    return tmp_path / "speech.wav"
