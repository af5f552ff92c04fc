"""The evaluation of the watermark: known trials, and a small run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import valle
from evaluation_samples import VOICE
from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.metrics import coding
from valle.evaluation.metrics.statistics import wilson_interval
from valle.evaluation.protocols import watermark, watermark_attacks
from valle.evaluation.protocols.watermark import (
    Segment,
    Trial,
    read_segments,
    summarize_trials,
    synthesize_segments,
)
from valle.evaluation.protocols.watermark_attacks import everyday_changes
from valle.watermark.detect import detect_watermark

for package in ("av", "pesq", "speechmos"):
    pytest.importorskip(package, reason="needs the extra [eval]")

TEXT = "The rain has stopped, and the garden smells of mint and warm earth; shall we walk there?"


def test_known_wilson_intervals() -> None:
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


def test_rates_are_counted_by_row_and_length() -> None:
    trials = [
        Trial("nothing", "a", 3.0, True, True, False, 90.0),
        Trial("nothing", "b", 3.0, True, False, True, 50.0),
        Trial("nothing", "a", 1.0, False, False, False, 9.0),
    ]
    rates = {(r.row, r.name): r.figure.value for r in summarize_trials(trials)}
    assert rates["nothing", "detected"] == 1.0
    assert rates["nothing", "payload correct"] == 0.5
    assert rates["nothing", "payload wrong"] == 0.5
    assert rates["nothing, 1 s", "detected"] == 0.0


def test_segments_are_read_and_synthesized(tmp_path: Path) -> None:
    samples, rate = soundfile.read(VOICE)
    rows = []
    for name in ("a", "b", "out"):
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
        row = {"audio": f"{name}.wav", "corpus": "c", "speaker": name, "seconds": 6.19}
        rows.append(row | {"text": TEXT})
    manifest, heldout = tmp_path / "manifest.jsonl", tmp_path / "heldout.txt"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    heldout.write_text("a\nb\n")
    segments = read_segments([manifest], [heldout], 2)
    assert [segment.speaker for segment in segments] == ["a", "b"]
    assert all(len(segment.samples) == 3.6 * 16_000 for segment in segments)
    with pytest.raises(UsageError, match="fewer --segments"):
        read_segments([manifest], [heldout], 3)
    (synthetic,) = synthesize_segments([TEXT, TEXT], 1)
    assert len(synthetic.samples) == 3.6 * 16_000
    assert np.abs(synthetic.samples).max() > 0.05
    with pytest.raises(UsageError, match="long enough"):
        synthesize_segments(["No."], 1)


def test_a_small_evaluation(recorded: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = Segment("voice", recorded[: round(3.6 * 16_000)])
    chosen = ("nothing", "MP3 64 kbit/s", "Opus 24 kbit/s", "8 kHz, then MP3", "gain -12 dB")
    attacks = watermark_attacks.attacks(None)  # type: ignore[arg-type]
    monkeypatch.setattr(
        watermark, "attacks", lambda model: {name: attacks[name] for name in chosen}
    )
    trials = list(watermark.run_trials(None, [segment]))  # type: ignore[arg-type]
    assert [trial.row for trial in trials] == [watermark.UNMARKED, "nothing", *chosen]
    assert [trial.detected for trial in trials] == [False] + [True] * 6
    assert all(trial.payload_correct for trial in trials[2:])
    assert not any(trial.payload_wrong for trial in trials)

    quality = {r.name: r.figure.value for r in watermark.measure_quality([segment])}
    assert 4.0 < quality["PESQ"] < 4.64
    assert abs(quality["DNSMOS change"]) < 0.2
    null = watermark.measure_null([segment])
    assert all(result.figure.low <= 1.0 for result in null)
    lines = watermark.table([*summarize_trials(trials), *null]).splitlines()
    assert len(set(map(len, lines))) == 1


def test_every_attack_leaves_speech(recorded: Samples) -> None:
    samples = recorded[: 2 * 16_000]
    for name, attack in watermark_attacks.attacks(None).items():  # type: ignore[arg-type]
        if name != "own codec":
            attacked = attack(samples)
            assert attacked.dtype == np.float32
            assert np.isfinite(attacked).all()
            assert 0.9 <= len(attacked) / len(samples) <= 1.1, name
            assert (name == "nothing") == np.array_equal(attacked, samples)


def test_everyday_changes_leave_speech_and_can_be_repeated(recorded: Samples) -> None:
    samples = recorded[: 2 * 16_000]
    for name, change in everyday_changes().items():
        changed = change(samples)
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        factor = float(name.split()[1]) if name.startswith(("tempo", "speed")) else 1.0
        assert len(changed) * factor == pytest.approx(len(samples), rel=0.01), name
        assert not np.array_equal(changed[:1000], samples[:1000])
        np.testing.assert_array_equal(changed, change(samples))


def test_everyday_trials(recorded: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"telephone": everyday_changes()["telephone"]}
    monkeypatch.setattr(watermark, "everyday_changes", lambda: changes)
    segment = Segment("voice", recorded[: round(3.6 * 16_000)])
    (trial,) = watermark.run_trials(None, [segment], everyday=True)  # type: ignore[arg-type]
    assert (trial.row, trial.detected) == ("telephone", True)


def test_model_speaks_segments_without_a_watermark(model: valle.Model) -> None:
    texts = ["No.", f"{TEXT} " * 8]  # which a model of random weights speaks in a hurry
    segments = watermark.speak_segments(model, [{"audio": VOICE}], texts, 1)
    assert [len(segment.samples) for segment in segments] == [3.6 * 16_000]
    assert not detect_watermark(segments[0].samples, 16_000).found
    with pytest.raises(UsageError, match="longer sentences"):
        watermark.speak_segments(model, [{"audio": VOICE}], ["No."], 1)


def test_mp3_has_the_quality_of_its_bit_rate(recorded: Samples) -> None:
    fine, coarse = (
        coding.time_align(recorded, coding.mp3_round_trip(recorded, bit_rate), 2000)
        for bit_rate in (64_000, 16_000)
    )
    errors = [np.sum((coded - recorded)[:-2000] ** 2) for coded in (fine, coarse)]
    assert errors[0] < 0.3 * errors[1] < 0.1 * np.sum(recorded**2)
