"""Alignment with scripts that are not quite what is said: known answers, and blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.arrays import Floats, Ints
from valle.runtime import robust_viterbi
from valle.runtime.robust_viterbi import RobustViterbi, ScriptGraph

PAUSE = 0


def make_graph(sentences: list[list[int]]) -> ScriptGraph:
    """Sentences of words, each a phoneme that is heard for as long as it is."""
    columns, borders, begins = [PAUSE], [True], []
    for words in sentences:
        begins.append(len(columns) - 1)
        for word in words:
            columns += [word, PAUSE]
            borders += [False, True]
    return ScriptGraph(np.array(columns), np.array(borders), np.array(begins))


def hear(sounds: list[int], frames: int = 8, classes: int = 20, cost: float = 40.0) -> Floats:
    """Log-probabilities of sounds, each for some frames; a wrong class costs much more."""
    log_probs = np.full((len(sounds) * frames, classes), -cost, np.float32)
    for index, sound in enumerate(sounds):
        log_probs[index * frames : (index + 1) * frames, sound] = -0.1
    return log_probs


def align(sentences: list[list[int]], log_probs: Floats) -> Ints:
    search = RobustViterbi(make_graph(sentences))
    search.feed(log_probs)
    return search.finish()


def test_all_words_get_their_frames() -> None:
    path = align([[1, 2], [3]], hear([0, 1, 2, 0, 3, 0]))
    assert path[::8].tolist() == [0, 1, 3, 4, 5, 6]
    assert (np.diff(path) >= 0).all()


def test_word_that_is_not_said_has_no_frame() -> None:
    path = align([[1, 2, 3]], hear([1, 0, 3], frames=12))
    assert 3 not in path  # the symbol of the second word
    assert path[0] == 1
    assert path[-1] in (5, 6)


def test_sentences_that_are_not_said_have_no_frame() -> None:
    script = [[1, 2], [3, 4, 5, 6, 7, 8], [9, 10]]
    path = align(script, hear([1, 2, 0, 9, 10], frames=12))
    said = {1, 3, 17, 19}
    assert said <= set(path.tolist()) <= said | {0, 2, 4, 16, 18, 20}


def test_recording_may_begin_late_and_end_early_in_the_script() -> None:
    script = [[1, 2, 3, 4], [5, 6], [7, 8, 9, 10]]
    path = align(script, hear([0, 5, 6, 0], frames=15))
    assert {9, 11} <= set(path.tolist())
    assert not set(path.tolist()) & {1, 3, 5, 7, 13, 15, 17, 19}


def test_no_phoneme_takes_a_long_sound() -> None:
    tone = np.full((400, 20), -12.0, np.float32)
    tone[:, 1] = -0.5  # like the first word, but far too long for one
    tone[:, PAUSE] = -2.0
    path = align([[1, 2]], np.concatenate([tone, hear([1, 0, 2, 0], frames=12)]))
    assert 12 <= (path == 1).sum() < 60
    assert (path[424:436] == 3).all()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(3, 17))
def test_blocks_do_not_change_the_path(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    sentences = [list(rng.integers(1, 20, rng.integers(1, 6))) for _ in range(5)]
    sounds = [int(sound) for sentence in sentences for sound in (0, *sentence)]
    log_probs = hear(sounds, frames=4, cost=8.0)
    log_probs += rng.normal(0, 3.0, log_probs.shape).astype(np.float32)
    whole = align(sentences, log_probs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust_viterbi, "BLOCK_FRAMES", frames)
        assert (align(sentences, log_probs) == whole).all()


def test_nothing_heard_is_an_empty_path() -> None:
    assert len(RobustViterbi(make_graph([[1]])).finish()) == 0
