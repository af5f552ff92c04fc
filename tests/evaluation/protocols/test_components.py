"""The components by themselves: known measurements, a lossless codec, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import valle
from evaluation_samples import OTHERS, TRANSCRIPT, VOICE
from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.alignment_plot import save_alignment_plot
from valle.evaluation.material import HeldoutUtterance, Speaker
from valle.evaluation.metrics.calibration import ScoredPhonemes
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.protocols import components
from valle.evaluation.protocols.components import Measurement

for package in ("av", "pesq", "pocketsphinx", "pystoi", "resemblyzer", "speechmos"):
    pytest.importorskip(package, reason="needs the extra [eval]")


def speaker(name: str, samples: Samples) -> Speaker:
    utterance = HeldoutUtterance(VOICE, TRANSCRIPT)
    return Speaker(name, components.NATIVE, samples[: 3 * 16_000], (utterance,))


def values(results: list[components.Result]) -> dict[tuple[str, str], float]:
    return {(result.row, result.name): result.figure.value for result in results}


def test_results_are_ratios_of_sums_and_the_boundary_error_a_median() -> None:
    measured: list[Measurement | ScoredPhonemes] = [
        Measurement("synthetic", "phoneme error rate", "x", 2.0, 10.0),
        Measurement("synthetic", "phoneme error rate", "y", 4.0, 30.0),
        *(Measurement("synthetic", components.BOUNDARY_ERROR, "x", e) for e in (0.0, 0.02, 0.5)),
        ScoredPhonemes("native", "y", np.full(3, 1.0), np.ones(3)),
    ]
    rate, boundary, calibration = components.summarize(measured)
    assert rate.figure.value == pytest.approx(6 / 40)
    assert rate.clips == 2
    assert rate.figure.low == pytest.approx(4 / 30)
    assert rate.figure.high == pytest.approx(0.2)
    assert boundary.figure.value == 0.02
    assert calibration.name == "expected calibration error"
    assert calibration.figure.value == 0.0
    lines = components.table([rate, boundary]).splitlines()
    assert len(lines) == 2
    assert "0.150" in lines[0]
    assert len(set(map(len, lines))) == 1


class LosslessCodec:
    """Stands for a model whose codec loses nothing, but may have a delay."""

    def __init__(self, delay: int = 0) -> None:
        self.codec, self.delay = self, delay

    def encode(self, samples: Samples) -> Samples:
        return samples

    def decode(self, codes: Samples) -> Samples:
        return np.pad(codes, (self.delay, 320))


def measure_codec(delay: int, recorded: Samples) -> dict[tuple[str, str], float]:
    model: Any = LosslessCodec(delay)
    measured = components.measure_codec(
        model, [speaker("a", recorded)], OTHERS[:2], SentenceIdentifier()
    )
    return values(components.summarize(list(measured)))


def test_a_lossless_codec_is_as_good_as_the_ground_truth(recorded: Samples) -> None:
    figures = measure_codec(0, recorded)
    assert figures["codec", "speaker similarity"] == pytest.approx(1.0, abs=1e-3)
    assert figures["codec", "PESQ"] == pytest.approx(4.64, abs=0.01)
    assert figures["codec", "STOI"] == pytest.approx(1.0, abs=1e-3)
    assert figures["codec", "DNSMOS"] == pytest.approx(figures["ground truth", "DNSMOS"])
    assert figures["ground truth", "sentence identification"] == 1.0
    assert figures["codec", "sentence identification"] == 1.0
    assert figures["opus", "speaker similarity"] < 0.97
    assert figures["codec", "rtf"] < 1.0


def test_a_delay_of_the_codec_is_not_compensated(recorded: Samples) -> None:
    figures = measure_codec(320, recorded)
    assert figures["codec", "STOI"] < 0.9
    assert figures["codec", "speaker similarity"] > 0.97


def test_random_weights_measure_badly(model: valle.Model, recorded: Samples) -> None:
    speakers = [speaker("a", recorded), speaker("b", recorded[::-1].copy())]
    measured = components.measure_recognizer(model, speakers[:1], OTHERS[:2], synthetic_speakers=2)
    figures = values(components.summarize(list(measured)))
    assert figures["native", "phoneme error rate"] > 0.8
    assert figures["synthetic", "phoneme error rate"] > 0.8
    assert figures["synthetic", components.BOUNDARY_ERROR] >= 0.02
    ours, theirs, difference = components.measure_speaker_encoder(model, speakers)
    assert difference.figure.value == pytest.approx(ours.figure.value - theirs.figure.value)
    assert (ours.row, theirs.row) == ("ours", "Resemblyzer")
    assert ours.clips == theirs.clips > 3
    assert 0.0 <= theirs.figure.value <= 1.0


def test_the_alignment_is_plotted(model: valle.Model, recorded: Samples, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    target = tmp_path / "alignment.png"
    speakers = [speaker(name, recorded) for name in "abcd"]
    save_alignment_plot(target, model, speakers)
    assert target.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"\.png"):
        save_alignment_plot(tmp_path / "alignment.wav", model, speakers)
    assert not (tmp_path / "alignment.wav").exists()
