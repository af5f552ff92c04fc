"""Sampling: the code of each frame, the pointer's transitions, and control of the duration.

All randomness comes from one numpy Generator, so the same seed gives the same speech.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.arrays import AnyFloats, Bools, Ints
from valle.errors import UsageError
from valle.runtime.pointer import ADVANCE, SKIP, STAY, Pointer

GAIN = 0.5  # log-odds of leaving a symbol, per frame that the pointer is behind its plan
# The same where each symbol has a time of its own; by default the model would rather stay, which is
# made up for by frames of lead.
TIMED_GAIN, TIMED_LEAD = 0.8, 3.0
LANDING_FRAMES = 20  # before the target, from where on the plan is followed more and more strictly
TYPICAL_PHONEME, TYPICAL_BORDER = 4.5, 2.0  # frames; the prior of a voice's means
PRIOR_COUNT = 3.0  # observations that a prior mean counts as
MAX_EXPECTED = 25  # frames; a longer symbol in a prompt is a hesitation or a pause


@dataclass(frozen=True)
class Sampling:
    """How codes and transitions are sampled.

    The repetition window deviates from VALL-E 2 (Chen et al. 2024), which divides the repetitions
    by the full size of the window. Here, while fewer frames have been generated, they are divided
    by the number of those: near the start of a sentence, one repetition is enough to resample.

    Attributes:
        temperature: 0 or above; 0 takes the most likely code and the median duration of each
            symbol.
        top_p: Above 0, at most 1: codes are sampled from the most likely ones that together have
            this probability (nucleus sampling).
        window: How many of the last frames count for `repetition`; 0 turns it off.
        repetition: 0 to 1: a code with more than this share of the window is resampled from all
            codes (repetition-aware sampling), which is the way out of a loop.

    Raises:
        UsageError: A value is out of range.
    """

    temperature: float = 0.9
    top_p: float = 0.8
    window: int = 10
    repetition: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature {self.temperature} must be 0 or above")
        if not 0.0 < self.top_p <= 1.0:
            raise UsageError(f"top_p {self.top_p} must be above 0 and at most 1")
        if self.window < 0 or not 0.0 <= self.repetition <= 1.0:
            raise UsageError("the repetition window must be 0 or above, its share 0 to 1")


def sample(
    logits: AnyFloats, sampling: Sampling, rng: np.random.Generator, previous: Sequence[int] = ()
) -> int:
    """Sample a code.

    Args:
        logits: [codes].
        sampling: Temperature, nucleus and repetition window.
        rng: The source of randomness.
        previous: The codes of the sentence so far, latest last.
    """
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    weights = logits - logits.max()
    weights /= sampling.temperature
    np.exp(weights, weights)
    cumulative = weights.cumsum(dtype=np.float64)
    code = _sample_index(cumulative, rng)
    # Rejection sampling of the nucleus, which needs no sorting: a code is in it when all that are
    # more likely have less than top_p.
    nucleus = sampling.top_p * cumulative.item(-1)
    while sampling.top_p < 1.0 and weights.dot(weights > weights[code]) >= nucleus:
        code = _sample_index(cumulative, rng)
    window = previous[-sampling.window :] if sampling.window else ()
    if window and window.count(code) > sampling.repetition * len(window):
        code = _sample_index(cumulative, rng)
    return code


def _sample_index(cumulative: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Sample an index in proportion to weights, given their cumulative sums [n]."""
    index = int(cumulative.searchsorted(rng.random() * cumulative.item(-1), "right"))
    return min(index, len(cumulative) - 1)


class DurationController:
    """Keeps a sentence to a target duration by biasing the pointer's transitions.

    The plan scales the expected durations of all symbols alike, so that they add up to the target.
    It is followed by a bias, not by force, so that durations still vary as the model wants; only
    the end is exact.
    """

    def __init__(self, target_frames: int, expected: AnyFloats, is_timed: bool = False) -> None:
        """Plan the end of each symbol.

        Args:
            target_frames: Frames of the whole sentence.
            expected: [symbols] frames that each would take by itself (`expected_frames`).
            is_timed: Whether each symbol has to end when it is planned to, nearly to the frame.

        Raises:
            UsageError: The target is below 1 frame, or there are no symbols.
        """
        if target_frames < 1 or not len(expected):
            raise UsageError("a sentence takes at least one frame; ask for a longer duration")
        self.target_frames = target_frames
        self._is_timed = is_timed
        self._gain = TIMED_GAIN if is_timed else GAIN
        self._lead = TIMED_LEAD if is_timed else 0.0
        ends = np.cumsum(np.maximum(expected, 1e-3))
        self._ends: list[float] = (ends * (target_frames / ends[-1])).tolist()

    def bias(self, index: int, frames: int) -> float:
        """Return what to add to the log-odds of leaving symbol `index` after `frames` frames."""
        gain = self._gain * max(1.0, LANDING_FRAMES / max(1, self.target_frames - frames))
        return gain * (frames + self._lead - self._ends[index])

    def bias_skip(self, index: int, frames: int) -> float:
        """Return the same for leaving it and skipping the border after it.

        Where each symbol has its own time, a word must not begin before the pause that is skipped
        would have ended.
        """
        skipped = min(index + 1, len(self._ends) - 1) if self._is_timed else index
        return self.bias(skipped, frames)


class TransitionSampler:
    """Samples the pointer's transition after each frame, among those that are allowed.

    Durations are sampled by inverse transform: one quantile is sampled on entering a symbol, and
    the pointer leaves once the probability of still being there has fallen below it. This is the
    distribution of a sample per frame, but temperature 0 has a meaning (the median duration; the
    most likely transition of each frame would nearly always be to stay), and lower temperatures
    vary less.
    """

    def __init__(
        self,
        pointer: Pointer,
        sampling: Sampling,
        rng: np.random.Generator,
        duration: DurationController | None = None,
    ) -> None:
        """Sample for one sentence.

        Args:
            pointer: Is moved by `next`; with a `duration`, its limit must be the target.
            sampling: Only its temperature is used.
            rng: The source of randomness.
            duration: None leaves the duration to the model.
        """
        self._pointer = pointer
        self._spread = min(1.0, sampling.temperature)
        self._rng = rng
        self._duration = duration
        self._threshold = self._survival = 1.0

    def next(self, logits: AnyFloats | Sequence[float]) -> int:
        """Move the pointer after a frame, and return the transition.

        Args:
            logits: [3] of stay, advance and skip.
        """
        pointer = self._pointer
        if pointer.frames_on_symbol == 0:
            self._threshold = self._sample_quantile()
            self._survival = 1.0
        may_stay, may_advance, may_skip = self._choices()
        bias = skip_bias = 0.0
        if self._duration is not None:
            bias = self._duration.bias(pointer.index, pointer.frames + 1)
            skip_bias = self._duration.bias_skip(pointer.index, pointer.frames + 1)
        stay = float(logits[STAY]) if may_stay else -math.inf
        advance = float(logits[ADVANCE]) + bias if may_advance else -math.inf
        skip = float(logits[SKIP]) + skip_bias if may_skip else -math.inf
        highest = max(stay, advance, skip)
        stay_weight = math.exp(stay - highest)
        advance_weight, skip_weight = math.exp(advance - highest), math.exp(skip - highest)
        leave_weight = advance_weight + skip_weight
        self._survival *= stay_weight / (stay_weight + leave_weight)
        transition = STAY
        if leave_weight > 0.0 and (self._survival <= self._threshold or not may_stay):
            transition = ADVANCE
            if may_skip and self._sample_quantile() * leave_weight >= advance_weight:
                transition = SKIP
        pointer.move(transition)
        return transition

    def _choices(self) -> tuple[bool, bool, bool]:
        """Return which transitions to choose from: those allowed, without ending too early."""
        pointer = self._pointer
        allowed = pointer.allowed_transitions()
        if self._duration is None or pointer.frames + 1 >= self._duration.target_frames:
            return allowed
        # Wait on the remaining symbols, unless the end is the only transition that is allowed.
        ending = pointer.ending_transitions()
        early = [may and not ends for may, ends in zip(allowed, ending, strict=True)]
        return (early[STAY], early[ADVANCE], early[SKIP]) if any(early) else allowed

    def _sample_quantile(self) -> float:
        """Sample uniformly from 0..1 at temperature 1 and above; below, closer to 0.5."""
        return 0.5 + self._spread * (self._rng.random() - 0.5)


def expected_frames(
    symbols: Ints,
    borders: Bools,
    voice_symbols: Ints,
    voice_borders: Bools,
    voice_durations: Ints,
) -> NDArray[np.float64]:
    """Estimate the duration of each symbol in a voice, from the voice's own prompt.

    A symbol's mean in the prompt is shrunk toward the voice's mean over all phonemes (or borders),
    and that toward a typical one, by `PRIOR_COUNT` observations each. The prompt's first and last
    symbols are left out: their silences belong to the recording, not to the speaker.

    Args:
        symbols: [symbols] ids of the sentence.
        borders: [symbols] True for its borders.
        voice_symbols: [prompt symbols] ids of the prompt.
        voice_borders: [prompt symbols] True for its borders.
        voice_durations: [prompt symbols] frames of each; 0 for a border that was skipped.

    Returns:
        [symbols] frames; their sum is the natural duration of the sentence, which `speed` scales.
    """
    inner = slice(1, max(1, len(voice_symbols) - 1))
    ids, flags = voice_symbols[inner], voice_borders[inner]
    frames = np.minimum(voice_durations[inner], MAX_EXPECTED).astype(np.float64)
    expected = np.empty(len(symbols), np.float64)
    for border, typical in ((False, TYPICAL_PHONEME), (True, TYPICAL_BORDER)):
        of_kind = frames[flags == border]
        kind_mean = (of_kind.sum() + PRIOR_COUNT * typical) / (len(of_kind) + PRIOR_COUNT)
        for index in np.flatnonzero(borders == border):
            of_symbol = frames[ids == symbols[index]]
            expected[index] = (of_symbol.sum() + PRIOR_COUNT * kind_mean) / (
                len(of_symbol) + PRIOR_COUNT
            )
    return expected
