"""Filling in the middle of a recording: what comes before and after it takes the prompt's place.

The AR reads what comes before, then, beginning anew, what comes after, each with its own symbols;
the middle then goes on from the last frame before it, and ends when the pointer has passed its last
symbol. So the models are trained (`valle.training.data.examples`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats, Ints
from valle.runtime.ar import ARDecoder
from valle.runtime.nar import NAR
from valle.runtime.pointer import stays
from valle.runtime.sampling import Sampling
from valle.synthesis.durations import Symbols

CONTEXT = 6  # symbols that the phoneme encoder sees on each side of a frame's own
SIDE = 100  # frames on each side of a middle that the models are trained with, at most


@dataclass(frozen=True)
class Side:
    """What comes before or after a middle: codes [frames, codebooks], its symbols, and the index
    of the symbol that each frame is at, [frames]. Nothing at all is allowed."""

    codes: Ints
    symbols: Symbols
    frame_symbol: Ints


def word_edges(frame_symbol: Ints, borders: NDArray[np.bool_]) -> Ints:
    """Frames at which the pointer enters, leaves or skips a border: where words may be cut apart.

    frame_symbol [frames]: the index of the symbol that each frame is at; borders [symbols].
    """
    at = 1 + np.flatnonzero(np.diff(frame_symbol) > 0)
    before, after = frame_symbol[at - 1], frame_symbol[at]
    return at[borders[before] | borders[after] | (after - before > 1)]


def fill(
    ar: ARDecoder,
    nar: NAR,
    before: Side,
    after: Side,
    middle: Symbols,
    voice: Floats,
    sampling: Sampling,
    rng: np.random.Generator,
) -> Ints:
    """Codes [frames, codebooks] of a middle, drawn as in speaking: `sampling` is the AR's.

    Args:
        ar: the AR model.
        nar: the NAR model.
        before: at most `SIDE` frames of what comes before, with their symbols and no others.
        after: the same of what comes after; some symbols more may follow.
        middle: what is to be said between them.
        voice: embedding [192] of the recording.
        sampling: how codes are drawn.
        rng: chance; the same gives the same codes.

    Raises:
        UsageError: what is around leaves no room for the middle.
        TextError: the middle has no symbols.
    """
    sides = [side for side in (before, after) if len(side.codes)]
    codes = np.concatenate([before.codes, after.codes])
    rows = [ar.encode(s.symbols.ids, s.symbols.stress, voice)[s.frame_symbol] for s in sides]
    encoded = np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)
    stay = np.concatenate([stays(before.frame_symbol), stays(after.frame_symbol)])
    prompt = ar.prompt(codes, encoded, stay, prefix=len(before.codes))
    left = min(CONTEXT, len(before.symbols.ids))
    beside = (before.symbols, middle, after.symbols)
    ids, stress = (
        np.concatenate([a[len(a) - left :], b, c[:CONTEXT]])
        for a, b, c in ([s.ids for s in beside], [s.stress for s in beside])
    )
    own = ar.encode(ids, stress, voice)[left : left + len(middle.ids)]
    frames = ar.generate(prompt, own, middle.borders, sampling, rng)
    around = nar.prompt(
        codes,
        np.concatenate([s.symbols.ids[s.frame_symbol] for s in (before, after)]),
        np.concatenate([s.symbols.stress[s.frame_symbol] for s in (before, after)]),
        voice,
    )
    first = ((code, int(middle.ids[at]), int(middle.stress[at])) for code, at in frames)
    return np.concatenate(list(nar.refine(around, first)))
