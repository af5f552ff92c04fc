"""Transcripts as the symbol sequences that models are trained on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from valle.errors import TextError
from valle.text.phonemes import Phoneme, symbol_ids, to_sentences
from valle.text.symbols import BORDERS, LISTENER_SYMBOLS, PAUSE, START, SYMBOLS

_LISTENER_ID = {symbol: index for index, symbol in enumerate(LISTENER_SYMBOLS)}
# Class of each text symbol for the listener: all borders are a pause; an unknown sound is -1.
LISTENER_CLASS: NDArray[np.int64] = np.array(
    [_LISTENER_ID[PAUSE] if s in BORDERS else _LISTENER_ID.get(s, -1) for s in SYMBOLS], np.int64
)
IS_BORDER: NDArray[np.bool_] = np.array([s in BORDERS for s in SYMBOLS])


@lru_cache(maxsize=100_000)
def transcript_ids(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Symbol ids and stress [S] of a whole transcript as one sequence, None if nothing is said.

    Its sentences are joined: of two borders that meet, the punctuation stays.
    """
    try:
        sentences, _ = to_sentences(text)
    except TextError:
        return None
    joined: list[Phoneme] = []
    for sentence in sentences:
        phonemes = sentence.phonemes
        joined.extend(phonemes[1:] if joined and phonemes[0].symbol == START else phonemes)
    return symbol_ids(joined)
