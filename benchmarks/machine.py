"""The machine: its processor, its memory bandwidth and its arithmetic."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from timing import Job
from valle.bundle.session import import_onnxruntime

MEGABYTES = 256  # read at once: more than any cache holds
SIDE = 1024  # of the square matrices


def describe(threads: int) -> dict[str, object]:
    """Processor, cores, versions and load."""
    return {
        "processor": _cpuinfo_field("model name") or platform.processor() or platform.machine(),
        "instructions": widest_instructions(_cpuinfo_field("flags").split()),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "onnxruntime": import_onnxruntime().__version__,
        "numpy": np.__version__,
    }


def widest_instructions(flags: Sequence[str]) -> str:
    """The widest instructions that matrix products use, by the flags of a processor."""
    known = {
        "avx512_vnni": "AVX-512 VNNI",
        "avx512f": "AVX-512",
        "avx_vnni": "AVX2 VNNI",
        "avx2": "AVX2",
    }
    return next((name for flag, name in known.items() if flag in flags), "unknown instructions")


def _cpuinfo_field(field: str) -> str:
    """A field of the first processor; "" if it is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def make_reading_job(threads: int) -> Job:
    """A job that reads MEGABYTES of memory once, split among the threads."""
    parts = np.array_split(np.ones(MEGABYTES * 2**20 // 4, np.float32), threads)
    pool = ThreadPoolExecutor(threads)

    def read() -> None:
        list(pool.map(lambda part: float(part @ part), parts))

    return read


def make_multiplying_job() -> Job:
    """A job that multiplies two SIDE x SIDE matrices of fp32: 2 SIDE ** 3 operations."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((SIDE, SIDE)).astype(np.float32) for _ in range(2))
    return lambda: left @ right
