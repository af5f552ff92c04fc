"""The evaluation of the detector: known classifications, controls, a bundle without one."""

from __future__ import annotations

import numpy as np
import pytest

import valle
from conftest import RATE
from valle.arrays import Samples
from valle.consent.verification import SPOOF_LIMIT
from valle.corpora import augmentation
from valle.errors import UsageError
from valle.evaluation.protocols import detector, detector_controls
from valle.evaluation.protocols.detector import OWN, RECORDED, Classification, Segment


def classify(
    row: str, synthetic: list[float], channel: str = detector.NO_CHANNEL
) -> list[Classification]:
    return [
        Classification(row, channel, f"s{number % 4}", 1 - probability, probability)
        for number, probability in enumerate(synthetic)
    ]


def test_figures_of_known_classifications() -> None:
    recorded, synthesized = [0.1, 0.2, 0.3, 0.6], [0.7, 0.8, 0.9, 0.95]
    items = classify(RECORDED, recorded) + classify(OWN, synthesized) + classify("flite", recorded)
    items += classify(RECORDED, [0.1, 0.2, 0.9, 0.6], "watermark")
    figures = {(r.row, r.channel, r.name): r.figure.value for r in detector.summarize(items)}
    assert figures[OWN, "nothing", "EER"] == 0.0
    assert figures["flite", "nothing", "EER"] == pytest.approx(0.5, abs=0.13)
    refused = sum(probability > SPOOF_LIMIT for probability in recorded) / 4
    assert figures[RECORDED, "nothing", "refused"] == refused
    assert figures[RECORDED, "nothing", "synthetic"] == 1 / 4
    changed = detector.compare_watermarked(items).figure.value
    assert changed == ((SPOOF_LIMIT < 0.3) != (SPOOF_LIMIT < 0.9)) / 4


def test_controls_detect_a_channel_and_nothing_else() -> None:
    rng = np.random.default_rng(0)

    def segments(row: str, dull: bool) -> list[Segment]:
        noise = []
        for number in range(24):
            samples = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
            if dull:
                samples = augmentation.band_limit(samples, 0.0, 4000.0)
            noise.append(Segment(row, f"s{number % 6}", samples))
        return noise

    measure = detector_controls.measure_controls
    different = measure(segments(RECORDED, False) + segments(OWN, True))
    assert all(result.figure.value < 0.1 for result in different)
    channels = {result.channel for result in different}
    assert channels == {"nothing", "MP3", "Opus", "noise 20 dB"}
    alike = measure(segments(RECORDED, False) + segments(OWN, False))
    assert all(result.figure.value > 0.2 for result in alike)


def test_a_bundle_without_a_detector_is_refused(model: valle.Model, babble: Samples) -> None:
    with pytest.raises(UsageError, match="no detector"):
        detector.classify_segments(model, [Segment(RECORDED, "s", babble)])
