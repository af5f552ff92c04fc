"""Small files in the containers of phones, browsers and videos, written by PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# ending: (codec, FFmpeg's name of the format, whether there is a picture)
MEDIA = {
    "m4a": ("aac", "ipod", False),
    "aac": ("aac", "adts", False),
    "mp4": ("aac", "mp4", True),
    "mov": ("aac", "mov", True),
    "3gp": ("aac", "3gp", False),
    "mkv": ("libopus", "matroska", True),
    "webm": ("libopus", "webm", False),
}


def write_media_file(
    path: Path,
    samples: NDArray[np.float32],
    rate: int,
    kind: str | None = None,
    codec: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write [N] or [N, channels] samples; `kind` is a key of `MEDIA`, by default the ending.

    `options` are those of FFmpeg's muxer.
    """
    import av

    default_codec, container_format, has_picture = MEDIA[kind or path.suffix[1:]]
    planes = np.ascontiguousarray(samples[None] if samples.ndim == 1 else samples.T)
    layout = "mono" if len(planes) == 1 else "stereo"
    with av.open(str(path), "w", format=container_format, options=options or {}) as container:
        stream = container.add_stream(codec or default_codec, rate=rate, layout=layout)
        picture = container.add_stream("mpeg4", rate=5) if has_picture else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
            for number in range(int(5 * planes.shape[1] / rate)):
                image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
                image.pts, image.time_base = number, Fraction(1, 5)
                container.mux(picture.encode(image))
            container.mux(picture.encode(None))
        resampler = av.AudioResampler(
            stream.codec_context.format.name, layout, stream.codec_context.sample_rate
        )
        frame = av.AudioFrame.from_ndarray(planes.astype(np.float32), "fltp", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for part in (frame, None):
            for converted in resampler.resample(part):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def write_silent_video(path: Path) -> Path:
    """Write an MP4 without sound."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(10):
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path
