"""A separate process: time from its start to the first audio, and its peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from material import SENTENCES, Material
from timing import Lap

FIRST_AUDIO = """
import sys
import valle
folder, voice, text, threads = sys.argv[1:]
model = valle.load(folder, threads=int(threads) or None)
next(model.stream(text, valle.Voice.load(voice)))
print(flush=True)
"""
# On Linux, the peak of `getrusage` includes that of the parent, whose memory the child starts with.
SPEAK = """
import pathlib, re, resource, sys
import valle
folder, voice, text, threads = sys.argv[1:]
model = valle.load(folder, threads=int(threads) or None)
model.speak(text, valle.Voice.load(voice))
status = pathlib.Path("/proc/self/status")
if status.exists():
    peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, flush=True)
"""


def measure(material: Material, repeats: int) -> dict[str, object]:
    """Seconds from the start of a process to its first audio; peak memory of speaking, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "sample.voice"
        material.voice.save(voice)
        bundle = material.model.bundle
        arguments = [str(bundle.folder), str(voice)]
        threads = str(bundle.threads or 0)
        starts = [_first_audio([*arguments, SENTENCES[0], threads]) for _ in range(repeats)]
        text = " ".join(SENTENCES)  # 20 s
        process = _run(SPEAK, [*arguments, text, threads])
        out, _ = process.communicate()
    return {
        "start_to_first_audio_s": round(median(start.wall for start in starts), 3),
        "start_to_first_audio_cpu_s": round(median(start.cpu for start in starts), 3),
        "peak_memory_mb": round(int(out) / 1e6),
    }


def _first_audio(arguments: list[str]) -> Lap:
    wall, cpu = time.perf_counter(), _children_cpu()
    process = _run(FIRST_AUDIO, arguments)
    assert process.stdout is not None
    line = process.stdout.readline()
    wall = time.perf_counter() - wall
    process.communicate()
    if not line:
        raise RuntimeError("the speaking process failed; see above")
    return Lap(wall, _children_cpu() - cpu)


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _run(code: str, arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
