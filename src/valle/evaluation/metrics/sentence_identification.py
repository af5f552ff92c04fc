"""Sentence identification accuracy: which of a closed set of sentences a recording says.

PocketSphinx decodes with a grammar of exactly these sentences. It recognizes free speech badly, but
tells a hundred known sentences apart, needs no download, and never saw this project's models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from valle.corpora.split import plain_words
from valle.errors import UsageError
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.packages import import_optional
from valle.evaluation.metrics.statistics import FloatArray

# With the default beams the right sentence is often pruned before its end is reached, most of all
# with accents (51 of 64 identified instead of 59). The second pass over the lattice loses whole
# sentences too (56 of 64), and takes five times as long as the first.
_SEARCH = {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100, "bestpath": False}
_SHORTEST = EVALUATION_RATE // 10  # samples; PocketSphinx fails on less than a window


class SentenceIdentifier:
    """Identifies which sentence of a closed set a recording says.

    Raises:
        UsageError: PocketSphinx is not installed.
    """

    def __init__(self) -> None:
        # Level and channel are normalized over the whole of each recording, so that no recording's
        # result depends on the one before it.
        self._decoder = import_optional("pocketsphinx").Decoder(
            lm=None, cmn="batch", loglevel="FATAL", **_SEARCH
        )
        self._grammar: tuple[str, ...] = ()

    def knows(self, text: str) -> bool:
        """Whether the text has words and all of them are in the pronunciation dictionary."""
        words = plain_words(text)
        return bool(words) and all(self._decoder.lookup_word(word) for word in words)

    def identify(self, samples: FloatArray, sentences: Sequence[str]) -> int | None:
        """The index of the sentence that is said; None when none of them is recognized.

        Args:
            samples: [N] in [-1, 1] at 16 kHz.
            sentences: the closed set, all different, of words that this object `knows`.

        Raises:
            UsageError: a word is not in the dictionary, or a sentence occurs twice.
        """
        candidates = self._load_grammar(sentences)
        if len(samples) < _SHORTEST:
            return None
        pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        if hypothesis is None or hypothesis.hypstr not in candidates:
            return None
        return candidates.index(hypothesis.hypstr)

    def _load_grammar(self, sentences: Sequence[str]) -> tuple[str, ...]:
        """Activate the grammar of the sentences; returns them as the decoder writes them."""
        candidates = tuple(" ".join(plain_words(sentence)) for sentence in sentences)
        if candidates == self._grammar:
            return candidates
        unknown = [sentence for sentence in sentences if not self.knows(sentence)]
        if unknown:
            raise UsageError(f"words of {unknown[0]!r} are not in the pronunciation dictionary")
        if len(set(candidates)) < len(candidates):
            raise UsageError("the same sentence occurs twice among those to identify")
        start, end, next_state = 0, 1, 2
        edges: list[tuple[int, int, float, str]] = []
        for candidate in candidates:
            *words, last = candidate.split()
            probability, state = 1.0 / len(candidates), start
            for word in words:
                edges.append((state, next_state, probability, word))
                probability, state, next_state = 1.0, next_state, next_state + 1
            edges.append((state, end, probability, last))
        grammar = self._decoder.create_fsg("sentences", start, end, edges)
        self._decoder.add_fsg("sentences", grammar)
        self._decoder.activate_search("sentences")
        self._grammar = candidates
        return candidates
