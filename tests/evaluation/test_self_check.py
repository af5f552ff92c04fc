"""The self-check passes with metrics that work, and fails with every metric that is broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from oracle import RATE, OracleEncoder, OracleQuality, OracleTranscriber
from valle.errors import UsageError
from valle.evaluation import item_evaluator, report, self_check
from valle.evaluation.item_evaluator import ItemEvaluator, ItemMetrics
from valle.evaluation.items import Item
from valle.evaluation.metrics.word_errors import WordErrorCounter, WordErrors

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")
pytest.importorskip("pystoi")

WORDS = "river garden window letter yellow castle bridge market silver winter apple candle".split()
TEXTS = [" ".join(WORDS[k : k + 6]) for k in (0, 6)] + [" ".join(WORDS[k::2]) for k in (0, 1)]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    folder, oracle = tmp_path_factory.mktemp("oracle"), OracleTranscriber(WORDS)
    made = []
    for number, text in enumerate(TEXTS):
        voice = number % 2
        prompt, truth = folder / f"p{voice}.wav", folder / f"t{number}.wav"
        soundfile.write(prompt, oracle.say(" ".join(WORDS), voice), RATE)
        soundfile.write(truth, oracle.say(text, voice), RATE)
        made.append(Item(f"k{number}", f"v{voice}", text, prompt, None, truth))
    return made


def check(items: list[Item], **changes: Any) -> list[self_check.Answer]:
    metrics = ItemMetrics(OracleEncoder(), OracleTranscriber(WORDS), OracleQuality())  # type: ignore[arg-type]
    evaluator = ItemEvaluator(items, dataclasses.replace(metrics, **changes))
    return self_check.check_metrics(items, evaluator)


def wrong(answers: list[self_check.Answer]) -> set[str]:
    return {answer.fault for answer in answers if answer.passed is False}


def test_working_metrics_give_every_answer(items: list[Item]) -> None:
    answers = check(items)
    assert [a for a in answers if a.passed is not True] == [], self_check.table(answers)
    assert {a.fault for a in answers} == {fault.name for fault in self_check.FAULTS}
    assert len(self_check.FAULTS) == 9


def count_with(change: Callable[[WordErrors], WordErrors]) -> Callable[..., WordErrors]:
    count = WordErrorCounter.count

    def broken(self: WordErrorCounter, reference: str, transcript: str) -> WordErrors:
        return change(count(self, reference, transcript))

    return broken


MUTATIONS: dict[str, tuple[Callable[[WordErrors], WordErrors], set[str]]] = {
    "insertions forgotten": (
        lambda words: dataclasses.replace(words, insertions=0),
        {"each file twice over"},
    ),
    "deletions forgotten": (
        lambda words: dataclasses.replace(words, deletions=0),
        {"silence", "last 40 % cut off"},
    ),
    "substitutions forgotten": (
        lambda words: (
            dataclasses.replace(words, substitutions=0, insertions=0, deletions=0)
            if words.hypothesis
            else words
        ),
        {"texts shuffled", "last 40 % cut off", "each file twice over"},
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_word_errors_are_found(
    name: str, items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    change, faults = MUTATIONS[name]
    monkeypatch.setattr(WordErrorCounter, "count", count_with(change))
    assert faults <= wrong(check(items))


def test_silent_clips_that_are_skipped_are_found(
    items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = report.METRICS["word_error_rate"]
    skipping = dataclasses.replace(
        metric,
        parts=lambda clip: (None, 0.0) if clip.failure == "empty" else metric.parts(clip),
    )
    monkeypatch.setitem(report.METRICS, "word_error_rate", skipping)
    answers = check(items)
    assert any(
        a.fault == "silence" and a.metric == "word_error_rate" and a.passed is None for a in answers
    )
    assert not all(a.passed for a in answers)


class ConstantEncoder(OracleEncoder):
    def embed(self, samples):
        return np.full(16, 0.25, np.float32)


class LoudnessEncoder(OracleEncoder):
    def embed(self, samples):
        return super().embed(samples) * np.float32(min(1.0, 5.0 * np.abs(samples).max()))


class StartEncoder(OracleEncoder):
    """Depends on where in the file the speech is."""

    def embed(self, samples):
        return super().embed(samples) * np.float32(0.5 if not samples[:300].any() else 1.0)


@pytest.mark.parametrize(
    ("encoder", "faults"),
    [
        (ConstantEncoder(), {"speakers shuffled", "silence", "noise"}),
        (LoudnessEncoder(), {"20 dB quieter"}),
        (StartEncoder(), {"40 ms late"}),
    ],
    ids=["constant", "by loudness", "by place"],
)
def test_broken_similarity_is_found(encoder: Any, faults: set[str], items: list[Item]) -> None:
    assert faults <= wrong(check(items, encoder=encoder))


class DeafTranscriber(OracleTranscriber):
    """Knows the first text, whatever it hears."""

    def transcribe(self, samples):
        return TEXTS[0]


class LevelTranscriber(OracleTranscriber):
    def transcribe(self, samples):
        return super().transcribe(samples) if np.abs(samples).max() > 0.1 else ""


@pytest.mark.parametrize(
    ("transcriber", "faults"),
    [
        (DeafTranscriber(WORDS), {"silence", "noise", "last 40 % cut off", "each file twice over"}),
        (LevelTranscriber(WORDS), {"20 dB quieter"}),
    ],
    ids=["deaf", "by level"],
)
def test_broken_transcripts_are_found(
    transcriber: Any, faults: set[str], items: list[Item]
) -> None:
    assert faults <= wrong(check(items, transcriber=transcriber))


def test_a_quality_that_hears_nothing_is_found(items: list[Item]) -> None:
    class Constant:
        def rate(self, samples):
            return 3.0

    assert wrong(check(items, quality=Constant())) == {"noise"}


def test_a_wrong_rate_that_is_not_noticed_is_found(
    items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All clips are as long as nothing.
    monkeypatch.setattr(item_evaluator, "EVALUATION_RATE", 10**9)
    monkeypatch.setitem(
        report.METRICS,
        "words_per_second",
        report.Metric("words per second", lambda clip: (1.0, 1.0)),
    )
    assert "16 kHz labelled as 24 kHz" in wrong(check(items))


def test_too_little_ground_truth_is_refused(items: list[Item]) -> None:
    with pytest.raises(UsageError, match="two speakers"):
        check([item for item in items if item.speaker == "v0"])


def test_a_missing_evaluator_is_said(items: list[Item], tmp_path: Path) -> None:
    answers = check(items, transcriber=None)
    missing = [a for a in answers if a.metric == "word_error_rate"]
    assert missing
    assert all(a.passed is None for a in missing)
    assert "not measured" in self_check.table(answers)
