"""Examples for the AR and the NAR: a prompt and a target of one speaker, from a labelled store.

A share of them are middles to be filled in: what comes before and after takes the prompt's place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.audio.prosody import STYLES, UNSET, classes_of, measure
from valle.corpora.store import Labels, Store, Utterance, by_speaker
from valle.corpora.styles import phonemes_in
from valle.corpora.transcripts import IS_BORDER
from valle.errors import UsageError
from valle.synthesis.infilling import CONTEXT, SIDE, word_edges
from valle.text.symbols import SYMBOLS, UNKNOWN

_UNKNOWN_ID = SYMBOLS.index(UNKNOWN)
_TRIES = 10_000  # draws for one pair; of a corpus that is fit for training a few are enough
_VOICELESS = 0.1  # share of prompts whose speaker embedding is withheld, unless asked otherwise
_UNPROMPTED = 0.08  # share of examples in which anybody speaks: no prompt, no voice
INFILLING = 0.3  # share of examples in which a middle is filled in, unless asked otherwise
_LEAST_AROUND = 50  # frames around a middle: less tells too little of a voice
_SHORTEST_MIDDLE = 10  # frames: a word
_UNTOLD = 0.3  # share of examples without any style, and of each style in the others
_UNSURE = 0.05  # share of a prompt's phonemes hidden, as a listener that is not sure hides them


@dataclass(frozen=True)
class Piece:
    """Frames [start, end) of an utterance with the symbols that they need.

    `codes` [T, codebooks]; `symbols`, `stress` [S]; `frame_symbol` [T] index into them.
    `voice` [192]: the utterance's speaker embedding. `stop`: the index into `symbols` that the
    pointer is at after the last frame, which ends the piece; None where it was cut, and that move
    is not learnt.
    """

    codes: Ints
    symbols: Ints
    stress: Ints
    frame_symbol: Ints
    voice: NDArray[np.float32]
    stop: int | None


@dataclass(frozen=True)
class Example:
    """What is read first, and what is then to be said.

    `context`: the prompt (of no frames, if anybody is to speak), or of a middle what comes before
    and what comes after it (there may be nothing before). `prefix`: how many frames of the context
    come before the target. `style` [5]: classes of the target, 0 where it is not told.
    """

    context: tuple[Piece, ...]
    target: Piece
    prefix: int
    style: Ints

    @property
    def frames(self) -> int:
        """Of the context."""
        return sum(len(piece.codes) for piece in self.context)

    def unprompted(self) -> Example:
        """The target alone, as anybody may say it."""
        first = self.context[0]
        nothing = Piece(
            first.codes[:0],
            first.symbols[:0],
            first.stress[:0],
            first.frame_symbol[:0],
            np.zeros_like(first.voice),
            None,
        )
        return replace(self, context=(nothing,), prefix=0)

    @classmethod
    def after(cls, prompt: Piece, target: Piece) -> Example:
        """A prompt and a target, without a style."""
        return cls((prompt,), target, len(prompt.codes), np.zeros(len(STYLES), np.int64))


@dataclass(frozen=True)
class Source:
    """A labelled utterance and the store it lies in."""

    store: Store
    utterance: Utterance
    labels: Labels
    voice: NDArray[np.float32]

    @property
    def frames(self) -> int:
        return len(self.labels.frame_symbol)

    def piece(self, start: int, end: int) -> Piece:
        """Frames [start, end); `end` may lie past the last."""
        end = min(end, self.frames)
        path = self.labels.frame_symbol[start:end]
        ends = end == self.frames
        beyond = len(self.labels.symbols) if ends else int(path[-1]) + 1 + CONTEXT
        return self._piece(start, end, int(path[0]), beyond, beyond if ends else None)

    def middle(self, start: int, end: int) -> Piece:
        """Frames [start, end) of the midst, with the symbols around that the encoder sees.

        It ends where the pointer passes its last symbol, which must be where `end` is.
        """
        path = self.labels.frame_symbol
        first, beyond = max(0, int(path[start]) - CONTEXT), int(path[end - 1]) + 1 + CONTEXT
        return self._piece(start, end, first, beyond, int(path[end]))

    def _piece(self, start: int, end: int, first: int, beyond: int, stop: int | None) -> Piece:
        """Frames [start, end) with the symbols [first, beyond) and the stop after them."""
        rows = self.utterance.frames
        return Piece(
            self.store.codes[rows.start + start : rows.start + end].astype(np.int64),
            self.labels.symbols[first:beyond],
            self.labels.stress[first:beyond],
            self.labels.frame_symbol[start:end] - first,
            self.voice,
            None if stop is None else stop - first,
        )

    def apart(self, start: int, end: int) -> Piece:
        """Frames [start, end) with their own symbols and no others: what follows is to be said."""
        piece = self.piece(start, end)
        own = slice(0, int(piece.frame_symbol[-1]) + 1)
        return replace(piece, symbols=piece.symbols[own], stress=piece.stress[own], stop=None)

    def word_edges(self) -> Ints:
        """Frames at which words may be cut apart."""
        return word_edges(self.labels.frame_symbol, IS_BORDER[self.labels.symbols])

    def measured(self, start: int, end: int) -> NDArray[np.float32]:
        """The styles [5] of frames [start, end), NaN where there are none."""
        if self.store.styles is None:
            return np.full(len(STYLES), np.nan, np.float32)
        rows = self.utterance.frames
        features = self.store.styles[0][rows.start + start : rows.start + end]
        return measure(features, phonemes_in(self.labels, start, end))

    def border_near(self, frame: int) -> int:
        """The first frame at or after `frame` that begins a border symbol; 0 if there is none."""
        path = self.labels.frame_symbol
        begins = np.flatnonzero(np.diff(path, prepend=-1) > 0)
        starts = begins[IS_BORDER[self.labels.symbols[path[begins]]]]
        later = starts[starts >= frame]
        return int(later[0]) if len(later) else 0


class ExampleSource:
    """Draws a store by its share, a speaker of it, then a prompt and a target of that speaker.

    infilling: share of examples, 0 to 1, in which the middle of an utterance is the target.
    voiceless, unprompted: shares of prompts without an embedding, of pairs without a prompt.
    borders: [5, 7] between the classes of styles; None: those that came with the stores, if any.

    Raises:
        UsageError: a store has no labels, or none for any utterance; or only some of the stores
            have styles, or the borders of these differ.
    """

    def __init__(
        self,
        stores: list[Store],
        shares: list[float],
        seed: int,
        infilling: float = 0.0,
        borders: NDArray[np.float64] | None = None,
        voiceless: float = _VOICELESS,
        unprompted: float = _UNPROMPTED,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        # Apart, so that the same pairs are drawn whatever is told of them.
        self.told_rng = np.random.default_rng((seed, 1))
        self.infilling = infilling
        self.voiceless, self.unprompted = voiceless, unprompted
        self.borders = _borders(stores) if borders is None else borders
        self.groups: list[list[list[Source]]] = []
        for store in stores:
            speakers = []
            rows = {u.id: voice for u, voice in zip(store.utterances, store.voices, strict=True)}
            for group in by_speaker(store.utterances).values():
                sources = [
                    Source(store, u, store.labels[u.id], rows[u.id])
                    for u in group
                    if u.id in store.labels
                ]
                if sources:
                    speakers.append(sources)
            if not speakers:
                raise UsageError(
                    f"the labels of {store.folder} cover no utterance; "
                    "train the listener for longer, or leave this corpus out"
                )
            self.groups.append(speakers)
        total = sum(shares)
        self.shares = [share / total for share in shares]
        # Within a store a speaker is drawn by the square root of what there is of it: one who reads
        # for an hour teaches more than one with a single clip, but not a hundred times more.
        self.weights = []
        for speakers in self.groups:
            sizes = np.array([sum(s.frames for s in sources) for sources in speakers], float)
            self.weights.append(np.sqrt(sizes) / np.sqrt(sizes).sum())

    def example(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> Example:
        """An example of either kind; the arguments and errors are those of `pair`."""
        if self.infilling and self.rng.random() < self.infilling:
            return self.middle(target_frames[1])
        prompt, target, style = self._pair(prompt_frames, target_frames, from_start)
        example = Example((prompt,), target, len(prompt.codes), self._told(style))
        return example.unprompted() if self.told_rng.random() < self.unprompted else example

    def middle(self, longest: int) -> Example:
        """A middle of at most `longest` frames, cut at the edges of words, and what is around it.

        Raises:
            UsageError: no utterance has one.
        """
        for _ in range(_TRIES):
            _, source = self._utterance()
            edges = source.word_edges()
            if not len(edges):
                continue
            # The first cut may be the utterance's start: then nothing comes before the middle.
            start = int(self.rng.choice(np.append(edges, 0)))
            lengths = edges - start
            ends = edges[(lengths >= _SHORTEST_MIDDLE) & (lengths <= longest)]
            if not len(ends):
                continue
            end = int(self.rng.choice(ends))
            before, after = self.rng.integers(_LEAST_AROUND // 2, SIDE + 1, 2)
            first, last = max(0, start - int(before)), min(end + int(after), source.frames)
            if (start - first) + (last - end) < _LEAST_AROUND:
                continue
            around = [source.apart(first, start)] if start else []
            around.append(source.piece(end, last))
            context = tuple(self._as_heard(piece) for piece in around)
            # The voice is told for both sides or for neither.
            context = tuple(replace(piece, voice=context[0].voice) for piece in context)
            style = self._told(source.measured(start, end))
            return Example(context, source.middle(start, end), start - first, style)
        raise UsageError(
            "no utterance has a middle to fill in: the corpora need longer ones with several words,"
            " or give --infilling 0"
        )

    def _told(self, measured: NDArray[np.float32]) -> Ints:
        """The classes of what was measured, some of them withheld."""
        if self.borders is None:
            return np.full(len(STYLES), UNSET, np.int64)
        told = classes_of(measured, self.borders)
        chances = self.told_rng.random(1 + len(STYLES))
        told[(chances[1:] < _UNTOLD) | (chances[0] < _UNTOLD)] = UNSET
        return told

    def _utterance(self) -> tuple[list[Source], Source]:
        """All of a speaker's utterances, and one of them."""
        store = int(self.rng.choice(len(self.groups), p=self.shares))
        speakers = self.groups[store]
        sources = speakers[int(self.rng.choice(len(speakers), p=self.weights[store]))]
        return sources, sources[self.rng.integers(len(sources))]

    def pair(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> tuple[Piece, Piece]:
        """A prompt and a target of one speaker, of random lengths in the given ranges.

        `from_start`: the share of targets that begin where their utterance begins.

        Raises:
            UsageError: the utterances are too short for any pair.
        """
        return self._pair(prompt_frames, target_frames, from_start)[:2]

    def _pair(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> tuple[Piece, Piece, NDArray[np.float32]]:
        """A pair, and the styles [5] of the target."""
        for _ in range(_TRIES):
            sources, target = self._utterance()
            wanted = int(self.rng.integers(prompt_frames[0], prompt_frames[1] + 1))
            length = int(self.rng.integers(target_frames[0], target_frames[1] + 1))
            start = 0
            if len(sources) > 1:
                prompt = sources[self.rng.integers(len(sources))]
                if prompt is target:
                    continue
                low = int(self.rng.integers(max(1, prompt.frames - wanted + 1)))
                high = low + wanted
            else:
                # One clip: its beginning is the prompt, what follows the target.
                prompt, low = target, 0
                high = start = target.border_near(wanted)
                if start == 0 or target.frames - start < target_frames[0]:
                    continue
            if start == 0 and self.rng.random() >= from_start and target.frames > length:
                start = target.border_near(int(self.rng.integers(target.frames - length)))
            if min(high, prompt.frames) - low < prompt_frames[0] // 2:
                continue
            if target.frames - start < min(target_frames[0], target.frames):
                continue
            first = self._as_heard(prompt.piece(low, high))
            said = target.piece(start, start + length)
            return first, said, target.measured(start, start + len(said.codes))
        folders = ", ".join(str(speakers[0][0].store.folder) for speakers in self.groups)
        raise UsageError(
            f"no prompt of {prompt_frames[0]} frames with a target can be cut from {folders}: "
            "the speakers need two utterances each, or longer ones with pauses"
        )

    def _as_heard(self, piece: Piece) -> Piece:
        """A prompt's symbols as the listener gives them: mostly without stress, some unknown."""
        symbols, stress = piece.symbols.copy(), piece.stress
        if self.rng.random() < 0.7:
            stress = np.zeros_like(stress)
            hidden = (self.rng.random(len(symbols)) < _UNSURE) & ~IS_BORDER[symbols]
            symbols[hidden] = _UNKNOWN_ID
        # Now and then the voice has to be read out of the prompt alone.
        voice = piece.voice * np.float32(self.rng.random() >= self.voiceless)
        return replace(piece, symbols=symbols, stress=stress, voice=voice)


def _borders(stores: list[Store]) -> NDArray[np.float64] | None:
    """The borders that all stores have; None if they have none."""
    found = [store.styles for store in stores]
    some = [styles[1] for styles in found if styles is not None]
    if not some:
        return None
    if len(some) < len(found) or any(not np.array_equal(one, some[0]) for one in some):
        raise UsageError(
            "these corpora were not measured together: give all of them to one "
            "`valle prepare styles`"
        )
    return some[0]


def padded(rows: list[Ints], value: int, length: int | None = None) -> Ints:
    """Arrays [T, ...] of unequal length as one [B, longest, ...], filled up with `value`.

    `longest` is 1 or more, since a model cannot read nothing at all.
    """
    longest = length or max(1, *(len(row) for row in rows))
    out = np.full((len(rows), longest, *rows[0].shape[1:]), value, np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
