"""`valle evaluate alarms`: how often a recording without a mark is said to have one.

The bound of `watermark.search` holds for any recording; this counts, in case it, or the program,
is wrong. Recordings, and sentences by espeak-ng, are joined to files of ten minutes: other
speeds and pitches are looked for once a file, which would be most of the work.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.corpora.recordings import read_manifest
from valle.corpora.synthetic import say
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.errors import RecordingError
from valle.evaluation.material import read_samples
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.watermark.detect import FALSE_ALARMS, detect

REAL, MADE = "real", "made"
FILE_SECONDS = 600.0
_TEXTS = 8  # sentences of one made speaker
_MADE_SEED = 1_300_000_000  # made speakers from here on are in no training corpus
_SEED_APART = 1_000_000  # speakers that belong to one seed


@dataclass(frozen=True)
class Searched:
    """One file without a mark, and what was found in it."""

    kind: str
    seconds: float
    found: bool
    chance: float
    """That so much is found where there is no mark, as `detect` bounds it."""
    score: float
    needed: float
    """The best score in nats, and what it had to reach, at the speed that speech is made at."""


def real_speech(manifest: Path) -> Iterator[Samples]:
    """The manifest's recordings with sound enough to be read, [N] at 16 kHz.

    Raises UsageError if it is missing.
    """
    for row in read_manifest(manifest):
        with contextlib.suppress(RecordingError):
            yield read_samples(manifest.parent / row["audio"])


def made_speech(texts: Sequence[str], seed: int = 0) -> Iterator[Samples]:
    """Sentences by espeak-ng without end, [N] at 16 kHz; a new speaker for every few.

    Other seeds give other speakers, so that the hours of several runs add up.
    """
    for number in itertools.count():
        chosen = [texts[(number * _TEXTS + turn) % len(texts)] for turn in range(_TEXTS)]
        who = MadeSpeaker.draw(_MADE_SEED + _SEED_APART * seed + number, {"espeak": 1.0})
        for utterance in say(who, chosen)[0]:
            yield utterance.samples


def run(
    kind: str, speech: Iterable[Samples], hours: float, quiet: bool = True
) -> Iterator[Searched]:
    """Search `hours` of speech, or all that there is, in files of ten minutes."""
    total = 0.0
    length = round(FILE_SECONDS * JUDGE_RATE)
    with tqdm(total=round(hours * 3600), desc=kind, unit="s", disable=quiet or None) as bar:
        waiting: list[Samples] = []
        for samples in speech:
            waiting.append(samples)
            if sum(map(len, waiting)) < length:
                continue
            joined, waiting = np.concatenate(waiting), []
            found = detect(joined, JUDGE_RATE)
            seconds = len(joined) / JUDGE_RATE
            total += seconds
            bar.update(round(seconds))
            yield Searched(kind, seconds, found.found, found.chance, found.score, found.needed)
            if total >= hours * 3600:
                break


def results(searched: Sequence[Searched]) -> dict[str, Any]:
    """By kind: hours, files, false alarms, the least chance that was named, and the score that came
    nearest to the one it had to reach."""
    kinds = {}
    for kind in dict.fromkeys(one.kind for one in searched):
        own = [one for one in searched if one.kind == kind]
        nearest = max(own, key=lambda one: one.score - one.needed)
        kinds[kind] = {
            "hours": round(sum(one.seconds for one in own) / 3600, 3),
            "files": len(own),
            "alarms": sum(one.found for one in own),
            "least_chance": min(one.chance for one in own),
            "greatest_score": nearest.score,
            "score_needed": nearest.needed,
        }
    return {"limit": FALSE_ALARMS, "kinds": kinds}


def table(found: dict[str, Any]) -> str:
    """The counts as lines of text."""
    lines = [f"{'':8}{'hours':>8}{'files':>8}{'alarms':>8}  least chance  score of needed"]
    for kind, row in found["kinds"].items():
        lines.append(
            f"{kind:8}{row['hours']:8.2f}{row['files']:8}{row['alarms']:8}"
            f"  {row['least_chance']:12.1e}"
            f"  {row['greatest_score']:.1f} of {row['score_needed']:.1f}"
        )
    return "\n".join(lines)
