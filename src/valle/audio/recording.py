"""Recordings in, audio files out: reading with every check, choosing the best part, saving.

Audio is mono float32 in [-1, 1] beside its sample rate; levels are dBFS (RMS, so that a sine at
full scale has -3); times are seconds. Long recordings are read in blocks: only levels of the whole
and the samples of the wanted part are ever held.
"""

import contextlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from valle.arrays import Samples
from valle.audio import levels
from valle.audio.decoding import Source, open_source
from valle.audio.levels import STEPS_PER_SECOND, Powers
from valle.errors import OutputError, RecordingError, UsageError
from valle.files import replacing

MIN_SOUND = 1.5  # seconds of sound a recording must hold
BEST_SECONDS = 10.0  # of long recordings, what a voice is learnt from
MAX_SECONDS = 3600.0
MAX_RATE = 48_000  # Hz; nothing a voice needs lies above half of it

# Measured on 400 recordings of 7 corpora: clean ones keep 15 dB or more between the active level
# and the tenth percentile of levels, those with noise 10 dB under the voice less than 10 dB.
_NOISY_RANGE = 11.0
# There, at most 0.03 % of a clean recording's samples lie within 3 % of its peak; with 1 % of the
# samples clipped, 1.1 % or more.
_CLIPPED_SHARE = 0.0015
_QUIET = -45.0

_WRITE_BLOCK = 65_536
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}


@dataclass(frozen=True, eq=False)
class Recording:
    """What was read of a recording."""

    samples: Samples  # [N] mono in [-1, 1]
    sample_rate: int  # Hz, the source's own up to 48 kHz
    warnings: tuple[str, ...]  # what will cost quality, and which part was used
    start: float  # seconds into the source at which `samples` begin
    source_seconds: float  # length of the whole source

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


def load_recording(
    source: str | Path | BinaryIO | tuple[NDArray[np.generic], int],
    excerpt: float | None = None,
    least: float = MIN_SOUND,
) -> Recording:
    """Read a recording of a voice: a path, an open binary file, or (samples, sample rate).

    Samples are [N] or [N, channels] (the longer axis is time), floats in [-1, 1] or integers of
    any width. `excerpt`: at most so many seconds, the best of them, without the silence around;
    None for everything. `least`: so many seconds of sound it must hold. Channels are mixed, rates
    above 48 kHz brought down to it, values beyond [-1, 1] scaled down. Of more than an hour, the
    first hour counts.

    Raises RecordingError if it is missing, a folder, not audio, cut off, damaged, empty, silent,
    not finite everywhere, or holds too little sound.
    """
    with open_source(source) as opened:
        return _load(opened, excerpt, least)


def _load(source: Source, excerpt: float | None, least: float) -> Recording:
    whole = _scan(source)
    seconds = whole.frames / source.rate
    if seconds < least:
        raise RecordingError(
            f"{source.name} lasts only {seconds:.2f} s; "
            f"{least} s of speech is the least, 3 s is good"
        )
    power, channel, warnings = _pick_channel(whole)
    if not (power > levels.SILENCE).any():
        raise RecordingError(f"{source.name} is silent; check the microphone and record again")
    first, last = levels.best_part(power, whole.peak, excerpt or BEST_SECONDS)
    speaks = levels.sound(power)[slice(first, last) if excerpt else slice(None)]
    if speaks.sum() < least * STEPS_PER_SECOND:
        raise RecordingError(
            f"{source.name} holds only {speaks.sum() / STEPS_PER_SECOND:.1f} s of sound; "
            f"{least} s is the least, 3 s is good"
        )
    step = source.rate // STEPS_PER_SECOND
    warnings += _quality(source, first * step, last * step, power[first:last], channel)
    first, last = (first * step, last * step) if excerpt else (0, whole.frames)
    if excerpt and seconds > excerpt:
        warnings.append(
            f"the best {(last - first) / source.rate:.1f} s were used, from "
            f"{first / source.rate:.1f} s to {last / source.rate:.1f} s of {seconds:.1f} s"
        )
    if whole.cut:
        warnings.append("it is longer than an hour; only the first hour was read")
    samples = _read_mono(source, first, last, channel)
    if whole.loudest > 1.0:
        samples *= np.float32(1.0 / whole.loudest)
    # A resampler rings over the edge at full scale.
    np.clip(samples, -1.0, 1.0, out=samples)
    rate = min(source.rate, MAX_RATE)
    return Recording(samples, rate, tuple(warnings), first / source.rate, seconds)


@dataclass(frozen=True, eq=False)
class _Whole:
    """What is kept of a whole recording, for each of its 20 ms."""

    power: Powers  # [T, channels + 1]; the last column is the mix's
    side: Powers  # [T] what the channels do not share
    peak: NDArray[np.float32]  # [T] greatest magnitude in any channel
    loudest: float  # greatest magnitude of all
    frames: int  # samples a channel, of the first hour
    cut: bool  # there was more


def _scan(source: Source) -> _Whole:
    step = source.rate // STEPS_PER_SECOND
    size = step * max(1, 262_144 // (step * source.channels))
    limit = int(MAX_SECONDS * source.rate)
    powers = [np.zeros((0, source.channels + 1))]
    sides, peaks = [np.zeros(0)], [np.zeros(0, np.float32)]
    frames, loudest = 0, 0.0
    for block in source.blocks(0, limit + 1, size):
        frames += len(block)
        loudest = max(loudest, float(block.max()), -float(block.min()))
        if not np.isfinite(block).all():
            raise RecordingError(
                f"{source.name} holds values that are not numbers (NaN or infinite); "
                "export it again"
            )
        cells = block[: len(block) // step * step].reshape(-1, step, source.channels)
        exact = cells.astype(np.float64)  # a variance of float32 could overflow
        mix = exact.mean(axis=2)
        powers.append(np.column_stack([exact.var(axis=1), mix.var(axis=1)]))
        sides.append((exact - mix[:, :, None]).var(axis=1).mean(axis=1))
        peaks.append(np.abs(cells).max(axis=(1, 2), initial=0.0))
    if not frames:
        raise RecordingError(f"{source.name} is empty: it holds no samples")
    # Where values go beyond [-1, 1], they are all brought down.
    gain = 1.0 / max(1.0, loudest)
    return _Whole(
        np.concatenate(powers) * gain**2,
        np.concatenate(sides) * gain**2,
        np.concatenate(peaks) * np.float32(gain),
        loudest,
        min(frames, limit),
        frames > limit,
    )


def _pick_channel(whole: _Whole) -> tuple[Powers, int | None, list[str]]:
    """The powers to go by, the channel to use (None: the mix of all), and what to warn about."""
    channels, mix = whole.power[:, :-1], whole.power[:, -1]
    mean = channels.mean()
    if mix.mean() < 0.1 * mean:
        loudest = int(channels.mean(axis=0).argmax())
        warning = f"its channels cancel each other; only channel {loudest + 1} was used"
        return channels[:, loudest], loudest, [warning]
    # One channel of sound beside silent ones is a plain recording stored as stereo.
    lively = int((channels.mean(axis=0) > 1e-3 * channels.mean(axis=0).max()).sum())
    if lively > 1 and whole.side.mean() > 0.01 * mean:
        warning = (
            f"its {lively} channels differ and were mixed into one; "
            "a recording of one microphone is clearer"
        )
        return mix, None, [warning]
    return mix, None, []


def _quality(
    source: Source, first: int, last: int, power: Powers, channel: int | None
) -> list[str]:
    """Warnings about the part that matters most, taken before mixing hides its clipping."""
    warnings = []
    if source.rate < 16_000:
        warnings.append(
            f"it is sampled at {source.rate} Hz and has nothing above {source.rate // 2} Hz; "
            "the voice will sound dull, 16 kHz or more is better"
        )
    part = np.abs(np.concatenate(list(source.blocks(first, last, last - first))))
    used = part if channel is None else part[:, [channel]]
    edge = 0.97 * used.max(axis=0).clip(min=1e-3)
    if ((used >= edge).mean(axis=0) > _CLIPPED_SHARE).any():
        warnings.append("it is clipped (too loud for the microphone); record at a lower level")
    level = levels.level(power)
    if level - 10 * np.log10(np.percentile(power, 10) + 1e-12) < _NOISY_RANGE:
        warnings.append("it is noisy; record nearer to the microphone or in a quieter place")
    if level < _QUIET:
        warnings.append(f"it is very quiet ({level:.0f} dBFS); record at a higher level")
    return warnings


def _read_mono(source: Source, first: int, last: int, channel: int | None) -> Samples:
    """The samples from `first` to `last`, mixed (or one channel), at 48 kHz at most."""
    rate = min(source.rate, MAX_RATE)
    out = np.zeros(round((last - first) * rate / source.rate), np.float32)
    stream = soxr.ResampleStream(source.rate, rate, 1) if rate != source.rate else None
    done, filled = first, 0
    for block in source.blocks(first, last, max(1, 1_048_576 // source.channels)):
        done += len(block)
        mono = block[:, channel] if channel is not None else block.mean(axis=1, dtype=np.float32)
        if stream is not None:
            mono = stream.resample_chunk(np.ascontiguousarray(mono), last=done >= last)
        mono = mono[: len(out) - filled]
        out[filled : filled + len(mono)] = mono
        filled += len(mono)
    return out


def active_level(samples: Samples, sample_rate: int) -> float:
    """Level in dBFS of the parts with sound: pauses (20 dB under the mean) are left out.

    `samples` [N] in [-1, 1]. Minus infinity for silence (under -70 dBFS).
    """
    return levels.level(levels.powers(samples, sample_rate))


def best_excerpt(samples: Samples, rate: int, seconds: float = 10.0) -> tuple[int, int]:
    """The part to learn a voice from: `samples[start:end]`, at most `seconds` long.

    Judged by level above the noise, share of sound, steadiness of level, and freedom from
    clipping; cut at pauses, without silence around. `start` and `end` count samples.
    """
    step = rate // STEPS_PER_SECOND
    cells = samples[: len(samples) // step * step].reshape(-1, step)
    if not len(cells):
        return 0, len(samples)
    power = levels.powers(samples, rate)
    start, end = levels.best_part(power, np.abs(cells).max(axis=1), seconds)
    return start * step, end * step


def resample(samples: Samples, source_rate: int, target_rate: int) -> Samples:
    """`samples` [N] at another rate: round(N * target / source) samples, band-limited."""
    if source_rate == target_rate:
        return samples.astype(np.float32, copy=False)
    wanted = round(len(samples) * target_rate / source_rate)
    changed = soxr.resample(samples.astype(np.float32, copy=False), source_rate, target_rate)
    return np.pad(changed[:wanted], (0, max(0, wanted - len(changed))))


def output_format(target: str | Path) -> str:
    """The key of `FORMATS` that a target asks for; raises UsageError for an unknown ending.

    `-` is WAV.
    """
    if str(target) == "-":
        return "wav"
    ending = Path(target).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise UsageError(
            f"cannot tell the format of {str(target)!r}: end its name in one of {known}"
        )
    return ending


def save_audio(target: str | Path, samples: Samples, sample_rate: int, comment: str = "") -> None:
    """Write `samples` [N] in [-1, 1]; what lies beyond is clipped. `-` is WAV on stdout.

    The name's ending gives the format: wav and flac (16 bit), mp3, ogg (Vorbis). `comment` goes
    into the file's comment tag (ASCII: MP3 takes no more). An existing file is replaced only when
    the new one is complete.
    Raises UsageError for an unknown ending, OutputError if the target cannot be written.
    """
    name = output_format(target)
    if str(target) != "-":
        with replacing(target) as part:
            write_audio(part, name, samples, sample_rate, comment)
        return
    if sys.stdout.isatty():
        raise OutputError("audio is not for the terminal; send it to a program or use -o FILE")
    with tempfile.TemporaryDirectory(prefix="valle-") as folder:
        part = Path(folder, "audio.wav")
        write_audio(part, name, samples, sample_rate, comment)
        data = memoryview(part.read_bytes())
    try:
        while len(data):  # where Python does not buffer stdout, a write may take only a part
            data = data[sys.stdout.buffer.write(data) :]
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is left in the buffer must not raise a second time when Python ends.
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def write_audio(path: Path, name: str, samples: Samples, sample_rate: int, comment: str) -> None:
    """Encode to a file in the format `FORMATS[name]`; `save_audio` without its care for the target.

    Raises OutputError.
    """
    # By its path: through a file object, libsndfile would swallow a Ctrl-C.
    if not np.isfinite(samples).all():
        raise OutputError("the audio holds values that are not numbers; nothing was written")
    container, subtype = FORMATS[name]
    try:
        with soundfile.SoundFile(
            path, "w", sample_rate, 1, subtype=subtype, format=container
        ) as file:
            if comment:
                file.comment = comment
            # Vorbis keeps a whole write on its stack: a long one would end the process.
            for start in range(0, len(samples), _WRITE_BLOCK):
                file.write(np.clip(samples[start : start + _WRITE_BLOCK], -1.0, 1.0))
        with soundfile.SoundFile(path) as file:
            complete = file.frames >= len(samples)
    except soundfile.SoundFileError as error:
        detail = getattr(error, "error_string", str(error)).strip().rstrip(".")
        raise OutputError(f"cannot write {name} at {sample_rate} Hz: {detail}") from error
    if not complete:
        raise OutputError(f"the {name} file could not be written to its end; is the disk full?")
