"""Two reports clip by clip: is a difference of their figures more than chance?

Both systems spoke the same texts in the same voices, so differences are taken within each pair of
clips, and the spread between speakers and texts cancels out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.errors import UsageError
from valle.evaluation.metrics.statistics import interval_quantiles
from valle.evaluation.metrics.word_errors import WordErrors
from valle.evaluation.report import METRICS, Clip, Metric

_LEAST_SPEAKERS = 6  # with fewer, no difference can be significant at 0.05
_RESAMPLES = 4000
_MEDIAN_RESAMPLES = 600  # which are slow
SIGNIFICANT = 0.05
_IGNORED_SETTINGS = frozenset({"seconds", "bundle", "graphs"})

Key = tuple[str, str, str, str, int]
"""Group, row, speaker and text of a clip, and how many before it have the same."""


@dataclass(frozen=True)
class Report:
    """What `valle evaluate` wrote."""

    path: Path
    protocol: str
    settings: dict[str, Any]
    clips: dict[Key, Clip]


@dataclass(frozen=True)
class Difference:
    """A figure of two systems over the same clips."""

    row: str
    metric: str
    """A key of `METRICS`."""
    clips: int
    """Pairs of clips in which both were measured."""
    speakers: int
    first: float
    second: float
    low: float
    """Lower end of the 95 % interval of `second - first`."""
    high: float
    p: float
    """Probability of a difference as large if the systems were alike, adjusted for the number of
    metrics in this row (Holm 1979)."""

    @property
    def is_significant(self) -> bool:
        """Whether chance is an unlikely reason."""
        return self.p < SIGNIFICANT

    @property
    def is_worse(self) -> bool:
        """Whether the second system is significantly worse."""
        direction = METRICS[self.metric].direction
        return self.is_significant and direction * (self.second - self.first) < 0.0


def read_report(path: Path) -> Report:
    """Read the JSON of an evaluation that lists its clips.

    Raises:
        UsageError: the file cannot be read, or has no clips.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        groups = content.get("groups", {"": content})
        clips: dict[Key, Clip] = {}
        for group, figures in groups.items():
            seen: Counter[tuple[str, str, str]] = Counter()
            for fields in figures["clips"]:
                clip = read_clip(fields)
                place = (clip.row, clip.speaker, clip.text)
                key = (group, *place, seen[place])
                clips[key] = clip
                seen[place] += 1
        report = Report(path, str(content["protocol"]), dict(content["settings"]), clips)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a report with clips ({error!r}); give the JSON that `valle evaluate "
            "intelligibility`, `default` or `quick` wrote"
        ) from error
    if not clips:
        raise UsageError(f"{path} has no clips")
    return report


def read_clip(fields: dict[str, Any]) -> Clip:
    """A clip from its fields, as `dataclasses.asdict` gives them.

    Raises:
        TypeError: a field is unknown or missing.
    """
    errors = {
        name: WordErrors(**fields[name]) if fields.get(name) else None
        for name in ("words", "published_words")
    }
    return Clip(**(fields | errors))


def compare(first: Report, second: Report) -> list[Difference]:
    """Compare all figures that both reports have, row by row.

    Raises:
        UsageError: the reports have no clips in common.
    """
    shared = sorted(first.clips.keys() & second.clips.keys())
    if not shared:
        raise UsageError(
            f"{first.path} and {second.path} have no clip in common: both systems must speak the "
            "same sentences in the same voices (the same --text, --heldout and --seed)"
        )
    rows: dict[str, list[Key]] = {}
    for key in shared:
        rows.setdefault(f"{key[0]} {key[1]}".strip(), []).append(key)
    differences = []
    for row, keys in rows.items():
        pairs = [(first.clips[key], second.clips[key]) for key in keys]
        of_row = [
            difference
            for name, metric in METRICS.items()
            if (difference := _compare_metric(row, name, metric, pairs)) is not None
        ]
        differences += _adjust(of_row)
    return differences


def find_other_settings(first: Report, second: Report) -> list[str]:
    """What the reports were not measured alike in, apart from the system."""
    names = (first.settings.keys() | second.settings.keys()) - _IGNORED_SETTINGS
    changed = [n for n in sorted(names) if first.settings.get(n) != second.settings.get(n)]
    if first.protocol != second.protocol:
        changed.insert(0, "protocol")
    missing = len(first.clips.keys() ^ second.clips.keys())
    return changed + ([f"{missing} clips that only one of them has"] if missing else [])


def _compare_metric(
    row: str, name: str, metric: Metric, pairs: Sequence[tuple[Clip, Clip]]
) -> Difference | None:
    """The difference of one figure; None where too few speakers have it."""
    values: dict[str, list[list[tuple[float, float]]]] = {}
    for clip, other in pairs:
        parts = [metric.parts(clip), metric.parts(other)]
        measured = [(top, bottom) for top, bottom in parts if top is not None]
        if len(measured) == 2:
            values.setdefault(clip.speaker, []).append(measured)
    if len(values) < _LEAST_SPEAKERS:
        return None
    speakers = [np.array(values[speaker]) for speaker in sorted(values)]  # [clips, 2, 2] each
    summary = _Medians(speakers) if metric.median else _Ratios(speakers)
    figures = summary.figures(np.arange(len(speakers))[None], np.zeros((1, len(speakers)), bool))
    if not np.isfinite(figures).all():
        return None
    observed = float(figures[0, 1] - figures[0, 0])
    rng = np.random.default_rng(0)
    shape = (_MEDIAN_RESAMPLES if metric.median else _RESAMPLES, len(speakers))
    # The interval by bootstrap over the speakers; the probability by exchanging the two systems of
    # random speakers, which changes nothing if they are alike (a paired permutation test).
    resampled = summary.figures(rng.integers(len(speakers), size=shape), np.zeros(shape, bool))
    low, high = np.nanquantile(resampled[:, 1] - resampled[:, 0], interval_quantiles(len(speakers)))
    everybody = np.broadcast_to(np.arange(len(speakers)), shape)
    swapped = summary.figures(everybody, rng.random(shape) < 0.5)
    as_large = np.abs(swapped[:, 1] - swapped[:, 0]) >= abs(observed) - 1e-12
    p = (1.0 + as_large.sum()) / (1.0 + len(as_large))
    clips = sum(len(speaker) for speaker in speakers)
    first, second = figures[0].tolist()
    ends = float(low), float(high)
    return Difference(row, name, clips, len(speakers), first, second, *ends, float(p))


class _Ratios:
    """Ratios of sums."""

    def __init__(self, speakers: list[NDArray[np.float64]]) -> None:
        self._sums = np.array([speaker.sum(0) for speaker in speakers])  # [speakers, system, part]

    def figures(self, chosen: NDArray[np.int64], swap: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Figures [N, 2] of both systems for speakers [N, n], exchanged where `swap` [N, n]."""
        sums = self._sums[chosen]
        sums = np.where(swap[..., None, None], sums[:, :, ::-1], sums).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
        return ratios


class _Medians:
    """Medians over all clips."""

    def __init__(self, speakers: list[NDArray[np.float64]]) -> None:
        self._values = [speaker[:, :, 0] for speaker in speakers]  # [clips, system] each

    def figures(self, chosen: NDArray[np.int64], swap: NDArray[np.bool_]) -> NDArray[np.float64]:
        """As those of `_Ratios`."""
        medians = np.empty((len(chosen), 2))
        for place, (speakers, swaps) in enumerate(zip(chosen, swap, strict=True)):
            values = [
                self._values[speaker][:, ::-1] if exchanged else self._values[speaker]
                for speaker, exchanged in zip(speakers.tolist(), swaps.tolist(), strict=True)
            ]
            medians[place] = np.median(np.concatenate(values), axis=0)
        return medians


def _adjust(differences: list[Difference]) -> list[Difference]:
    """Adjust the probabilities for their number (Holm 1979), in the order given."""
    order = sorted(range(len(differences)), key=lambda index: differences[index].p)
    adjusted, highest = list(differences), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * differences[index].p))
        adjusted[index] = Difference(**(asdict(differences[index]) | {"p": highest}))
    return adjusted


def table(differences: Sequence[Difference]) -> str:
    """The differences as text, a line each."""
    lines = []
    row = None
    for difference in differences:
        if difference.row != row:
            row = difference.row
            counts = f"{difference.clips} clips of {difference.speakers} speakers"
            lines.append(f"{row} ({counts})\n{'':26}{'first':>9}{'second':>9}  difference")
        verdict = ""
        if difference.is_significant:
            worse = difference.is_worse
            better = METRICS[difference.metric].direction != 0 and not worse
            verdict = "worse" if worse else "better" if better else "different"
        change = f"{difference.second - difference.first:+.3f}"
        interval = f"[{difference.low:+.3f}, {difference.high:+.3f}]"
        figures = f"{difference.first:9.3f}{difference.second:9.3f}  {change} {interval}"
        line = f"{METRICS[difference.metric].heading:26}{figures}  p {difference.p:.3f}  {verdict}"
        lines.append(line.rstrip())
    return "\n".join(lines)
