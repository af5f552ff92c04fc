"""`valle evaluate false-positives`: unmarked recordings in which a watermark is detected.

The bound of `watermark.search` holds for any recording; this counts, in case it, or the program,
is wrong. Recordings, and sentences by espeak-ng, are joined to files of ten minutes: other speeds
and pitches are searched once per file, and would otherwise be most of the work.
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
from valle.corpora.synthetic import synthesize_speaker
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.errors import RecordingError
from valle.evaluation.material import read_manifests, read_row
from valle.evaluation.metrics import EVALUATION_RATE
from valle.watermark.detect import MAX_FALSE_POSITIVE_PROBABILITY, detect_watermark

RECORDED, SYNTHETIC = "recorded", "synthetic"
FILE_SECONDS = 600.0
_TEXTS = 8  # sentences per synthetic speaker
_SPEAKER_SEED = 1_300_000_000  # synthetic speakers from here on are in no training corpus
_SPEAKERS_PER_SEED = 1_000_000


@dataclass(frozen=True)
class SearchedFile:
    """One unmarked file, and the result of the detector."""

    kind: str
    seconds: float
    detected: bool
    probability: float
    """Upper bound of the probability of such a score without a watermark."""
    score: float
    """The best score in nats, at the original speed."""
    threshold: float
    """What the score has to reach."""


def read_recordings(manifests: Sequence[Path]) -> Iterator[Samples]:
    """The manifests' recordings that can be decoded and are not silent, [N] at 16 kHz.

    Raises:
        UsageError: a manifest is missing.
    """
    for row in read_manifests(manifests):
        with contextlib.suppress(RecordingError):
            yield read_row(row)


def synthesize_sentences(texts: Sequence[str], seed: int = 0) -> Iterator[Samples]:
    """Endless sentences by espeak-ng, [N] at 16 kHz, the speaker changing every few.

    Other seeds give other speakers, so that the hours of several runs add up.
    """
    for number in itertools.count():
        chosen = [texts[(number * _TEXTS + index) % len(texts)] for index in range(_TEXTS)]
        speaker = SyntheticSpeaker.sample(
            _SPEAKER_SEED + _SPEAKERS_PER_SEED * seed + number, {"espeak": 1.0}
        )
        for utterance in synthesize_speaker(speaker, chosen)[0]:
            yield utterance.samples


def run(
    kind: str, speech: Iterable[Samples], hours: float, quiet: bool = True
) -> Iterator[SearchedFile]:
    """Search `hours` of speech, or as much as there is, in files of ten minutes."""
    total = 0.0
    length = round(FILE_SECONDS * EVALUATION_RATE)
    with tqdm(total=round(hours * 3600), desc=kind, unit="s", disable=quiet or None) as bar:
        buffered: list[Samples] = []
        for samples in speech:
            buffered.append(samples)
            if sum(map(len, buffered)) < length:
                continue
            joined, buffered = np.concatenate(buffered), []
            result = detect_watermark(joined, EVALUATION_RATE)
            seconds = len(joined) / EVALUATION_RATE
            total += seconds
            bar.update(round(seconds))
            yield SearchedFile(
                kind,
                seconds,
                result.found,
                result.false_positive_bound,
                result.score,
                result.threshold,
            )
            if total >= hours * 3600:
                break


def summarize(files: Sequence[SearchedFile]) -> dict[str, Any]:
    """Summarize the search by kind of speech.

    The results are hours, files, false positives, the lowest probability bound, and the score that
    came closest to its threshold.
    """
    kinds = {}
    for kind in dict.fromkeys(file.kind for file in files):
        of_kind = [file for file in files if file.kind == kind]
        closest = max(of_kind, key=lambda file: file.score - file.threshold)
        kinds[kind] = {
            "hours": round(sum(file.seconds for file in of_kind) / 3600, 3),
            "files": len(of_kind),
            "false_positives": sum(file.detected for file in of_kind),
            "lowest_probability": min(file.probability for file in of_kind),
            "highest_score": closest.score,
            "threshold": closest.threshold,
        }
    return {"limit": MAX_FALSE_POSITIVE_PROBABILITY, "kinds": kinds}


def table(summary: dict[str, Any]) -> str:
    """The counts as text."""
    lines = [
        f"{'':10}{'hours':>8}{'files':>8}{'false positives':>17}"
        "  lowest probability  score / threshold"
    ]
    for kind, row in summary["kinds"].items():
        lines.append(
            f"{kind:10}{row['hours']:8.2f}{row['files']:8}{row['false_positives']:17}"
            f"  {row['lowest_probability']:18.1e}"
            f"  {row['highest_score']:.1f} / {row['threshold']:.1f}"
        )
    return "\n".join(lines)
