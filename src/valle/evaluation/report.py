"""From judged clips to figures: a table for the eye, JSON for the record."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.files import replacing


@dataclass(frozen=True)
class Clip:
    """One judged recording."""

    row: str
    speaker: str
    corpus: str
    text: str
    chosen: str | None
    """The sentence that the judge heard among all, None when it heard none of them."""
    similarity: float
    """To the speaker's own prompt, 0 to 1."""
    others: float
    """Mean similarity to the other speakers' prompts, 0 to 1."""
    nearest_is_own: bool
    """Whether no other speaker's prompt is more similar."""
    quality: float | None
    """DNSMOS, 1 to 5; None where it was not asked for."""
    phoneme_errors: float | None
    """Edits by our own listener; None without a model."""
    phonemes: int
    seconds: float
    work_seconds: float | None
    """Time that it took to make; None for a recording."""


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval over speakers."""

    value: float
    low: float
    high: float


# Each figure is a ratio of sums over clips; a clip without a numerator has no such figure.
_FIGURES: dict[str, Callable[[Clip], tuple[float | None, float]]] = {
    "sentence_right": lambda clip: (float(clip.chosen == clip.text), 1.0),
    "similarity": lambda clip: (clip.similarity, 1.0),
    "similarity_to_others": lambda clip: (clip.others, 1.0),
    "nearest_is_own": lambda clip: (float(clip.nearest_is_own), 1.0),
    "quality": lambda clip: (clip.quality, 1.0),
    "phoneme_error_rate": lambda clip: (clip.phoneme_errors, float(clip.phonemes)),
    "rtf": lambda clip: (clip.work_seconds, clip.seconds),
}
_HEADINGS = ("sentence right", "similarity", "to others", "nearest own", "DNSMOS", "PER", "RTF")


def figures(clips: list[Clip]) -> dict[str, Figure | None]:
    """The figures of some clips; None where no clip has what the figure is made of."""
    result: dict[str, Figure | None] = {}
    speakers = sorted({clip.speaker for clip in clips})
    for name, of in _FIGURES.items():
        sums = np.zeros((len(speakers), 2))
        for clip in clips:
            numerator, denominator = of(clip)
            if numerator is not None:
                sums[speakers.index(clip.speaker)] += (numerator, denominator)
        some = sums[:, 1].sum() > 0
        result[name] = Figure(*bootstrap_interval(sums[:, 0], sums[:, 1])) if some else None
    return result


def table(clips: list[Clip]) -> str:
    """The figures of all rows as lines of text, intervals in brackets."""
    lines = [f"{'':10}" + "".join(f"{heading:>22}" for heading in _HEADINGS)]
    for row in dict.fromkeys(clip.row for clip in clips):
        cells = [
            f"{f.value:.3f} [{f.low:.3f}, {f.high:.3f}]" if f else "-"
            for f in figures([clip for clip in clips if clip.row == row]).values()
        ]
        lines.append(f"{row:10}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def clip_rows(clips: list[Clip]) -> dict[str, Any]:
    """Figures by row and by corpus, and every clip."""
    rows: dict[str, Any] = {}
    for row in dict.fromkeys(clip.row for clip in clips):
        own = [clip for clip in clips if clip.row == row]
        rows[row] = {"clips": len(own), "speakers": len({clip.speaker for clip in own})}
        rows[row] |= {name: f and asdict(f) for name, f in figures(own).items()}
        rows[row]["by_corpus"] = {
            corpus: {
                name: f and round(f.value, 4)
                for name, f in figures([clip for clip in own if clip.corpus == corpus]).items()
            }
            for corpus in sorted({clip.corpus for clip in own})
        }
    return {"rows": rows, "clips": [asdict(clip) for clip in clips]}


def report(protocol: str, found: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """All that was measured, ready to be written as JSON, with where and how it was measured."""
    return {
        "protocol": protocol,
        "interval": "95 %, bootstrap over speakers",
        "settings": settings,
        "machine": {"platform": platform.platform(), "processors": os.cpu_count()},
        **found,
    }


def write_json(target: Path, content: dict[str, Any]) -> None:
    """Write JSON; an existing file is replaced only when the new one is complete.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8")
