"""Evaluators for tests that know the recordings, so that no large model is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from valle.arrays import Floats, Samples
from valle.cli import evaluate_lists

RATE = 16_000


class OracleTranscriber:
    """Hears words of recordings that `say` made: each word is a tone of its own."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def say(self, text: str, voice: int = 0) -> Samples:
        """A recording of a text: tones of 200 ms, in a voice that is a second tone."""
        time = np.arange(RATE // 5) / RATE
        parts = []
        for word in text.lower().rstrip(".").split():
            pitch = 1000 + 100 * self._words.index(word)
            tone = np.sin(2 * np.pi * pitch * time) + 0.5 * np.sin(
                2 * np.pi * (200 + 60 * voice) * time
            )
            parts.append(0.2 * np.hanning(len(time)) * tone)
        return np.concatenate(parts).astype(np.float32)

    def transcribe(self, samples: Samples) -> str:
        """The words whose tones are there, in order."""
        heard: list[str] = []
        samples = samples / (np.abs(samples).max() + 1e-12)
        starts = self._find_words(samples)
        for start in starts:
            part = samples[start : start + RATE // 5]
            spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), RATE))
            pitch = int(np.argmax(spectrum[900:6000])) + 900
            number, rest = divmod(pitch - 1000 + 50, 100)
            clear = spectrum[pitch] > 20 * np.median(spectrum[900:6000]) + 1.0
            if clear and 30 <= rest <= 70 and 0 <= number < len(self._words):
                heard.append(self._words[number])
        return " ".join(heard)

    @staticmethod
    def _find_words(samples: Samples) -> list[int]:
        """Where words begin: after silence, or after a minimum of the level."""
        level = np.sqrt(np.convolve(samples**2, np.ones(400) / 400, "same"))
        loud = np.flatnonzero((level[1:] > 0.1) & (level[:-1] <= 0.1))
        starts = [max(0, int(place) - 500) for place in loud]
        ends = np.flatnonzero((level[1:] <= 0.1) & (level[:-1] > 0.1))
        # A word that was cut off is not heard.
        return [start for start in starts if any(start + 2000 < end < start + 3200 for end in ends)]

    def describe(self) -> dict[str, Any]:
        return {"model": "oracle"}


class OracleEncoder:
    """Embeds the second tone of an oracle's recordings; silence is all zeros."""

    def embed(self, samples: Samples) -> Floats:
        if not samples.any():
            return np.zeros(16, np.float32)
        spectrum = np.abs(np.fft.rfft(samples, RATE))[140:1100].reshape(16, 60).max(axis=1)
        return (spectrum / np.linalg.norm(spectrum)).astype(np.float32)


class OracleQuality:
    """Rates noise 1, anything else 3."""

    def rate(self, samples: Samples) -> float:
        spectrum = np.abs(np.fft.rfft(samples, RATE))
        return 1.0 if np.median(spectrum) > 0.02 * spectrum.max() else 3.0


class FixedQuality:
    """Rates everything 3."""

    def rate(self, samples: Samples) -> float:
        return 3.0


class DeafTranscriber:
    """Hears nothing."""

    def transcribe(self, samples: Samples) -> str:
        return ""

    def describe(self) -> dict[str, Any]:
        return {"model": "deaf"}


def replace_evaluators(monkeypatch: pytest.MonkeyPatch, transcriber: object) -> None:
    """Let commands that evaluate lists and trials measure without large models."""
    monkeypatch.setattr(evaluate_lists, "ResemblyzerEncoder", OracleEncoder)
    monkeypatch.setattr(evaluate_lists, "DNSMOS", FixedQuality)
    monkeypatch.setattr(evaluate_lists, "load_whisper", lambda _arguments: transcriber)
