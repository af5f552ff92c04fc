"""Examples for the AR and the NAR: a prompt and a target of one speaker, from a labelled store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.corpora.store import Labels, Store, Utterance, by_speaker
from valle.corpora.transcripts import IS_BORDER
from valle.errors import UsageError
from valle.text import SYMBOLS, UNKNOWN

_RIGHT_CONTEXT = 6  # symbols that the phoneme encoder sees ahead of a frame's own
_UNKNOWN_ID = SYMBOLS.index(UNKNOWN)
_TRIES = 10_000  # draws for one pair; of a corpus that is fit for training a few are enough
_VOICELESS = 0.1  # share of prompts whose speaker embedding is withheld
_UNSURE = 0.05  # share of a prompt's phonemes hidden, as a listener that is not sure hides them

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """Frames [start, end) of an utterance with the symbols that they need.

    `codes` [T, codebooks]; `symbols`, `stress` [S]; `frame_symbol` [T] index into them.
    `voice` [192]: the utterance's speaker embedding. `ends`: the last frame is the utterance's
    last, so that the pointer's last move is an end.
    """

    codes: Ints
    symbols: Ints
    stress: Ints
    frame_symbol: Ints
    voice: NDArray[np.float32]
    ends: bool


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
        first, last = int(path[0]), int(path[-1])
        ends = end == self.frames
        stop = len(self.labels.symbols) if ends else last + 1 + _RIGHT_CONTEXT
        rows = self.utterance.frames
        return Piece(
            self.store.codes[rows.start + start : rows.start + end].astype(np.int64),
            self.labels.symbols[first:stop],
            self.labels.stress[first:stop],
            path - first,
            self.voice,
            ends,
        )

    def border_near(self, frame: int) -> int:
        """The first frame at or after `frame` that begins a border symbol; 0 if there is none."""
        path = self.labels.frame_symbol
        begins = np.flatnonzero(np.diff(path, prepend=-1) > 0)
        starts = begins[IS_BORDER[self.labels.symbols[path[begins]]]]
        later = starts[starts >= frame]
        return int(later[0]) if len(later) else 0


class ExampleSource:
    """Draws a store by its share, a speaker of it, then a prompt and a target of that speaker.

    Raises:
        UsageError: a store has no labels, or none for any utterance.
    """

    def __init__(self, stores: list[Store], shares: list[float], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
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

    def pair(
        self, prompt_frames: tuple[int, int], target_frames: tuple[int, int], from_start: float
    ) -> tuple[Piece, Piece]:
        """A prompt and a target of one speaker, of random lengths in the given ranges.

        `from_start`: the share of targets that begin where their utterance begins.

        Raises:
            UsageError: the utterances are too short for any pair.
        """
        for _ in range(_TRIES):
            store = int(self.rng.choice(len(self.groups), p=self.shares))
            speakers = self.groups[store]
            sources = speakers[int(self.rng.choice(len(speakers), p=self.weights[store]))]
            target = sources[self.rng.integers(len(sources))]
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
            return first, target.piece(start, start + length)
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
        voice = piece.voice * np.float32(self.rng.random() >= _VOICELESS)
        return Piece(piece.codes, symbols, stress, piece.frame_symbol, voice, piece.ends)


def padded(rows: list[Ints], value: int, length: int | None = None) -> Ints:
    """Arrays [T, ...] of unequal length as one [B, longest, ...], filled up with `value`."""
    longest = length or max(len(row) for row in rows)
    out = np.full((len(rows), longest, *rows[0].shape[1:]), value, np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
