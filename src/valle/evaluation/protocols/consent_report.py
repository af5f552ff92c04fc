"""What trials of agreements come to: shares, curves, and the trade-off between both errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.consent.verification import LIKENESS_LIMIT, OTHER_VOICE, VOICE_LIMIT
from valle.evaluation.metrics.statistics import bootstrap_interval, equal_error_rate
from valle.evaluation.plot import new_figure
from valle.evaluation.protocols.consent import KINDS, TRIES, TRUE, Trial
from valle.evaluation.report import Figure
from valle.files import replacing

# Which score should tell which kind from the true ones; True where more of it is better.
TELLS: tuple[tuple[str, bool, str], ...] = (
    ("statement", True, "wrong words"),
    ("phrase", True, "wrong words"),
    ("weakest_word", True, "wrong words"),
    ("margin", True, "wrong words"),
    ("voice", True, "other speaker"),
    ("phrase_voice", True, "cut, 2 voices"),
    ("voice", True, "clone"),
    ("likeness", True, "other speaker"),
    ("likeness", True, "clone"),
    ("thirds", True, "cut, 2 voices"),
    ("background", False, "cut, 1 voice"),
    ("background", False, "cut, 2 voices"),
    ("colour", False, "cut, 1 voice"),
    ("colour", False, "cut, 2 voices"),
    ("replay", False, "replay"),
)
POINTS = 101  # of each curve
LIKENESS_LIMITS = tuple(step / 4 for step in range(25))  # standard deviations
WANTED = 0.01  # of false ones accepted, at most, of each kind
# What no comparison of voices can refuse, so that none of their limits is set by it.
_SAME_VOICE = "cut, 1 voice"


Judged = list[tuple[str, bool]]  # the speaker, and whether it was accepted


def accepted_at(trial: Trial, limit: float) -> bool:
    """Whether it would be accepted with another limit for the likeness of the two voices."""
    return set(trial.faults) <= {OTHER_VOICE} and _likeness(trial) >= limit


def _likeness(trial: Trial) -> float:
    """As it is compared with its limit: where the cohort cannot say, by what the cosine says."""
    alike = np.inf if trial.scores["voice"] >= VOICE_LIMIT else -np.inf
    return trial.scores.get("likeness", alike)


def within_three(trials: Iterable[Trial], limit: float = LIKENESS_LIMIT) -> Judged:
    """Of every occasion with three true tries, whether one of them was accepted."""
    tries: dict[tuple[str, int], list[bool]] = {}
    for trial in trials:
        if trial.kind == TRUE:
            own = tries.setdefault((trial.speaker, trial.occasion), [])
            own.append(accepted_at(trial, limit))
    return [(speaker, any(own)) for (speaker, _), own in tries.items() if len(own) == TRIES]


def by_likeness(trials: Sequence[Trial], limit: float) -> dict[str, float]:
    """The shares accepted at a limit of the voices' likeness, all other checks as they are."""
    return {"limit": limit} | {
        name: float(np.mean([so for _, so in judged]))
        for name, judged in _judged(trials, limit).items()
        if judged
    }


def limit_of_other_speakers(trials: Sequence[Trial]) -> dict[str, Any]:
    """The shares accepted when the limit of likeness is set on the other half of the speakers.

    It is the least at which of no kind of false ones more than `WANTED` are accepted there.
    """
    names = sorted({trial.speaker for trial in trials})
    pooled: dict[str, Judged] = {}
    limits = []
    for side in (0, 1):
        own = set(names[side::2])
        limits.append(_least_limit([trial for trial in trials if trial.speaker not in own]))
        judged = _judged([trial for trial in trials if trial.speaker in own], limits[-1])
        for name, part in judged.items():
            pooled.setdefault(name, []).extend(part)
    shares = {name: asdict(_share(judged)) for name, judged in pooled.items() if judged}
    return {"limits": limits, "accepted": shares}


def _judged(trials: Sequence[Trial], limit: float) -> dict[str, Judged]:
    first = {
        kind: [(t.speaker, accepted_at(t, limit)) for t in trials if t.kind == kind]
        for kind in KINDS
    }
    return {"first try": first.pop(TRUE), "within three": within_three(trials, limit), **first}


def _least_limit(trials: Sequence[Trial]) -> float:
    limits = [0.0]
    for kind in {trial.kind for trial in trials} - {TRUE, _SAME_VOICE}:
        own = [trial for trial in trials if trial.kind == kind]
        taken = sorted((_likeness(t) for t in own if accepted_at(t, -np.inf)), reverse=True)
        allowed = int(WANTED * len(own))
        if len(taken) > allowed:
            limits.append(float(np.nextafter(taken[allowed], np.inf)))
    return max(limits)


def _share(judged: Judged) -> Figure:
    """The share accepted, its interval by bootstrap over the speakers."""
    speakers = sorted({speaker for speaker, _ in judged})
    sums = np.zeros((len(speakers), 2))
    for speaker, accepted in judged:
        sums[speakers.index(speaker)] += (accepted, 1)
    return Figure(*bootstrap_interval(*sums.T))


def save_curves(target: Path, found: dict[str, Any]) -> None:
    """Draw what is accepted of each kind by the limit of the voices' likeness (png, svg, pdf).

    Raises:
        UsageError: matplotlib is not installed, or the ending is unknown.
        OutputError: it cannot be written.
    """
    figure, kind = new_figure(target, (8.0, 4.5))
    axes = figure.subplots()
    rows = found["by_likeness"]
    for name in rows[0]:
        if name != "limit":
            own = name in ("first try", "within three")
            axes.plot(
                [row["limit"] for row in rows],
                [row[name] for row in rows],
                "-" if own else "--",
                label=f"true, {name}" if own else name,
            )
    axes.axvline(LIKENESS_LIMIT, color="grey", linewidth=0.8)
    axes.set(
        xlabel="least likeness of the two voices, standard deviations above strangers",
        ylabel="share accepted",
        ylim=(0, 1),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    with replacing(target) as path:
        figure.savefig(path, format=kind, dpi=150)


def results(trials: Sequence[Trial]) -> dict[str, Any]:
    """Shares accepted by kind, equal error rates, curves, and every trial: what the JSON holds."""
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(trial.kind for trial in trials):
        own = [trial for trial in trials if trial.kind == kind]
        accepted = _share([(trial.speaker, trial.accepted) for trial in own])
        faults = [fault for trial in own for fault in {_kind_of(f) for f in trial.faults}]
        kinds[kind] = {
            "trials": len(own),
            "speakers": len({trial.speaker for trial in own}),
            "by_cosine_alone": sum("likeness" not in trial.scores for trial in own),
            "accepted": asdict(accepted),
            "faults": {name: faults.count(name) for name in sorted(set(faults))},
        }
    return {
        "kinds": kinds,
        "equal_error_rates": [
            {"score": score, "kind": kind, "value": _error_rate(trials, score, more, kind)}
            for score, more, kind in TELLS
            if all(any(score in t.scores for t in trials if t.kind == k) for k in (TRUE, kind))
        ],
        "within_three": asdict(_share(three)) if (three := within_three(trials)) else None,
        "by_likeness": [by_likeness(trials, limit) for limit in LIKENESS_LIMITS],
        "limit_of_other_speakers": limit_of_other_speakers(trials),
        "curves": {
            score: curve(trials, score, more)
            for score, more in dict.fromkeys((score, more) for score, more, _ in TELLS)
            if any(score in trial.scores for trial in trials)
        },
        "trials": [asdict(trial) for trial in trials],
    }


def curve(trials: Sequence[Trial], score: str, more_is_better: bool) -> list[dict[str, float]]:
    """By threshold: the share of true trials refused, and of each other kind accepted."""
    by_kind = {
        kind: np.array([t.scores[score] for t in trials if t.kind == kind and score in t.scores])
        for kind in dict.fromkeys(trial.kind for trial in trials if score in trial.scores)
    }
    thresholds = np.quantile(np.concatenate(list(by_kind.values())), np.linspace(0, 1, POINTS))
    passes: Callable[[NDArray[Any], float], NDArray[np.bool_]] = (
        np.greater_equal if more_is_better else np.less_equal
    )
    points = []
    for threshold in np.unique(thresholds):
        shares = {kind: float(passes(own, threshold).mean()) for kind, own in by_kind.items()}
        refused = 1.0 - shares.pop(TRUE, 1.0)
        points.append({"threshold": float(threshold), "true refused": refused, **shares})
    return points


def table(found: dict[str, Any]) -> str:
    """The figures as lines of text: what was accepted, then what each score tells apart."""
    lines = [f"{'':16}{'trials':>7}  accepted"]
    for kind, row in found["kinds"].items():
        lines.append(f"{kind:16}{row['trials']:7}  {_words(row['accepted'])}")
    three = found["within_three"]
    lines += ["", f"true within {TRIES} tries: {_words(three) if three else 'not measured'}"]
    lines.append("by the least likeness of the voices, all other checks as they are:")
    names = [name for name in found["by_likeness"][0] if name != "limit"]
    lines.append(f"{'':6}" + "".join(f"{name:>17}" for name in names))
    for row in found["by_likeness"]:
        lines.append(f"{row['limit']:6.3f}" + "".join(f"{row[name]:17.3f}" for name in names))
    other = found["limit_of_other_speakers"]
    limits = ", ".join(f"{limit:.3f}" for limit in other["limits"])
    lines.append(f"with a limit set on the other half of the speakers ({limits}):")
    lines += [f"{name:16}{_words(share)}" for name, share in other["accepted"].items()]
    lines.append("")
    for row in found["equal_error_rates"]:
        lines.append(f"{row['score']:16}{row['kind']:16}equal error rate {row['value']:.3f}")
    return "\n".join(lines)


def _error_rate(trials: Sequence[Trial], score: str, more_is_better: bool, kind: str) -> float:
    judged = [trial for trial in trials if trial.kind in (TRUE, kind) and score in trial.scores]
    sign = 1.0 if more_is_better else -1.0
    values = np.array([sign * trial.scores[score] for trial in judged])
    return equal_error_rate(values, np.array([trial.kind == TRUE for trial in judged]))


def _kind_of(fault: str) -> str:
    """A fault without the words that it names."""
    return fault.split("lacks", 1)[0] + "lacks some" if "lacks" in fault else fault


def _words(share: dict[str, float]) -> str:
    return f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
