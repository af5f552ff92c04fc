"""ONNX Runtime sessions: telemetry, threads, memory; and how a step is split among threads."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import valle
from valle.bundle.bundle import Bundle
from valle.bundle.config import ARConfig
from valle.bundle.session import choose_thread_count, count_processors, make_session
from valle.runtime.kv_cache import MIN_SEQUENCES_PER_THREAD, split_evenly

LOAD_A_GRAPH = """
from valle.bundle.bundle import Bundle

Bundle.load(threads=1).session("phonemes")
"""


def files_left_in_home(home: Path, **environment: str) -> list[Path]:
    """Load a graph in a process with this home folder, and return the files that it leaves."""
    home.mkdir()
    # Nothing else from this process: ONNX Runtime sends no telemetry where it sees a CI machine.
    environment |= {"HOME": str(home), "PYTHONPATH": str(Path(valle.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", LOAD_A_GRAPH], env=environment, check=True)
    return [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere HOME does not move the caches")
def test_onnxruntime_keeps_no_device_identifier_or_events(tmp_path: Path) -> None:
    # Traced for 14 s, a process with telemetry looks up a host; one without opens no socket.
    assert files_left_in_home(tmp_path / "home") == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere HOME does not move the caches")
def test_telemetry_check_can_fail(tmp_path: Path) -> None:
    # Too short a run to use the network.
    if not files_left_in_home(tmp_path / "home", ORT_DISABLE_TELEMETRY="0"):
        pytest.skip("this build of ONNX Runtime has no telemetry")


def ar_config(layers: int, heads: int, width: int) -> ARConfig:
    return ARConfig(
        layers=layers,
        heads=heads,
        width=width,
        max_positions=2048,
        max_stay_phoneme=50,
        max_stay_border=75,
    )


DEFAULT_SIZE, PAPER_SIZE = ar_config(6, 4, 256), ar_config(12, 16, 1024)


def test_small_ar_models_use_one_thread_and_other_graphs_all() -> None:
    assert choose_thread_count("ar", DEFAULT_SIZE, 8) == 1
    assert choose_thread_count("phonemes", DEFAULT_SIZE, 8) == 1
    assert choose_thread_count("nar", DEFAULT_SIZE, 8) == 8
    assert choose_thread_count("ar", PAPER_SIZE, 8) == 8
    assert choose_thread_count("phonemes", PAPER_SIZE, 8) == 8
    assert choose_thread_count("ar", PAPER_SIZE, 64) == 16  # at most one per head
    assert choose_thread_count("codec_decoder", PAPER_SIZE, None) == count_processors()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux can bind a process")
def test_processor_count_follows_the_affinity_of_the_process() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert count_processors() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert count_processors() == len(before)


def test_idle_threads_do_not_spin() -> None:
    options = Bundle.load(threads=2).session("phonemes").get_session_options()
    key = "session.intra_op.allow_spinning"
    assert options.get_session_config_entry(key) == "0"
    assert options.intra_op_num_threads == 1


def test_freed_memory_is_released_where_the_c_library_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    class Glibc:
        malloc_trim = staticmethod(calls.append)

    monkeypatch.setattr(sys, "platform", "linux")
    for library, expected in ((Glibc(), [0]), (object(), [])):  # musl has no such call
        calls.clear()
        monkeypatch.setattr(ctypes, "CDLL", lambda name, library=library: library)
        Bundle.load(threads=1).session("phonemes")
        assert calls == expected


def test_session_keeps_no_copy_of_its_file() -> None:
    bundle = Bundle.load(threads=1)
    for model in (bundle.session("phonemes"), make_session(bundle.read_graph("phonemes"), 1)):
        assert not [value for value in vars(model).values() if isinstance(value, bytes)]


def test_large_matrices_of_rarely_run_graphs_stay_quantized() -> None:
    model = Bundle.load(threads=1).read_graph("phonemes")

    def max_folded_bytes(graph: str) -> str:
        options = make_session(model, 1, graph).get_session_options()
        key = "optimization.constant_folding_max_output_size_in_bytes"
        try:
            return str(options.get_session_config_entry(key))
        except RuntimeError:  # it was not set
            return ""

    assert max_folded_bytes("listener") == max_folded_bytes("speaker") == "1500000"
    assert max_folded_bytes("codec_decoder") == max_folded_bytes("ar") == ""


@given(sequences=st.integers(1, 40), threads=st.integers(1, 12))
def test_sequences_are_split_evenly_among_threads(sequences: int, threads: int) -> None:
    parts = split_evenly(sequences, threads)
    assert [index for part in parts for index in range(sequences)[part]] == list(range(sequences))
    sizes = [part.stop - part.start for part in parts]
    assert len(parts) <= threads
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == 1 or min(sizes) >= MIN_SEQUENCES_PER_THREAD
