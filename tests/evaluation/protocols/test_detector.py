"""`valle evaluate detector`: figures of known verdicts, and the controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import valle
from valle.consent import verification
from valle.corpora import augmentation
from valle.errors import UsageError
from valle.evaluation.protocols import detector
from valle.evaluation.protocols.detector import NO_CHANNEL, OWN, RECORDED
from valle.evaluation.protocols.detector_controls import measure_controls

RATE = 16_000


def make_classifications(
    row: str, synthetic: list[float], channel: str = NO_CHANNEL
) -> list[detector.Classification]:
    """Make classifications with these probabilities of synthetic speech, by four speakers."""
    return [
        detector.Classification(row, channel, f"s{number % 4}", 1 - probability, probability)
        for number, probability in enumerate(synthetic)
    ]


def test_figures_of_known_classifications() -> None:
    recorded, own = [0.1, 0.2, 0.3, 0.6], [0.7, 0.8, 0.9, 0.95]
    classifications = [
        *make_classifications(RECORDED, recorded),
        *make_classifications(OWN, own),
        *make_classifications("flite", recorded),
        *make_classifications(RECORDED, [0.1, 0.2, 0.9, 0.6], "watermark"),
    ]
    values = {
        (result.row, result.channel, result.name): result.figure.value
        for result in detector.summarize(classifications)
    }
    assert values[OWN, NO_CHANNEL, "EER"] == 0.0
    assert values["flite", NO_CHANNEL, "EER"] == pytest.approx(0.5, abs=0.13)
    limit = verification.SPOOF_LIMIT
    refused = sum(probability > limit for probability in recorded)
    assert values[RECORDED, NO_CHANNEL, "refused"] == refused / 4
    changed = detector.compare_watermarked(classifications).figure.value
    assert changed == ((limit < 0.3) != (limit < 0.9)) / 4


def test_controls_recognize_a_channel_and_nothing_else() -> None:
    rng = np.random.default_rng(0)

    def make_segments(row: str, band_limited: bool) -> list[detector.Segment]:
        segments = []
        for number in range(24):
            samples: NDArray[np.float32] = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
            if band_limited:
                samples = augmentation.band_limit(samples, 0.0, 4000.0)
            segments.append(detector.Segment(row, f"s{number % 6}", samples))
        return segments

    different = measure_controls(make_segments(RECORDED, False) + make_segments(OWN, True))
    assert all(result.figure.value < 0.1 for result in different)
    assert {result.channel for result in different} == {"nothing", "MP3", "Opus", "noise 20 dB"}
    alike = measure_controls(make_segments(RECORDED, False) + make_segments(OWN, False))
    assert all(result.figure.value > 0.2 for result in alike)


def test_bundle_without_a_detector_is_refused(
    debug_bundle: Path, babble: NDArray[np.float32]
) -> None:
    model = valle.load(debug_bundle, threads=1)
    with pytest.raises(UsageError, match="no detector"):
        detector.classify_segments(model, [detector.Segment(RECORDED, "s", babble)])
