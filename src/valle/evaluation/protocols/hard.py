"""`valle evaluate hard`: texts that speech models trip over, and how many words get lost.

A hundred texts (repetitions, tongue twisters, numbers, letters, single words, sixty words without a
stop) in the voices of held-out speakers, each with several seeds. The listener's forced alignment
tells what is missing or doubled. Beside them stand the speakers' own recordings through the codec:
what is flagged there is the error of the measurement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.errors import UsageError
from valle.evaluation.material import Speaker
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.metrics.words import Said, said, words_of
from valle.evaluation.protocols.zero_shot import ATTESTATION
from valle.evaluation.report import Figure
from valle.runtime.recognizer import Listener
from valle.text.phonemes import to_sentences

if TYPE_CHECKING:
    from valle import Model, Voice

TEXTS = Path(__file__).with_name("hard_texts.tsv")
SEEDS = 5
ORIGINALS = "originals through the codec"
_ALL = "all hard texts"


@dataclass(frozen=True)
class Trial:
    """One clip."""

    row: str
    """The kind of its text, or `ORIGINALS`."""
    speaker: str
    text: str
    seed: int | None
    seconds: float
    said: Said


@dataclass(frozen=True)
class Row:
    """The figures of some clips: shares, with intervals by bootstrap over the speakers."""

    row: str
    clips: int
    words: int
    missing: Figure
    """Of all words."""
    doubled: Figure
    """Of all words."""
    cut_short: Figure
    """Of all clips."""
    runs_on: Figure
    """Of all clips."""
    flagged: Figure
    """Of all clips: those with any of these."""


def read_texts(path: Path = TEXTS) -> list[tuple[str, str]]:
    """The hard texts, (kind, text), kinds taking turns so that the first few stand for all.

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
    # By the place in its kind as a share of it: kinds of unequal size are spread evenly.
    placed = [
        ((place + 0.5) / len(texts), kind, text)
        for kind, texts in by_kind.items()
        for place, text in enumerate(texts)
    ]
    return [(kind, text) for _, kind, text in sorted(placed, key=lambda one: one[0])]


def trials(
    model: Model,
    speakers: Sequence[Speaker],
    texts: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    quiet: bool = True,
) -> Iterator[Trial]:
    """Say every text with every seed, speakers taking turns; then the originals.

    Sentences are said again as for a user, by `Model.speak`'s own rule.
    """
    listener = Listener(model.bundle)
    originals = [(s, original) for s in speakers for original in s.originals]
    total = len(texts) * len(seeds) + len(originals)
    voices: dict[str, Voice] = {}
    with tqdm(total=total, desc="hard texts", unit="clip", disable=quiet or None) as bar:
        for turn, seed in enumerate(seeds):
            for place, (kind, text) in enumerate(texts):
                speaker = speakers[(place + turn) % len(speakers)]
                if speaker.name not in voices:
                    prompt = (speaker.prompt, JUDGE_RATE)
                    voices[speaker.name] = model.enroll(prompt, attest=ATTESTATION)
                speech = model.speak(text, voices[speaker.name], seed=seed)
                found = _judge(model, listener, text, speech.audio)
                yield Trial(kind, speaker.name, text, seed, speech.seconds, found)
                bar.update()
        for speaker, original in originals:
            given = resample(original.samples(), JUDGE_RATE, model.sample_rate)
            coded = model.codec.decode(model.codec.encode(given))[: len(given)]
            found = _judge(model, listener, original.text, coded)
            seconds = len(coded) / model.sample_rate
            yield Trial(ORIGINALS, speaker.name, original.text, None, seconds, found)
            bar.update()


def _judge(model: Model, listener: Listener, text: str, samples: Samples) -> Said:
    sentences, _ = to_sentences(text)
    classes = model.bundle.config.listener_symbols
    seconds = len(samples) / model.sample_rate
    return said(listener.ctc(samples), classes, words_of(sentences), seconds)


def results(found: Sequence[Trial]) -> list[Row]:
    """Figures of every kind of text, of all, and of the originals."""
    kinds = [row for row in dict.fromkeys(t.row for t in found) if row != ORIGINALS]
    made = [trial for trial in found if trial.row != ORIGINALS]
    groups = [(kind, [trial for trial in made if trial.row == kind]) for kind in kinds]
    groups += [(_ALL, made), (ORIGINALS, [trial for trial in found if trial.row == ORIGINALS])]
    return [_row(name, group) for name, group in groups if group]


def _row(name: str, group: Sequence[Trial]) -> Row:
    speakers = sorted({trial.speaker for trial in group})
    columns = np.zeros((len(speakers), 7))
    for trial in group:
        one = trial.said
        columns[speakers.index(trial.speaker)] += (
            1,
            one.words,
            len(one.missing),
            len(one.doubled),
            one.cut_short,
            one.runs_on,
            one.flagged,
        )
    clips, words, missing, doubled, short, long, flagged = columns.T

    def share(part: Any, whole: Any) -> Figure:
        return Figure(*bootstrap_interval(part, whole))

    return Row(
        name,
        int(clips.sum()),
        int(words.sum()),
        share(missing, words),
        share(doubled, words),
        share(short, clips),
        share(long, clips),
        share(flagged, clips),
    )


def table(rows: Sequence[Row]) -> str:
    """The figures as lines of text, intervals in brackets."""
    names = ("missing", "doubled", "cut_short", "runs_on", "flagged")
    lines = [f"{'':28}{'clips':>6}{'words':>7}" + "".join(f"{name:>22}" for name in names)]
    for row in rows:
        cells = [
            f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
            for figure in (getattr(row, name) for name in names)
        ]
        lines.append(
            f"{row.row:28}{row.clips:>6}{row.words:>7}" + "".join(f"{cell:>22}" for cell in cells)
        )
    return "\n".join(lines)


def as_json(found: Sequence[Trial]) -> dict[str, Any]:
    """Figures and clips as plain values."""
    return {
        "rows": [asdict(row) for row in results(found)],
        "trials": [asdict(trial) for trial in found],
    }
