"""Self-check of the metrics: faults are put into recordings, and each must be answered as it must.

A metric that skips silent files, forgets insertions or hears nothing of the voice gives wrong
tables without a sign. Here every fault has an answer that only working metrics give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.errors import UsageError
from valle.evaluation.item_clips import ItemClip
from valle.evaluation.item_evaluator import ItemEvaluator
from valle.evaluation.items import Item
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.audio_quality import stoi
from valle.evaluation.report import Clip, summarize_values

UNCHANGED = "unchanged"
_OFFSET = round(0.040 * EVALUATION_RATE)
_MISLABELLED = 24_000  # Hz that files of 16 kHz claim to have
_KEPT = 0.6  # of a truncated file
_FEWEST = 4  # recordings, of two speakers

Figures = dict[str, float]


@dataclass(frozen=True)
class Rule:
    """What a figure of the faulty recordings must be, given that of the unchanged ones."""

    metric: str
    holds: Callable[[float, float], bool]
    """From the faulty figure and the unchanged one."""
    says: str
    """The rule in words."""


@dataclass(frozen=True)
class Fault:
    """A fault, and the answers that it must give."""

    name: str
    rules: tuple[Rule, ...]
    change: Callable[[Samples, np.random.Generator], Samples] = lambda samples, _rng: samples
    shuffles: str = ""
    """What is exchanged between recordings instead: `texts` or `speakers`."""


@dataclass(frozen=True)
class Answer:
    """The answer to one rule."""

    fault: str
    metric: str
    rule: str
    value: float | None
    """None where the evaluator is absent."""
    unchanged: float | None
    passed: bool | None
    """None where it could not be checked."""


def _at_least(metric: str, limit: float) -> Rule:
    return Rule(metric, lambda value, _before: value >= limit, f"at least {limit:g}")


def _at_most(metric: str, limit: float) -> Rule:
    return Rule(metric, lambda value, _before: value <= limit, f"at most {limit:g}")


def _equals(metric: str, wanted: float) -> Rule:
    return Rule(metric, lambda value, _before: abs(value - wanted) < 1e-9, f"exactly {wanted:g}")


def _same(metric: str, tolerance: float) -> Rule:
    return Rule(
        metric,
        lambda value, before: abs(value - before) <= tolerance,
        f"as before, within {tolerance:g}",
    )


def _falls(metric: str, least: float) -> Rule:
    return Rule(
        metric, lambda value, before: value <= before - least, f"lower by {least:g} or more"
    )


def _add_offset(samples: Samples, _rng: np.random.Generator) -> Samples:
    return np.concatenate([np.zeros(_OFFSET, np.float32), samples])


def _make_noise(samples: Samples, rng: np.random.Generator) -> Samples:
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return (level * rng.standard_normal(len(samples))).astype(np.float32)


FAULTS = (
    Fault(
        "texts shuffled",
        (_at_least("word_error_rate", 0.7), _at_most("error_free_clips", 0.0)),
        shuffles="texts",
    ),
    Fault(
        "speakers shuffled",
        (
            _falls("speaker_similarity", 0.08),
            _at_most("speaker_identification_accuracy", 0.25),
            _same("word_error_rate", 1e-9),
        ),
        shuffles="speakers",
    ),
    Fault(
        "silence",
        (
            _equals("word_error_rate", 1.0),
            # Whisper hears "you" in silence, which takes the place of one word of a clip.
            _at_least("deletion_rate", 0.8),
            _equals("failure_rate", 1.0),
            _equals("speaker_similarity", 0.0),
        ),
        lambda samples, _rng: np.zeros_like(samples),
    ),
    Fault(
        "noise",
        (
            _at_least("word_error_rate", 0.8),
            _falls("speaker_similarity", 0.15),
            _falls("dnsmos", 0.8),
        ),
        _make_noise,
    ),
    Fault(
        "40 ms late",
        (_same("word_error_rate", 0.08), _same("speaker_similarity", 0.02), _at_most("stoi", 0.8)),
        _add_offset,
    ),
    Fault(
        "20 dB quieter",
        (
            _same("word_error_rate", 0.08),
            _same("speaker_similarity", 0.005),
            _at_least("stoi", 0.99),
        ),
        lambda samples, _rng: samples * np.float32(0.1),
    ),
    Fault(
        "16 kHz labelled as 24 kHz",
        (_falls("speaker_similarity", 0.03), _at_least("words_per_second_ratio", 1.45)),
        lambda samples, _rng: resample(samples, _MISLABELLED, EVALUATION_RATE),
    ),
    Fault(
        "last 40 % cut off",
        (_at_least("deletion_rate", 0.2), _falls("error_free_clips", 0.5)),
        lambda samples, _rng: samples[: round(_KEPT * len(samples))],
    ),
    Fault(
        "each file twice over",
        (_at_least("insertion_rate", 0.7), _falls("error_free_clips", 0.5)),
        lambda samples, _rng: np.concatenate([samples, samples]),
    ),
)


def check_metrics(
    items: Sequence[Item], evaluator: ItemEvaluator, quiet: bool = True
) -> list[Answer]:
    """Put every fault into the ground truth of a list, and check the answers.

    Args:
        items: with ground truth, of two speakers or more.
        evaluator: of these items.
        quiet: no progress bar.

    Raises:
        UsageError: there is too little ground truth.
    """
    items = [item for item in items if item.truth is not None]
    if len(items) < _FEWEST or len({item.speaker for item in items}) < 2:
        raise UsageError(
            f"a self-check needs {_FEWEST} recordings with transcripts, of two speakers or more"
        )
    for item in items:
        evaluator.set_prompt(item, None)
    truths = [item.read_truth() for item in items]
    recordings = [samples for samples in truths if samples is not None]
    before = _measure(Fault(UNCHANGED, ()), items, recordings, evaluator)
    answers = []
    for fault in tqdm(FAULTS, desc="self-check", unit="fault", disable=quiet or None):
        after = _measure(fault, items, recordings, evaluator)
        after["words_per_second_ratio"] = after["words_per_second"] / before["words_per_second"]
        for rule in fault.rules:
            value, unchanged = after.get(rule.metric), before.get(rule.metric)
            known = value is not None and (unchanged is not None or rule.metric.endswith("ratio"))
            passed = rule.holds(value or 0.0, unchanged or 0.0) if known else None
            answers.append(Answer(fault.name, rule.metric, rule.says, value, unchanged, passed))
    return answers


def _measure(
    fault: Fault, items: Sequence[Item], recordings: Sequence[Samples], evaluator: ItemEvaluator
) -> Figures:
    """The figures of all recordings with a fault."""
    rng = np.random.default_rng(0)
    clips: list[Clip] = []
    intelligibility = []
    for place, (item, samples) in enumerate(zip(items, recordings, strict=True)):
        text, recording, target = item.text, samples, item
        if fault.shuffles == "texts":
            text = items[(place + 1) % len(items)].text
        if fault.shuffles == "speakers":
            target = next(
                other for other in [*items[place + 1 :], *items] if other.speaker != item.speaker
            )
        recording = fault.change(recording, rng)
        clips.append(evaluator.evaluate(ItemClip(target, fault.name, recording), text))
        length = min(len(samples), len(recording))
        if recording.any():
            intelligibility.append(stoi(samples[:length], recording[:length]))
    figures = summarize_values(clips)
    if intelligibility:
        figures["stoi"] = float(np.mean(intelligibility))
    return figures


def table(answers: Sequence[Answer]) -> str:
    """The answers as text, a line each."""
    signs = {True: "right", False: "WRONG", None: "not measured"}
    lines = []
    for answer in answers:
        value = "-" if answer.value is None else f"{answer.value:.3f}"
        before = "" if answer.unchanged is None else f" (unchanged {answer.unchanged:.3f})"
        lines.append(
            f"{signs[answer.passed]:14}{answer.fault:28}{answer.metric:34}{value:>8}"
            f"{before}; {answer.rule}"
        )
    return "\n".join(lines)
