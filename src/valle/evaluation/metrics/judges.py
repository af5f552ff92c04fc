"""The instruments: which sentence was said, and whose voice it is.

Both judges were made by others and never saw this project's models: PocketSphinx chooses between
sentences, Resemblyzer embeds voices. They need the extra `eval`; importing this file does not.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from valle.corpora.split import plain_words
from valle.errors import UsageError
from valle.evaluation.metrics.statistics import FloatArray

JUDGE_RATE = 16_000  # both judges know 16 kHz only

# With the beams that PocketSphinx is delivered with, the right sentence is often dropped before its
# end is heard, most of all with accents (51 of 64 chosen right instead of 59). Its second pass over
# the lattice drops whole sentences too (56 of 64), and takes five times as long as the first.
_SEARCH = {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100, "bestpath": False}


class SentenceChooser:
    """Tells which of some sentences a recording says, by a grammar of exactly these sentences.

    Raises:
        UsageError: PocketSphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise UsageError(missing_package("pocketsphinx")) from error
        # Level and channel are measured on the whole of each recording: no recording's choice
        # depends on the one before it.
        self._decoder = Decoder(lm=None, cmn="batch", loglevel="FATAL", **_SEARCH)
        self._grammar: tuple[str, ...] = ()

    def knows(self, text: str) -> bool:
        """Whether every word of the text is in the pronouncing dictionary (and there is one)."""
        words = plain_words(text)
        return bool(words) and all(self._decoder.lookup_word(word) for word in words)

    def choose(self, samples: FloatArray, sentences: Sequence[str]) -> int | None:
        """The index of the sentence that is said, or None when none of them can be heard.

        Args:
            samples: [N] in [-1, 1] at 16 kHz.
            sentences: all different, each one that this object `knows`.

        Raises:
            UsageError: a word that is not in the dictionary, or one sentence twice.
        """
        said = self._listen_for(sentences)
        if len(samples) < JUDGE_RATE // 10:  # PocketSphinx fails on less than a window
            return None
        pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        if heard is None or heard.hypstr not in said:
            return None
        return said.index(heard.hypstr)

    def _listen_for(self, sentences: Sequence[str]) -> tuple[str, ...]:
        """Make the grammar of the sentences active; returns the words that the judge writes."""
        said = tuple(" ".join(plain_words(sentence)) for sentence in sentences)
        if said == self._grammar:
            return said
        unknown = [sentence for sentence in sentences if not self.knows(sentence)]
        if unknown:
            raise UsageError(f"words of {unknown[0]!r} are not in the pronouncing dictionary")
        if len(set(said)) < len(said):
            raise UsageError("the same sentence stands twice among those to choose from")
        start, end, free = 0, 1, 2
        edges: list[tuple[int, int, float, str]] = []
        for sentence in said:
            *others, last = sentence.split()
            chance, state = 1.0 / len(said), start
            for word in others:
                edges.append((state, free, chance, word))
                chance, state, free = 1.0, free, free + 1
            edges.append((state, end, chance, last))
        self._decoder.add_fsg("choice", self._decoder.create_fsg("choice", start, end, edges))
        self._decoder.activate_search("choice")
        self._grammar = said
        return said


class VoiceJudge:
    """Embeds voices with Resemblyzer on the CPU.

    Raises:
        UsageError: Resemblyzer, or something it needs, is not installed.
    """

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                # Its packages use a deprecated way to find their version; nothing a user can mend.
                warnings.simplefilter("ignore")
                import resemblyzer
                import torch
        except ImportError as error:
            raise UsageError(missing_package("Resemblyzer", error)) from error
        self._torch = torch
        self._prepare = resemblyzer.preprocess_wav
        with contextlib.redirect_stdout(io.StringIO()):  # the constructor prints
            self._encoder = resemblyzer.VoiceEncoder("cpu")

    def embed(self, samples: FloatArray) -> NDArray[np.float32]:
        """The voice of a recording: [256] float32, unit norm, no negative values.

        Two embeddings' similarity is their dot product. Recordings of one person give about 0.8,
        of two persons about 0.55 (0 to 1; the voice of silence is all zeros, similar to nothing).

        Args:
            samples: [N] in [-1, 1] at 16 kHz.
        """
        samples = np.asarray(samples, np.float32)
        if not samples.any():
            return np.zeros(256, np.float32)
        voiced = self._prepare(samples)
        # The judge's own voice detection may drop everything from a noisy or odd clip.
        with self._one_thread():
            embedding = self._encoder.embed_utterance(voiced if len(voiced) else samples)
        return np.asarray(embedding, np.float32)

    @contextlib.contextmanager
    def _one_thread(self) -> Iterator[None]:
        # 160 short steps one after another: a second thread gains nothing, and on a busy machine
        # the two wait for each other 30 times as long as the work takes.
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


def missing_package(package: str, error: ImportError | None = None) -> str:
    """What is wrong, and what to do about it."""
    why = f" ({error})" if error is not None and error.name != package.lower() else ""
    return f"{package} cannot be loaded{why}; install the extra: pip install 'valle[eval]'"
