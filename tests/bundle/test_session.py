"""How many threads graphs compute with, and how the rows of a step are shared out among them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.bundle import session
from valle.bundle.bundle import Bundle
from valle.bundle.config import ARConfig
from valle.bundle.session import make_session, count_processors, choose_thread_count
from valle.runtime.kv_cache import LEAST, shared_out


def ar(layers: int, heads: int, width: int) -> ARConfig:
    return ARConfig(
        layers=layers,
        heads=heads,
        width=width,
        max_positions=2048,
        max_stay_phoneme=50,
        max_stay_border=75,
    )


DEFAULT, PAPER = ar(6, 4, 256), ar(12, 16, 1024)


def test_small_steps_take_one_thread_and_all_else_what_it_may() -> None:
    assert choose_thread_count("ar", DEFAULT, 8) == choose_thread_count("phonemes", DEFAULT, 8) == 1
    assert choose_thread_count("nar", DEFAULT, 8) == choose_thread_count("ar", PAPER, 8) == 8
    assert choose_thread_count("phonemes", PAPER, 8) == 8
    assert choose_thread_count("ar", PAPER, 64) == 16  # at most as many as its heads
    assert choose_thread_count("codec_decoder", PAPER, None) == count_processors()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone can bind a process")
def test_processors_are_those_that_the_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert count_processors() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert count_processors() == len(before)


def test_idle_threads_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Bundle.load(threads=2).session("phonemes").get_session_options()
    key = "session.intra_op.allow_spinning"
    assert options.get_session_config_entry(key) == "0"
    assert options.intra_op_num_threads == 1


def test_memory_is_given_back_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    class Glibc:
        malloc_trim = staticmethod(calls.append)

    monkeypatch.setattr(session.sys, "platform", "linux")
    for library, found in ((Glibc(), [0]), (object(), [])):  # musl has no such call
        calls.clear()
        monkeypatch.setattr(session.ctypes, "CDLL", lambda name, library=library: library)
        Bundle.load(threads=1).session("phonemes")
        assert calls == found


def test_a_session_keeps_no_copy_of_its_file() -> None:
    bundle = Bundle.load(threads=1)
    for model in (bundle.session("phonemes"), make_session(bundle.read_graph("phonemes"), 1)):
        assert not [each for each in vars(model).values() if isinstance(each, bytes)]


def test_large_matrices_of_what_runs_seldom_stay_small() -> None:
    def folded(graph: str) -> str:
        options = make_session(data, 1, graph).get_session_options()
        key = "optimization.constant_folding_max_output_size_in_bytes"
        try:
            return str(options.get_session_config_entry(key))
        except RuntimeError:  # it was not set
            return ""

    data = Bundle.load(threads=1).read_graph("phonemes")
    assert folded("listener") == folded("speaker") == "1500000"
    assert folded("codec_decoder") == folded("ar") == ""


@given(items=st.integers(1, 40), threads=st.integers(1, 12))
def test_every_row_has_one_thread(items: int, threads: int) -> None:
    parts = shared_out(items, threads)
    rows = [row for part in parts for row in range(items)[part]]
    assert rows == list(range(items))
    sizes = [part.stop - part.start for part in parts]
    assert len(parts) <= threads and max(sizes) - min(sizes) <= 1
    assert len(parts) == 1 or min(sizes) >= LEAST
