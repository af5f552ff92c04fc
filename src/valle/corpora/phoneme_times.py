"""Align the timed phonemes of a TTS engine with the phonemes of a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from valle.audio_format import FRAME_RATE
from valle.corpora.espeak_speech import Sound
from valle.runtime.pointer import MAX_FRAMES_BORDER, MAX_FRAMES_PHONEME
from valle.text.edit_distance import align, phoneme_cost
from valle.text.phonemes import Phoneme
from valle.text.symbols import BORDERS

_MAX_COST = 0.05  # mean edit distance per phoneme of the sentence
_MAX_INNER_PAUSE = 0.12  # seconds of pauses inside words, per sentence


def frame_symbols(
    phonemes: Sequence[Phoneme],
    sounds: Sequence[Sound],
    frames: int,
    lead: float = 0.0,
    tempo: float = 1.0,
) -> NDArray[np.int64] | None:
    """Assign a symbol of the sentence to each frame of 20 ms.

    Every phoneme and the first symbol get at least one frame; the other borders get the frames of
    their pause, if there is one.

    Args:
        phonemes: of the sentence, borders included.
        sounds: the phonemes that the engine spoke.
        frames: of the recording.
        lead: seconds of silence before the first sound.
        tempo: how much faster than in `sounds` the recording is.

    Returns:
        [frames] indices into `phonemes`, not decreasing. None if a phoneme was not spoken, if the
        two sequences differ by more than one sound in twenty, if there is a pause without a border,
        or if a symbol would get more frames than the pointer allows.
    """
    starts = _symbol_starts(phonemes, sounds)
    if starts is None:
        return None
    # The first symbol of a sentence is the silence before it.
    starts = np.concatenate([[0.0], lead + starts[1:] / tempo])
    min_frames = np.array([int(p.symbol not in BORDERS) for p in phonemes])
    min_frames[0] = 1
    edges = [*np.rint(starts * FRAME_RATE).astype(int).tolist(), frames]
    edges[0] = 0
    for index in range(1, len(edges) - 1):
        edges[index] = max(edges[index], edges[index - 1] + int(min_frames[index - 1]))
    for index in range(len(edges) - 2, -1, -1):
        edges[index] = min(edges[index], edges[index + 1] - int(min_frames[index]))
    if edges[0] < 0:
        return None
    counts = np.diff(edges)
    longest = np.where(min_frames == 1, MAX_FRAMES_PHONEME, MAX_FRAMES_BORDER)
    longest[0] = MAX_FRAMES_BORDER
    if (counts > longest).any():
        return None
    return np.repeat(np.arange(len(phonemes)), counts)


def _symbol_starts(
    phonemes: Sequence[Phoneme], sounds: Sequence[Sound]
) -> NDArray[np.float64] | None:
    """Start of each symbol in seconds [symbols]; a border without a pause takes no time."""
    expected = [i for i, p in enumerate(phonemes) if p.symbol not in BORDERS]
    spoken = [i for i, s in enumerate(sounds) if s.symbol]
    if not expected or not spoken:
        return None
    pairs = _match(
        [phonemes[i].symbol for i in expected],
        [sounds[i].symbol for i in spoken],
        _MAX_COST * len(expected),
    )
    if pairs is None:
        return None
    sound_of = {expected[a]: spoken[b] for a, b in pairs}
    begins = {i: sounds[at].start for i, at in sound_of.items()}
    end = sounds[spoken[-1]].end

    # A pause belongs to a border only if the phoneme right after both is the same.
    pauses = {at + 1: sounds[at] for at in range(len(sounds) - 1) if not sounds[at].symbol}
    starts = np.zeros(len(phonemes))
    used = 0.0
    for i in reversed(range(len(phonemes))):
        if i in begins:
            starts[i] = begins[i]
        elif i + 1 < len(phonemes):
            pause = pauses.get(sound_of.get(i + 1, -1))
            starts[i] = pause.start if pause else begins.get(i + 1, end)
            used += pause.end - pause.start if pause and i else 0.0
        else:
            starts[i] = end
    inner = sum(s.end - s.start for s in sounds[spoken[0] : spoken[-1]] if not s.symbol)
    return None if inner - used > _MAX_INNER_PAUSE else starts


def _match(expected: list[str], spoken: list[str], max_cost: float) -> list[tuple[int, int]] | None:
    """Pairs (expected, spoken) of the alignment of least cost; None if it costs over `max_cost`.

    Every expected phoneme gets a sound; a sound without a phoneme prolongs the one before.
    """
    if expected == spoken:
        return [(i, i) for i in range(len(expected))]
    insertions = len(spoken) - len(expected)
    if insertions < 0 or insertions > max_cost:
        return None
    edits = align(expected, spoken, phoneme_cost, deletion=math.inf)
    pairs = [(a, b) for a, b in edits if a >= 0]
    cost = insertions + sum(phoneme_cost(expected[a], spoken[b]) for a, b in pairs)
    return pairs if cost <= max_cost else None
