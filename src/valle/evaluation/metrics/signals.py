"""Judges of how a recording sounds beside its original, all made by others.

PESQ and STOI compare with the original, DNSMOS hears the recording alone, Opus is what our codec is
compared with. They need the extra `eval`; importing this file does not.
"""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.metrics.judges import JUDGE_RATE, missing_package

OPUS_LOWEST = 6000  # bits a second: the least that Opus is made for


def pesq(original: Samples, made: Samples) -> float | None:
    """Wide-band PESQ (ITU-T P.862.2), about 1 to 4.64; None where it finds no speech.

    Args:
        original, made: [N] in [-1, 1] at 16 kHz, equally long and in step.
    """
    library = _needed("pesq")
    try:
        return float(library.pesq(JUDGE_RATE, original, made, "wb"))
    except library.NoUtterancesError:
        return None


def stoi(original: Samples, made: Samples) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), 0 to 1; arguments as for `pesq`."""
    return float(_needed("pystoi").stoi(original, made, JUDGE_RATE))


class QualityJudge:
    """Overall quality as listeners would rate it, 1 to 5 (DNSMOS P.835, Reddy et al. 2022).

    Raises:
        UsageError: speechmos is not installed.
    """

    def __init__(self) -> None:
        library = _needed("speechmos.dnsmos")
        models = Path(library.__file__).parent / "dnsmos_models"
        # Sessions of our own: those of speechmos take all processors, and a second model, which
        # is not asked for here, costs as much again.
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(models / "sig_bak_ovr.onnx", options)
        self._length = round(library.INPUT_LENGTH * JUDGE_RATE)
        self._scale = library.DNSMOS.get_polyfit_val

    def overall(self, samples: Samples) -> float:
        """The rating of `samples` [N] in [-1, 1] at 16 kHz; less than 9 s is repeated."""
        repeats = -(-self._length // len(samples))
        whole = np.tile(np.clip(samples, -1.0, 1.0).astype(np.float32), repeats)
        if repeats > 1:
            whole = whole[: self._length]
        ratings = []
        for start in range(0, len(whole) - self._length + 1, JUDGE_RATE):
            piece = whole[start : start + self._length][None]
            raw = self._session.run(None, {"input_1": piece})[0][0]
            ratings.append(self._scale(None, *raw, False)[2])
        return float(np.mean(ratings))


def through_opus(samples: Samples, bits_a_second: int = OPUS_LOWEST) -> tuple[Samples, float]:
    """`samples` [N] at 16 kHz through Opus and back, and the bits a second that it really took."""
    options = {"application": "voip", "vbr": "off"}
    return _through(samples, "ogg", "libopus", "flt", bits_a_second, options)


def through_mp3(samples: Samples, bits_a_second: int) -> Samples:
    """`samples` [N] at 16 kHz through MP3 and back."""
    return _through(samples, "mp3", "libmp3lame", "fltp", bits_a_second, {})[0]


def _through(
    samples: Samples,
    container_format: str,
    encoder: str,
    sample_format: str,
    bits_a_second: int,
    options: dict[str, str],
) -> tuple[Samples, float]:
    av = _needed("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(encoder, rate=JUDGE_RATE, layout="mono")
        stream.bit_rate = bits_a_second
        stream.options = options
        row = samples[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(row, sample_format, "mono")
        frame.sample_rate = JUDGE_RATE
        packets = [*stream.encode(frame), *stream.encode(None)]
        bits = 8 * sum(packet.size for packet in packets)
        container.mux(packets)
    file.seek(0)
    resampler = av.AudioResampler("flt", "mono", JUDGE_RATE)
    with av.open(file) as container:
        pieces = [
            piece.to_ndarray()[0]
            for frame in (*container.decode(audio=0), None)
            for piece in resampler.resample(frame)
        ]
    decoded = np.concatenate(pieces).astype(np.float32)
    made = np.zeros(len(samples), np.float32)
    made[: len(decoded)] = decoded[: len(samples)]
    return made, bits / (len(samples) / JUDGE_RATE)


def in_step(original: Samples, made: Samples, furthest: int = 400) -> Samples:
    """`made` moved by the delay, up to `furthest` samples, at which it fits the original best."""
    size = 1 << (len(original) + len(made)).bit_length()
    spectra = np.fft.rfft(original, size).conj() * np.fft.rfft(made, size)
    likeness = np.fft.irfft(spectra, size)
    delays = np.arange(-furthest, furthest + 1)
    delay = int(delays[np.argmax(likeness[delays])])
    return np.roll(made, -delay) if delay else made


def _needed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(missing_package(name.split(".")[0], error)) from error
