"""Speech through other codecs and back: Opus, the baseline of our codec, and MP3."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np

from valle.arrays import Samples
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.packages import import_optional

OPUS_LOWEST = 6000  # bits per second: the lowest rate that Opus is made for


@dataclass(frozen=True)
class _Format:
    container: str
    encoder: str
    sample_format: str
    options: dict[str, str] = field(default_factory=dict)


_OPUS = _Format("ogg", "libopus", "flt", {"application": "voip", "vbr": "off"})
_MP3 = _Format("mp3", "libmp3lame", "fltp")


def opus_round_trip(samples: Samples, bit_rate: int = OPUS_LOWEST) -> tuple[Samples, float]:
    """Encode and decode with Opus.

    Args:
        samples: [N] in [-1, 1] at 16 kHz.
        bit_rate: requested bits per second.

    Returns:
        The decoded samples [N], and the bits per second that were really used.
    """
    return _round_trip(samples, _OPUS, bit_rate)


def mp3_round_trip(samples: Samples, bit_rate: int) -> Samples:
    """Encode `samples` [N] at 16 kHz with MP3 at `bit_rate` bits per second, and decode them."""
    return _round_trip(samples, _MP3, bit_rate)[0]


def _round_trip(samples: Samples, codec: _Format, bit_rate: int) -> tuple[Samples, float]:
    av = import_optional("av")
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as container:
        stream = container.add_stream(codec.encoder, rate=EVALUATION_RATE, layout="mono")
        stream.bit_rate = bit_rate
        stream.options = codec.options
        row = samples[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(row, codec.sample_format, "mono")
        frame.sample_rate = EVALUATION_RATE
        packets = [*stream.encode(frame), *stream.encode(None)]
        bits = 8 * sum(packet.size for packet in packets)
        container.mux(packets)
    file.seek(0)
    resampler = av.AudioResampler("flt", "mono", EVALUATION_RATE)
    with av.open(file) as container:
        chunks = [
            chunk.to_ndarray()[0]
            for frame in (*container.decode(audio=0), None)
            for chunk in resampler.resample(frame)
        ]
    decoded = np.concatenate(chunks).astype(np.float32)
    fitted = np.zeros(len(samples), np.float32)
    fitted[: len(decoded)] = decoded[: len(samples)]
    return fitted, bits / (len(samples) / EVALUATION_RATE)


def time_align(reference: Samples, delayed: Samples, max_delay: int = 400) -> Samples:
    """Shift `delayed` by the delay of up to `max_delay` samples that correlates best.

    Args:
        reference: [N].
        delayed: [M], the same speech, early or late.
        max_delay: samples, in both directions.

    Returns:
        [M], rotated by the delay.
    """
    size = 1 << (len(reference) + len(delayed)).bit_length()
    spectrum = np.fft.rfft(reference, size).conj() * np.fft.rfft(delayed, size)
    correlation = np.fft.irfft(spectrum, size)
    delays = np.arange(-max_delay, max_delay + 1)
    delay = int(delays[np.argmax(correlation[delays])])
    return np.roll(delayed, -delay) if delay else delayed
