"""ONNX Runtime sessions: how many threads a graph computes with, and what making one leaves behind.

Threads are set here for each session, by what the caller allows; nothing is set at import, nor for
the whole process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

    from valle.bundle.config import ARConfig

# Weights up to which a step of the AR is quicker on one thread: its matrices lie in the caches, and
# its operators are done before another thread is awake. (Two threads: two to four times the
# processor time at 4.7 million weights, none gained; at 151 million both read memory.)
_SMALL = 16_000_000

# Graphs that run once a sentence or once a voice. Their large matrices stay in 8 bits and are
# widened for each call, which takes a quarter of its time; widened once for all, they take three
# times the memory, and to do it ten times. In the default size hardly one is as large.
_SELDOM = ("codec_encoder", "listener", "speaker")
_LARGE = 1_500_000  # bytes in fp32


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: fewer than the machine has, under taskset
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_for(graph: str, ar: ARConfig, most: int | None) -> int:
    """Threads that a graph of a bundle computes with; `most`: None is one a processor."""
    most = most or processors()
    if graph in ("phonemes", "ar") and is_small(ar):
        return 1
    # With more threads than heads, attention of a single row is computed in another order than
    # that of several, and a sentence would no longer be the same alone and among others.
    return min(most, ar.heads) if graph == "ar" else most


def is_small(ar: ARConfig) -> bool:
    """Whether a step of this AR is best made by one thread."""
    return 12 * ar.layers * ar.width**2 <= _SMALL


def make_session(model: bytes | str, threads: int, graph: str = "") -> onnxruntime.InferenceSession:
    """A session on the CPU, computing with this many threads.

    `model` is a serialised graph or the path of one, `graph` what a bundle calls it.
    """
    import onnxruntime  # here, because importing it takes longer than `valle --help` should

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: stderr belongs to the command line
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that have nothing to do sleep. Spinning, as is usual, they take the processor from the
    # graph that runs next, and from whatever else the machine does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI, sums of two products of bytes overflow 16 bits and are cut off, which costs a
    # tenth of an integer product's value here and there; so those processors use other products.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if graph in _SELDOM:
        key = "optimization.constant_folding_max_output_size_in_bytes"
        options.add_session_config_entry(key, str(_LARGE))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # Kept to make the session anew with other providers, which is not done here.
    session._model_bytes = None
    _give_back()
    return session


def _give_back() -> None:
    """Return freed memory to the system. Reading a graph frees several times what it keeps, and
    the allocator would hold on to it."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # C libraries other than GNU's have no such call
            ctypes.CDLL(None).malloc_trim(0)
