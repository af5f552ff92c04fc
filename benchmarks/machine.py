"""What the machine can do at most: bytes read and products made in a second."""

from __future__ import annotations

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from timing import Job

MEGABYTES = 256  # read at a time: more than any cache holds
SIDE = 1024  # of the square matrices


def describe(threads: int) -> dict[str, object]:
    """Processor, cores, versions and how busy the machine is."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def reading(threads: int) -> Job:
    """A job that reads MEGABYTES of memory once, every thread its part."""
    parts = np.array_split(np.ones(MEGABYTES * 2**20 // 4, np.float32), threads)
    pool = ThreadPoolExecutor(threads)

    def read() -> None:
        list(pool.map(lambda part: float(part @ part), parts))

    return read


def multiplying() -> Job:
    """A job that multiplies two SIDE x SIDE matrices of fp32: 2 SIDE ** 3 operations."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((SIDE, SIDE)).astype(np.float32) for _ in range(2))
    return lambda: left @ right
