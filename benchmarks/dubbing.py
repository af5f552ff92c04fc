"""How well cues fit when a film is dubbed, and what it costs.

    python benchmarks/dubbing.py fit --cues 100
    python benchmarks/dubbing.py cost --minutes 45
    python benchmarks/dubbing.py drift --minutes 120

Each prints JSON. `fit` makes a film with cues that can be spoken at 1 to 1.35 times the voice's own
rate, dubs it, and measures the film that was written: where sound begins and ends by another method
than the one that placed it, and which phonemes are recognized. `cost` dubs a long film, changes one
cue, and dubs it again; it counts seconds of processor time, which other work does not change. All
films are made here: a moving picture and a tone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import valle
from valle.audio.recording import resample
from valle.dubbing.dub import dub_film
from valle.dubbing.report import DubResult
from valle.dubbing.speaking import CueRequest, CueSpeaker
from valle.files import temporary_data_folder
from valle.media.disk_cache import DiskCache
from valle.media.films import read_film, read_sound
from valle.media.subtitles import to_srt
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.segmentation import stream_sentences
from valle.trust.attestation import ATTESTATION

ROOT = Path(__file__).parents[1]
SHORT = """Wait a moment. | Who is there? | Not today. | I think so too. | Look at this!
Come back! | Where were you? | That is enough. | Nobody knows. | You are late. | Leave it to me.
All right then. | It was raining. | Sit down, please. | What happened here? | I am not sure."""
MEDIUM = """The train leaves in twenty minutes. | My sister has never seen the ocean.
We should have asked him first. | They closed the bridge last winter.
Nothing in this house works anymore. | She left a letter on the kitchen table.
You can take the car if you want. | I promised to be home before dark.
The old man smiled and said nothing. | Somebody has been here before us.
Tell them that we are on our way. | The water was colder than I thought."""
LONG = """When the storm was over, we walked down to the harbor and looked for the boat.
He told me that the company would pay for everything, but nobody ever signed the papers.
If you follow this road for a mile, you will see a white church on the left side.
I have been working in this garden for thirty years, and I still find something new every spring.
They say that the painting was stolen twice, and that both times it came back by mail.
Before you open the door, remember that there is no way to close it from the other side."""


def write_lines(count: int) -> list[str]:
    """Return lines of dialogue of all lengths, the same ones every time."""
    short, medium, long = (
        [line.strip() for row in text.splitlines() for line in row.split("|")]
        for text in (SHORT, MEDIUM, LONG)
    )
    rng = np.random.default_rng(1)
    kinds = [[short], [medium], [short, medium], [long], [short, short], [medium, medium]]
    return [
        " ".join(str(rng.choice(pool)) for pool in kinds[index % len(kinds)])
        for index in range(count)
    ]


def write_film(
    path: Path, seconds: float, fps: Fraction = Fraction(24_000, 1001), has_sound: bool = True
) -> Path:
    """Write a film with a moving picture, and a tone as its sound."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="stereo") if has_sound else None
        picture = np.zeros((90, 160, 3), np.uint8)
        tone = (0.05 * np.sin(2 * np.pi * 220 * np.arange(48_000) / 48_000)).astype(np.float32)
        number = 0
        for second in range(round(seconds)):
            while number / fps < second + 1:
                picture[:] = number % 200
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = number, 1 / fps
                container.mux(video.encode(frame))
                number += 1
            if sound is not None:
                block = av.AudioFrame.from_ndarray(np.stack((tone, tone)), "fltp", "stereo")
                block.sample_rate, block.pts = 48_000, second * 48_000
                block.time_base = Fraction(1, 48_000)
                container.mux(sound.encode(block))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))
    return path


def lay_out(lengths: Sequence[float], seed: int = 0) -> list[tuple[float, float]]:
    """Return cues that need 0.75 to 1.35 times the usual rate, with gaps of 0 to 1.5 s."""
    rng = np.random.default_rng(seed)
    times, now = [], 1.0
    for natural in lengths:
        slot = float(np.clip(natural / rng.uniform(0.75, 1.35), 0.8, 8.0))
        slot = max(slot, natural / 1.35)
        times.append((now, now + slot))
        now += slot + rng.choice([0.0, 0.08, 0.5, 1.5])
    return times


def find_level(samples: NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Return begin and end of what is within 30 dB of the loudest 5 ms, in seconds."""
    frame = rate // 200
    count = len(samples) // frame
    power = np.square(samples[: count * frame].reshape(count, frame)).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 1000)
    return float(loud[0]) / 200, float(loud[-1] + 1) / 200


class PhonemeCounter:
    """The phonemes that a recognizer hears."""

    def __init__(self, model: valle.Model) -> None:
        self._recognizer = PhonemeRecognizer(model.bundle)
        self._language = model.bundle.config.language

    def count_errors(self, samples: NDArray[np.float32], text: str) -> tuple[float, int, bool]:
        """Return wrong phonemes, all phonemes, and whether the last word is heard."""
        symbols: list[str] = []
        words: list[str] = []
        for segment in stream_sentences(iter([text]), self._language):
            if segment.sentence is None:
                continue
            for phoneme in segment.sentence.phonemes:
                symbols.append(phoneme.symbol)
                known = segment.sentence.words
                words.append(known[phoneme.word].text if phoneme.word >= 0 else "")
        check = self._recognizer.check(samples, symbols, words)
        last = next(word for word in reversed(words) if word)
        heard = last not in check.missing
        return check.phoneme_error_rate * check.phonemes, check.phonemes, heard


def measure_fit(model: valle.Model, voice: valle.Voice, count: int, folder: Path) -> dict[str, Any]:
    """Dub a film of cues that can be spoken in time, and measure what was written."""
    lines = write_lines(count)
    speaker = CueSpeaker(model, retries=2, cache=DiskCache("cues"))
    seen: dict[str, int] = {}
    requests = []
    for line in lines:  # as `dub_film` chooses seeds, so that these are the same samples
        requests.append(CueRequest(line, voice, seen.get(line, 0)))
        seen[line] = seen.get(line, 0) + 1
    free = dict(speaker.speak_all(requests))
    # A later take of a line differs in length by 7 %: its pace is that of the first one.
    paces = dict(CueSpeaker(model, retries=0).speak_all(requests))
    times = lay_out([free[index].seconds for index in range(count)])
    film = write_film(folder / "film.mp4", times[-1][1] + 3)
    (folder / "film.srt").write_text(
        to_srt((start, end, line) for (start, end), line in zip(times, lines, strict=True))
    )
    before = processor_seconds()
    result = dub_film(model, film, folder / "film.srt", voice, folder / "out.mp4")
    spent = processor_seconds() - before
    out = read_film(folder / "out.mp4")
    sound = np.concatenate(list(read_sound(out, out.sounds[0], 48_000)), axis=1)[0]
    counter = PhonemeCounter(model)
    rows: list[dict[str, Any]] = []
    wrong, free_wrong = [0.0, 0], [0.0, 0]
    for index, dubbed in enumerate(result.cues):
        start, end = dubbed.placement.start, dubbed.placement.end
        compression = dubbed.placement.compression
        # From the end of the cue before, whose last sound would be taken for this one's first.
        previous = result.cues[index - 1].placement.end if index else 0.0
        begin = max(0.0, start - 0.04, min(previous, start))
        after = [later.placement.start for later in result.cues[index + 1 : index + 2]]
        stop = min([end + 0.04, *after])
        part = sound[round(begin * 48_000) : round(stop * 48_000)]
        onset, offset = find_level(part, 48_000)
        small = resample(part, 48_000, 16_000)
        errors, phonemes, heard = counter.count_errors(small, dubbed.cue.text)
        own = free[index]
        samples, rate = own.decode()
        piece = samples[round(max(0, own.begin - 0.04) * rate) : round((own.end + 0.04) * rate)]
        free_errors, _, free_heard = counter.count_errors(piece, dubbed.cue.text)
        wrong = [wrong[0] + errors, wrong[1] + phonemes]
        free_wrong = [free_wrong[0] + free_errors, free_wrong[1] + phonemes]
        rows.append(
            {
                "start_error": begin + onset - dubbed.slot.start,
                "over": begin + offset - dubbed.slot.limit,
                "heard": heard or not free_heard,
                "rate": paces[index].word_seconds / dubbed.speech.word_seconds * compression,
                "compression": compression,
            }
        )
    ratios = [b["rate"] / a["rate"] for a, b in itertools.pairwise(rows)]
    started = [round(abs(row["start_error"]), 3) <= 0.02 for row in rows]
    ended = [row["over"] <= 0.0 for row in rows]
    all_held = [s and e and row["heard"] for s, e, row in zip(started, ended, rows, strict=True)]
    return {
        "cues": count,
        "needed_rate": spread(
            [
                own / (e - s)
                for own, (s, e) in zip([free[i].seconds for i in range(count)], times, strict=True)
            ]
        ),
        "start_within_20_ms": share(started),
        "end_within_slot_or_spill": share(ended),
        "last_word_heard": share([row["heard"] for row in rows]),
        "all_of_these": share(all_held),
        "start_error_ms": spread([1000 * row["start_error"] for row in rows]),
        "phoneme_error_rate": wrong[0] / wrong[1],
        "phoneme_error_rate_free": free_wrong[0] / free_wrong[1],
        "phoneme_error_ratio": wrong[0] / wrong[1] / (free_wrong[0] / free_wrong[1]),
        "neighbors_within_10_percent": share([1 / 1.1 <= ratio <= 1.1 for ratio in ratios]),
        "compressed": spread([row["compression"] for row in rows]),
        "spilled": share([dubbed.spilled > 0 for dubbed in result.cues]),
        "too_long": len(result.too_long),
        "processor_seconds": spent,
        "speech_seconds": sum(dubbed.speech.seconds for dubbed in result.cues),
    }


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


def share(values: Sequence[bool]) -> float:
    """Return the share of values that hold."""
    return float(np.mean(values))


def spread(values: Sequence[float]) -> list[float]:
    """Return the 5th, 50th and 95th percentile."""
    return [round(float(value), 3) for value in np.percentile(values, [5, 50, 95])]


def main() -> None:
    """Measure one of the three and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("fit", "cost", "drift"))
    parser.add_argument("--cues", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = valle.load(threads=arguments.threads)
    with temporary_data_folder(), tempfile.TemporaryDirectory() as name:
        voice = model.enroll(ROOT / "examples" / "voice.wav", name="Sample", attest=ATTESTATION)
        folder = Path(name)
        if arguments.what == "fit":
            result = measure_fit(model, voice, arguments.cues, folder)
        elif arguments.what == "cost":
            result = measure_cost(model, voice, arguments.minutes, folder)
        else:
            result = measure_drift(model, voice, arguments.minutes, folder)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
