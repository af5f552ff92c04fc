"""Films: their tracks, and their sound placed on the film's clock.

The clock of a film starts where players start to count, and subtitles with them: at the time 0 of
MP4, MOV, Matroska and WebM, even where the first picture comes later, and at the first packet of
formats without such a time (transport streams, AVI). Edit lists and variable frame rates are in the
packets' times, so nothing is computed from frame numbers. Sound is placed by these times to the
sample, with silence where the track has gaps.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from valle.arrays import Samples
from valle.audio.containers import MAX_FRAME_VALUES, Kind, find_truncation, identify
from valle.errors import RecordingError, UsageError

INSTALL = "`pip install 'valle[media]'`, or `pip install '.[media]'` in a checkout"
_ABSOLUTE_CLOCKS = ("mov", "matroska")
_JITTER = 0.02  # seconds by which packets' times may differ from their samples: some are rounded
_SEEK_MARGIN = 1.0  # seconds that are decoded before the ones asked for


@dataclass(frozen=True)
class Track:
    """A stream of a film."""

    index: int
    """Of the stream in its file, from 0."""
    kind: str
    """`video`, `audio`, `subtitle`, `data` or `attachment`."""
    codec: str
    language: str | None
    """As the file says it, usually three letters (ISO 639-2)."""
    title: str | None
    is_default: bool
    rate: int
    """Hz; 0 for what is not sound."""
    channels: int


@dataclass(frozen=True)
class Film:
    """A film file, as its headers describe it."""

    path: Path
    kind: Kind
    origin: Fraction
    """Time in the file, in seconds, at which the film's clock is 0."""
    seconds: float
    """Its end, on its clock."""
    tracks: tuple[Track, ...]

    @property
    def sounds(self) -> list[Track]:
        """The tracks with sound, in order."""
        return [track for track in self.tracks if track.kind == "audio"]

    @property
    def fingerprint(self) -> str:
        """What tells this file from others and from other versions of it, without reading it.

        Raises:
            RecordingError: The file is gone.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {error.strerror}") from error
        return f"{self.path.resolve()} {status.st_size} {status.st_mtime_ns}"


def read_film(path: str | Path) -> Film:
    """Read the headers of a film, or of a recording in one of the same containers.

    Raises:
        RecordingError: It is missing, cut off, damaged, or not a film.
        UsageError: PyAV is not installed.
    """
    path = Path(path)
    with open_film(path) as (container, kind):
        tracks = tuple(_describe_track(stream) for stream in container.streams)
        start = Fraction(container.start_time or 0, 1_000_000)
        origin = Fraction(0) if kind.demuxer in _ABSOLUTE_CLOCKS else start
        seconds = (container.duration or 0) / 1e6
        if kind.demuxer != "matroska":  # whose duration counts from 0 already
            seconds += float(start - origin)
    if not any(track.kind in ("video", "audio") for track in tracks):
        raise RecordingError(f"{path} is {kind.name} with neither picture nor sound")
    if seconds <= 0:
        raise RecordingError(
            f"{path} is {kind.name} that does not state its length; remux it: "
            f"ffmpeg -i {path.name} -c copy whole.mkv"
        )
    return Film(path, kind, origin, seconds, tracks)


@contextlib.contextmanager
def open_film(path: Path) -> Iterator[tuple[Any, Kind]]:
    """Open a film for reading.

    FFmpeg is given an open file and the name of its format, so that it opens nothing else.

    Raises:
        RecordingError: It is missing, cut off, damaged, or not a film.
        UsageError: PyAV is not installed.
    """
    av = import_av()
    with _open_file(path) as file:
        kind = identify(file)
        if kind.demuxer is None:
            what = f"it is {kind.name}" if kind.name else "it is none of the known formats"
            raise RecordingError(
                f"{path} cannot be read as a film: {what}; give MP4, MOV, MKV, WebM, AVI or TS"
            )
        if reason := find_truncation(file, kind):
            raise RecordingError(
                f"{path} is {kind.name} that is cut off: {reason}; copy or export it again"
            )
        file.seek(0)
        try:
            with av.open(file, format=kind.demuxer, metadata_errors="replace") as container:
                yield container, kind
        except av.error.FFmpegError as error:
            raise RecordingError(
                f"{path} is {kind.name} that cannot be read ({error.strerror}): it is damaged, "
                "or in an unusual codec; export it again"
            ) from error


def import_av() -> Any:
    """Return PyAV.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import av
    except ImportError:
        raise UsageError(f"films need the extra `media` ({INSTALL})") from None
    return av


def choose_sound(film: Film, wanted: str | None = None) -> Track | None:
    """Return a track with sound: by language or number, else the default, else the first one.

    Args:
        film: The film.
        wanted: A language as the film says it, or the number of the track among those with sound,
            from 1.

    Returns:
        None if the film has no sound and none was asked for.

    Raises:
        UsageError: There is no such track.
    """
    sounds = film.sounds
    if wanted is None:
        return next((track for track in sounds if track.is_default), sounds[0] if sounds else None)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(sounds):
        return sounds[int(wanted) - 1]
    for track in sounds:
        if track.language is not None and track.language.casefold() == wanted.casefold():
            return track
    found = ", ".join(f"{n} ({t.language or 'no language'})" for n, t in enumerate(sounds, 1))
    raise UsageError(
        f"{film.path} has no track {wanted!r} with sound; it has {found or 'no sound at all'}"
    )


def read_sound(
    film: Film,
    track: Track,
    rate: int,
    channels: int = 1,
    span: tuple[float, float] | None = None,
) -> Iterator[Samples]:
    """Yield the sound of a track in blocks, from the beginning of a span of the film's clock.

    Sample n of all blocks is at `span[0] + n / rate` seconds. Gaps are silent; more channels than
    asked for are mixed down, as ITU-R BS.775 says.

    Args:
        film: The film.
        track: One of `film.sounds`.
        rate: Hz; the sound is resampled.
        channels: 1 or 2.
        span: Begin and end in seconds; None for the whole film.

    Yields:
        [channels, n] in [-1, 1] and beyond, where mixing down adds up. They end with the span or
        with the track.

    Raises:
        RecordingError: The film is damaged.
    """
    start, end = (0.0, film.seconds) if span is None else span
    if not track.rate:
        raise RecordingError(f"{film.path} does not state the sample rate of its sound")
    resampler = soxr.ResampleStream(track.rate, rate, channels, "float32")
    blocks = _place(film, track, channels, start, end)
    left = round((end - start) * rate)
    for block, is_last in _mark_last(blocks):
        resampled = resampler.resample_chunk(np.ascontiguousarray(block.T), last=is_last)
        samples = resampled.reshape(-1, channels).T[:, :left]
        left -= samples.shape[1]
        if samples.size:
            yield samples


def _place(
    film: Film, track: Track, channels: int, start: float, end: float
) -> Iterator[NDArray[np.float32]]:
    """Yield [channels, n] from `start` to `end` at the rate of the track, placed by its times."""
    position = 0  # samples after `start` that were yielded
    last = round((end - start) * track.rate)
    following: int | None = None  # where the next frame begins if there is no gap
    for time, samples in _decode(film, track, channels, start):
        at = round((time - start) * track.rate)
        if following is not None and abs(at - following) <= _JITTER * track.rate:
            at = following
        following = at + samples.shape[1]
        silence = min(at, last) - position
        for first in range(0, silence, track.rate):  # a long gap must not fill the memory
            yield np.zeros((channels, min(track.rate, silence - first)), np.float32)
        position += max(0, silence)
        part = samples[:, max(0, position - at) : max(0, last - at)]
        if part.shape[1]:
            yield part
            position += part.shape[1]
        if position >= last:
            return


def _decode(
    film: Film, track: Track, channels: int, start: float
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Yield the frames of a track as (time on the film's clock, samples [channels, n])."""
    av = import_av()
    layout = "mono" if channels == 1 else "stereo"
    resampler, properties = None, ""
    with open_film(film.path) as (container, _):
        stream = container.streams[track.index]
        stream.thread_type = "NONE"
        if start > _SEEK_MARGIN:
            container.seek(round((start + float(film.origin) - _SEEK_MARGIN) * 1e6))
        time = 0.0
        for frame in container.decode(stream):
            if frame.samples * frame.layout.nb_channels > MAX_FRAME_VALUES:
                raise RecordingError(f"{film.path} has frames too large to be sound")
            if frame.pts is not None:
                time = float(frame.pts * frame.time_base - film.origin)
            described = f"{frame.format.name} {frame.layout.name} {frame.sample_rate}"
            if described != properties:
                resampler, properties = av.AudioResampler("fltp", layout, track.rate), described
            frame.pts = None
            assert resampler is not None
            for converted in resampler.resample(frame):
                yield time, converted.to_ndarray()
                time += converted.samples / track.rate


def _mark_last(
    blocks: Iterator[NDArray[np.float32]],
) -> Iterator[tuple[NDArray[np.float32], bool]]:
    previous = next(blocks, None)
    if previous is None:
        return
    for block in blocks:
        yield previous, False
        previous = block
    yield previous, True


def _describe_track(stream: Any) -> Track:
    context: Any = getattr(stream, "codec_context", None)
    is_sound = stream.type == "audio" and context is not None
    return Track(
        index=stream.index,
        kind=stream.type,
        codec=context.name if context is not None else "",
        language=stream.metadata.get("language"),
        title=stream.metadata.get("title") or stream.metadata.get("handler_name"),
        is_default=bool(stream.disposition & import_av().stream.Disposition.default),
        rate=context.sample_rate if is_sound else 0,
        channels=context.layout.nb_channels if is_sound else 0,
    )


def _open_file(path: Path) -> BinaryIO:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise RecordingError(f"{path} is a folder; give the film in it")
        if not stat.S_ISREG(mode):
            raise RecordingError(f"{path} is not a regular file; films are read more than once")
        if not os.path.getsize(path):
            raise RecordingError(f"{path} is empty (0 bytes)")
        return open(path, "rb")
    except FileNotFoundError:
        raise RecordingError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordingError(f"cannot open {str(path)!r}: {reason}") from error
