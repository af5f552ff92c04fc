"""`valle evaluate naturalness`: pitch range and pauses.

The model says the same words as the held-out speakers' own recordings, in their voices; both are
measured alike. Speech that is monotonous or never pauses shows here, and neither in word error
rates nor in speaker similarity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.pauses import measure_pauses
from valle.evaluation.metrics.pitch_range import pitch_range
from valle.evaluation.plot import open_figure
from valle.files import write_atomically
from valle.trust.attestation import ATTESTATION

if TYPE_CHECKING:
    from valle import Model

GROUND_TRUTH, SYNTHESIZED = "ground truth", "synthesized"
_COLORS = {GROUND_TRUTH: "#205080", SYNTHESIZED: "#c05020"}


@dataclass(frozen=True)
class Clip:
    """One clip: `pitch_range` in semitones (None: too little is voiced), pauses in seconds."""

    row: str
    speaker: str
    text: str
    seconds: float
    pitch_range: float | None
    pauses: tuple[float, ...]


def run(
    model: Model, speakers: Sequence[Speaker], per_speaker: int, seed: int, quiet: bool = True
) -> Iterator[Clip]:
    """Measure up to `per_speaker` utterances per speaker, and the same words by the model."""
    total = 2 * sum(len(speaker.utterances[:per_speaker]) for speaker in speakers)
    with tqdm(total=total, desc="naturalness", unit="clip", disable=quiet or None) as bar:
        for speaker in speakers:
            voice = model.enroll((speaker.prompt, EVALUATION_RATE), attest=ATTESTATION)
            for index, utterance in enumerate(speaker.utterances[:per_speaker]):
                yield _measure(GROUND_TRUTH, speaker, utterance.text, utterance.samples())
                speech = model.speak(utterance.text, voice, seed=seed + index)
                samples = resample(speech.audio, speech.sample_rate, EVALUATION_RATE)
                yield _measure(SYNTHESIZED, speaker, utterance.text, samples)
                bar.update(2)


def _measure(row: str, speaker: Speaker, text: str, samples: Samples) -> Clip:
    return Clip(
        row,
        speaker.name,
        text,
        len(samples) / EVALUATION_RATE,
        pitch_range(samples),
        measure_pauses(samples, EVALUATION_RATE),
    )


def summarize(clips: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """Quartiles of pitch range and pauses, and pauses per minute, of each row."""
    rows: dict[str, dict[str, Any]] = {}
    for row in dict.fromkeys(clip.row for clip in clips):
        in_row = [clip for clip in clips if clip.row == row]
        ranges, pauses = _values(in_row)
        rows[row] = {
            "clips": len(in_row),
            "speakers": len({clip.speaker for clip in in_row}),
            "pitch_range_semitones": _quartiles(ranges),
            "pause_seconds": _quartiles(pauses),
            "pauses_per_minute": 60.0 * len(pauses) / sum(clip.seconds for clip in in_row),
        }
    return rows


def _values(clips: Sequence[Clip]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ranges = [clip.pitch_range for clip in clips if clip.pitch_range is not None]
    return np.array(ranges, float), np.array([p for clip in clips for p in clip.pauses], float)


def _quartiles(values: NDArray[np.float64]) -> list[float] | None:
    return [float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])] if len(values) else None


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The quartiles as text."""
    lines = [
        f"{'':14}{'clips':>6}{'pitch range, semitones':>28}{'pauses, s':>24}{'per minute':>12}"
    ]
    for name, row in rows.items():
        cells = [
            " ".join(f"{q:.2f}" for q in row[key]) if row[key] else "-"
            for key in ("pitch_range_semitones", "pause_seconds")
        ]
        lines.append(
            f"{name:14}{row['clips']:>6}{cells[0]:>28}{cells[1]:>24}{row['pauses_per_minute']:>12.1f}"
        )
    return "\n".join(lines)


def as_json(clips: Sequence[Clip]) -> dict[str, Any]:
    """Figures and clips as plain values."""
    return {"rows": summarize(clips), "clips": [asdict(clip) for clip in clips]}


def save_plot(target: Path, clips: Sequence[Clip]) -> None:
    """Plot the cumulative distributions of pitch ranges and of pauses.

    Raises:
        UsageError: matplotlib is not installed, or the file name does not end as an image's.
        OutputError: the file cannot be written.
    """
    figure, image_format = open_figure(target, (9.0, 3.5))
    left, right = figure.subplots(1, 2, sharey=True)
    for row in dict.fromkeys(clip.row for clip in clips):
        in_row = [clip for clip in clips if clip.row == row]
        for axes, values in zip((left, right), _values(in_row), strict=True):
            share = np.arange(1, len(values) + 1) / max(1, len(values))
            axes.step(np.sort(values), share, where="post", label=row, color=_COLORS[row])
    left.set(xlabel="pitch range, 10th to 90th percentile, semitones", ylabel="cumulative share")
    right.set(xlabel="pauses, seconds", xscale="log")
    left.legend()
    with write_atomically(target) as part:
        figure.savefig(part, format=image_format, dpi=100)
