"""ONNX Runtime sessions: no telemetry, as many threads as pay off, and little memory kept.

Threads are chosen per session from what the caller allows. The running half imports ONNX Runtime
only here, so that its telemetry is off wherever a bundle runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

    from valle.bundle.config import ARConfig

# Up to this many weights an AR step is faster on one thread: its matrices fit into the caches, and
# its operators finish before another thread is awake. (With two threads: two to four times the CPU
# time at 4.7 million weights and no gain; at 151 million weights both read memory.)
_MAX_SINGLE_THREAD_WEIGHTS = 16_000_000

# Graphs that run once per sentence or once per voice. Their large matrices stay in 8 bits and are
# dequantized at each call, which takes a quarter of its time. Dequantized once at load, they would
# take three times the memory, and ten times the memory while loading. The default size has few
# matrices as large as that.
_RARELY_RUN = ("codec_encoder", "listener", "speaker")
_MAX_FOLDED_BYTES = 1_500_000  # in fp32


def disable_telemetry() -> None:
    """Turn off the telemetry of ONNX Runtime in this process and those that it starts.

    Since version 1.29, its wheels store a device identifier and a database of events in the user's
    cache folder, and look up a host to upload them. Setting `ORT_DISABLE_TELEMETRY` before the
    first import stops all of that; its function `disable_telemetry_events` comes too late
    (Privacy.md in the wheel). If the variable is set already, it stays as it is.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry.

    Call it inside functions: the import takes longer than `valle --help` should.
    """
    disable_telemetry()
    import onnxruntime

    module: ModuleType = onnxruntime
    return module


def count_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: fewer than the machine has, under taskset
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_thread_count(graph: str, ar: ARConfig, max_threads: int | None) -> int:
    """Return how many threads a graph of a bundle computes with.

    Args:
        graph: Its name in the bundle.
        ar: The size of the bundle's AR model.
        max_threads: The most that it may use; None for one per processor.
    """
    max_threads = max_threads or count_processors()
    if graph in ("phonemes", "ar") and is_small(ar):
        return 1
    # With more threads than heads, the attention of one row is summed in another order than that
    # of several, and a sentence would not be the same alone as in a batch.
    return min(max_threads, ar.heads) if graph == "ar" else max_threads


def is_small(ar: ARConfig) -> bool:
    """Return whether a step of this AR model is fastest on one thread."""
    return 12 * ar.layers * ar.width**2 <= _MAX_SINGLE_THREAD_WEIGHTS


def make_session(model: bytes | str, threads: int, graph: str = "") -> onnxruntime.InferenceSession:
    """Create a session on the CPU.

    Args:
        model: A serialized graph, or the path of one.
        threads: How many threads it computes with.
        graph: Its name in a bundle.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised; stderr belongs to the command line
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads sleep. By default they spin, which takes the processor from the graph that runs
    # next and from every other program (docs/decisions/0015-threads-do-not-spin.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI, sums of two products of bytes saturate at 16 bits, an error of up to a tenth of
    # the value of some products of integer matrices. This makes such processors use other kernels.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if graph in _RARELY_RUN:
        key = "optimization.constant_folding_max_output_size_in_bytes"
        options.add_session_config_entry(key, str(_MAX_FOLDED_BYTES))
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # Kept only to recreate the session with other providers, which is never done here.
    session._model_bytes = None
    _release_freed_memory()
    return session


def _release_freed_memory() -> None:
    """Return freed memory to the system.

    Loading a graph frees several times what it keeps, and the allocator would hold on to it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # C libraries other than GNU's have no such call
            ctypes.CDLL(None).malloc_trim(0)
