"""Small films, written by PyAV: a picture with a clock, and clicks at known times."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLICK = 0.005  # seconds


@dataclass
class FilmSpec:
    """What a film has."""

    seconds: float = 4.0
    fps: Fraction = Fraction(25)
    variable: bool = False  # whether frames have unequal lengths
    start: float = 0.0  # seconds at which all of it begins
    layouts: Sequence[str] = ("stereo",)  # one per sound track
    languages: Sequence[str] = ("deu", "fra", "spa")
    clicks: Sequence[float] = (1.0, 2.5)  # seconds after `start`
    codec: str = "mpeg4"
    audio_codec: str = "aac"
    subtitles: Sequence[tuple[float, float, str]] = field(default_factory=list)
    chapters: Sequence[tuple[float, float, str]] = field(default_factory=list)
    rate: int = 48_000
    level: float = 0.5


def make_clicks(spec: FilmSpec) -> NDArray[np.float32]:
    """[samples] of short bursts."""
    samples = np.zeros(round(spec.seconds * spec.rate), np.float32)
    length = round(CLICK * spec.rate)
    for time in spec.clicks:
        at = round(time * spec.rate)
        samples[at : at + length] = (
            spec.level * np.sign(np.cos(np.arange(length) * 0.8))[: len(samples) - at]
        )
    return samples


def write_film_file(
    path: Path, spec: FilmSpec | None = None, samples: NDArray[np.float32] | None = None
) -> Path:
    """Write a film; `samples` [N] at `spec.rate` take the place of the clicks."""
    import av

    spec = FilmSpec() if spec is None else spec
    samples = make_clicks(spec) if samples is None else samples
    with av.open(str(path), "w") as container:
        video = container.add_stream(spec.codec, rate=spec.fps)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        time_base = 1 / spec.fps if spec.codec == "mpeg2video" else Fraction(1, 48_000)
        video.codec_context.time_base = time_base
        sounds = []
        for layout, language in zip(spec.layouts, spec.languages, strict=False):
            sound = container.add_stream(spec.audio_codec, rate=spec.rate, layout=layout)
            sound.metadata["language"] = language
            sounds.append(sound)
        text = container.add_mux_stream("subrip") if spec.subtitles else None
        if text is not None:
            text.metadata["language"] = "eng"
        if spec.chapters:
            container.set_chapters(
                [
                    {
                        "id": index,
                        "start": round(start * 1000),
                        "end": round(end * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for index, (start, end, title) in enumerate(spec.chapters)
                ]
            )
        packets: list[Any] = []
        for number in range(int(spec.seconds * spec.fps)):
            frame = av.VideoFrame.from_ndarray(draw_clock(number), "rgb24")
            time = Fraction(number) / spec.fps
            if spec.variable:
                time += Fraction(number % 3, 200)
            frame.pts = int((time + Fraction(spec.start)) / time_base)
            frame.time_base = time_base
            packets += video.encode(frame)
        packets += video.encode(None)
        for sound in sounds:
            packets += _encode(av, sound, samples, spec)
        for start, end, line in spec.subtitles:
            packet = av.Packet(line.encode())
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = round((start + spec.start) * 1000)
            packet.duration = round((end - start) * 1000)
            packets.append(packet)
        packets.sort(key=lambda packet: float((packet.dts or 0) * packet.time_base))
        container.mux(packets)
    return path


def _encode(av: Any, sound: Any, samples: NDArray[np.float32], spec: FilmSpec) -> list[Any]:
    context = sound.codec_context
    resampler = av.AudioResampler(
        context.format.name, context.layout, spec.rate, frame_size=context.frame_size or 1024
    )
    layout = context.layout.name
    planes = np.repeat(samples[None], context.layout.nb_channels, axis=0)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), "fltp", layout)
    frame.sample_rate, frame.time_base = spec.rate, Fraction(1, spec.rate)
    frame.pts = round(spec.start * spec.rate)
    packets = []
    for part in (frame, None):
        for converted in resampler.resample(part):
            packets += sound.encode(converted)
    return [*packets, *sound.encode(None)]


def draw_clock(number: int) -> NDArray[np.uint8]:
    """A picture [90, 160, 3] with a bar that moves, and the number in binary squares."""
    picture = np.full((90, 160, 3), 40, np.uint8)
    picture[60:80, : 1 + number % 160] = (200, 120, 40)
    for bit in range(12):
        if number >> bit & 1:
            picture[10:20, 4 + 12 * bit : 12 + 12 * bit] = 255
    return picture


def hash_pictures(path: Path) -> list[tuple[float, str]]:
    """The time in ms and the hash of every packet of pictures."""
    import av

    with av.open(str(path)) as container:
        return [
            (round(float(packet.pts * packet.time_base) * 1000), hashlib.sha256(packet).hexdigest())
            for packet in container.demux(video=0)
            if packet.size
        ]


def read_samples(path: Path, track: int = 0) -> NDArray[np.float32]:
    """[samples] of a track's first channel at 48 kHz as FFmpeg's own tool plays it, from time 0."""
    import subprocess

    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", f"0:a:{track}"]
    command += ["-af", "aresample=async=1:first_pts=0,pan=mono|c0=c0"]
    raw = subprocess.run(
        [*command, "-f", "f32le", "-ar", "48000", "-"], capture_output=True, check=True
    )
    return np.frombuffer(raw.stdout, np.float32)


def find_clicks(samples: NDArray[np.float32], rate: int, level: float = 0.3) -> list[float]:
    """The times in seconds at which bursts begin."""
    loud = np.flatnonzero(np.abs(samples) > level)
    if not len(loud):
        return []
    begins = loud[np.flatnonzero(np.diff(loud, prepend=-rate) > rate // 10)]
    return [float(begin / rate) for begin in begins]
