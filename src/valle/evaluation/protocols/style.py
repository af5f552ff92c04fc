"""`valle evaluate style`: whether requested styles show in the speech.

Every class of every style is requested, one at a time, in held-out voices and for each of two
sentences. Spearman's rank correlation tells whether what is measured rises with what is requested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.audio.prosody import CLASSES, STYLES, UNSPECIFIED, compute_frame_features, measure_styles
from valle.errors import UsageError
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.report import Figure
from valle.synthesis.acoustic_model import AcousticModel
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS
from valle.trust.attestation import ATTESTATION

if TYPE_CHECKING:
    from valle import Model

VOICES = 10
# All the sounds of English, in two sentences. With only one per voice, sampling noise moved the
# correlation of a style by up to 0.2.
SENTENCES = (
    "We thought the joyful boy should measure each huge garage.",
    "Now bring the fresh pears, and go with five old dogs to the zoo.",
)


@dataclass(frozen=True)
class Trial:
    """One clip: the requested class of one style, and what was measured (None: impossible)."""

    style: str
    speaker: str
    sentence: int
    requested: int
    measured: float | None


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Rank correlation, -1 to 1; equal values share their mean rank. NaN where all are equal."""
    ranks = [_rank(np.asarray(values, np.float64)) for values in (first, second)]
    a, b = (rank - rank.mean() for rank in ranks)
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else float("nan")


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2.0)[group]


def run_trials(
    model: Model, speakers: Sequence[Speaker], seed: int, quiet: bool = True
) -> Iterator[Trial]:
    """Request every class of every style of every voice; a sentence has the same seed in all.

    Raises:
        UsageError: the bundle was trained without styles.
    """
    config = model.bundle.config
    if config.style is None:
        raise UsageError(f"the bundle {config.name!r} was trained without styles")
    acoustic_model = AcousticModel(model.bundle, model.codec)
    total = len(speakers) * len(SENTENCES) * len(STYLES) * CLASSES
    with tqdm(total=total, desc="styles", unit="clip", disable=quiet or None) as bar:
        for place, speaker in enumerate(speakers):
            voice = model.enroll((speaker.prompt, EVALUATION_RATE), attest=ATTESTATION)
            prompt = acoustic_model.prompt(voice)
            for number, text in enumerate(SENTENCES):
                (sentence, *_), _ = split_sentences(text)
                index = place * len(SENTENCES) + number  # so that each is sampled differently
                utterance = acoustic_model.prepare(sentence, prompt)
                utterance = replace(utterance, seed=seed, index=index)
                spoken = sum(phoneme.symbol not in BORDERS for phoneme in sentence.phonemes)
                for (column, style), requested in product(enumerate(STYLES), range(1, CLASSES + 1)):
                    classes = np.full(len(STYLES), UNSPECIFIED, np.int64)
                    classes[column] = requested
                    styled = replace(utterance, style=classes)
                    codes = acoustic_model.generate_codes(styled, prompt)
                    samples = model.codec.decode(codes, prompt.embedding)
                    features = compute_frame_features(samples, config.sample_rate, config.hop)
                    value = float(measure_styles(features, spoken)[column])
                    measured = value if np.isfinite(value) else None
                    yield Trial(style, speaker.name, number, requested, measured)
                    bar.update()


def summarize(trials: Sequence[Trial]) -> dict[str, Any]:
    """Spearman's correlation of requested and measured values, by style.

    Within each voice and sentence (mean, interval over voices) and over all clips together.
    """
    styles = {}
    for style in dict.fromkeys(trial.style for trial in trials):
        measured = [
            (trial.speaker, trial.sentence, trial.requested, trial.measured)
            for trial in trials
            if trial.style == style and trial.measured is not None
        ]
        correlations: dict[str, list[float]] = {}
        for group in sorted({(speaker, sentence) for speaker, sentence, *_ in measured}):
            pairs = [pair for speaker, sentence, *pair in measured if (speaker, sentence) == group]
            correlation = spearman(*zip(*pairs, strict=True))
            if np.isfinite(correlation):
                correlations.setdefault(group[0], []).append(correlation)
        by_voice = list(correlations.values())
        pooled = spearman([trial[2] for trial in measured], [trial[3] for trial in measured])
        within = None
        if by_voice:
            within = asdict(
                Figure(*bootstrap_interval(list(map(sum, by_voice)), list(map(len, by_voice))))
            )
        styles[style] = {
            "clips": len(measured),
            "within_voices": within,
            "pooled": pooled if np.isfinite(pooled) else None,
        }
    return {"styles": styles}


def table(summary: dict[str, Any]) -> str:
    """The correlations as text, intervals in brackets."""
    lines = [f"{'requested and measured':24}{'Spearman in a voice':>26}{'pooled':>10}"]
    for style, row in summary["styles"].items():
        within = Figure(**row["within_voices"]) if row["within_voices"] else "-"
        pooled = "-" if row["pooled"] is None else f"{row['pooled']:.3f}"
        lines.append(f"{style:24}{within!s:>26}{pooled:>10}")
    return "\n".join(lines)
