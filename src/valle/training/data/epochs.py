"""Training examples in epochs: every utterance is a target once per epoch, in a known order.

Which utterance is the target at a place of an epoch, and how it is cut, depends on the seed, the
epoch and the utterance alone. So it does not matter how many processes share the work, and a run
continues anywhere without reading what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from valle.corpora.store import Store
from valle.errors import UsageError
from valle.training.data.examples import (
    Example,
    ExampleProbabilities,
    ExampleSource,
    LabeledUtterance,
)

_POOL = 64  # batches whose utterances are sorted by length together
_DRAWS, _DROPOUT = 0, 1  # streams of random numbers of an example


@dataclass
class EpochOrder:
    """The order of utterances, of which every batch is a function.

    Each epoch is a random permutation. Within pools of consecutive utterances they are sorted by
    length and cut into batches, whose order is random again: a batch then has little padding. Where
    an epoch's utterances do not fill its last batch, the next epoch's do.

    Attributes:
        lengths: of the utterances, in frames [N].
        batch_size: utterances per step, of all processes together.
        seed: of the order.
    """

    lengths: NDArray[np.integer]
    batch_size: int
    seed: int
    _epochs: dict[int, NDArray[np.int32]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"--batch-size must be 1 or more, not {self.batch_size}")
        if not len(self.lengths):
            raise UsageError("the corpora have no labeled utterance to train on")

    def batch(self, step: int) -> list[tuple[int, int]]:
        """The epoch and the utterance's index at each place of a step's batch [batch size]."""
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        return [
            (epoch, int(self.epoch(epoch)[place]))
            for epoch, place in (divmod(place, len(self.lengths)) for place in places)
        ]

    def epoch(self, number: int) -> NDArray[np.int32]:
        """The permutation of one epoch [N]; the last two are kept."""
        if number not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e == number - 1}
            self._epochs[number] = self._permute(number)
        return self._epochs[number]

    def _permute(self, number: int) -> NDArray[np.int32]:
        rng = np.random.default_rng((self.seed, number))
        count, size = len(self.lengths), self.batch_size
        order = np.arange(count, dtype=np.int32)
        rng.shuffle(order)
        # The first utterances fill the batch that the epoch before began.
        first = min(-(number * count) % size, count)
        whole = (count - first) // size
        body = order[first : first + whole * size]
        for start in range(0, len(body), _POOL * size):
            pool = body[start : start + _POOL * size]
            pool[:] = pool[np.argsort(self.lengths[pool], kind="stable")]
        body[:] = body.reshape(whole, size)[rng.permutation(whole)].reshape(-1)
        return order


class EpochExamples(ExampleSource):
    """Examples whose target is a given utterance, cut at random as its seed says.

    Args:
        stores: with codes, speaker embeddings and labels.
        seed: of all examples.
        probabilities: of kinds of examples.
        bin_edges: [5, 7] of the styles; None: those of the stores, if they have any.

    Raises:
        UsageError: see `ExampleSource`.
    """

    max_tries = 50  # then the utterance is taken to be too short

    def __init__(
        self,
        stores: Sequence[Store],
        seed: int,
        probabilities: ExampleProbabilities,
        bin_edges: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(stores, [1.0] * len(stores), seed, probabilities, bin_edges)
        self.seed = seed
        self.targets: list[tuple[list[LabeledUtterance], LabeledUtterance]] = []
        """Every utterance, with all of its speaker's."""
        self.restrict(lambda _: True)
        self._target = self.targets[0]
        self._ranges = (1, 1), (1, 1), 0.0

    def restrict(self, chosen: Callable[[LabeledUtterance], bool]) -> None:
        """Keep only some of the utterances, as targets and as prompts."""
        speakers = (
            [source for source in sources if chosen(source)]
            for group in self.groups
            for sources in group
        )
        self.targets = [(sources, source) for sources in speakers for source in sources]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Frames of each target."""
        return np.array([source.frames for _, source in self.targets], np.int32)

    def example_of(
        self,
        place: tuple[int, int],
        prompt_frames: tuple[int, int],
        target_frames: tuple[int, int],
        from_start: float,
    ) -> Example:
        """The example of one utterance in one epoch.

        Args:
            place: epoch and index into `targets`.
            prompt_frames: range of the prompt's length.
            target_frames: range of the target's length.
            from_start: probability that the target begins with its utterance.

        Returns:
            An example of either kind. An utterance that is too short for one is the target of an
            unconditional example: none is left out.
        """
        self.rng = np.random.default_rng((self.seed, *place, _DRAWS))
        self.dropout_rng = np.random.default_rng((self.seed, *place, _DROPOUT))
        self._target = self.targets[place[1]]
        source = self._target[1]
        self._ranges = prompt_frames, target_frames, from_start
        try:
            return self.example(*self._ranges)
        except UsageError:
            target = source.segment(0, min(source.frames, target_frames[1]))
            return Example.after(target, target).unconditional()

    def infilling_example(self, longest: int) -> Example:
        """A span of the target and the speech around it, or what it is too short for: a pair.

        Args:
            longest: frames of the span.
        """
        try:
            return super().infilling_example(longest)
        except UsageError:
            return self._pair_example(*self._ranges)

    def _sample_utterance(self) -> tuple[list[LabeledUtterance], LabeledUtterance]:
        return self._target
