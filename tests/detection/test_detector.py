"""The detector at run time: its graph, known verdicts, and the commands that report them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from detector_material import RATE, add_to_bundle, constant_detector
from valle.bundle.bundle import Bundle
from valle.cli.main import main
from valle.consent import verification
from valle.detection.detector import (
    BONA_FIDE,
    RESYNTHESIZED,
    SYNTHETIC,
    _split_chunks,
    classify,
)
from valle.training.checkpoints import load_detector
from valle.training.export.bundle import export_bundle, random_models
from valle.training.export.import_bundle import import_bundle
from valle.training.models.detector import DETECTOR_SIZES, Detector

Samples = NDArray[np.float32]


def test_graph_equals_the_pytorch_model(
    debug_bundle: Path, tmp_path: Path, babble: Samples
) -> None:
    torch.manual_seed(3)
    detector = Detector(DETECTOR_SIZES["debug"])
    with torch.no_grad():
        for weight in detector.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    bundle = add_to_bundle(debug_bundle, tmp_path / "b", detector)
    verdict = classify(bundle, babble, RATE)
    assert verdict is not None
    with torch.no_grad():
        seconds, whole = detector(torch.from_numpy(babble)[None])
    np.testing.assert_allclose(verdict.seconds, seconds[0].softmax(-1).numpy(), atol=2e-4)
    np.testing.assert_allclose(
        list(verdict.whole.values()), whole[0].softmax(-1).numpy(), atol=2e-4
    )
    assert verdict.seconds.shape == (3, 3)
    assert np.ptp(verdict.seconds, axis=0).max() > 1e-4
    attenuated = classify(bundle, 0.1 * babble, RATE)
    assert attenuated is not None
    np.testing.assert_allclose(attenuated.seconds, verdict.seconds, atol=2e-3)


@pytest.mark.parametrize(
    ("log_odds", "length", "cut", "doubts"),
    [
        (3.0, 3.0, False, []),
        (3.0, 1.0, False, ["shorter than 2 s"]),
        (3.0, 3.0, True, ["nothing above 3.6 kHz"]),
        (0.5, 3.0, False, ["no kind is much more probable"]),
    ],
)
def test_verdict_is_unsure_of_what_is_short_cut_or_undecided(
    debug_bundle: Path, tmp_path: Path, log_odds: float, length: float, cut: bool, doubts: list[str]
) -> None:
    bundle = add_to_bundle(debug_bundle, tmp_path / "b", constant_detector(SYNTHETIC, log_odds))
    noise = np.random.default_rng(0).standard_normal(int(length * RATE))
    if cut:
        spectrum = np.fft.rfft(noise)
        spectrum[int(3400 / RATE * len(noise)) :] = 0
        noise = np.fft.irfft(spectrum, len(noise))
    verdict = classify(bundle, (0.1 * noise).astype(np.float32), RATE)
    assert verdict is not None
    assert len(verdict.doubts) == len(doubts)
    assert all(part in text for part, text in zip(doubts, verdict.doubts, strict=True))


def test_adding_a_detector_keeps_other_graphs(debug_bundle: Path, tmp_path: Path) -> None:
    bundle = add_to_bundle(debug_bundle, tmp_path / "b", constant_detector(SYNTHETIC))
    bundle.verify()
    for name, graph in Bundle.load(debug_bundle).config.graphs.items():
        assert bundle.config.graphs[name] == graph
        assert (bundle.folder / graph.file).read_bytes() == (debug_bundle / graph.file).read_bytes()


def test_probabilities_and_temperature_of_a_known_verdict(
    debug_bundle: Path, tmp_path: Path, babble: Samples
) -> None:
    detector = constant_detector(SYNTHETIC, log_odds=3.0)
    with torch.no_grad():
        detector.log_temperature.copy_(torch.tensor([0.0, math.log(2.0)]))
    verdict = classify(add_to_bundle(debug_bundle, tmp_path / "b", detector), babble, RATE)
    assert verdict is not None
    assert verdict.kind == SYNTHETIC
    # Odds of a second: e^3 to 1 to 1; of the whole, at twice the temperature: e^1.5.
    second, whole = (math.exp(x) / (math.exp(x) + 2) for x in (3.0, 1.5))
    np.testing.assert_allclose(verdict.seconds[:, 2], second, atol=1e-4)
    assert verdict.whole[SYNTHETIC] == pytest.approx(whole, abs=1e-4)


def test_spoof_score_of_consent_comes_from_the_detector(
    debug_bundle: Path, tmp_path: Path, babble: Samples
) -> None:
    spoofed, bona_fide = (
        verification.compute_spoof_score(
            add_to_bundle(debug_bundle, tmp_path / kind, constant_detector(kind)), babble
        )
        for kind in (SYNTHETIC, BONA_FIDE)
    )
    assert spoofed is not None
    assert bona_fide is not None
    assert bona_fide < 0.1 < 0.9 < spoofed  # odds of e^3 to 1 to 1
    assert bona_fide < verification.SPOOF_LIMIT < spoofed
    assert verification.compute_spoof_score(Bundle.load(debug_bundle), babble) is None


def test_detect_command_reports_the_verdict(
    debug_bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = add_to_bundle(debug_bundle, tmp_path / "b", constant_detector(SYNTHETIC))
    command = ("detect", str(recording), "--bundle")
    assert main([*command, str(bundle.folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["detector"]
    assert report["checked"]
    assert report["kind"] == SYNTHETIC
    assert "cannot_know" in report
    assert len(report["seconds"]) == 3
    assert report["probability"][SYNTHETIC] > 0.9
    assert main([*command, str(bundle.folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("result:     no watermark of valle, but it sounds synthetic")
    assert "detector:   sounds synthetic" in shown
    assert main([*command, str(debug_bundle)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("result:     no watermark of valle; nothing else could be checked")
    assert "detector:   not checked: this bundle has no detector" in shown
    bona_fide = add_to_bundle(debug_bundle, tmp_path / "bona fide", constant_detector(BONA_FIDE))
    assert main([*command, str(bona_fide.folder)]) == 0
    assert "which does not prove that a person spoke" in capsys.readouterr().out.splitlines()[0]
    pytest.importorskip("matplotlib")
    pictures = [tmp_path / "with.png", tmp_path / "without.png"]
    for folder, picture in zip((bundle.folder, debug_bundle), pictures, strict=True):
        assert main([*command, str(folder), "--picture", str(picture)]) == 0
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.05, 1.5, 19.9, 20.0, 29.0, 61.25])
def test_chunks_cover_all_samples(seconds: float) -> None:
    samples = np.arange(round(seconds * RATE), dtype=np.float32)
    chunks = _split_chunks(samples)
    assert all(len(chunk) and len(chunk) % RATE == 0 for chunk in chunks)
    assert max(map(len, chunks)) <= 30 * RATE
    covered = np.unique(np.concatenate(chunks))
    # Less than 0.1 s at the end may be left out.
    assert len(samples) - len(covered) < RATE / 10


def test_detector_round_trips_through_a_bundle(tmp_path: Path) -> None:
    detector = constant_detector(RESYNTHESIZED)
    with torch.no_grad():
        for weight in detector.parameters():  # equal tensors would be one initializer of the graph
            weight.add_(0.05 * torch.randn_like(weight))
    models = random_models("debug", seed=1)
    export_bundle(tmp_path / "b", "b", type(models)(**{**vars(models), "detector": detector}))
    stages = import_bundle(Bundle.load(tmp_path / "b"), tmp_path / "runs")
    assert stages[-1] == "detector"
    imported = load_detector(tmp_path / "runs" / "detector").state_dict()
    for name, weight in detector.state_dict().items():
        torch.testing.assert_close(imported[name], weight, atol=2e-2, rtol=0)
