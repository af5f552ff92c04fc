"""Phonemes that were heard, with their times, brought onto the phonemes of a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from valle.corpora.espeak_speech import Sound
from valle.text.phonemes import Phoneme
from valle.text.symbols import BORDERS, VOWELS

FRAME_RATE = 50  # codec frames a second
_GAP = 1.0  # cost of a sound that is no phoneme of the sentence; a wrong pair costs half of it
_LARGEST_COST = 0.05  # a phoneme, over the sentence
_LONGEST_PHONEME, _LONGEST_BORDER = 50, 75  # frames; as the pointer allows
_STRAY_PAUSE = 0.12  # seconds that a pause inside a word may have


def frame_symbols(
    phonemes: Sequence[Phoneme],
    sounds: Sequence[Sound],
    frames: int,
    lead: float = 0.0,
    tempo: float = 1.0,
) -> NDArray[np.int64] | None:
    """Which symbol of the sentence each frame of 20 ms is at: [frames], never falling.

    `sounds` count their seconds from `lead` seconds into the recording and were then played
    `tempo` times as fast. Every phoneme has at least one frame and so has the first symbol; other
    borders have those of the pause there, maybe none. None when a phoneme was not heard, when the
    two sequences differ by more than a sound in twenty, when there is a pause but no border, or
    when a symbol would have more frames than the pointer may stay.
    """
    starts = _starts(phonemes, sounds)
    if starts is None:
        return None
    # the sentence's first symbol is the silence that leads in
    starts = np.concatenate([[0.0], lead + starts[1:] / tempo])
    needs = np.array([int(p.symbol not in BORDERS) for p in phonemes])
    needs[0] = 1
    edges = [*np.rint(starts * FRAME_RATE).astype(int).tolist(), frames]
    edges[0] = 0
    for index in range(1, len(edges) - 1):
        edges[index] = max(edges[index], edges[index - 1] + int(needs[index - 1]))
    for index in range(len(edges) - 2, -1, -1):
        edges[index] = min(edges[index], edges[index + 1] - int(needs[index]))
    if edges[0] < 0:
        return None
    stays = np.diff(edges)
    longest = np.where(needs == 1, _LONGEST_PHONEME, _LONGEST_BORDER)
    longest[0] = _LONGEST_BORDER
    if (stays > longest).any():
        return None
    return np.repeat(np.arange(len(phonemes)), stays)


def _starts(phonemes: Sequence[Phoneme], sounds: Sequence[Sound]) -> NDArray[np.float64] | None:
    """Seconds at which each symbol begins [symbols]; a border without pause as the next does."""
    wanted = [i for i, p in enumerate(phonemes) if p.symbol not in BORDERS]
    heard = [i for i, s in enumerate(sounds) if s.symbol]
    if not wanted or not heard:
        return None
    pairs = _match(
        [phonemes[i].symbol for i in wanted],
        [sounds[i].symbol for i in heard],
        _LARGEST_COST * len(wanted),
    )
    if pairs is None:
        return None
    sound_of = {wanted[a]: heard[b] for a, b in pairs}
    begins = {i: sounds[at].start for i, at in sound_of.items()}
    end = sounds[heard[-1]].end

    # Only a pause right before a phoneme that has a border before it can be that border's.
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
    inner = sum(s.end - s.start for s in sounds[heard[0] : heard[-1]] if not s.symbol)
    return None if inner - used > _STRAY_PAUSE else starts


def _match(wanted: list[str], heard: list[str], budget: float) -> list[tuple[int, int]] | None:
    """Pairs (wanted, heard) of the alignment of least cost, None when it costs over `budget`.

    Every wanted phoneme has its sound; a sound may be left over, and then prolongs the one before.
    """
    if wanted == heard:
        return [(i, i) for i in range(len(wanted))]
    extra = len(heard) - len(wanted)
    if extra < 0 or extra * _GAP > budget:
        return None
    # cost[i, k]: i phonemes paired, k sounds left over before that
    cost = np.full((len(wanted) + 1, extra + 1), np.inf)
    cost[0] = np.arange(extra + 1) * _GAP
    for i in range(1, len(wanted) + 1):
        for k in range(extra + 1):
            cost[i, k] = cost[i - 1, k] + _distance(wanted[i - 1], heard[i + k - 1])
            if k:
                cost[i, k] = min(cost[i, k], cost[i, k - 1] + _GAP)
    if cost[-1, -1] > budget:
        return None
    pairs = []
    i, k = len(wanted), extra
    while i:
        if cost[i, k] == cost[i - 1, k] + _distance(wanted[i - 1], heard[i + k - 1]):
            i -= 1
            pairs.append((i, i + k))
        else:
            k -= 1
    return pairs[::-1]


def _distance(a: str, b: str) -> float:
    if a == b:
        return 0.0
    return 0.5 * _GAP if (a in VOWELS) == (b in VOWELS) else 1.5 * _GAP
