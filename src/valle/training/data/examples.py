"""Training examples for the AR and the NAR: a prompt and a target of one speaker.

Some of them are infilling examples: the target is a span within an utterance, and the speech around
it takes the place of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.audio.prosody import STYLES, UNSPECIFIED, measure_styles, quantize_styles
from valle.corpora.store import Labels, Store, Utterance, by_speaker
from valle.corpora.styles import count_phonemes
from valle.corpora.transcripts import IS_BORDER
from valle.errors import UsageError
from valle.synthesis.infilling import CONTEXT_SYMBOLS, MAX_CONTEXT_FRAMES, word_edges
from valle.text.symbols import SYMBOLS, UNKNOWN

_UNKNOWN_ID = SYMBOLS.index(UNKNOWN)
INFILLING = 0.3  # default probability of an infilling example
_MIN_CONTEXT = 50  # frames around a span: fewer say too little about the voice
_MIN_SPAN = 10  # frames: a word
_STYLE_DROPOUT = 0.3  # probability of no style at all, and of dropping each style otherwise
_UNKNOWN_PHONEMES = 0.05  # share of a prompt's phonemes that the listener would be unsure of
_UNSTRESSED = 0.7  # share of prompts labeled as the listener does it: no stress, some unknown


@dataclass(frozen=True)
class Segment:
    """Frames [start, end) of an utterance with the symbols that they need.

    Attributes:
        codes: [T, codebooks].
        symbols: [S] ids of `valle.text.symbols.SYMBOLS`.
        stress: [S], 0 to 2.
        frame_symbol: [T] indices into `symbols`.
        voice: [192], the utterance's speaker embedding.
        stop: the index into `symbols` that the pointer moves to after the last frame, which ends
            the segment; None where it was cut, and that transition is not trained.
        source: the utterance that it was cut from; None: it has no frames.
        start: its first frame in the utterance.
    """

    codes: Ints
    symbols: Ints
    stress: Ints
    frame_symbol: Ints
    voice: NDArray[np.float32]
    stop: int | None
    source: LabeledUtterance | None = None
    start: int = 0


@dataclass(frozen=True)
class Example:
    """A context and the target that follows it.

    Attributes:
        context: the prompt (without frames in an unconditional example), or for infilling the
            speech before the span, if any, and after it.
        target: what is predicted.
        prefix: how many frames of the context come before the target.
        style: [5], style bins of the target, 0 where it is not conditioned on.
    """

    context: tuple[Segment, ...]
    target: Segment
    prefix: int
    style: Ints

    @property
    def frames(self) -> int:
        """Number of frames of the context."""
        return sum(len(segment.codes) for segment in self.context)

    def unconditional(self) -> Example:
        """The same target without a prompt, a speaker embedding or context."""
        first = self.context[0]
        empty = Segment(
            first.codes[:0],
            first.symbols[:0],
            first.stress[:0],
            first.frame_symbol[:0],
            np.zeros_like(first.voice),
            None,
        )
        return replace(self, context=(empty,), prefix=0)

    @classmethod
    def after(cls, prompt: Segment, target: Segment) -> Example:
        """Make an example of a prompt and a target, without a style."""
        return cls((prompt,), target, len(prompt.codes), np.zeros(len(STYLES), np.int64))


@dataclass(frozen=True)
class LabeledUtterance:
    """A labeled utterance with its store."""

    store: Store
    utterance: Utterance
    labels: Labels
    voice: NDArray[np.float32]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.labels.frame_symbol)

    def segment(self, start: int, end: int) -> Segment:
        """Frames [start, end) with their symbols; `end` may be past the last frame."""
        end = min(end, self.frames)
        path = self.labels.frame_symbol[start:end]
        is_last = end == self.frames
        last = len(self.labels.symbols) if is_last else int(path[-1]) + 1 + CONTEXT_SYMBOLS
        return self._cut(start, end, int(path[0]), last, last if is_last else None)

    def span(self, start: int, end: int) -> Segment:
        """A span to infill: frames [start, end) with the symbols around it that the encoder sees.

        `end` must be where the pointer moves past the span's last symbol.
        """
        path = self.labels.frame_symbol
        first = max(0, int(path[start]) - CONTEXT_SYMBOLS)
        last = int(path[end - 1]) + 1 + CONTEXT_SYMBOLS
        return self._cut(start, end, first, last, int(path[end]))

    def _cut(self, start: int, end: int, first: int, last: int, stop: int | None) -> Segment:
        """Frames [start, end) with the symbols [first, last) and the stop after them."""
        rows = self.utterance.frames
        return Segment(
            self.store.codes[rows.start + start : rows.start + end].astype(np.int64),
            self.labels.symbols[first:last],
            self.labels.stress[first:last],
            self.labels.frame_symbol[start:end] - first,
            self.voice,
            None if stop is None else stop - first,
            self,
            start,
        )

    def crop_with_own_symbols(self, start: int, end: int) -> Segment:
        """Frames [start, end) with their own symbols only, since the following ones are unknown."""
        segment = self.segment(start, end)
        own = slice(0, int(segment.frame_symbol[-1]) + 1)
        return replace(segment, symbols=segment.symbols[own], stress=segment.stress[own], stop=None)

    def word_edges(self) -> Ints:
        """Frames at which a span may start or end."""
        return word_edges(self.labels.frame_symbol, IS_BORDER[self.labels.symbols])

    def measure_style(self, start: int, end: int) -> NDArray[np.float32]:
        """Measure the styles [5] of frames [start, end); NaN where they are unknown."""
        if self.store.styles is None:
            return np.full(len(STYLES), np.nan, np.float32)
        rows = self.utterance.frames
        features = self.store.styles[0][rows.start + start : rows.start + end]
        return measure_styles(features, count_phonemes(self.labels, start, end))

    def next_border(self, frame: int) -> int:
        """The first frame from `frame` on that begins a border symbol; 0 if there is none."""
        path = self.labels.frame_symbol
        begins = np.flatnonzero(np.diff(path, prepend=-1) > 0)
        starts = begins[IS_BORDER[self.labels.symbols[path[begins]]]]
        later = starts[starts >= frame]
        return int(later[0]) if len(later) else 0


@dataclass(frozen=True)
class ExampleProbabilities:
    """How often an example is of a kind, or lacks something; each 0 to 1.

    Attributes:
        infilling: an infilling example.
        speaker_dropout: no speaker embedding.
        unconditional: neither prompt nor embedding (for guidance).
    """

    infilling: float = 0.0
    speaker_dropout: float = 0.1
    unconditional: float = 0.08


class ExampleSource:
    """Samples a store by its weight, a speaker of it, then a prompt and a target of that speaker.

    Args:
        stores: with codes, speaker embeddings and labels.
        shares: sampling weight of each store.
        seed: of all examples.
        probabilities: of kinds of examples.
        bin_edges: [5, 7] of the styles; None: those of the stores, if they have any.

    Raises:
        UsageError: a store has no labels, or none for any utterance; or only some of the stores
            have styles, or their bin edges differ.
    """

    max_tries = 10_000  # per example; a corpus that is fit for training needs a few

    def __init__(
        self,
        stores: Sequence[Store],
        shares: Sequence[float],
        seed: int,
        probabilities: ExampleProbabilities = ExampleProbabilities(),
        bin_edges: NDArray[np.float64] | None = None,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        # A separate generator, so that the same pairs are sampled whatever is dropped of them.
        self.dropout_rng = np.random.default_rng((seed, 1))
        self.probabilities = probabilities
        self.bin_edges = _shared_bin_edges(stores) if bin_edges is None else bin_edges
        self.groups: list[list[list[LabeledUtterance]]] = []
        for store in stores:
            speakers = []
            rows = {u.id: voice for u, voice in zip(store.utterances, store.voices, strict=True)}
            for group in by_speaker(store.utterances).values():
                sources = [
                    LabeledUtterance(store, u, store.labels[u.id], rows[u.id])
                    for u in group
                    if u.id in store.labels
                ]
                if sources:
                    speakers.append(sources)
            if not speakers:
                raise UsageError(
                    f"{store.folder} has no labeled utterance; "
                    "train the listener for longer, or leave this corpus out"
                )
            self.groups.append(speakers)
        total = sum(shares)
        self.shares = [share / total for share in shares]
        # Within a store, a speaker's weight is the square root of their amount of speech: an hour
        # of speech counts more than a single clip, but not a hundred times more.
        self.weights = []
        for speakers in self.groups:
            sizes = np.array([sum(s.frames for s in sources) for sources in speakers], float)
            self.weights.append(np.sqrt(sizes) / np.sqrt(sizes).sum())

    def example(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> Example:
        """Sample an example of either kind; the arguments and errors are those of `pair`."""
        if self.probabilities.infilling and self.rng.random() < self.probabilities.infilling:
            return self.infilling_example(target_frames[1])
        return self._pair_example(prompt_frames, target_frames, from_start)

    def _pair_example(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> Example:
        """Sample a prompt and a target, or an unconditional example of the target."""
        prompt, target, style = self._sample_pair(prompt_frames, target_frames, from_start)
        example = Example((prompt,), target, len(prompt.codes), self._drop_styles(style))
        return (
            example.unconditional()
            if self.dropout_rng.random() < self.probabilities.unconditional
            else example
        )

    def infilling_example(self, longest: int) -> Example:
        """Sample a span of at most `longest` frames between word edges, and the speech around it.

        Raises:
            UsageError: no utterance has such a span.
        """
        for _ in range(self.max_tries):
            _, source = self._sample_utterance()
            edges = source.word_edges()
            if not len(edges):
                continue
            # A span may begin with the utterance; then there is no speech before it.
            start = int(self.rng.choice(np.append(edges, 0)))
            lengths = edges - start
            ends = edges[(lengths >= _MIN_SPAN) & (lengths <= longest)]
            if not len(ends):
                continue
            end = int(self.rng.choice(ends))
            before, after = self.rng.integers(_MIN_CONTEXT // 2, MAX_CONTEXT_FRAMES + 1, 2)
            first, last = max(0, start - int(before)), min(end + int(after), source.frames)
            if (start - first) + (last - end) < _MIN_CONTEXT:
                continue
            around = [source.crop_with_own_symbols(first, start)] if start else []
            around.append(source.segment(end, last))
            context = tuple(self._label_as_listener(segment) for segment in around)
            # The speaker embedding is dropped on both sides or on neither.
            context = tuple(replace(segment, voice=context[0].voice) for segment in context)
            style = self._drop_styles(source.measure_style(start, end))
            return Example(context, source.span(start, end), start - first, style)
        raise UsageError(
            "no utterance has a span to infill: the corpora need longer utterances with several "
            "words; or give --infilling 0"
        )

    def _drop_styles(self, measured: NDArray[np.float32]) -> Ints:
        """The bins of measured styles [5], some of them dropped (unset)."""
        if self.bin_edges is None:
            return np.full(len(STYLES), UNSPECIFIED, np.int64)
        bins = quantize_styles(measured, self.bin_edges)
        uniform = self.dropout_rng.random(1 + len(STYLES))
        bins[(uniform[1:] < _STYLE_DROPOUT) | (uniform[0] < _STYLE_DROPOUT)] = UNSPECIFIED
        return bins

    def _sample_utterance(self) -> tuple[list[LabeledUtterance], LabeledUtterance]:
        """Sample a speaker; all of their utterances, and one of these."""
        store = int(self.rng.choice(len(self.groups), p=self.shares))
        speakers = self.groups[store]
        sources = speakers[int(self.rng.choice(len(speakers), p=self.weights[store]))]
        return sources, sources[self.rng.integers(len(sources))]

    def pair(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> tuple[Segment, Segment]:
        """Sample a prompt and a target of one speaker.

        Args:
            prompt_frames: range of the prompt's length.
            target_frames: range of the target's length.
            from_start: probability that the target begins with its utterance.

        Raises:
            UsageError: the utterances are too short for any pair.
        """
        return self._sample_pair(prompt_frames, target_frames, from_start)[:2]

    def _sample_pair(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> tuple[Segment, Segment, NDArray[np.float32]]:
        """Sample a pair, and measure the styles [5] of the target."""
        for _ in range(self.max_tries):
            sources, target = self._sample_utterance()
            prompt_length = int(self.rng.integers(prompt_frames[0], prompt_frames[1] + 1))
            length = int(self.rng.integers(target_frames[0], target_frames[1] + 1))
            start = 0
            if len(sources) > 1:
                prompt = sources[self.rng.integers(len(sources))]
                if prompt is target:
                    continue
                low = int(self.rng.integers(max(1, prompt.frames - prompt_length + 1)))
                high = low + prompt_length
            else:
                # The only utterance of a speaker: its beginning is the prompt, the rest the target.
                prompt, low = target, 0
                high = start = target.next_border(prompt_length)
                if start == 0 or target.frames - start < target_frames[0]:
                    continue
            if start == 0 and self.rng.random() >= from_start and target.frames > length:
                start = target.next_border(int(self.rng.integers(target.frames - length)))
            if min(high, prompt.frames) - low < prompt_frames[0] // 2:
                continue
            if target.frames - start < min(target_frames[0], target.frames):
                continue
            first = self._label_as_listener(prompt.segment(low, high))
            second = target.segment(start, start + length)
            return first, second, target.measure_style(start, start + len(second.codes))
        folders = ", ".join(str(speakers[0][0].store.folder) for speakers in self.groups)
        raise UsageError(
            f"no prompt of {prompt_frames[0]} frames with a target can be cut from {folders}: "
            "the speakers need two utterances each, or longer ones with pauses"
        )

    def _label_as_listener(self, segment: Segment) -> Segment:
        """A prompt's symbols as the listener labels them: mostly without stress, some unknown."""
        symbols, stress = segment.symbols.copy(), segment.stress
        if self.rng.random() < _UNSTRESSED:
            stress = np.zeros_like(stress)
            hidden = (self.rng.random(len(symbols)) < _UNKNOWN_PHONEMES) & ~IS_BORDER[symbols]
            symbols[hidden] = _UNKNOWN_ID
        # Speaker-embedding dropout: the voice then has to be inferred from the prompt.
        voice = segment.voice * np.float32(self.rng.random() >= self.probabilities.speaker_dropout)
        return replace(segment, symbols=symbols, stress=stress, voice=voice)


def _shared_bin_edges(stores: Sequence[Store]) -> NDArray[np.float64] | None:
    """The bin edges that all stores have in common; None if they have no styles."""
    edges = [store.styles[1] for store in stores if store.styles is not None]
    if not edges:
        return None
    if len(edges) < len(stores) or any(not np.array_equal(other, edges[0]) for other in edges):
        raise UsageError(
            "the styles of these corpora were not measured together: give all of them to one "
            "`valle prepare styles`"
        )
    return edges[0]


def pad_sequences(rows: list[Ints], value: int, length: int | None = None) -> Ints:
    """Stack arrays [T, ...] of different lengths, padded with `value`; [B, longest, ...].

    The result has at least one row, since a model cannot run on none.
    """
    longest = length or max(1, *(len(row) for row in rows))
    out = np.full((len(rows), longest, *rows[0].shape[1:]), value, np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
