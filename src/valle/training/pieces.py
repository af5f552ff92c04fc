"""Pieces of speech that the codec learns from: what to code, and the same voice once more.

More speakers than were recorded come from playing pieces faster or slower: pitch, formants and
tempo move together, as if somebody of another size were speaking. A piece and its reference are
always changed alike, room and noise included, since all of that is what a timbre has to keep.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from valle.corpora import effects
from valle.corpora.store import HOP, SAMPLE_RATE, Store, Utterance, by_speaker
from valle.errors import UsageError

_RESIZED, _SMALLEST, _LARGEST = 0.6, 0.87, 1.2  # share played at another speed, and how fast
_IN_ROOM, _WITH_NOISE = 0.1, 0.15  # shares

Samples = NDArray[np.float32]


class Pieces:
    """Draws a speaker (each as often as the next), then a piece and a reference of that voice.

    Raises:
        UsageError: no speaker has a clean utterance of `seconds`.
    """

    def __init__(
        self,
        stores: list[Store],
        rng: np.random.Generator,
        seconds: float,
        reference_seconds: float,
    ) -> None:
        self.rng = rng
        self.length = round(seconds * SAMPLE_RATE) // HOP * HOP
        self.reference_length = round(reference_seconds * SAMPLE_RATE) // HOP * HOP
        self.groups: list[tuple[Store, list[Utterance]]] = []
        for store in stores:
            clean = [
                utterance
                for utterance in store.utterances
                if utterance.waveform_is_clean and utterance.samples >= self.length
            ]
            self.groups += [(store, group) for group in by_speaker(clean).values()]
        if not self.groups:
            raise UsageError(
                f"the codec learns from clean speech of {seconds:.0f} s or more, and there is none"
            )

    def draw(self) -> tuple[Samples, Samples]:
        """A piece [length] and a reference [reference_length], mostly of another recording.

        Levels vary by 20 dB so that quiet prompts are known too; a reference has a level of its
        own, so that the timbre does not say how loud a piece is.
        """
        store, group = self.groups[self.rng.integers(len(self.groups))]
        resized = self.rng.random() < _RESIZED
        speed = float(self.rng.uniform(_SMALLEST, _LARGEST)) if resized else 1.0
        pair = [
            self._cut(store, group[self.rng.integers(len(group))], length, speed)
            for length in (self.length, self.reference_length)
        ]
        if self.rng.random() < _IN_ROOM:
            impulse = effects.room_impulse(
                self.rng, float(self.rng.uniform(0.15, 0.6)), float(self.rng.uniform(-3, 9))
            )
            pair = [effects.room(samples, impulse) for samples in pair]
        if self.rng.random() < _WITH_NOISE:
            kind = ("white", "pink")[self.rng.integers(2)]
            snr = float(self.rng.uniform(10, 30))
            pair = [
                effects.add_noise(samples, effects.noise(kind, samples, self.rng), snr)
                for samples in pair
            ]
        piece, reference = (self._at_some_level(samples) for samples in pair)
        return piece, reference

    def _cut(self, store: Store, utterance: Utterance, length: int, speed: float) -> Samples:
        """`length` samples of an utterance played at `speed`; a short one is repeated."""
        wanted = int(length * speed) + 1
        start = utterance.offset + self.rng.integers(max(1, utterance.samples - wanted + 1))
        end = min(start + wanted, utterance.offset + utterance.samples)
        samples = store.audio[start:end].astype(np.float32) / 32768.0
        if speed != 1.0:
            samples = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="MQ")
        return np.resize(samples, length)

    def _at_some_level(self, samples: Samples) -> Samples:
        peak = float(np.abs(samples).max()) + 1e-4
        wanted = 10.0 ** (self.rng.uniform(-20.0, 0.0) / 20.0)
        return samples * np.float32(min(wanted / peak, 10.0))
