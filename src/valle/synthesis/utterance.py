"""One sentence to be synthesized: what the models read, and all that determines its codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.runtime.sampling import Sampling
from valle.styles import StyleShift
from valle.synthesis.source_text import WrittenSentence
from valle.text.delivery import Delivery
from valle.text.open_sentence import OpenSentence
from valle.text.segmentation import Sentence


@dataclass(frozen=True)
class Symbols:
    """A sequence of symbols as the models read it, each array [symbols]."""

    ids: Ints
    """Indices into the bundle's symbol table."""
    stress: Ints
    """0 none, 1 secondary, 2 primary."""
    borders: NDArray[np.bool_]
    """True for pauses and punctuation, which may take no frame."""


@dataclass(frozen=True)
class BorderLimits:
    """How many frames of silence a sentence keeps at its ends."""

    lead: int | None
    """Before its first word; None for all."""
    trail: int
    """After its last word."""


@dataclass(frozen=True)
class OpenUtterance:
    """What is needed of an utterance whose sentence is still being written."""

    source: OpenSentence
    """Its words as they come."""
    locate: Callable[[Sentence], WrittenSentence]
    """Returns how the text spells the sentence."""


@dataclass(frozen=True)
class Utterance:
    """One sentence to be synthesized in one voice.

    The same utterance in the same voice gives the same codes: sampling is seeded by `seed`, `place`
    and `attempt` alone, so it does not depend on the sentences before it.
    """

    sentence: Sentence
    symbols: Symbols
    expected_frames: NDArray[np.float64]
    """[symbols] frames that each symbol is expected to take in this voice."""
    delivery: Delivery = field(default_factory=Delivery)
    """The voice, rate and style that the text asks for."""
    pause_before: float | None = None
    """Seconds of silence before it that the text asks for; None for the usual pause."""
    pause_after: float | None = None
    """The same after it."""
    pause_frames: int = 0
    """Frames of silence between the last word before the sentence and its first one."""
    added_frames: int | None = None
    """Frames of it that are added; None adds what the two sentences lack of it."""
    borders: BorderLimits | None = None
    """The silence that it keeps; None for all."""
    target_frames: int | None = None
    """Frames that the sentence has to take; None leaves its length to the model."""
    is_timed: bool = False
    """Whether each symbol has to take its `expected_frames`, and not only all of them together."""
    speed: float = 1.0
    """How many times as fast that is as the sentence would be by itself, at its own rate."""
    sampling: Sampling = field(default_factory=Sampling)
    style: Ints | None = None
    """[5] classes of prosody as in `valle.audio.prosody`; None leaves it to the prompt."""
    shift: StyleShift | None = None
    """What changes in its sound; None leaves it as the models speak it."""
    seed: int = 0
    """Seed of the whole text."""
    index: int = 0
    """Index of the sentence in its text, from 0."""
    place: int | None = None
    """What it is sampled by in place of `index`, where that would change with sentences before."""
    count: int | None = None
    """How many sentences the text has; None where it comes in parts."""
    written: WrittenSentence | None = None
    """How the text spells the sentence."""
    opened: OpenUtterance | None = None
    """Set where the sentence is not complete yet."""
    attempt: int = 0
    """Index of the candidate among those of the sentence, from 0."""

    def completed(self) -> Utterance:
        """Return it with its whole sentence, as far as that has come."""
        if self.opened is None:
            return self
        sentence = self.opened.source.sentence
        return replace(self, sentence=sentence, written=self.opened.locate(sentence))

    def make_rng(self) -> np.random.Generator:
        """Return the random number generator that this utterance is sampled with."""
        place = self.index if self.place is None else self.place
        return np.random.default_rng((self.seed, place, self.attempt))
