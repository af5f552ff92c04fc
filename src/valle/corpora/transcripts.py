"""Transcripts as the symbol sequences that models are trained on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from valle.errors import TextError
from valle.text.phonemes import Phoneme, phonemes_to_ids
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS, LISTENER_SYMBOLS, PAUSE, START, SYMBOLS

_LISTENER_ID = {symbol: index for index, symbol in enumerate(LISTENER_SYMBOLS)}
# The listener's class of each text symbol: every border is a pause; an unknown sound is -1.
LISTENER_CLASS: NDArray[np.int64] = np.array(
    [_LISTENER_ID[PAUSE] if s in BORDERS else _LISTENER_ID.get(s, -1) for s in SYMBOLS], np.int64
)
IS_BORDER: NDArray[np.bool_] = np.array([s in BORDERS for s in SYMBOLS])


@lru_cache(maxsize=100_000)
def transcript_ids(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Symbol ids and stress [S] of a whole transcript as one sequence; None if it has no words.

    Sentences are joined: where two borders meet, the punctuation mark is kept.
    """
    try:
        sentences, _ = split_sentences(text)
    except TextError:
        return None
    joined: list[Phoneme] = []
    for sentence in sentences:
        phonemes = sentence.phonemes
        joined.extend(phonemes[1:] if joined and phonemes[0].symbol == START else phonemes)
    return phonemes_to_ids(joined)
