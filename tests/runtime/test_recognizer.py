"""The phoneme recognizer: alignment against brute force, transcription, and checks of outputs."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.arrays import Bools, Floats, Ints
from valle.runtime.alignment import viterbi
from valle.runtime.check import Check, compare, match_symbols, phoneme_error_rate
from valle.runtime.recognizer import (
    MIN_CONFIDENCE,
    PhonemeRecognizer,
    Recognition,
    decode_greedy,
    format_prompt_symbols,
)
from valle.text.symbols import BORDERS, LISTENER_SYMBOLS, PAUSE, SYMBOLS, UNKNOWN


def is_legal(path: Ints, optional: Bools) -> bool:
    """Whether a path only stays, advances, and skips optional symbols."""
    last = len(optional) - 1
    starts = path[0] == 0 or (path[0] == 1 and optional[0])
    ends = path[-1] == last or (path[-1] == last - 1 and optional[last])
    steps = all(
        step in (0, 1) or (step == 2 and optional[index + 1])
        for index, step in zip(path[:-1], np.diff(path), strict=True)
    )
    return bool(starts and ends and steps)


@st.composite
def optional_flags(draw: st.DrawFn) -> Bools:
    """[symbols] which are optional: never two in a row, as in any text."""
    flags: list[bool] = []
    for _ in range(draw(st.integers(1, 6))):
        flags.append(draw(st.booleans()) and not (flags and flags[-1]))
    return np.array(flags)


@given(optional_flags(), st.integers(1, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_viterbi_equals_brute_force(optional: Bools, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, len(optional))
    log_probs = np.log(rng.dirichlet(np.ones(4), frames))
    legal_paths = [
        np.array(path)
        for path in itertools.combinations_with_replacement(range(len(optional)), frames)
        if is_legal(np.array(path), optional)
    ]
    path = viterbi(log_probs, classes, optional)
    if not legal_paths:
        assert path is None
        return
    assert path is not None
    assert is_legal(path, optional)
    best = max(log_probs[np.arange(frames), classes[legal]].sum() for legal in legal_paths)
    assert log_probs[np.arange(frames), classes[path]].sum() == pytest.approx(best, abs=1e-9)


@given(optional_flags(), st.data())
@settings(max_examples=150, deadline=None)
def test_viterbi_finds_a_known_alignment_exactly(optional: Bools, data: st.DataObject) -> None:
    lengths = [data.draw(st.integers(0 if flag else 1, 5)) for flag in optional]
    expected = np.repeat(np.arange(len(optional)), lengths)
    if len(expected) == 0:
        return
    # Each symbol is a class of its own, so that only one path has probability 0.9 everywhere.
    log_probs = np.full((len(expected), len(optional)), np.log(0.01))
    log_probs[np.arange(len(expected)), expected] = np.log(0.9)
    path = viterbi(log_probs, np.arange(len(optional)), optional)
    assert path is not None
    np.testing.assert_array_equal(path, expected)


def test_viterbi_returns_none_without_enough_frames_or_symbols() -> None:
    log_probs = np.log(np.full((2, 3), 1 / 3))
    three = np.array([0, 1, 2])
    assert viterbi(log_probs, three, np.zeros(3, bool)) is None
    skipped = viterbi(log_probs, three, np.array([False, True, False]))
    assert skipped is not None
    assert skipped.tolist() == [0, 2]
    assert viterbi(log_probs[:0], three, np.ones(3, bool)) is None
    assert viterbi(log_probs, three[:0], np.zeros(0, bool)) is None


def test_viterbi_accepts_frames_of_probability_zero() -> None:
    log_probs = np.full((3, 2), -np.inf)
    log_probs[:, 0] = 0.0
    path = viterbi(log_probs, np.array([0, 1]), np.zeros(2, bool))
    assert path is not None
    assert path.tolist() == [0, 0, 1]


def test_viterbi_is_fast() -> None:
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet(np.ones(60), 500)).astype(np.float32)
    classes = rng.integers(1, 60, 200)
    optional = np.arange(200) % 5 == 0
    seconds = []
    for _ in range(5):
        begin = time.thread_time()  # not wall-clock time: other programs may run
        viterbi(log_probs, classes, optional)
        seconds.append(time.thread_time() - begin)
    assert min(seconds) < 0.02


def test_recognizer_classes_cover_the_phonemes() -> None:
    assert LISTENER_SYMBOLS[:2] == ("<blank>", "<pause>")
    phonemes = [s for s in SYMBOLS if s not in BORDERS and s != UNKNOWN]
    assert list(LISTENER_SYMBOLS[2:]) == phonemes
    assert len(set(LISTENER_SYMBOLS)) == len(LISTENER_SYMBOLS)


@given(st.lists(st.integers(0, 3), max_size=12))
def test_greedy_ctc_collapses_runs_and_drops_blanks(best: list[int]) -> None:
    log_probs = np.full((len(best), 4), -5.0, np.float32)
    log_probs[np.arange(len(best)), best] = -0.1
    segments = decode_greedy(log_probs)
    assert segments.classes.tolist() == [key for key, _ in itertools.groupby(best) if key]
    for symbol, start, end in zip(segments.classes, segments.starts, segments.ends, strict=True):
        assert set(best[start:end]) == {symbol}
    assert (segments.ends - segments.starts).sum() == sum(symbol != 0 for symbol in best)


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_phoneme_error_rate_is_the_edit_distance(
    reference: list[str], hypothesis: list[str]
) -> None:
    table = {(0, j): j for j in range(len(hypothesis) + 1)}
    table |= {(i, 0): i for i in range(len(reference) + 1)}
    for i, ref in enumerate(reference, 1):
        for j, hyp in enumerate(hypothesis, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (ref != hyp)
            )
    expected = table[len(reference), len(hypothesis)] / max(1, len(reference))
    assert phoneme_error_rate(reference, hypothesis) == expected


def test_phoneme_error_rate_ignores_borders_and_counts_unknowns() -> None:
    assert phoneme_error_rate(["^", "h", " ", "i", "."], [PAUSE, "h", "i"]) == 0
    assert phoneme_error_rate(["h", "i"], ["h", UNKNOWN]) == 0.5


def test_symbols_are_matched_with_the_fewest_edits() -> None:
    is_match, positions = match_symbols("hand", "hen")
    assert is_match.tolist() == [True, False, True, False]
    assert positions.tolist() == [0, 1, 2, -1]


SENTENCE = [("ð", "ə"), ("h", "aʊ", "s"), ("ɪ", "z"), ("ɡ", "ɹ", "iː", "n")]
WORDS = ["the", "house", "is", "green"]


def sentence_symbols() -> tuple[list[str], list[str]]:
    """Return the symbols of the sentence, and the word of each."""
    symbols, words = ["^"], [""]
    for phonemes, word in zip(SENTENCE, WORDS, strict=True):
        symbols += [*phonemes, " "]
        words += [*(word for _ in phonemes), ""]
    symbols[-1] = "."
    return symbols, words


def phonemes_of(*order: int) -> list[str]:
    """Return the phonemes of some words of the sentence."""
    return [phoneme for index in order for phoneme in SENTENCE[index]]


def check_output(recognized: list[str], score: float = 1.0) -> Check:
    return compare(*sentence_symbols(), recognized, score)


def test_perfect_output_passes() -> None:
    check = check_output(phonemes_of(0, 1, 2, 3))
    assert check.phoneme_error_rate == 0
    assert check.worst == ""
    assert check.passed


@pytest.mark.parametrize("deleted", range(4))
def test_missing_word_is_named(deleted: int) -> None:
    check = check_output(phonemes_of(*(i for i in range(4) if i != deleted)))
    assert check.missing == (WORDS[deleted],)
    assert check.repeated == ()
    assert check.worst == WORDS[deleted]
    assert not check.passed


@pytest.mark.parametrize("repeated", range(4))
def test_repeated_word_is_named(repeated: int) -> None:
    check = check_output(phonemes_of(*sorted([0, 1, 2, 3, repeated])))
    assert check.repeated == (WORDS[repeated],)
    assert check.missing == ()
    assert not check.passed


def test_wrong_phoneme_is_neither_missing_nor_repeated() -> None:
    recognized = phonemes_of(0, 1, 2, 3)
    recognized[4] = "z"
    check = check_output(recognized)
    assert check.missing == check.repeated == ()
    assert check.worst == "house"
    assert check.passed


def test_a_wrong_phoneme_in_every_word_passes() -> None:
    recognized = phonemes_of(0, 1, 2, 3)
    for first in (1, 3, 6, 8):
        recognized[first] = "ʒ"
    check = check_output(recognized)
    assert check.phoneme_error_rate > 0.2
    assert check.passed


def test_every_word_is_missing_from_silence() -> None:
    check = check_output([], 0.0)
    assert check.missing == tuple(WORDS)
    assert check.phoneme_error_rate == 1.0


class FakeBundle:
    """Returns given log-probabilities, and checks the samples that it is given."""

    def __init__(self, ctc: list[tuple[str, float]], frame: list[str]) -> None:
        self.config = SimpleNamespace(
            hop=320, sample_rate=16_000, listener_symbols=LISTENER_SYMBOLS
        )
        self.ctc, self.frame = ctc, frame

    def session(self, graph: str) -> FakeBundle:
        assert graph == "listener"
        return self

    def run(self, names: list[str], inputs: dict[str, Floats]) -> list[Floats]:
        assert names == ["ctc", "frame"]
        assert inputs["waveform"].dtype == np.float32
        assert inputs["waveform"].shape == (1, 320 * len(self.ctc))
        classes = len(LISTENER_SYMBOLS)
        ctc = np.full((1, len(self.ctc), classes), 1e-4, np.float32)
        for t, (symbol, probability) in enumerate(self.ctc):
            ctc[0, t, LISTENER_SYMBOLS.index(symbol)] = probability
        frame = np.full((1, len(self.frame), classes), 1e-4, np.float32)
        for t, symbol in enumerate(self.frame):
            frame[0, t, LISTENER_SYMBOLS.index(symbol)] = 0.9
        return [np.log(ctc), np.log(frame)]


@pytest.fixture
def recognizer() -> PhonemeRecognizer:
    """A recognizer whose posteriors are known, for recordings of 12 frames."""
    low = MIN_CONFIDENCE - 0.1
    ctc = [("<blank>", 0.9), ("h", 0.9), ("h", 0.7), ("<blank>", 0.9), ("h", 0.8)]
    ctc += [("<blank>", 0.9)] * 4 + [("aʊ", low), ("<blank>", 0.9), ("s", 0.9)]
    frame = [PAUSE, *["h"] * 4, *[PAUSE] * 3, "aʊ", "aʊ", PAUSE, "s"]
    return PhonemeRecognizer(FakeBundle(ctc, frame))  # type: ignore[arg-type]


def test_transcription_inserts_pauses_and_marks_unsure_phonemes(
    recognizer: PhonemeRecognizer,
) -> None:
    recognition = recognizer.transcribe(np.zeros(12 * 320 - 5, np.float32))
    assert recognition.symbols == ["h", "h", PAUSE, UNKNOWN, "s"]  # pauses of one frame are not
    assert recognition.guesses == ["h", "h", PAUSE, "aʊ", "s"]
    assert recognition.frames.tolist() == [1, 4, 5, 9, 11]
    np.testing.assert_allclose(recognition.confidence, [0.9, 0.8, 0.9, 0.4, 0.9], rtol=1e-5)
    assert format_prompt_symbols(recognition) == ["^", "h", "h", " ", UNKNOWN, "s", "."]
    guesses = format_prompt_symbols(recognition, guesses=True)
    assert guesses == ["^", "h", "h", " ", "aʊ", "s", "."]


def test_long_pause_becomes_a_comma_and_the_end_a_period() -> None:
    symbols = ["h", PAUSE, "s", PAUSE]
    frames, confidence = np.array([0, 3, 30, 40]), np.ones(4, np.float32)
    recognition = Recognition(symbols, symbols, frames, confidence)
    assert format_prompt_symbols(recognition) == ["^", "h", ",", "s", "."]


def test_alignment_places_known_and_unknown_symbols(recognizer: PhonemeRecognizer) -> None:
    samples = np.zeros(12 * 320, np.float32)
    alignment = recognizer.align(samples, ["^", "h", " ", "aʊ", ",", "s", "."])
    assert alignment is not None
    assert alignment.frame_symbol.tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5]
    assert alignment.score[6] == 0
    assert np.exp(alignment.score[1]) == pytest.approx(0.9, rel=1e-3)
    with_unknown = recognizer.align(samples, ["^", "h", " ", UNKNOWN, ",", "s", "."])
    assert with_unknown is not None
    assert with_unknown.frame_symbol.tolist() == alignment.frame_symbol.tolist()
    assert recognizer.align(samples, ["h"] * 13) is None


def test_check_uses_both_heads(recognizer: PhonemeRecognizer) -> None:
    samples = np.zeros(12 * 320, np.float32)
    symbols, words = ["^", "h", "aʊ", "s", "."], ["", "house", "house", "house", ""]
    check = recognizer.check(samples, symbols, words)
    assert check.phoneme_error_rate == pytest.approx(2 / 3)  # an extra "h", and one unsure phoneme
    assert check.worst == "house"
    assert 0.1 < check.score < 0.9  # there are pauses where the text has none


def test_checks_are_joined_in_proportion_to_their_phonemes() -> None:
    right = check_output(phonemes_of(0, 1, 2, 3))
    wrong = check_output(phonemes_of(0, 1, 2), 0.4)
    joined = Check.join([right, right, wrong])
    assert joined is not None
    assert joined.phoneme_error_rate == pytest.approx(wrong.phoneme_error_rate / 3)
    assert joined.missing == ("green",)
    assert joined.worst == "green"
    assert joined.score == pytest.approx(0.8)
    assert joined.phonemes == 3 * right.phonemes == 33
    assert Check.join([]) is None
