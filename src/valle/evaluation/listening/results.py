"""From listeners' answers to figures with intervals.

Intervals are by bootstrap over listeners and items at once (Owen 2007, "The pigeonhole bootstrap"):
they say how far a figure would move with other listeners and other items.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valle.errors import UsageError
from valle.evaluation.listening.design import REFERENCE
from valle.evaluation.report import Figure

COLUMNS = tuple(
    "test kind listener session position trial place clip against rating seconds".split()
)
RANGES = {"preference": (-1, 1), "cmos": (-3, 3), "smos": (1, 5), "mushra": (0, 100)}
_RESAMPLES = 4000
# ITU-R BS.1534-3, section 4.1.2: a listener who rates the hidden reference below 90 in more than
# 15 % of the trials is left out.
_SCREEN_RATING, _SCREEN_SHARE = 90.0, 0.15


@dataclass(frozen=True)
class Answer:
    """One rating."""

    session: str
    trial: int
    item: str
    system: str
    against: str
    """The system it was compared with, or the reference; "" for none."""
    rating: float
    place: int


@dataclass(frozen=True)
class Result:
    """A figure of a system, or of a pair of systems."""

    name: str
    figure: Figure
    ratings: int
    listeners: int


@dataclass(frozen=True)
class Outcome:
    """All figures of a test."""

    kind: str
    results: list[Result]
    excluded: dict[str, str]
    """Sessions that do not count, and why."""
    balance: dict[str, dict[int, int]]
    """How often each system was heard at each place."""

    def describe(self) -> dict[str, Any]:
        """All as plain values that `json` can write."""
        return {
            "kind": self.kind,
            "interval": "95 %, bootstrap over listeners and items",
            "results": [
                {
                    "name": result.name,
                    "mean": result.figure.value,
                    "low": result.figure.low,
                    "high": result.figure.high,
                    "ratings": result.ratings,
                    "listeners": result.listeners,
                }
                for result in self.results
            ],
            "excluded": self.excluded,
            "balance": self.balance,
        }

    def as_csv(self) -> str:
        """The figures as CSV."""
        lines = ["name,mean,low,high,ratings,listeners"]
        for result in self.results:
            figure = result.figure
            name = '"' + result.name.replace('"', '""') + '"'
            values = f"{figure.value:.4f},{figure.low:.4f},{figure.high:.4f}"
            lines.append(f"{name},{values},{result.ratings},{result.listeners}")
        return "\n".join(lines) + "\n"


def read_key(path: Path) -> dict[str, Any]:
    """Read the key of a test.

    Raises:
        UsageError: it cannot be read, or is not a key.
    """
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        if key["kind"] not in RANGES:
            raise ValueError(f"kind {key['kind']!r}")
        known = {name: (clip["item"], clip["system"]) for name, clip in key["clips"].items()}
        return {"test": str(key["test"]), "kind": str(key["kind"]), "clips": known}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a key; give the FOLDER.key.json that was written with the test"
        ) from error


def read_answers(paths: Sequence[Path], key: dict[str, Any]) -> list[Answer]:
    """Read listeners' files; an answer that two files hold counts once.

    Raises:
        UsageError: a file cannot be read, is of another test, or has a wrong line.
    """
    answers: dict[tuple[str, int, str], Answer] = {}
    for path in paths:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    raise UsageError(f"{path} has no answers; give the CSV that the page saved")
                for row in reader:
                    answer = _read_answer(row, key, f"{path}, line {reader.line_num}")
                    answers.setdefault((answer.session, answer.trial, answer.system), answer)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{path} is not CSV: {error}") from error
    if not answers:
        raise UsageError("there is no answer in these files")
    return list(answers.values())


def _read_answer(row: dict[str, Any], key: dict[str, Any], place: str) -> Answer:
    if (row["test"], row["kind"]) != (key["test"], key["kind"]):
        raise UsageError(f"{place}: an answer of another test; give its own key with --key")
    low, high = RANGES[key["kind"]]
    try:
        rating, trial, order = float(row["rating"]), int(row["trial"]), int(row["place"])
        item, system = key["clips"][row["clip"]]
        against = key["clips"][row["against"]][1] if row["against"] else ""
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{place}: {error} is not an answer of this test") from error
    if not low <= rating <= high:
        raise UsageError(f"{place}: a rating of {rating:g} is not on the scale, {low} to {high}")
    return Answer(row["session"], trial, item, system, against, rating, order)


def evaluate_answers(answers: Sequence[Answer], kind: str) -> Outcome:
    """Figures of all systems, best first.

    Of preference, the share of the pair's first system where there was a preference counts ties as
    half; of CMOS, the mean of the first against the second.

    Args:
        answers: from `read_answers`.
        kind: of the test.
    """
    excluded = _screen(answers) if kind == "mushra" else {}
    counted = [answer for answer in answers if answer.session not in excluded]
    if not counted:
        raise UsageError("no listener passes the screening by the hidden reference (BS.1534)")
    groups: dict[str, list[tuple[str, str, float]]] = {}
    for answer in counted:
        name, rating = answer.system, answer.rating
        if kind in ("preference", "cmos"):
            first, second = sorted((answer.system, answer.against))
            rating = rating if answer.system == first else -rating
            rating = (rating + 1.0) / 2.0 if kind == "preference" else rating
            name = f"{first} over {second}"
        groups.setdefault(name, []).append((answer.session, answer.item, rating))
    results = [
        Result(name, bootstrap_two_ways(ratings), len(ratings), len({r[0] for r in ratings}))
        for name, ratings in groups.items()
    ]
    results.sort(key=lambda result: (-result.figure.value, result.name))
    balance: dict[str, dict[int, int]] = {}
    places = Counter((answer.system, answer.place) for answer in counted)
    for (system, place), count in sorted(places.items()):
        balance.setdefault(system, {})[place] = count
    return Outcome(kind, results, excluded, balance)


def bootstrap_two_ways(ratings: Sequence[tuple[str, str, float]]) -> Figure:
    """A mean with its 95 % interval over listeners and items.

    Args:
        ratings: (listener, item, rating).
    """
    listeners = sorted({listener for listener, _, _ in ratings})
    items = sorted({item for _, item, _ in ratings})
    sums = np.zeros((len(listeners), len(items)))
    counts = np.zeros_like(sums)
    for listener, item, rating in ratings:
        cell = listeners.index(listener), items.index(item)
        sums[cell] += rating
        counts[cell] += 1
    rng = np.random.default_rng(0)
    people = rng.multinomial(
        len(listeners), np.full(len(listeners), 1 / len(listeners)), _RESAMPLES
    )
    things = rng.multinomial(len(items), np.full(len(items), 1 / len(items)), _RESAMPLES)
    tops = np.einsum("rl,li,ri->r", people, sums, things, optimize=True)
    bottoms = np.einsum("rl,li,ri->r", people, counts, things, optimize=True)
    means = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.quantile(means, [0.025, 0.975])
    return Figure(float(sums.sum() / counts.sum()), float(low), float(high))


def _screen(answers: Sequence[Answer]) -> dict[str, str]:
    """Listeners who do not recognize the hidden reference, by session."""
    low: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for answer in answers:
        if answer.system == REFERENCE:
            total[answer.session] += 1
            low[answer.session] += answer.rating < _SCREEN_RATING
    return {
        session: f"rated the hidden reference below 90 in {low[session]} of {count} trials"
        for session, count in total.items()
        if low[session] > _SCREEN_SHARE * count
    }


def table(outcome: Outcome) -> str:
    """The figures as text, a line each."""
    width = max(24, *(len(result.name) + 2 for result in outcome.results))
    heading = {"preference": "share", "cmos": "CMOS", "smos": "SMOS", "mushra": "MUSHRA"}
    lines = [f"{'':{width}}{heading[outcome.kind]:>24}  ratings  listeners"]
    for result in outcome.results:
        lines.append(
            f"{result.name:{width}}{result.figure!s:>24}{result.ratings:9d}{result.listeners:11d}"
        )
    lines += [f"left out: {session}, {reason}" for session, reason in outcome.excluded.items()]
    return "\n".join(lines)
