"""The evaluation of the watermark: its figures against known answers, and a small whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valle.errors import UsageError
from valle.evaluation.metrics import signals
from valle.evaluation.metrics.statistics import wilson_interval
from valle.evaluation.protocols import watermark
from valle.evaluation.protocols.watermark import (
    Piece,
    Trial,
    made_pieces,
    real_pieces,
    trial_results,
)

for package in ("av", "pesq", "speechmos"):
    pytest.importorskip(package, reason="needs the extra [eval]")

VOICE = Path(__file__).parents[3] / "examples" / "voice.wav"
TEXT = "The rain has stopped, and the garden smells of mint and warm earth; shall we walk there?"


def test_known_intervals() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    for successes, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        share, *interval = wilson_interval(successes, trials)
        assert share == successes / trials
        assert interval == pytest.approx([low, high], abs=5e-5)
    assert wilson_interval(20, 20)[1:] == pytest.approx((1 - 0.1611, 1.0), abs=1e-4)


def test_shares_are_counted_by_row_and_length() -> None:
    made = [
        Trial("nothing", "a", 3.0, True, True, False, 90.0),
        Trial("nothing", "b", 3.0, True, False, True, 50.0),
        Trial("nothing", "a", 1.0, False, False, False, 9.0),
    ]
    found = {(r.row, r.name): r.figure.value for r in trial_results(made)}
    assert found["nothing", "found"] == 1.0 and found["nothing", "payload right"] == 0.5
    assert found["nothing", "payload wrong"] == 0.5 and found["nothing, 1 s", "found"] == 0.0


def test_material(tmp_path: Path) -> None:
    samples, rate = soundfile.read(VOICE)
    rows = []
    for name in ("a", "b", "out"):
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
        rows.append({"audio": f"{name}.wav", "speaker": name, "seconds": 6.19, "text": TEXT})
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "heldout.txt").write_text("a\nb\n")
    pieces = real_pieces(tmp_path / "manifest.jsonl", tmp_path / "heldout.txt", 2)
    assert [piece.speaker for piece in pieces] == ["a", "b"]
    assert all(len(piece.samples) == 3.6 * 16_000 for piece in pieces)
    with pytest.raises(UsageError, match="fewer --pieces"):
        real_pieces(tmp_path / "manifest.jsonl", tmp_path / "heldout.txt", 3)
    (made,) = made_pieces([TEXT, TEXT], 1)
    assert len(made.samples) == 3.6 * 16_000 and np.abs(made.samples).max() > 0.05
    with pytest.raises(UsageError, match="long enough"):
        made_pieces(["No."], 1)


def test_a_small_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _ = soundfile.read(VOICE, dtype="float32")
    piece = Piece("voice", samples[: round(3.6 * 16_000)])
    chosen = ("nothing", "MP3 64 kbit/s", "Opus 24 kbit/s", "8 kHz, then MP3", "gain -12 dB")
    every = watermark.attacks(None)  # type: ignore[arg-type]
    monkeypatch.setattr(watermark, "attacks", lambda model: {name: every[name] for name in chosen})
    trials = list(watermark.trials(None, [piece]))  # type: ignore[arg-type]
    assert [trial.row for trial in trials] == ["not marked", "nothing", *chosen]
    assert [trial.found for trial in trials] == [False] + [True] * 6
    assert all(trial.payload for trial in trials[2:]) and not any(t.misread for t in trials)

    quality = {r.name: r.figure.value for r in watermark.quality_results([piece])}
    assert 4.0 < quality["PESQ"] < 4.64 and abs(quality["DNSMOS change"]) < 0.2
    null = watermark.null_results([piece])
    assert all(result.figure.low <= 1.0 for result in null)
    lines = watermark.table([*trial_results(trials), *null]).splitlines()
    assert len(set(map(len, lines))) == 1


def test_every_attack_leaves_speech() -> None:
    samples, _ = soundfile.read(VOICE, dtype="float32")
    samples = samples[: 2 * 16_000]
    for name, attack in watermark.attacks(None).items():  # type: ignore[arg-type]
        if name != "own codec":
            changed = attack(samples)
            assert changed.dtype == np.float32 and np.isfinite(changed).all()
            assert 0.9 <= len(changed) / len(samples) <= 1.1, name
            assert (name == "nothing") == np.array_equal(changed, samples)


def test_mp3_costs_what_was_asked_for() -> None:
    samples, _ = soundfile.read(VOICE, dtype="float32")
    fine = signals.in_step(samples, signals.through_mp3(samples, 64_000), 2000)
    coarse = signals.in_step(samples, signals.through_mp3(samples, 16_000), 2000)
    errors = [np.sum((made - samples)[:-2000] ** 2) for made in (fine, coarse)]
    assert errors[0] < 0.3 * errors[1] < 0.1 * np.sum(samples**2)
