"""Paired comparison of two reports: pairing, significance, and false positives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from command_line import expect_success, expect_usage_error
from valle.cli.main import main
from valle.errors import UsageError
from valle.evaluation import comparison
from valle.evaluation.comparison import Difference, compare, find_other_settings, read_report, table
from valle.evaluation.metrics.word_errors import WordErrors
from valle.evaluation.report import Clip, clip_rows, report

SPEAKERS, TEXTS = 12, 8


def make_clips(
    errors: Callable[[np.random.Generator, float], int], seed: int, speakers: int = SPEAKERS
) -> list[Clip]:
    """Clips of ten words; some speakers are harder than others, whatever the seed."""
    rng = np.random.default_rng(seed)
    hardness = np.random.default_rng(99).uniform(0.5, 2.0, speakers)
    clips = []
    for speaker in range(speakers):
        for text in range(TEXTS):
            edits = errors(rng, float(hardness[speaker]))
            words = WordErrors("", "", edits, 0, 0, 10, 3 * edits, 50)
            pitch = float(5.0 + rng.standard_normal())
            name = f"s{speaker}"
            values = ("synthesized", name, "c", f"t{text}", 2.0, 0.8, 0.5, True, pitch)
            clips.append(Clip(*values, words=words, quality=float(3 + 0.1 * rng.standard_normal())))
    return clips


def poisson(rate: float) -> Callable[[np.random.Generator, float], int]:
    return lambda rng, hardness: min(10, int(rng.poisson(rate * hardness)))


def write_report(path: Path, clips: list[Clip], **settings: object) -> Path:
    path.write_text(json.dumps(report("quick", clip_rows(clips), **settings)), encoding="utf-8")
    return path


def differences_of(tmp_path: Path, first: list[Clip], second: list[Clip]) -> dict[str, Difference]:
    reports = [
        read_report(write_report(tmp_path / f"{place}.json", clips))
        for place, clips in enumerate((first, second))
    ]
    return {difference.metric: difference for difference in compare(*reports)}


def test_same_clips_do_not_differ(tmp_path: Path) -> None:
    clips = make_clips(poisson(1.0), 0)
    for difference in differences_of(tmp_path, clips, clips).values():
        assert difference.first == difference.second
        assert (difference.low, difference.high) == (0.0, 0.0)
        assert difference.p == 1.0
        assert not difference.is_worse


def test_more_errors_are_worse_and_fewer_are_not(tmp_path: Path) -> None:
    good, bad = make_clips(poisson(0.5), 0), make_clips(poisson(1.5), 1)
    worse = differences_of(tmp_path, good, bad)["word_error_rate"]
    assert worse.is_worse
    assert worse.low > 0.0
    assert worse.clips == SPEAKERS * TEXTS
    assert worse.speakers == SPEAKERS
    exact = sum(clip.words.word_edits for clip in bad if clip.words) / (10 * len(bad))
    assert worse.second == pytest.approx(exact)
    better = differences_of(tmp_path, bad, good)
    assert better["word_error_rate"].is_significant
    assert not any(difference.is_worse for difference in better.values())
    assert "better" in table(list(better.values()))


def test_difference_of_medians(tmp_path: Path) -> None:
    clips = make_clips(poisson(1.0), 0)
    wider = [replace(clip, pitch_range=(clip.pitch_range or 0.0) + 2.0) for clip in clips]
    pitch = differences_of(tmp_path, clips, wider)["pitch_range_semitones"]
    assert pitch.second - pitch.first == pytest.approx(2.0)
    assert pitch.is_significant
    assert not pitch.is_worse  # neither direction is better


def test_alike_systems_come_out_even(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_RESAMPLES", 600)  # as fine as it must be here
    trials, alarms = 100, 0
    for trial in range(trials):
        first, second = (
            [replace(clip, pitch_range=None) for clip in make_clips(poisson(1.0), seed, speakers=8)]
            for seed in (2 * trial, 2 * trial + 1)
        )
        differences = differences_of(tmp_path, first, second)
        alarms += any(difference.is_significant for difference in differences.values())
    assert alarms <= 0.05 * trials + 3 * (0.05 * 0.95 * trials) ** 0.5


def test_clips_are_paired_whatever_their_order(tmp_path: Path) -> None:
    clips = make_clips(poisson(1.0), 0)
    reverse = differences_of(tmp_path, clips, clips[::-1])
    assert reverse["word_error_rate"].p == 1.0
    half = differences_of(tmp_path, clips, clips[: len(clips) // 2])
    assert half["word_error_rate"].clips == len(clips) // 2


def test_what_was_not_measured_alike_is_named(tmp_path: Path) -> None:
    clips = make_clips(poisson(1.0), 0)
    first = read_report(write_report(tmp_path / "a.json", clips, seed=0, bundle="a"))
    second = read_report(write_report(tmp_path / "b.json", clips[1:], seed=1, bundle="b"))
    assert find_other_settings(first, second) == ["seed", "1 clips that only one of them has"]


def test_groups_are_compared_apart(tmp_path: Path) -> None:
    good, bad = make_clips(poisson(0.5), 0), make_clips(poisson(2.0), 1)
    for name, accented in (("a", good), ("b", bad)):
        groups = {"native": {"clips": [asdict(c) for c in good]}}
        groups["accented"] = {"clips": [asdict(c) for c in accented]}
        content = report("intelligibility", {"groups": groups})
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    differences = compare(*(read_report(tmp_path / f"{name}.json") for name in "ab"))
    worse = {d.row for d in differences if d.is_worse}
    assert worse == {"accented synthesized"}


def test_command_fails_if_the_second_is_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_report(tmp_path / "good.json", make_clips(poisson(0.5), 0))
    bad = write_report(tmp_path / "bad.json", make_clips(poisson(1.5), 1))
    output = tmp_path / "compare.json"
    expect_success("evaluate", "compare", bad, good, "-o", output)
    assert "better" in capsys.readouterr().out
    assert main(["evaluate", "compare", str(good), str(bad), "-o", str(output)]) == 1
    captured = capsys.readouterr()
    assert "worse" in captured.out
    assert "word_error_rate" in captured.err
    written = json.loads(output.read_text())
    assert any(d["worse"] for d in written["differences"])


def test_bad_reports_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_report(tmp_path / "good.json", make_clips(poisson(0.5), 0))
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "empty.json").write_text(json.dumps(report("quick", {"clips": []})))
    for name, reason in (
        ("none.json", "cannot read"),
        ("text.json", "not a report with clips"),
        ("empty.json", "has no clips"),
    ):
        output = ("-o", tmp_path / "out.json")
        message = expect_usage_error(capsys, "evaluate", "compare", good, tmp_path / name, *output)
        assert reason in message
    others = [replace(clip, text=clip.text + "!") for clip in make_clips(poisson(0.5), 0)]
    second = read_report(write_report(tmp_path / "other.json", others))
    with pytest.raises(UsageError, match="no clip in common"):
        compare(read_report(good), second)
    few = read_report(write_report(tmp_path / "few.json", make_clips(poisson(0.5), 0, speakers=2)))
    assert compare(few, few) == []
