"""`valle evaluate hard`: words lost and repeated in texts that are hard for speech models.

A hundred texts (repetitions, tongue twisters, numbers, letters, single words, sixty words without a
full stop) in the voices of held-out speakers, each with several seeds. Forced alignment by the
bundle's recognizer tells which words are deleted or repeated. The codec resynthesis of the
speakers' own recordings is checked in the same way: what is flagged there is measurement error.
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
from valle.errors import UsageError
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.metrics.word_alignment import WordCheck, check_words, spoken_words
from valle.evaluation.report import Figure
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.segmentation import split_sentences
from valle.trust.attestation import ATTESTATION

if TYPE_CHECKING:
    from valle import Model, Voice

TEXTS = Path(__file__).with_name("hard_texts.tsv")
SEEDS = 5
CODEC = "codec resynthesis"
_ALL = "all hard texts"


@dataclass(frozen=True)
class Trial:
    """One clip."""

    row: str
    """The kind of its text, or `CODEC`."""
    speaker: str
    text: str
    seed: int | None
    seconds: float
    check: WordCheck


@dataclass(frozen=True)
class Row:
    """The figures of some clips: rates, with intervals by bootstrap over the speakers."""

    row: str
    clips: int
    words: int
    deleted: Figure
    """Per word."""
    repeated: Figure
    """Per word."""
    truncated: Figure
    """Per clip."""
    run_on: Figure
    """Per clip."""
    flagged: Figure
    """Per clip: those with any of these."""


def read_texts(path: Path = TEXTS) -> list[tuple[str, str]]:
    """The hard texts, (kind, text), kinds interleaved so that the first few represent all.

    Raises:
        UsageError: a line has no kind.
    """
    by_kind: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, tab, text = line.partition("\t")
            if not tab:
                raise UsageError(f"{path}: {line[:40]!r} is not a kind, a tab and a text")
            by_kind.setdefault(kind, []).append(text)
    # By the relative position within the kind, so that kinds of unequal size are spread evenly.
    placed = [
        ((index + 0.5) / len(texts), kind, text)
        for kind, texts in by_kind.items()
        for index, text in enumerate(texts)
    ]
    return [(kind, text) for _, kind, text in sorted(placed, key=lambda item: item[0])]


def run_trials(
    model: Model,
    speakers: Sequence[Speaker],
    texts: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    quiet: bool = True,
) -> Iterator[Trial]:
    """Synthesize every text with every seed, in alternating voices; then the codec resynthesis.

    Failed sentences are retried as for a user, by `Model.speak`'s own rule.
    """
    recognizer = PhonemeRecognizer(model.bundle)
    utterances = [(speaker, utterance) for speaker in speakers for utterance in speaker.utterances]
    total = len(texts) * len(seeds) + len(utterances)
    voices: dict[str, Voice] = {}
    with tqdm(total=total, desc="hard texts", unit="clip", disable=quiet or None) as bar:
        for round_, seed in enumerate(seeds):
            for index, (kind, text) in enumerate(texts):
                speaker = speakers[(index + round_) % len(speakers)]
                if speaker.name not in voices:
                    prompt = (speaker.prompt, EVALUATION_RATE)
                    voices[speaker.name] = model.enroll(prompt, attest=ATTESTATION)
                speech = model.speak(text, voices[speaker.name], seed=seed)
                check = _check(model, recognizer, text, speech.audio)
                yield Trial(kind, speaker.name, text, seed, speech.seconds, check)
                bar.update()
        for speaker, utterance in utterances:
            samples = resample(utterance.samples(), EVALUATION_RATE, model.sample_rate)
            coded = model.codec.decode(model.codec.encode(samples))[: len(samples)]
            check = _check(model, recognizer, utterance.text, coded)
            seconds = len(coded) / model.sample_rate
            yield Trial(CODEC, speaker.name, utterance.text, None, seconds, check)
            bar.update()


def _check(model: Model, recognizer: PhonemeRecognizer, text: str, samples: Samples) -> WordCheck:
    sentences, _ = split_sentences(text)
    classes = model.bundle.config.listener_symbols
    seconds = len(samples) / model.sample_rate
    return check_words(
        recognizer.compute_posteriors(samples).ctc, classes, spoken_words(sentences), seconds
    )


def summarize(trials: Sequence[Trial]) -> list[Row]:
    """Figures of every kind of text, of all texts, and of the codec resynthesis."""
    kinds = [row for row in dict.fromkeys(t.row for t in trials) if row != CODEC]
    synthesized = [trial for trial in trials if trial.row != CODEC]
    groups = [(kind, [trial for trial in synthesized if trial.row == kind]) for kind in kinds]
    groups += [(_ALL, synthesized), (CODEC, [trial for trial in trials if trial.row == CODEC])]
    return [_summarize_row(name, group) for name, group in groups if group]


def _summarize_row(name: str, trials: Sequence[Trial]) -> Row:
    speakers = sorted({trial.speaker for trial in trials})
    columns = np.zeros((len(speakers), 7))
    for trial in trials:
        check = trial.check
        columns[speakers.index(trial.speaker)] += (
            1,
            check.words,
            len(check.deleted),
            len(check.repeated),
            check.truncated,
            check.run_on,
            check.flagged,
        )
    clips, words, deleted, repeated, truncated, run_on, flagged = columns.T

    def rate(counts: NDArray[np.float64], totals: NDArray[np.float64]) -> Figure:
        return Figure(*bootstrap_interval(counts, totals))

    return Row(
        name,
        int(clips.sum()),
        int(words.sum()),
        rate(deleted, words),
        rate(repeated, words),
        rate(truncated, clips),
        rate(run_on, clips),
        rate(flagged, clips),
    )


def table(rows: Sequence[Row]) -> str:
    """The figures as text, intervals in brackets."""
    names = ("deleted", "repeated", "truncated", "run_on", "flagged")
    lines = [f"{'':28}{'clips':>6}{'words':>7}" + "".join(f"{name:>22}" for name in names)]
    for row in rows:
        cells = "".join(f"{getattr(row, name)!s:>22}" for name in names)
        lines.append(f"{row.row:28}{row.clips:>6}{row.words:>7}{cells}")
    return "\n".join(lines)


def as_json(trials: Sequence[Trial]) -> dict[str, Any]:
    """Figures and clips as plain values."""
    return {
        "rows": [asdict(row) for row in summarize(trials)],
        "trials": [asdict(trial) for trial in trials],
    }
