"""Alignment of a recording of any length with its transcript: when each word is said.

The recording may have music, noise and speech that is not in the transcript, and the transcript
words that nobody says (`valle.runtime.robust_viterbi`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from valle.arrays import Bools, Floats, Ints, Samples
from valle.runtime.alignment import find_classes, score_classes, viterbi
from valle.runtime.recognizer import PhonemeRecognizer
from valle.runtime.robust_viterbi import RobustViterbi, ScriptGraph
from valle.text.reading import PLAIN_ENGLISH, Reading
from valle.text.segmentation import Sentence, split_sentences
from valle.text.symbols import BORDERS, PAUSE

CHUNK_SECONDS, MARGIN_SECONDS = 28.0, 2.0  # what the recognizer hears at once, and around it
OTHER_SOUND_COST = 1.0  # nats by which any sound that is not a pause explains a frame worse
STRICT_COST = 3.0  # the same where it is known which words are said
WITHIN_SENTENCE_COST = 0.1  # nats for each frame of a pause or other sound within a sentence
_REFINED_MARGIN = 25  # frames by which the second alignment may move the ends of a sentence


@dataclass(frozen=True)
class TranscriptWord:
    """A word of a transcript, and when it is said."""

    text: str
    text_start: int
    """Where it begins in the transcript, in characters."""
    text_end: int
    start: float | None
    """Seconds; None if the word is not said."""
    end: float | None
    score: float
    """0 to 1, the mean probability of its phonemes; 0 if it is not said."""
    sentence: int
    """Index of its sentence."""

    def describe(self) -> dict[str, Any]:
        """Return all as plain values that `json` can write; times are None if it is not said."""
        return {
            "word": self.text,
            "text_start": self.text_start,
            "text_end": self.text_end,
            "start": None if self.start is None else round(self.start, 3),
            "end": None if self.end is None else round(self.end, 3),
            "score": round(self.score, 3),
        }


@dataclass(frozen=True)
class TimedSentence:
    """A sentence of a transcript, and the frames of its symbols."""

    sentence: Sentence
    starts: Ints
    """[phonemes] the first frame of each; for a symbol without a frame, that of the next one."""
    frames: Ints
    """[phonemes] how many frames each has: 0 for a border without a pause, and for what is not
    said."""
    scores: Floats
    """[phonemes] mean probability of each, 0 without a frame."""


@dataclass(frozen=True)
class TimedTranscript:
    """A transcript and when its words are said in a recording."""

    text: str
    sentences: list[TimedSentence]
    """Those of the text."""
    frame_rate: float
    """Frames per second."""
    seconds: float
    """Length of the recording."""

    @property
    def words(self) -> list[TranscriptWord]:
        """All words, in order."""
        return [
            word
            for number, timed in enumerate(self.sentences)
            for word in _read_words(timed, number, self.frame_rate)
        ]


def align_transcript(
    recognizer: PhonemeRecognizer,
    samples: Samples,
    text: str,
    reading: Reading = PLAIN_ENGLISH,
    progress: Callable[[float], None] | None = None,
) -> TimedTranscript:
    """Find when each word of a transcript is said in a recording.

    Args:
        recognizer: The phoneme recognizer of a bundle.
        samples: [N] mono at the bundle's sample rate, of any length.
        text: The transcript.
        reading: Whether marks are text, and the user's lexicon.
        progress: Called with the seconds that were heard since the last call.

    Raises:
        TextError: Nothing in the text can be spoken.
    """
    sentences, _ = split_sentences(text, reading=reading)
    states = _join_sentences(sentences)
    classes = find_classes(states.symbols, recognizer.classes)
    borders = np.array([symbol in BORDERS for symbol in states.symbols], bool)
    within, between, strict = (len(recognizer.classes) + number for number in (1, 2, 3))
    columns = np.where(borders, within, classes)
    columns[[*states.begins, len(columns) - 1]] = between
    search = RobustViterbi(ScriptGraph(columns, borders, states.begins))
    log_probs, emissions = [], []
    for of_frames, scores in _score_chunks(recognizer, samples, progress):
        log_probs.append(of_frames)
        emissions.append(_add_borders(scores, recognizer.classes.index(PAUSE)))
        search.feed(emissions[-1])
    path = search.finish()
    if len(path):
        columns, all_emissions = np.where(borders, strict, classes), np.concatenate(emissions)
        for first, last in list(_find_said(path, states.begins, borders)):
            _refine(path, all_emissions, columns, borders, slice(first, last + 1))
    means = np.zeros(len(borders))
    counts = np.bincount(path, minlength=len(borders))
    if len(path):
        probabilities = np.exp(np.concatenate(log_probs)[np.arange(len(path)), classes[path]])
        total = np.bincount(path, weights=probabilities, minlength=len(borders))
        means = total / np.maximum(counts, 1)
    starts = np.searchsorted(path, np.arange(len(borders)))
    timed = []
    for sentence, of_sentence in zip(sentences, states.indices, strict=True):
        is_own = np.diff(of_sentence, prepend=-1 if of_sentence[0] == 0 else of_sentence[0]) > 0
        timed.append(
            TimedSentence(
                sentence,
                starts[of_sentence],
                np.where(is_own, counts[of_sentence], 0),
                np.where(is_own, means[of_sentence], 0.0).astype(np.float32),
            )
        )
    rate = recognizer.sample_rate / recognizer.hop
    return TimedTranscript(text, timed, rate, len(samples) / recognizer.sample_rate)


@dataclass(frozen=True)
class _States:
    """The symbols of all sentences in one sequence, without two borders in a row."""

    symbols: list[str]
    indices: list[Ints]  # of each sentence: [phonemes] where each is in `symbols`
    begins: Ints  # [sentences] the border before each sentence


def _join_sentences(sentences: Sequence[Sentence]) -> _States:
    """Join sentences; the border that ends one is that which begins the next."""
    symbols: list[str] = []
    indices, begins = [], []
    for sentence in sentences:
        of_sentence = []
        for phoneme in sentence.phonemes:
            if not (symbols and symbols[-1] in BORDERS and phoneme.symbol in BORDERS):
                symbols.append(phoneme.symbol)
            of_sentence.append(len(symbols) - 1)
        begins.append(of_sentence[0])
        indices.append(np.array(of_sentence, np.int64))
    return _States(symbols, indices, np.array(begins, np.int64))


def _score_chunks(
    recognizer: PhonemeRecognizer, samples: Samples, progress: Callable[[float], None] | None
) -> Iterator[tuple[Floats, Floats]]:
    """Yield what `score_classes` returns, for a recording chunk by chunk."""
    hop = recognizer.hop
    chunk = round(CHUNK_SECONDS * recognizer.sample_rate / hop) * hop
    margin = round(MARGIN_SECONDS * recognizer.sample_rate / hop) * hop
    for start in range(0, len(samples), chunk):
        before = min(margin, start)
        heard = samples[start - before : start + chunk + margin]
        log_probs, emissions = score_classes(
            recognizer.compute_posteriors(heard), recognizer.find_loud(heard)
        )
        frames = min(chunk, len(samples) - start)
        part = slice(before // hop, before // hop + -(-frames // hop))
        yield log_probs[part], emissions[part]
        if progress is not None:
            progress(frames / recognizer.sample_rate)


def _add_borders(emissions: Floats, pause: int) -> Floats:
    """Add columns for borders: within a sentence, between two, and where the words are known."""
    other = emissions[:, -1:]
    pauses = emissions[:, pause : pause + 1]
    between = np.maximum(pauses, other - np.float32(OTHER_SOUND_COST))
    strict = np.maximum(pauses, other - np.float32(STRICT_COST))
    within = between - np.float32(WITHIN_SENTENCE_COST)
    return np.concatenate([emissions, within, between, strict], axis=-1)


def _find_said(path: Ints, begins: Ints, borders: Bools) -> Iterator[tuple[int, int]]:
    """Yield the borders before and after what is said of each sentence.

    Where words are left out, there are several stretches.
    """
    is_said = (np.bincount(path, minlength=len(borders)) > 0) & ~borders
    for begin, end in zip(begins, [*begins[1:], len(borders) - 1], strict=True):
        # A border belongs to what is said if the phonemes on both sides are.
        inside = is_said[begin : end + 1]
        inner = borders[begin + 1 : end] & inside[:-2] & inside[2:]
        inside[1:-1] |= inner
        edges = np.diff(inside.astype(np.int8), prepend=0, append=0)
        firsts, lasts = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        for first, last in zip(firsts, lasts, strict=True):
            yield int(begin + first - 1), int(begin + last)


def _refine(path: Ints, emissions: Floats, columns: Ints, borders: Bools, stretch: slice) -> None:
    """Align a stretch of symbols again, every word of which is known to be said.

    Its first and last symbol are borders. It may begin or end a little earlier or later than it
    does in `path`, which is changed in place, but not before or after what is next to it.
    """
    first, last = stretch.start, stretch.stop - 1
    low, begin = np.searchsorted(path, (first, first + 1))
    end, high = np.searchsorted(path, (last, last + 1))
    part = slice(max(low, begin - _REFINED_MARGIN), min(high, end + _REFINED_MARGIN))
    refined = viterbi(emissions[part], columns[stretch], borders[stretch])
    if refined is not None:
        path[part] = first + refined


def _read_words(timed: TimedSentence, number: int, rate: float) -> Iterator[TranscriptWord]:
    """Yield the words of a sentence."""
    of_word = np.array([phoneme.word for phoneme in timed.sentence.phonemes])
    for index, word in enumerate(timed.sentence.words):
        at = np.flatnonzero(of_word == index)
        said = at[timed.frames[at] > 0]
        start = end = None
        if len(said):
            start = float(timed.starts[said[0]] / rate)
            end = float((timed.starts[said[-1]] + timed.frames[said[-1]]) / rate)
        score = float(timed.scores[at].mean()) if len(at) else 0.0
        yield TranscriptWord(word.text, word.start, word.end, start, end, score, number)
