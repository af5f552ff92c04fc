"""The listener: alignments against planted ones and brute force; words lost or doubled."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.runtime.alignment import viterbi
from valle.runtime.check import Check, compare, phoneme_error_rate
from valle.runtime.recognizer import CONFIDENT, Heard, Listener, prompt_symbols
from valle.text.symbols import BORDERS, LISTENER_SYMBOLS, PAUSE, SYMBOLS, UNKNOWN


def path_is_legal(path: np.ndarray, optional: np.ndarray) -> bool:
    last = len(optional) - 1
    moves = np.diff(path)
    starts = path[0] == 0 or (path[0] == 1 and optional[0])
    ends = path[-1] == last or (path[-1] == last - 1 and optional[last])
    steps = all(
        move in (0, 1) or (move == 2 and optional[at + 1])
        for at, move in zip(path[:-1], moves, strict=True)
    )
    return bool(starts and ends and steps)


@st.composite
def sentences(draw: st.DrawFn) -> np.ndarray:
    """[symbols] which are optional: never two together, as text makes them."""
    flags: list[bool] = []
    for _ in range(draw(st.integers(1, 6))):
        flags.append(draw(st.booleans()) and not (flags and flags[-1]))
    return np.array(flags)


@given(sentences(), st.integers(1, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_viterbi_equals_brute_force(optional: np.ndarray, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, len(optional))
    log_probs = np.log(rng.dirichlet(np.ones(4), frames))
    legal = [
        np.array(path)
        for path in itertools.combinations_with_replacement(range(len(optional)), frames)
        if path_is_legal(np.array(path), optional)
    ]
    found = viterbi(log_probs, classes, optional)
    if not legal:
        assert found is None
        return
    assert found is not None and path_is_legal(found, optional)
    best = max(log_probs[np.arange(frames), classes[path]].sum() for path in legal)
    assert log_probs[np.arange(frames), classes[found]].sum() == pytest.approx(best, abs=1e-9)


@given(sentences(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_planted_alignment_is_found_exactly(optional: np.ndarray, data: st.DataObject) -> None:
    lengths = [data.draw(st.integers(0 if may else 1, 5)) for may in optional]
    planted = np.repeat(np.arange(len(optional)), lengths)
    if len(planted) == 0:
        return
    # Every symbol its own class, so that only one path has the probability 0.9 everywhere.
    log_probs = np.full((len(planted), len(optional)), np.log(0.01))
    log_probs[np.arange(len(planted)), planted] = np.log(0.9)
    found = viterbi(log_probs, np.arange(len(optional)), optional)
    assert found is not None
    np.testing.assert_array_equal(found, planted)


def test_viterbi_without_room_or_symbols() -> None:
    log_probs = np.log(np.full((2, 3), 1 / 3))
    three = np.array([0, 1, 2])
    assert viterbi(log_probs, three, np.zeros(3, bool)) is None
    assert viterbi(log_probs, three, np.array([False, True, False])).tolist() == [0, 2]
    assert viterbi(log_probs[:0], three, np.ones(3, bool)) is None
    assert viterbi(log_probs, three[:0], np.zeros(0, bool)) is None


def test_viterbi_survives_impossible_frames() -> None:
    log_probs = np.full((3, 2), -np.inf)
    log_probs[:, 0] = 0.0
    found = viterbi(log_probs, np.array([0, 1]), np.zeros(2, bool))
    assert found is not None and found.tolist() == [0, 0, 1]


def test_viterbi_is_fast() -> None:
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet(np.ones(60), 500)).astype(np.float32)
    classes = rng.integers(1, 60, 200)
    optional = np.arange(200) % 5 == 0
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        viterbi(log_probs, classes, optional)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.02


def test_listener_symbols_cover_the_phonemes() -> None:
    assert LISTENER_SYMBOLS[:2] == ("<blank>", "<pause>")
    phonemes = [s for s in SYMBOLS if s not in BORDERS and s != UNKNOWN]
    assert list(LISTENER_SYMBOLS[2:]) == phonemes
    assert len(set(LISTENER_SYMBOLS)) == len(LISTENER_SYMBOLS)


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_error_rate_is_the_edit_distance(reference: list[str], hypothesis: list[str]) -> None:
    table = {(0, j): j for j in range(len(hypothesis) + 1)}
    table |= {(i, 0): i for i in range(len(reference) + 1)}
    for i, ref in enumerate(reference, 1):
        for j, hyp in enumerate(hypothesis, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (ref != hyp)
            )
    expected = table[len(reference), len(hypothesis)] / max(1, len(reference))
    assert phoneme_error_rate(reference, hypothesis) == expected


def test_error_rate_counts_no_borders_and_every_unknown() -> None:
    assert phoneme_error_rate(["^", "h", " ", "i", "."], [PAUSE, "h", "i"]) == 0
    assert phoneme_error_rate(["h", "i"], ["h", UNKNOWN]) == 0.5


SENTENCE = [("ð", "ə"), ("h", "aʊ", "s"), ("ɪ", "z"), ("ɡ", "ɹ", "iː", "n")]
WORDS = ["the", "house", "is", "green"]


def asked() -> tuple[list[str], list[str]]:
    symbols, words = ["^"], [""]
    for phonemes, word in zip(SENTENCE, WORDS, strict=True):
        symbols += [*phonemes, " "]
        words += [*(word for _ in phonemes), ""]
    symbols[-1] = "."
    return symbols, words


def said(*order: int) -> list[str]:
    return [phoneme for index in order for phoneme in SENTENCE[index]]


def test_a_perfect_output_passes() -> None:
    check = compare(*asked(), said(0, 1, 2, 3), 1.0)
    assert check.phoneme_error_rate == 0 and check.worst == "" and check.passed


@pytest.mark.parametrize("lost", range(4))
def test_a_lost_word_is_named(lost: int) -> None:
    check = compare(*asked(), said(*(i for i in range(4) if i != lost)), 1.0)
    assert check.missing == (WORDS[lost],) and check.doubled == ()
    assert check.worst == WORDS[lost] and not check.passed


@pytest.mark.parametrize("twice", range(4))
def test_a_doubled_word_is_named(twice: int) -> None:
    check = compare(*asked(), said(*sorted([0, 1, 2, 3, twice])), 1.0)
    assert check.doubled == (WORDS[twice],) and check.missing == ()
    assert not check.passed


def test_a_wrong_sound_is_neither_lost_nor_doubled() -> None:
    heard = said(0, 1, 2, 3)
    heard[4] = "z"
    check = compare(*asked(), heard, 1.0)
    assert check.missing == check.doubled == () and check.worst == "house" and check.passed


def test_sounds_amiss_in_every_word_are_no_lost_word() -> None:
    heard = said(0, 1, 2, 3)
    for first in (1, 3, 6, 8):
        heard[first] = "ʒ"
    check = compare(*asked(), heard, 1.0)
    assert check.phoneme_error_rate > 0.2 and check.passed


def test_silence_loses_every_word() -> None:
    check = compare(*asked(), [], 0.0)
    assert check.missing == tuple(WORDS) and check.phoneme_error_rate == 1.0


class PlantedBundle:
    """Answers with log-probabilities laid out by hand; counts the samples it was given."""

    def __init__(self, ctc: list[tuple[str, float]], frame: list[str]) -> None:
        self.config = SimpleNamespace(hop=320, listener_symbols=LISTENER_SYMBOLS)
        self.ctc, self.frame = ctc, frame

    def session(self, graph: str) -> PlantedBundle:
        assert graph == "listener"
        return self

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == ["ctc", "frame"] and inputs["waveform"].dtype == np.float32
        assert inputs["waveform"].shape == (1, 320 * len(self.ctc))
        classes = len(LISTENER_SYMBOLS)
        ctc = np.full((1, len(self.ctc), classes), 1e-4, np.float32)
        for t, (symbol, sure) in enumerate(self.ctc):
            ctc[0, t, LISTENER_SYMBOLS.index(symbol)] = sure
        frame = np.full((1, len(self.frame), classes), 1e-4, np.float32)
        for t, symbol in enumerate(self.frame):
            frame[0, t, LISTENER_SYMBOLS.index(symbol)] = 0.9
        return [np.log(ctc), np.log(frame)]


def planted() -> Listener:
    low = CONFIDENT - 0.1
    ctc = [("<blank>", 0.9), ("h", 0.9), ("h", 0.7), ("<blank>", 0.9), ("h", 0.8)]
    ctc += [("<blank>", 0.9)] * 4 + [("aʊ", low), ("<blank>", 0.9), ("s", 0.9)]
    frame = [PAUSE, *["h"] * 4, *[PAUSE] * 3, "aʊ", "aʊ", PAUSE, "s"]
    return Listener(PlantedBundle(ctc, frame))  # type: ignore[arg-type]


def test_hear_collapses_runs_and_marks_pauses_and_the_unsure() -> None:
    heard = planted().hear(np.zeros(12 * 320 - 5, np.float32))
    assert heard.symbols == ["h", "h", PAUSE, UNKNOWN, "s"]  # the pauses of one frame are none
    assert heard.guesses == ["h", "h", PAUSE, "aʊ", "s"]
    assert heard.frames.tolist() == [1, 4, 5, 9, 11]
    np.testing.assert_allclose(heard.confidence, [0.9, 0.8, 0.9, 0.4, 0.9], rtol=1e-5)
    assert prompt_symbols(heard) == ["^", "h", "h", " ", UNKNOWN, "s", "."]
    assert prompt_symbols(heard, guesses=True) == ["^", "h", "h", " ", "aʊ", "s", "."]


def test_a_long_pause_is_a_comma_and_the_end_a_full_stop() -> None:
    symbols = ["h", PAUSE, "s", PAUSE]
    heard = Heard(symbols, symbols, np.array([0, 3, 30, 40]), np.ones(4, np.float32))
    assert prompt_symbols(heard) == ["^", "h", ",", "s", "."]


def test_align_finds_known_and_unknown_symbols() -> None:
    samples = np.zeros(12 * 320, np.float32)
    alignment = planted().align(samples, ["^", "h", " ", "aʊ", ",", "s", "."])
    assert alignment is not None
    assert alignment.frame_symbol.tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5]
    assert alignment.score[6] == 0 and np.exp(alignment.score[1]) == pytest.approx(0.9, rel=1e-3)
    unknown = planted().align(samples, ["^", "h", " ", UNKNOWN, ",", "s", "."])
    assert unknown is not None
    assert unknown.frame_symbol.tolist() == alignment.frame_symbol.tolist()
    assert planted().align(samples, ["h"] * 13) is None


def test_check_reads_both_heads() -> None:
    samples = np.zeros(12 * 320, np.float32)
    symbols, words = ["^", "h", "aʊ", "s", "."], ["", "house", "house", "house", ""]
    check = planted().check(samples, symbols, words)
    assert check.phoneme_error_rate == pytest.approx(2 / 3)  # one h too many, one sound unsure
    assert check.worst == "house" and 0.1 < check.score < 0.9  # pauses where there should be none


def test_checks_of_sentences_join_by_their_length() -> None:
    right = compare(*asked(), said(0, 1, 2, 3), 1.0)
    wrong = compare(*asked(), said(0, 1, 2), 0.4)
    both = Check.joined([right, right, wrong])
    assert both is not None and Check.joined([]) is None
    assert both.phoneme_error_rate == pytest.approx(wrong.phoneme_error_rate / 3)
    assert both.missing == ("green",) and both.worst == "green"
    assert both.score == pytest.approx(0.8) and both.phonemes == 3 * right.phonemes == 33
