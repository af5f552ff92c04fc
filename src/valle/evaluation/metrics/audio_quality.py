"""Perceptual quality of a recording: PESQ and STOI against a reference, DNSMOS without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from valle.arrays import Samples
from valle.bundle.session import import_onnxruntime
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.packages import import_optional


def pesq(reference: Samples, degraded: Samples) -> float | None:
    """Wide-band PESQ (ITU-T P.862.2), about 1 to 4.64; None where it finds no speech.

    Args:
        reference: [N] in [-1, 1] at 16 kHz.
        degraded: [N], time-aligned with the reference.
    """
    library = import_optional("pesq")
    try:
        return float(library.pesq(EVALUATION_RATE, reference, degraded, "wb"))
    except library.NoUtterancesError:
        return None


def stoi(reference: Samples, degraded: Samples) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), 0 to 1; arguments as for `pesq`."""
    return float(import_optional("pystoi").stoi(reference, degraded, EVALUATION_RATE))


class DNSMOS:
    """Overall quality as listeners would rate it, 1 to 5 (DNSMOS P.835, Reddy et al. 2022).

    Raises:
        UsageError: speechmos is not installed.
    """

    def __init__(self) -> None:
        library = import_optional("speechmos.dnsmos")
        models = Path(library.__file__).parent / "dnsmos_models"
        # Sessions of our own: those of speechmos take all processors, and run a second model, which
        # is not needed here and doubles the cost.
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(models / "sig_bak_ovr.onnx", options)
        self._length = round(library.INPUT_LENGTH * EVALUATION_RATE)
        self._calibrate = library.DNSMOS.get_polyfit_val

    def rate(self, samples: Samples) -> float:
        """The overall rating of `samples` [N] in [-1, 1] at 16 kHz; less than 9 s is repeated."""
        repeats = -(-self._length // len(samples))
        padded = np.tile(np.clip(samples, -1.0, 1.0).astype(np.float32), repeats)
        if repeats > 1:
            padded = padded[: self._length]
        ratings = []
        for start in range(0, len(padded) - self._length + 1, EVALUATION_RATE):
            window = padded[start : start + self._length][None]
            raw = self._session.run(None, {"input_1": window})[0][0]
            ratings.append(self._calibrate(None, *raw, False)[2])
        return float(np.mean(ratings))
