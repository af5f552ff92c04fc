"""Random segments of speech for training the codec and the speaker encoder.

Speed perturbation makes more voices than were recorded: pitch, formants and tempo change together,
as with a speaker of another size. A few segments get reverberation or noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Samples
from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora import augmentation
from valle.corpora.store import Store, Utterance, by_speaker
from valle.errors import UsageError

_SPEED_PERTURB_PROB, _SPEEDS = 0.3, (0.87, 1.2)
_REVERB_PROB, _NOISE_PROB = 0.05, 0.05
_OWN_CODES_PROB = 0.15  # true instead of predicted codes, as in editing

Voices = NDArray[np.float32]


class SegmentSampler:
    """Samples speakers with equal probability, and for each a segment of their speech.

    Args:
        stores: only utterances with a clean waveform are used.
        rng: of the segments.
        seconds: length of a segment.

    Raises:
        UsageError: no speaker has a clean utterance of `seconds`.
    """

    def __init__(self, stores: Sequence[Store], rng: np.random.Generator, seconds: float) -> None:
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
                f"the codec is trained on clean recordings of {seconds:.0f} s or more, and these "
                "corpora have none; give others with --data"
            )
        self.predicted = [group for store in stores for group in self._find_predicted(store)]

    def sample(self) -> Samples:
        """Sample a segment [length]; levels vary by 20 dB, so that quiet prompts are covered."""
        store, group = self.groups[self.rng.integers(len(self.groups))]
        utterance = group[self.rng.integers(len(group))]
        perturb = self.rng.random() < _SPEED_PERTURB_PROB
        speed = float(self.rng.uniform(*_SPEEDS)) if perturb else 1.0
        samples = random_crop(store, utterance, self.length, speed, self.rng)
        if self.rng.random() < _REVERB_PROB:
            samples = augmentation.random_reverb(samples, self.rng)
        if self.rng.random() < _NOISE_PROB:
            noise = augmentation.make_noise(
                ("white", "pink")[self.rng.integers(2)], samples, self.rng
            )
            samples = augmentation.add_noise(samples, noise, float(self.rng.uniform(10, 30)))
        peak = float(np.abs(samples).max()) + 1e-4
        target = 10.0 ** (self.rng.uniform(-20.0, 0.0) / 20.0)
        return samples * np.float32(min(target / peak, 10.0))

    def sample_predicted(self) -> tuple[Samples, Codes, Voices]:
        """Sample a segment with predicted codes; `predicted` must not be empty.

        Returns:
            Samples [length] without augmentation; codes [length / HOP, codebooks] predicted by the
            NAR, or sometimes those of the recording; and the speaker embedding [192] of a random
            recording of the speaker.
        """
        store, group, voices = self.predicted[self.rng.integers(len(self.predicted))]
        first, end = group[self.rng.integers(len(group))]
        voice = voices[self.rng.integers(len(voices))]
        start = int(self.rng.integers(first, end - self.length // HOP + 1))
        frames = slice(start, start + self.length // HOP)
        samples = store.samples(start * HOP, start * HOP + self.length)
        own = self.rng.random() < _OWN_CODES_PROB
        codes: Codes = np.asarray(store.codes if own else store.predicted)[frames].astype(np.int64)
        return samples, codes, voice

    def _find_predicted(
        self, store: Store
    ) -> Iterator[tuple[Store, list[tuple[int, int]], Voices]]:
        """Yield, for each speaker, the ranges of frames [first, end) that have predictions.

        With them come the embeddings [utterances, 192] of all the speaker's recordings.
        """
        if store.predicted is None:
            return
        places = {utterance: place for place, utterance in enumerate(store.utterances)}
        for group in by_speaker(store.utterances).values():
            ranges = []
            for utterance in group:
                rows = np.flatnonzero(store.predicted[utterance.frames, 0] >= 0)
                if len(rows) >= self.length // HOP:
                    start = utterance.frames.start
                    ranges.append((start + int(rows[0]), start + int(rows[-1]) + 1))
            if ranges:
                yield store, ranges, store.voices[[places[utterance] for utterance in group]]


def random_crop(
    store: Store, utterance: Utterance, length: int, speed: float, rng: np.random.Generator
) -> Samples:
    """A random crop of an utterance at another speed, repeated if it is too short; [length].

    Args:
        store: of the utterance.
        utterance: to crop.
        length: in samples, after the change of speed.
        speed: above 1 is faster.
        rng: of the position.
    """
    needed = int(length * speed) + 1
    start = utterance.offset + rng.integers(max(1, utterance.samples - needed + 1))
    end = min(start + needed, utterance.offset + utterance.samples)
    samples = store.samples(start, end)
    if speed != 1.0:
        samples = augmentation.change_speed(samples, speed)
    return np.resize(samples, length)
