"""`valle evaluate emotions`: what is asked of the sound of speech, and what it costs.

Recordings and speech of the model are changed as `valle speak --emotion` and `--pitch` change them.
Each property is asked for at five levels: Spearman's rank correlation tells whether what is
measured rises with it. Each emotion is asked for at five strengths: the property that it changes
most must move step by step. At full strength, words and voice are compared with the plain clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.prosody import compute_frame_features, measure_styles
from valle.audio.shaping import shape_speech
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.item_evaluator import ItemMetrics
from valle.evaluation.items import Item
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.word_errors import WordErrorCounter
from valle.evaluation.protocols.style import spearman
from valle.evaluation.protocols.zero_shot import SYNTHESIZED
from valle.evaluation.report import Figure, figure_by_speaker
from valle.styles import EMOTIONS, LIMITS, Style, StyleShift

RECORDED = "recording"
ROWS = (RECORDED, SYNTHESIZED)
LEVELS: dict[str, tuple[float, ...]] = {
    "pitch": (-4, -2, 0, 2, 4),
    "range": (0.4, 0.7, 1, 1.4, 1.8),
    "energy": (-8, -4, 0, 4, 8),
    "rate": (0.75, 0.87, 1, 1.15, 1.3),
    "tilt": (-2, -1, 0, 1, 2),
}
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
# The property that indicates the strength of an emotion: the one that it changes most.
INDICATORS = {
    "happy": "pitch",
    "sad": "rate",
    "angry": "energy",
    "calm": "energy",
    "fearful": "pitch",
    "surprised": "range",
}
_PHONEMES_PER_SECOND = 10.0  # about; the rates of one clip only compare with each other
_STEPS_PER_SECOND = 50


@dataclass(frozen=True)
class Trial:
    """One clip in all styles."""

    row: str
    speaker: str
    measured: Mapping[str, Sequence[float | None]]
    """Each property at its levels; None where it cannot be measured."""
    correlations: Mapping[str, float]
    """Spearman's, of what is asked and what is measured, by property; without those that have no
    order, as the pitch of a clip without a voice."""
    strengths: Mapping[str, float]
    """Spearman's, of the strength and the property that tells it, by emotion."""
    similarities: Mapping[str, float]
    """Of the voice with that of the plain clip, by emotion."""
    word_errors: Mapping[str, tuple[int, int]]
    """Word errors and words by emotion, "" for the plain clip; none without Whisper."""


def run_trials(
    speaker: ItemSpeaker,
    voices: Sequence[Item],
    metrics: ItemMetrics,
    seed: int = 0,
    quiet: bool = True,
) -> Iterator[Trial]:
    """Say a recording of each voice, and its text by the model, in all styles.

    Args:
        speaker: of the model.
        voices: one item for each voice. The prompt stands for a ground truth that is not there.
        metrics: speaker similarity, and Whisper if it is there.
        seed: of the speech.
        quiet: no progress bar.

    Raises:
        Error: a recording cannot be used, or a text not be spoken.
    """
    counter = WordErrorCounter() if metrics.transcriber else None
    for item in tqdm(voices, desc="emotions", unit="voice", disable=quiet or None):
        truth = item.read_truth()
        recorded = (item.read_prompt(), item.prompt_text) if truth is None else (truth, item.text)
        spoken = speaker.speak(replace(item, is_continuation=False), seed).samples, item.text
        for row, (samples, text) in ((RECORDED, recorded), (SYNTHESIZED, spoken)):
            emotions = {name: shape(samples, {"emotion": name}) for name in EMOTIONS}
            plain = metrics.encoder.embed(samples)
            measured = {name: measure_levels(samples, name) for name in LEVELS}
            errors: dict[str, tuple[int, int]] = {}
            if metrics.transcriber and counter and text:
                for name, clip in {"": samples, **emotions}.items():
                    words = counter.count(text, metrics.transcriber.transcribe(clip))
                    errors[name] = words.word_edits, words.words
            yield Trial(
                row,
                item.speaker,
                {n: [v if math.isfinite(v) else None for v in m] for n, m in measured.items()},
                _select_finite((name, spearman(LEVELS[name], m)) for name, m in measured.items()),
                _select_finite((name, correlate_strengths(samples, name)) for name in INDICATORS),
                {n: float(metrics.encoder.embed(clip) @ plain) for n, clip in emotions.items()},
                errors,
            )


def _select_finite(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    return {name: value for name, value in values if math.isfinite(value)}


def shape(samples: Samples, style: dict[str, Any]) -> Samples:
    """Samples [N] at 16 kHz in a style, as `Model.speak` changes the sound of a sentence."""
    shift = Style.model_validate(style).resolve()
    return (
        samples if shift is None else shape_speech(samples[:, None], EVALUATION_RATE, shift)[:, 0]
    )


def measure_levels(samples: Samples, name: str) -> list[float]:
    """A property of a clip as it is measured where each of its levels is asked for."""
    return [_measure(shape(samples, {name: level}), samples, name) for level in LEVELS[name]]


def correlate_strengths(samples: Samples, emotion: str) -> float:
    """Spearman's correlation of an emotion's strength and its property, 1 where it goes its way."""
    name = INDICATORS[emotion]
    styles = ({"emotion": emotion, "strength": strength} for strength in STRENGTHS)
    measured = [_measure(shape(samples, style), samples, name) for style in styles]
    rises = getattr(EMOTIONS[emotion], name) > getattr(StyleShift(), name)
    return spearman(STRENGTHS, measured) * (1 if rises else -1)


def _measure(samples: Samples, plain: Samples, name: str) -> float:
    """A property of a clip, as if it had the phonemes of the plain one."""
    features = compute_frame_features(
        samples, EVALUATION_RATE, EVALUATION_RATE // _STEPS_PER_SECOND
    )
    phonemes = round(_PHONEMES_PER_SECOND * len(plain) / EVALUATION_RATE)
    return float(measure_styles(features, phonemes)[list(LIMITS).index(name)])


def summarize(trials: Sequence[Trial]) -> dict[str, Any]:
    """By row, means of all figures with intervals over voices."""
    rows: dict[str, Any] = {}
    for row in ROWS:
        of_row = [trial for trial in trials if trial.row == row]
        rows[row] = {
            "voices": len({trial.speaker for trial in of_row}),
            "correlation": {n: _mean(of_row, "correlations", n) for n in LEVELS},
            "strength": {n: _mean(of_row, "strengths", n) for n in INDICATORS},
            "similarity": {n: _mean(of_row, "similarities", n) for n in EMOTIONS},
            "word_error_rate": {
                n: figure_by_speaker(
                    (t.speaker, *t.word_errors[n]) for t in of_row if t.word_errors
                )
                for n in ("", *EMOTIONS)
            },
        }
    return {"rows": rows}


def _mean(trials: Sequence[Trial], kind: str, name: str) -> dict[str, float] | None:
    return figure_by_speaker(
        (trial.speaker, getattr(trial, kind)[name], 1)
        for trial in trials
        if name in getattr(trial, kind)
    )


def table(summary: dict[str, Any]) -> str:
    """The figures as text, intervals in brackets."""
    rows = summary["rows"]
    lines = [f"{'':36}" + "".join(f"{row:>26}" for row in rows)]
    for kind, names, heading in (
        ("correlation", LEVELS, "Spearman, asked and measured"),
        ("strength", INDICATORS, "Spearman, strength"),
        ("similarity", EMOTIONS, "similarity"),
        ("word_error_rate", ("", *EMOTIONS), "WER"),
    ):
        for name in names:
            figures = [figures[kind][name] for figures in rows.values()]
            cells = (str(Figure(**figure)) if figure else "-" for figure in figures)
            title = f"{heading}: {name or 'plain'}"
            lines.append(f"{title:36}" + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines)
