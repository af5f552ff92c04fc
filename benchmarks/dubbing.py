"""What it costs to dub a film, and whether sound and picture drift apart in it.

    python benchmarks/dubbing.py cost --minutes 45
    python benchmarks/dubbing.py drift --minutes 120

Each prints JSON. `cost` dubs a long film, changes one cue, and dubs it again; it counts seconds of
processor time, which other work does not change. How well cues fit is measured by
`valle evaluate dubbing`.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import valle
from valle.audio.recording import resample
from valle.dubbing.dub import dub_film
from valle.dubbing.report import DubResult
from valle.evaluation.films import write_film, write_lines
from valle.files import temporary_data_folder
from valle.media.films import read_film, read_sound
from valle.media.subtitles import to_srt
from valle.trust.attestation import ATTESTATION

ROOT = Path(__file__).parents[1]


def measure_cost(
    model: valle.Model, voice: valle.Voice, minutes: float, folder: Path
) -> dict[str, Any]:
    """Dub a long film, then again with one changed cue."""
    count = round(minutes * 60 / 3.6)
    lines = write_lines(count)
    times = [(1 + 3.6 * index, 1 + 3.6 * index + 3.0) for index in range(count)]
    film = write_film(folder / "film.mp4", minutes * 60)

    def dub_lines(overwrite: bool) -> tuple[DubResult, float, float]:
        cues = to_srt((start, end, line) for (start, end), line in zip(times, lines, strict=True))
        (folder / "film.srt").write_text(cues)
        before, clock = processor_seconds(), time.monotonic()
        result = dub_film(
            model,
            film,
            folder / "film.srt",
            voice,
            folder / "out.mp4",
            overwrite=overwrite,
            progress=show,
        )
        return result, processor_seconds() - before, time.monotonic() - clock

    result, first, first_clock = dub_lines(False)
    lines[count // 2] = "This line has changed."
    _, changed, changed_clock = dub_lines(True)
    return {
        "minutes": minutes,
        "cues": count,
        "speech_seconds": sum(dubbed.speech.seconds for dubbed in result.cues),
        "first_processor_seconds": first,
        "first_seconds_beside_other_work": first_clock,
        "changed_processor_seconds": changed,
        "changed_seconds_beside_other_work": changed_clock,
    }


def measure_drift(
    model: valle.Model, voice: valle.Voice, minutes: float, folder: Path
) -> dict[str, Any]:
    """Place the same cue at the beginning and at the end of a long film, and compare samples."""
    seconds = minutes * 60
    film = write_film(folder / "film.mp4", seconds, Fraction(1), has_sound=False)
    cues = [(1.5, 4.0, "Wait a moment."), (seconds - 3.5, seconds - 1.0, "Nobody knows.")]
    (folder / "film.srt").write_text(to_srt(cues))
    result = dub_film(model, film, folder / "film.srt", voice, folder / "out.mp4")
    out = read_film(result.path)
    errors = []
    for dubbed, (start, end, _) in zip(result.cues, cues, strict=True):
        span = (start - 0.5, end)
        heard = np.concatenate(list(read_sound(out, out.sounds[0], 48_000, 1, span)), axis=1)[0]
        speech = dubbed.speech
        samples = resample(*speech.decode(), 48_000)[: len(heard)]
        length = 1 << (len(heard) + len(samples)).bit_length()
        spectrum = np.fft.rfft(heard, length) * np.conj(np.fft.rfft(samples, length))
        lag = int(np.argmax(np.fft.irfft(spectrum, length)))
        lag -= length if lag > length // 2 else 0
        placed = round(start * 48_000) - round(speech.begin * 48_000)
        errors.append(round(span[0] * 48_000) + lag - placed)
    return {"minutes": minutes, "samples_off": errors, "drift_samples": errors[1] - errors[0]}


def show(stage: str, done: int, total: int) -> None:
    """Report progress on standard error, now and then."""
    if done % 50 == 0:
        print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)


def processor_seconds() -> float:
    """Seconds of processor time that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure one of the two and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("cost", "drift"))
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = valle.load(threads=arguments.threads)
    with temporary_data_folder(), tempfile.TemporaryDirectory() as name:
        voice = model.enroll(ROOT / "examples" / "voice.wav", name="Sample", attest=ATTESTATION)
        folder = Path(name)
        if arguments.what == "cost":
            result = measure_cost(model, voice, arguments.minutes, folder)
        else:
            result = measure_drift(model, voice, arguments.minutes, folder)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
