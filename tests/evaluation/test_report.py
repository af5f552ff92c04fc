"""Figures, table and JSON of clips with known values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from valle.evaluation.metrics.word_errors import WordErrors
from valle.evaluation.report import (
    WORD_METRICS,
    Clip,
    clip_rows,
    report,
    summarize,
    table,
    write_json,
)


def clip(speaker: str, correct: bool, **changes: Any) -> Clip:
    values: dict[str, Any] = {
        "row": "synthesized",
        "speaker": speaker,
        "corpus": "c",
        "text": "a",
        "seconds": 2.0,
        "similarity": 0.8,
        "similarity_to_others": 0.5,
        "speaker_identified": correct,
        "pitch_range": None,
        "choices": 40,
        "identified": "a" if correct else None,
    }
    return Clip(**(values | changes))


def words(substitutions: int, deletions: int, insertions: int, count: int) -> WordErrors:
    return WordErrors("", "", substitutions, deletions, insertions, count, deletions, 10 * count)


def test_figures_are_ratios_of_sums() -> None:
    clips = [
        clip("x", True, phoneme_errors=1.0, phonemes=10, work_seconds=1.0),
        clip("x", True, phoneme_errors=3.0, phonemes=30, work_seconds=1.0, seconds=6.0),
        clip("y", False, phoneme_errors=10.0, phonemes=10, work_seconds=2.0),
    ]
    figures = summarize(clips)
    accuracy = figures["sentence_identification_accuracy"]
    assert accuracy is not None
    assert accuracy.value == pytest.approx(2 / 3)
    assert (accuracy.low, accuracy.high) == (0.0, 1.0)
    phoneme_error_rate, rtf = figures["phoneme_error_rate"], figures["rtf"]
    assert phoneme_error_rate is not None
    assert phoneme_error_rate.value == pytest.approx(14 / 50)
    assert rtf is not None
    assert rtf.value == pytest.approx(4.0 / 10.0)


def test_word_errors_are_rates_per_word() -> None:
    clips = [
        clip("x", True, words=words(1, 0, 2, 6)),
        clip("x", True, words=words(0, 1, 0, 4)),
        clip("y", True, words=words(0, 0, 0, 10)),
    ]
    values = {name: figure and figure.value for name, figure in summarize(clips).items()}
    assert values["word_error_rate"] == pytest.approx(4 / 20)
    assert values["substitution_rate"] == pytest.approx(1 / 20)
    assert values["deletion_rate"] == pytest.approx(1 / 20)
    assert values["insertion_rate"] == pytest.approx(2 / 20)
    assert values["character_error_rate"] == pytest.approx(1 / 200)
    assert values["error_free_clips"] == pytest.approx(1 / 3)


def test_pauses_are_counted_and_averaged() -> None:
    clips = [
        clip("x", True, pauses=3, paused_seconds=0.6),
        clip("x", True, pauses=0, seconds=4.0),
        clip("y", True, pauses=None),
    ]
    figures = {name: figure and figure.value for name, figure in summarize(clips).items()}
    assert figures["pauses_per_minute"] == pytest.approx(30.0)
    assert figures["pause_seconds"] == pytest.approx(0.2)


def test_pitch_range_is_a_median() -> None:
    clips = [clip("x", True, pitch_range=value) for value in (2.0, 3.0, 30.0, None)]
    pitch_range = summarize(clips)["pitch_range_semitones"]
    assert pitch_range is not None
    assert pitch_range.value == 3.0


def test_what_was_not_measured_has_no_figure() -> None:
    figures = summarize([clip("x", True, choices=0)])
    for name in (*WORD_METRICS, "sentence_identification_accuracy", "dnsmos", "rtf"):
        assert figures[name] is None
    assert figures["speaker_similarity"] is not None


def test_json_and_table(tmp_path: Path) -> None:
    clips = [clip("x", True), clip("y", False, row="codec resynthesis")]
    target = tmp_path / "r.json"
    write_json(target, report("quick", clip_rows(clips), seed=7))
    back = json.loads(target.read_text())
    assert back["settings"] == {"seed": 7}
    row = back["rows"]["synthesized"]
    assert row["sentence_identification_accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    by_corpus = back["rows"]["codec resynthesis"]["by_corpus"]["c"]
    assert by_corpus["sentence_identification_accuracy"] == 0.0
    assert row["rtf"] is None
    assert len(back["clips"]) == 2
    assert list(tmp_path.iterdir()) == [target]
    heading, accuracy, rtf = table(clips, ["sentence_identification_accuracy", "rtf"]).splitlines()
    assert heading.split() == ["synthesized", "codec", "resynthesis"]
    assert "1.000 [1.000, 1.000]" in accuracy
    assert rtf.split() == ["RTF", "-", "-"]
