"""Pieces of speech that the codec and the speaker encoder learn from.

More voices than were recorded come from playing pieces faster or slower: pitch, formants and tempo
move together, as if somebody of another size were speaking. A few are put into rooms or noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Samples
from valle.corpora import augmentation
from valle.corpora.store import HOP, SAMPLE_RATE, Store, Utterance, by_speaker
from valle.errors import UsageError

_RESIZED, _SMALLEST, _LARGEST = 0.3, 0.87, 1.2  # share played at another speed, and how fast
_IN_ROOM, _WITH_NOISE = 0.05, 0.05  # shares
_TOLD = 0.15  # share of a recording's own codes among those that come with a voice, as in editing

Voices = NDArray[np.float32]


class Pieces:
    """Draws a speaker, each as often as the next, then a piece of theirs.

    Raises:
        UsageError: no speaker has a clean utterance of `seconds`.
    """

    def __init__(self, stores: list[Store], rng: np.random.Generator, seconds: float) -> None:
        self.rng = rng
        self.length = round(seconds * SAMPLE_RATE) // HOP * HOP
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
        self.spoken = [group for store in stores for group in self._spoken(store)]

    def draw(self) -> Samples:
        """A piece [length]; levels vary by 20 dB so that quiet prompts are known too."""
        store, group = self.groups[self.rng.integers(len(self.groups))]
        utterance = group[self.rng.integers(len(group))]
        resized = self.rng.random() < _RESIZED
        speed = float(self.rng.uniform(_SMALLEST, _LARGEST)) if resized else 1.0
        samples = cut(store, utterance, self.length, speed, self.rng)
        if self.rng.random() < _IN_ROOM:
            samples = augmentation.some_room(samples, self.rng)
        if self.rng.random() < _WITH_NOISE:
            noise = augmentation.noise(("white", "pink")[self.rng.integers(2)], samples, self.rng)
            samples = augmentation.add_noise(samples, noise, float(self.rng.uniform(10, 30)))
        peak = float(np.abs(samples).max()) + 1e-4
        wanted = 10.0 ** (self.rng.uniform(-20.0, 0.0) / 20.0)
        return samples * np.float32(min(wanted / peak, 10.0))

    def draw_spoken(self) -> tuple[Samples, Codes, Voices]:
        """A piece [length] as it is, its codes [length / HOP, codebooks] as the NAR has them (or a
        few times the recording's own), and the embedding [192] of some recording of the speaker.

        Speakers are drawn alike; there must be some in `spoken`.
        """
        store, group, voices = self.spoken[self.rng.integers(len(self.spoken))]
        first, end = group[self.rng.integers(len(group))]
        voice = voices[self.rng.integers(len(voices))]
        start = int(self.rng.integers(first, end - self.length // HOP + 1))
        frames = slice(start, start + self.length // HOP)
        samples = store.samples(start * HOP, start * HOP + self.length)
        told = store.codes if self.rng.random() < _TOLD else store.spoken
        codes: Codes = np.asarray(told)[frames].astype(np.int64)
        return samples, codes, voice

    def _spoken(self, store: Store) -> Iterator[tuple[Store, list[tuple[int, int]], Voices]]:
        """Of each speaker the frames [first, end) that were spoken in one go, and the embeddings
        [utterances, 192] of all recordings."""
        if store.spoken is None:
            return
        places = {utterance: place for place, utterance in enumerate(store.utterances)}
        for group in by_speaker(store.utterances).values():
            ranges = []
            for utterance in group:
                said = np.flatnonzero(store.spoken[utterance.frames, 0] >= 0)
                if len(said) >= self.length // HOP:
                    start = utterance.frames.start
                    ranges.append((start + int(said[0]), start + int(said[-1]) + 1))
            if ranges:
                yield store, ranges, store.voices[[places[utterance] for utterance in group]]


def cut(
    store: Store, utterance: Utterance, length: int, speed: float, rng: np.random.Generator
) -> Samples:
    """A random piece [length] of an utterance, played at `speed`; short ones are repeated."""
    wanted = int(length * speed) + 1
    start = utterance.offset + rng.integers(max(1, utterance.samples - wanted + 1))
    end = min(start + wanted, utterance.offset + utterance.samples)
    samples = store.samples(start, end)
    if speed != 1.0:
        samples = augmentation.played(samples, speed)
    return np.resize(samples, length)
