"""Results of consent trials: acceptance rates, and the trade-off between both kinds of error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.consent.verification import AS_NORM_LIMIT, OTHER_SPEAKER, SPEAKER_COSINE_LIMIT
from valle.evaluation.metrics.statistics import bootstrap_interval, equal_error_rate
from valle.evaluation.plot import open_figure
from valle.evaluation.protocols.consent import (
    ATTEMPTS,
    CLONE,
    IMPOSTOR,
    KINDS,
    REPLAY,
    SPLICE_ONE,
    SPLICE_TWO,
    TARGET,
    WRONG_WORDS,
    Trial,
)
from valle.evaluation.report import Figure
from valle.files import write_atomically

# Which score should distinguish which kind from target trials; True where targets score higher.
SCORES: tuple[tuple[str, bool, str], ...] = (
    ("statement", True, WRONG_WORDS),
    ("phrase", True, WRONG_WORDS),
    ("lowest_word", True, WRONG_WORDS),
    ("margin", True, WRONG_WORDS),
    ("speaker_cosine", True, IMPOSTOR),
    ("phrase_cosine", True, SPLICE_TWO),
    ("speaker_cosine", True, CLONE),
    ("as_norm", True, IMPOSTOR),
    ("as_norm", True, CLONE),
    ("consistency", True, SPLICE_TWO),
    ("background_level", False, SPLICE_ONE),
    ("background_level", False, SPLICE_TWO),
    ("background_shape", False, SPLICE_ONE),
    ("background_shape", False, SPLICE_TWO),
    ("replay", False, REPLAY),
)
POINTS = 101  # of each curve
AS_NORM_LIMITS = tuple(step / 4 for step in range(25))  # standard deviations
MAX_FALSE_ACCEPTANCE = 0.01  # of each kind, for a limit that is set on other speakers
FIRST_ATTEMPT, WITHIN_THREE = "first attempt", "within three"

Decisions = list[tuple[str, bool]]
"""The speaker of each trial, and whether it was accepted."""


def is_accepted_at(trial: Trial, limit: float) -> bool:
    """Whether a trial would be accepted with another limit of the normalized speaker score."""
    return set(trial.faults) <= {OTHER_SPEAKER} and _as_norm(trial) >= limit


def _as_norm(trial: Trial) -> float:
    """The normalized score; where the cohort cannot give one, the cosine decides for any limit."""
    similar = trial.scores["speaker_cosine"] >= SPEAKER_COSINE_LIMIT
    return trial.scores.get("as_norm", np.inf if similar else -np.inf)


def accept_within_three(trials: Iterable[Trial], limit: float = AS_NORM_LIMIT) -> Decisions:
    """For every occasion with three target trials, whether one of them was accepted."""
    attempts: dict[tuple[str, int], list[bool]] = {}
    for trial in trials:
        if trial.kind == TARGET:
            accepted = is_accepted_at(trial, limit)
            attempts.setdefault((trial.speaker, trial.occasion), []).append(accepted)
    return [
        (speaker, any(accepted))
        for (speaker, _), accepted in attempts.items()
        if len(accepted) == ATTEMPTS
    ]


def rates_at(trials: Sequence[Trial], limit: float) -> dict[str, float]:
    """Acceptance rates at a limit of the normalized speaker score, all other limits unchanged."""
    return {"limit": limit} | {
        name: float(np.mean([accepted for _, accepted in decisions]))
        for name, decisions in _decide(trials, limit).items()
        if decisions
    }


def cross_validate_limit(trials: Sequence[Trial]) -> dict[str, Any]:
    """Acceptance rates when the limit is set on the other half of the speakers.

    It is the lowest limit at which no kind of attack is accepted there more often than
    `MAX_FALSE_ACCEPTANCE`.
    """
    names = sorted({trial.speaker for trial in trials})
    pooled: dict[str, Decisions] = {}
    limits = []
    for side in (0, 1):
        test = set(names[side::2])
        limits.append(_lowest_limit([trial for trial in trials if trial.speaker not in test]))
        tested = [trial for trial in trials if trial.speaker in test]
        for name, decisions in _decide(tested, limits[-1]).items():
            pooled.setdefault(name, []).extend(decisions)
    rates = {name: asdict(_rate(decisions)) for name, decisions in pooled.items() if decisions}
    return {"limits": limits, "accepted": rates}


def _decide(trials: Sequence[Trial], limit: float) -> dict[str, Decisions]:
    by_kind = {
        kind: [(t.speaker, is_accepted_at(t, limit)) for t in trials if t.kind == kind]
        for kind in KINDS
    }
    return {
        FIRST_ATTEMPT: by_kind.pop(TARGET),
        WITHIN_THREE: accept_within_three(trials, limit),
        **by_kind,
    }


def _lowest_limit(trials: Sequence[Trial]) -> float:
    limits = [0.0]
    # A splice of the speaker's own recordings has the right voice: no limit of it can refuse it.
    for kind in {trial.kind for trial in trials} - {TARGET, SPLICE_ONE}:
        of_kind = [trial for trial in trials if trial.kind == kind]
        scores = (_as_norm(trial) for trial in of_kind if is_accepted_at(trial, -np.inf))
        highest = sorted(scores, reverse=True)
        allowed = int(MAX_FALSE_ACCEPTANCE * len(of_kind))
        if len(highest) > allowed:
            limits.append(float(np.nextafter(highest[allowed], np.inf)))
    return max(limits)


def _rate(decisions: Decisions) -> Figure:
    """The acceptance rate, its interval by bootstrap over the speakers."""
    speakers = sorted({speaker for speaker, _ in decisions})
    sums = np.zeros((len(speakers), 2))
    for speaker, accepted in decisions:
        sums[speakers.index(speaker)] += (accepted, 1)
    return Figure(*bootstrap_interval(*sums.T))


def save_plot(target: Path, summary: dict[str, Any]) -> None:
    """Plot acceptance rates by the limit of the normalized speaker score (png, svg, pdf).

    Raises:
        UsageError: matplotlib is not installed, or the suffix is unknown.
        OutputError: the file cannot be written.
    """
    figure, image_format = open_figure(target, (8.0, 4.5))
    axes = figure.subplots()
    rows = summary["by_as_norm_limit"]
    for name in rows[0]:
        if name != "limit":
            is_target = name in (FIRST_ATTEMPT, WITHIN_THREE)
            axes.plot(
                [row["limit"] for row in rows],
                [row[name] for row in rows],
                "-" if is_target else "--",
                label=f"target, {name}" if is_target else name,
            )
    axes.axvline(AS_NORM_LIMIT, color="gray", linewidth=0.8)
    axes.set(
        xlabel="limit of the normalized speaker score, standard deviations above impostors",
        ylabel="acceptance rate",
        ylim=(0, 1),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    with write_atomically(target) as path:
        figure.savefig(path, format=image_format, dpi=150)


def summarize(trials: Sequence[Trial]) -> dict[str, Any]:
    """Acceptance rates by kind, equal error rates, curves, and every trial, for the JSON."""
    within_three = accept_within_three(trials)
    return {
        "kinds": {
            kind: _summarize_kind([trial for trial in trials if trial.kind == kind])
            for kind in dict.fromkeys(trial.kind for trial in trials)
        },
        "equal_error_rates": [
            {"score": score, "kind": kind, "value": _equal_error_rate(trials, score, higher, kind)}
            for score, higher, kind in SCORES
            if all(any(score in t.scores for t in trials if t.kind == k) for k in (TARGET, kind))
        ],
        "within_three": asdict(_rate(within_three)) if within_three else None,
        "by_as_norm_limit": [rates_at(trials, limit) for limit in AS_NORM_LIMITS],
        "cross_validated_limit": cross_validate_limit(trials),
        "curves": {
            score: curve(trials, score, higher)
            for score, higher in dict.fromkeys((score, higher) for score, higher, _ in SCORES)
            if any(score in trial.scores for trial in trials)
        },
        "trials": [asdict(trial) for trial in trials],
    }


def _summarize_kind(trials: Sequence[Trial]) -> dict[str, Any]:
    accepted = _rate([(trial.speaker, trial.accepted) for trial in trials])
    faults = [fault for trial in trials for fault in {_fault_kind(f) for f in trial.faults}]
    return {
        "trials": len(trials),
        "speakers": len({trial.speaker for trial in trials}),
        "decided_by_cosine": sum("as_norm" not in trial.scores for trial in trials),
        "accepted": asdict(accepted),
        "faults": {name: faults.count(name) for name in sorted(set(faults))},
    }


def curve(trials: Sequence[Trial], score: str, higher_is_better: bool) -> list[dict[str, float]]:
    """By threshold of a score: the rate of targets refused, and of every other kind accepted."""
    by_kind = {
        kind: np.array([t.scores[score] for t in trials if t.kind == kind and score in t.scores])
        for kind in dict.fromkeys(trial.kind for trial in trials if score in trial.scores)
    }
    thresholds = np.quantile(np.concatenate(list(by_kind.values())), np.linspace(0, 1, POINTS))
    accepts: Callable[[NDArray[np.float64], float], NDArray[np.bool_]] = (
        np.greater_equal if higher_is_better else np.less_equal
    )
    points = []
    for threshold in np.unique(thresholds):
        rates = {kind: float(accepts(values, threshold).mean()) for kind, values in by_kind.items()}
        refused = 1.0 - rates.pop(TARGET, 1.0)
        points.append({"threshold": float(threshold), "targets refused": refused, **rates})
    return points


def table(summary: dict[str, Any]) -> str:
    """The figures as text: acceptance rates, then what each score distinguishes."""
    lines = [f"{'':20}{'trials':>7}  accepted"]
    for kind, row in summary["kinds"].items():
        lines.append(f"{kind:20}{row['trials']:7}  {Figure(**row['accepted'])}")
    within_three = summary["within_three"]
    rate = Figure(**within_three) if within_three else "not measured"
    lines += ["", f"targets within {ATTEMPTS} attempts: {rate}"]
    lines.append("by the limit of the normalized speaker score, all other limits unchanged:")
    rows = summary["by_as_norm_limit"]
    names = [name for name in rows[0] if name != "limit"]
    lines.append(f"{'':6}" + "".join(f"{name:>20}" for name in names))
    for row in rows:
        lines.append(f"{row['limit']:6.3f}" + "".join(f"{row[name]:20.3f}" for name in names))
    crossed = summary["cross_validated_limit"]
    limits = ", ".join(f"{limit:.3f}" for limit in crossed["limits"])
    lines.append(f"with a limit set on the other half of the speakers ({limits}):")
    lines += [f"{name:20}{Figure(**rate)}" for name, rate in crossed["accepted"].items()]
    lines.append("")
    for row in summary["equal_error_rates"]:
        lines.append(f"{row['score']:20}{row['kind']:20}equal error rate {row['value']:.3f}")
    return "\n".join(lines)


def _equal_error_rate(
    trials: Sequence[Trial], score: str, higher_is_better: bool, kind: str
) -> float:
    scored = [trial for trial in trials if trial.kind in (TARGET, kind) and score in trial.scores]
    sign = 1.0 if higher_is_better else -1.0
    values = np.array([sign * trial.scores[score] for trial in scored])
    return equal_error_rate(values, np.array([trial.kind == TARGET for trial in scored]))


def _fault_kind(fault: str) -> str:
    """A fault without the words that it names."""
    return fault.split("lacks", 1)[0] + "lacks some" if "lacks" in fault else fault
