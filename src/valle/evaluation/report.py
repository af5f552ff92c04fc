"""From evaluated clips to figures with intervals: a table to read, JSON for the record."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valle.evaluation.metrics.statistics import bootstrap_interval, bootstrap_median
from valle.evaluation.metrics.word_errors import WordErrors
from valle.files import write_atomically


@dataclass(frozen=True)
class Clip:
    """One evaluated clip; None stands for what was not measured."""

    row: str
    """How the clip was made: ground truth, codec resynthesis, synthesized, ..."""
    speaker: str
    corpus: str
    text: str
    seconds: float
    similarity: float
    """Speaker similarity to the speaker's own prompt, 0 to 1."""
    similarity_to_others: float
    """Mean similarity to the other speakers' prompts, 0 to 1."""
    speaker_identified: bool
    """Closed-set speaker identification: no other prompt is as similar."""
    pitch_range: float | None
    """10th to 90th percentile, in semitones; None where too little is voiced."""
    choices: int = 0
    """Size of the closed set of sentences; 0 where none was to be identified."""
    identified: str | None = None
    """The sentence identified in the closed set, None when none of them was recognized."""
    words: WordErrors | None = None
    quality: float | None = None
    """DNSMOS, 1 to 5."""
    phoneme_errors: float | None = None
    """Edits by the bundle's own recognizer."""
    phonemes: int = 0
    work_seconds: float | None = None
    """Time it took to synthesize; None for a recording."""
    key: str = ""
    """Of the test item; "" in protocols without a list."""
    seed: int | None = None
    published_words: WordErrors | None = None
    """Word errors with the normalization of seed-tts-eval, which published tables use."""
    similarity_resynthesized: float | None = None
    """Similarity to the prompt through the codec and back (SIM-r)."""
    model_similarity: float | None = None
    """Similarity to the prompt by the speaker model that the user gave (SIM-o)."""
    model_similarity_resynthesized: float | None = None
    """The same to the prompt through the codec and back (SIM-r)."""
    first_seconds: float | None = None
    """Time to first audio."""
    pauses: int | None = None
    """Silences of 0.1 s or more within the speech; None where they were not measured."""
    paused_seconds: float = 0.0
    """All of them together."""
    failure: str | None = None
    """Why the clip is not speech of its text: empty, cut off, run on, or an error; "" if it is,
    None where it was not looked for."""


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval over speakers."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Metric:
    """How a figure is made of clips: a ratio of sums, or a median of numerators."""

    heading: str
    parts: Callable[[Clip], tuple[float | None, float]]
    """Numerator and denominator of a clip; without a numerator, the clip does not count."""
    median: bool = False
    direction: int = 0
    """1 if more is better, -1 if less is better, 0 if neither."""


def _per_word(count: Callable[[WordErrors], float]) -> Callable[[Clip], tuple[float | None, float]]:
    return lambda clip: (count(clip.words), clip.words.words) if clip.words else (None, 0.0)


def _per_clip(
    value: Callable[[Clip], float | None],
) -> Callable[[Clip], tuple[float | None, float]]:
    return lambda clip: (value(clip), 1.0)


def _is_identified(clip: Clip) -> float | None:
    return float(clip.identified == clip.text) if clip.choices else None


def _is_error_free(clip: Clip) -> float | None:
    return float(clip.words.word_edits == 0) if clip.words else None


def _published_errors(clip: Clip) -> tuple[float | None, float]:
    words = clip.published_words
    return (words.word_edits, words.words) if words else (None, 0.0)


def _failed(clip: Clip) -> float | None:
    return None if clip.failure is None else float(clip.failure != "")


METRICS = {
    "word_error_rate": Metric("WER", _per_word(lambda words: words.word_edits), direction=-1),
    "character_error_rate": Metric(
        "CER",
        lambda clip: (
            (clip.words.character_edits, clip.words.characters) if clip.words else (None, 0.0)
        ),
        direction=-1,
    ),
    "error_free_clips": Metric("clips without an error", _per_clip(_is_error_free), direction=1),
    "deletion_rate": Metric(
        "deletions per word", _per_word(lambda words: words.deletions), direction=-1
    ),
    "insertion_rate": Metric(
        "insertions per word", _per_word(lambda words: words.insertions), direction=-1
    ),
    "substitution_rate": Metric(
        "substitutions per word", _per_word(lambda words: words.substitutions), direction=-1
    ),
    "sentence_identification_accuracy": Metric(
        "sentence identification", _per_clip(_is_identified), direction=1
    ),
    "speaker_similarity": Metric(
        "speaker similarity", _per_clip(lambda clip: clip.similarity), direction=1
    ),
    "similarity_to_others": Metric(
        "similarity to others", _per_clip(lambda clip: clip.similarity_to_others)
    ),
    "speaker_identification_accuracy": Metric(
        "speaker identification",
        _per_clip(lambda clip: float(clip.speaker_identified)),
        direction=1,
    ),
    "dnsmos": Metric("DNSMOS", _per_clip(lambda clip: clip.quality), direction=1),
    "pitch_range_semitones": Metric(
        "pitch range, semitones", _per_clip(lambda clip: clip.pitch_range), median=True
    ),
    "phoneme_error_rate": Metric(
        "phoneme error rate", lambda clip: (clip.phoneme_errors, float(clip.phonemes)), direction=-1
    ),
    "rtf": Metric("RTF", lambda clip: (clip.work_seconds, clip.seconds)),
    "published_word_error_rate": Metric("WER as published", _published_errors, direction=-1),
    "similarity_resynthesized": Metric(
        "SIM-r, Resemblyzer", _per_clip(lambda clip: clip.similarity_resynthesized), direction=1
    ),
    "model_similarity": Metric(
        "SIM-o, --speaker-model", _per_clip(lambda clip: clip.model_similarity), direction=1
    ),
    "model_similarity_resynthesized": Metric(
        "SIM-r, --speaker-model",
        _per_clip(lambda clip: clip.model_similarity_resynthesized),
        direction=1,
    ),
    "first_seconds": Metric(
        "first audio, seconds", _per_clip(lambda clip: clip.first_seconds), median=True
    ),
    "failure_rate": Metric("failures", _per_clip(_failed), direction=-1),
    "words_per_second": Metric(
        "words per second", lambda clip: (float(len(clip.text.split())), clip.seconds)
    ),
    "pauses_per_minute": Metric(
        "pauses per minute",
        lambda clip: (None if clip.pauses is None else 60.0 * clip.pauses, clip.seconds),
    ),
    "pause_seconds": Metric(
        "mean pause, seconds",
        lambda clip: (clip.paused_seconds, clip.pauses) if clip.pauses else (None, 0.0),
    ),
}
WORD_METRICS = (
    "word_error_rate",
    "character_error_rate",
    "error_free_clips",
    "deletion_rate",
    "insertion_rate",
    "substitution_rate",
)


def summarize(clips: Sequence[Clip]) -> dict[str, Figure | None]:
    """All figures of some clips; None where no clip has what a figure is made of."""
    return {name: _figure(metric, clips) for name, metric in METRICS.items()}


def summarize_values(clips: Sequence[Clip]) -> dict[str, float]:
    """All figures that were measured, without their intervals, which cost much more."""
    values: dict[str, float] = {}
    for name, metric in METRICS.items():
        parts = [(top, bottom) for top, bottom in map(metric.parts, clips) if top is not None]
        if metric.median and parts:
            values[name] = float(np.median([top for top, _ in parts]))
        elif sum(bottom for _, bottom in parts):
            tops, bottoms = zip(*parts, strict=True)
            values[name] = float(sum(tops) / sum(bottoms))
    return values


def _figure(metric: Metric, clips: Sequence[Clip]) -> Figure | None:
    by_speaker: dict[str, list[tuple[float, float]]] = {}
    for clip in clips:
        numerator, denominator = metric.parts(clip)
        if numerator is not None:
            by_speaker.setdefault(clip.speaker, []).append((numerator, denominator))
    pairs = [np.array(by_speaker[speaker]) for speaker in sorted(by_speaker)]
    if not sum(pair[:, 1].sum() for pair in pairs):
        return None
    if metric.median:
        return Figure(*bootstrap_median([pair[:, 0] for pair in pairs]))
    numerators, denominators = np.array([pair.sum(axis=0) for pair in pairs]).T
    return Figure(*bootstrap_interval(numerators, denominators))


def figure_by_speaker(parts: Iterable[tuple[str, float, float]]) -> dict[str, float] | None:
    """A ratio of sums with its interval, for the JSON; None where there is nothing to sum.

    Args:
        parts: speaker, numerator and denominator of each trial.
    """
    sums: dict[str, tuple[float, float]] = {}
    for speaker, top, bottom in parts:
        before = sums.get(speaker, (0.0, 0.0))
        sums[speaker] = before[0] + top, before[1] + bottom
    if not sums:
        return None
    tops, bottoms = zip(*(sums[speaker] for speaker in sorted(sums)), strict=True)
    return asdict(Figure(*bootstrap_interval(tops, bottoms)))


def group_by_row(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """The clips of each row, in the order in which the rows first appear."""
    rows: dict[str, list[Clip]] = {}
    for clip in clips:
        rows.setdefault(clip.row, []).append(clip)
    return rows


def table(clips: Sequence[Clip], metrics: Sequence[str] = tuple(METRICS)) -> str:
    """The figures as text: one line per metric, one column per row of the report.

    Args:
        clips: of all rows.
        metrics: names in `METRICS`. What was not measured is shown as "-".
    """
    rows = {row: summarize(in_row) for row, in_row in group_by_row(clips).items()}
    width = max(24, *(len(row) + 2 for row in rows))
    lines = [f"{'':24}" + "".join(f"{row:>{width}}" for row in rows)]
    for name in metrics:
        cells = (str(figures[name] or "-") for figures in rows.values())
        lines.append(f"{METRICS[name].heading:24}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def clip_rows(clips: Sequence[Clip]) -> dict[str, Any]:
    """Figures by row and by corpus, and every clip: what the JSON of a report holds."""
    rows: dict[str, Any] = {}
    for row, in_row in group_by_row(clips).items():
        figures = summarize(in_row)
        corpora = sorted({clip.corpus for clip in in_row})
        rows[row] = {"clips": len(in_row), "speakers": len({clip.speaker for clip in in_row})}
        rows[row] |= {name: figure and asdict(figure) for name, figure in figures.items()}
        rows[row]["by_corpus"] = {
            corpus: _values([clip for clip in in_row if clip.corpus == corpus])
            for corpus in corpora
        }
    return {"rows": rows, "clips": [asdict(clip) for clip in clips]}


def _values(clips: Sequence[Clip]) -> dict[str, float | None]:
    """Figures without their intervals, to four digits."""
    values = summarize_values(clips)
    return {name: round(values[name], 4) if name in values else None for name in METRICS}


def report(protocol: str, content: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """All results of a protocol, with where and how they were measured, ready for `write_json`."""
    return {
        "protocol": protocol,
        "interval": "95 %, bootstrap over speakers",
        "settings": settings,
        "machine": {"platform": platform.platform(), "processors": os.cpu_count()},
        **content,
    }


def write_json(target: Path, content: dict[str, Any]) -> None:
    """Write JSON; an existing file is replaced only when the new one is complete.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    with write_atomically(target) as part:
        part.write_text(text, encoding="utf-8")
