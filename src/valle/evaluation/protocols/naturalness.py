"""`valle evaluate naturalness`: how far the pitch moves and how long the pauses are.

The model says the same words as the held-out speakers' own recordings, in their voices; both are
measured alike. Speech that is flat, or that runs on without a breath, shows here, which neither
words nor voice tell.
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
from valle.audio.levels import STEPS_PER_SECOND, powers, sound_gate
from valle.audio.prosody import STYLES, frame_features, measure
from valle.audio.recording import resample
from valle.evaluation.material import Speaker
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.evaluation.plot import new_figure
from valle.evaluation.protocols.zero_shot import ATTESTATION
from valle.files import replacing

if TYPE_CHECKING:
    from valle import Model

ORIGINALS, OURS = "originals", "ours"
SHORTEST_PAUSE = 0.1  # seconds; shorter silences are the closures of stops
_RANGE = STYLES.index("pitch_range")
_COLOURS = {ORIGINALS: "#205080", OURS: "#c05020"}


@dataclass(frozen=True)
class Clip:
    """One clip: `pitch_range` in semitones (None: too little voice), each pause in seconds."""

    row: str
    speaker: str
    text: str
    seconds: float
    pitch_range: float | None
    pauses: tuple[float, ...]


def pitch_range(samples: Samples) -> float | None:
    """From the tenth to the ninetieth hundredth of the pitch of some speech at 16 kHz, in
    semitones; None where there is too little voice."""
    features = frame_features(samples, JUDGE_RATE, JUDGE_RATE // STEPS_PER_SECOND)
    spread = float(measure(features, 0)[_RANGE])
    return spread if np.isfinite(spread) else None


def pauses_of(samples: Samples, sample_rate: int) -> tuple[float, ...]:
    """Lengths in seconds of the silences inside of some speech, those before and after left out.

    Silence is what is 20 dB under the mean level of the sound, for 0.1 s or more; to 20 ms.
    """
    power = powers(samples, sample_rate)
    loud = power > sound_gate(power)
    places = np.flatnonzero(loud)
    lengths = (np.diff(places) - 1) / STEPS_PER_SECOND
    return tuple(float(length) for length in lengths if length >= SHORTEST_PAUSE)


def clips(
    model: Model, speakers: Sequence[Speaker], each: int, seed: int, quiet: bool = True
) -> Iterator[Clip]:
    """The originals, `each` a speaker at most, and the same words by the model."""
    total = 2 * sum(len(speaker.originals[:each]) for speaker in speakers)
    with tqdm(total=total, desc="naturalness", unit="clip", disable=quiet or None) as bar:
        for speaker in speakers:
            voice = model.enroll((speaker.prompt, JUDGE_RATE), attest=ATTESTATION)
            for turn, original in enumerate(speaker.originals[:each]):
                yield _clip(ORIGINALS, speaker, original.text, original.samples())
                speech = model.speak(original.text, voice, seed=seed + turn)
                made = resample(speech.audio, speech.sample_rate, JUDGE_RATE)
                yield _clip(OURS, speaker, original.text, made)
                bar.update(2)


def _clip(row: str, speaker: Speaker, text: str, samples: Samples) -> Clip:
    return Clip(
        row,
        speaker.name,
        text,
        len(samples) / JUDGE_RATE,
        pitch_range(samples),
        pauses_of(samples, JUDGE_RATE),
    )


def results(found: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """Quartiles of both figures, and pauses a minute, of each row."""
    rows: dict[str, dict[str, Any]] = {}
    for row in dict.fromkeys(clip.row for clip in found):
        own = [clip for clip in found if clip.row == row]
        spreads, pauses = _values(own)
        rows[row] = {
            "clips": len(own),
            "speakers": len({clip.speaker for clip in own}),
            "pitch_range_semitones": _quartiles(spreads),
            "pause_seconds": _quartiles(pauses),
            "pauses_a_minute": 60.0 * len(pauses) / sum(clip.seconds for clip in own),
        }
    return rows


def _values(clips: Sequence[Clip]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spreads = [clip.pitch_range for clip in clips if clip.pitch_range is not None]
    return np.array(spreads, float), np.array([p for clip in clips for p in clip.pauses], float)


def _quartiles(values: NDArray[np.float64]) -> list[float] | None:
    return [float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])] if len(values) else None


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The figures as lines of text: quartiles."""
    lines = [f"{'':10}{'clips':>6}{'pitch range, semitones':>28}{'pauses, s':>24}{'a minute':>10}"]
    for name, row in rows.items():
        cells = [
            " ".join(f"{q:.2f}" for q in row[key]) if row[key] else "-"
            for key in ("pitch_range_semitones", "pause_seconds")
        ]
        lines.append(
            f"{name:10}{row['clips']:>6}{cells[0]:>28}{cells[1]:>24}{row['pauses_a_minute']:>10.1f}"
        )
    return "\n".join(lines)


def as_json(found: Sequence[Clip]) -> dict[str, Any]:
    """Figures and clips as plain values."""
    return {"rows": results(found), "clips": [asdict(clip) for clip in found]}


def save_picture(target: Path, found: Sequence[Clip]) -> None:
    """Draw the share of clips up to each pitch range, and of pauses up to each length.

    Raises:
        UsageError: matplotlib is not installed, or the ending is no picture's.
        OutputError: the file cannot be written.
    """
    figure, kind = new_figure(target, (9.0, 3.5))
    left, right = figure.subplots(1, 2, sharey=True)
    for row in dict.fromkeys(clip.row for clip in found):
        own = [clip for clip in found if clip.row == row]
        for axes, values in zip((left, right), _values(own), strict=True):
            share = np.arange(1, len(values) + 1) / max(1, len(values))
            axes.step(np.sort(values), share, where="post", label=row, color=_COLOURS[row])
    left.set(xlabel="pitch range, 10th to 90th hundredth, semitones", ylabel="share up to there")
    right.set(xlabel="pauses, seconds", xscale="log")
    left.legend()
    with replacing(target) as part:
        figure.savefig(part, format=kind, dpi=100)
