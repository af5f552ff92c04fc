"""`valle evaluate style`: whether asked styles are heard, and whether middles are filled in.

Every style is asked for in all its classes, one at a time, in held-out voices and each of two
sentences; Spearman's rank correlation tells whether what is measured rises with what was asked.
Then the middle third of the voices' own recordings is said anew, and our listener's phoneme error
rate there stands beside that of the recordings through the codec.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.prosody import CLASSES, STYLES, UNSET, frame_features, measure
from valle.audio.recording import resample
from valle.errors import UsageError
from valle.evaluation.material import Original, Speaker
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.protocols.zero_shot import ATTESTATION
from valle.evaluation.report import Figure
from valle.options import SpeakOptions
from valle.runtime.ar import ARDecoder
from valle.runtime.check import phoneme_error_rate
from valle.runtime.nar import NAR
from valle.runtime.recognizer import Listener
from valle.runtime.sampling import Sampling
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.synthesis.durations import Slot, Symbols
from valle.synthesis.generator import Sayer
from valle.synthesis.infilling import SIDE, Side, fill, word_edges
from valle.text.phonemes import to_sentences
from valle.text.symbols import BORDERS

if TYPE_CHECKING:
    from valle import Model

VOICES = 10
# All the sounds of English, in two breaths. With one of them a voice, chance moved a style's figure
# by as much as 0.2 (docs/LOG.md).
SENTENCES = (
    "We thought the joyful boy should measure each huge garage.",
    "Now bring the fresh pears, and go with five old dogs to the zoo.",
)
CODEC, FILLED = "through the codec", "filled in"


@dataclass(frozen=True)
class Asked:
    """One clip: a class of one style was asked for, and `measured` (None: could not be)."""

    style: str
    speaker: str
    sentence: int
    asked: int
    measured: float | None


@dataclass(frozen=True)
class Middle:
    """The middle of one recording, as `row` says it: edits by our listener, of how many phonemes.

    `frames`: how long it is."""

    row: str
    speaker: str
    errors: float
    phonemes: int
    frames: int


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation, -1 to 1; equal values share their mean rank. NaN where all are equal."""
    ranks = [_ranks(np.asarray(values, np.float64)) for values in (one, other)]
    first, second = (rank - rank.mean() for rank in ranks)
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2.0)[group]


def ask(model: Model, speakers: Sequence[Speaker], seed: int, quiet: bool) -> Iterator[Asked]:
    """Ask every voice for all classes of all styles, of a sentence with the same chance in each.

    Raises:
        UsageError: the bundle was trained without styles.
    """
    config = model.bundle.config
    if config.style is None:
        raise UsageError(f"the bundle {config.name!r} was trained without styles")
    sayer = Sayer(model.bundle, model.codec)
    options = SpeakOptions.of(seed=seed)
    total = len(speakers) * len(SENTENCES) * len(STYLES) * CLASSES
    with tqdm(total=total, desc="styles", unit="clip", disable=quiet or None) as bar:
        for place, speaker in enumerate(speakers):
            voice = model.enroll((speaker.prompt, JUDGE_RATE), attest=ATTESTATION)
            reader = sayer.reader(voice)
            for which, text in enumerate(SENTENCES):
                (sentence, *_), _ = to_sentences(text)
                index = place * len(SENTENCES) + which  # other chances in each
                task = sayer.task(sentence, reader)
                spoken = sum(phoneme.symbol not in BORDERS for phoneme in sentence.phonemes)
                for (number, style), wanted in product(enumerate(STYLES), range(1, CLASSES + 1)):
                    classes = np.full(len(STYLES), UNSET, np.int64)
                    classes[number] = wanted
                    codes = sayer.said(reader, Slot(task, 0, None), options, index, classes)
                    samples = model.codec.decode(codes, reader.nar.voice)
                    features = frame_features(samples, config.sample_rate, config.hop)
                    found = float(measure(features, spoken)[number])
                    known = found if np.isfinite(found) else None
                    yield Asked(style, speaker.name, which, wanted, known)
                    bar.update()


def middles(model: Model, speakers: Sequence[Speaker], seed: int, quiet: bool) -> Iterator[Middle]:
    """The middle of every original, of the recording and filled in.

    Recordings in which the words cannot be found, or that have no word in their middle, are left
    out.
    """
    listener, sayer = Listener(model.bundle), Sayer(model.bundle, model.codec)
    embed = SpeakerEncoder(model.bundle).embed
    models = ARDecoder(model.bundle), NAR(model.bundle)
    originals = [(s, original) for s in speakers for original in s.originals]
    for place, (speaker, original) in enumerate(
        tqdm(originals, desc="middles", unit="clip", disable=quiet or None)
    ):
        samples = resample(original.samples(), JUDGE_RATE, model.sample_rate)
        cut = _cut(model, listener, sayer, original, samples)
        if cut is None:
            continue
        before, middle, after, codes, span = cut
        options = SpeakOptions.of()
        sampling = Sampling(options.temperature, options.top_p)
        rng = np.random.default_rng((seed, place))
        voice = embed(samples)
        made = fill(*models, before, after, middle, voice, sampling, rng)
        asked = [model.bundle.config.symbols[i] for i in middle.ids[~middle.borders]]
        for row, own in ((CODEC, codes[span]), (FILLED, made)):
            whole = np.concatenate([codes[: span.start], own, codes[span.stop :]])
            heard = listener.hear(model.codec.decode(whole, voice))
            there = (heard.frames >= span.start) & (heard.frames < span.start + len(own))
            guesses = [g for g, inside in zip(heard.guesses, there, strict=True) if inside]
            errors = phoneme_error_rate(asked, guesses) * len(asked)
            yield Middle(row, speaker.name, errors, len(asked), len(own))


def _cut(
    model: Model, listener: Listener, sayer: Sayer, original: Original, samples: Samples
) -> tuple[Side, Symbols, Side, NDArray[np.int64], slice] | None:
    """What is before, in, and after the middle third, all codes, and the frames of the middle."""
    found = placed(listener, sayer, samples, original.text)
    if found is None:
        return None
    symbols, path = found
    codes = model.codec.encode(samples)
    edges = word_edges(path, symbols.borders)
    start, end = (
        next((int(edge) for edge in edges if edge >= share * len(path)), 0)
        for share in (1 / 3, 2 / 3)
    )
    if not 0 < start < end:
        return None
    middle = _part(symbols, int(path[start]), int(path[end]))
    if middle.borders.all():
        return None
    first, last = max(0, start - SIDE), min(len(path), end + SIDE)
    sides = [
        Side(codes[a:b], _part(symbols, int(path[a]), int(path[b - 1]) + 1), path[a:b] - path[a])
        for a, b in ((first, start), (end, last))
    ]
    return sides[0], middle, sides[1], codes, slice(start, end)


def placed(
    listener: Listener, sayer: Sayer, samples: Samples, text: str
) -> tuple[Symbols, NDArray[np.int64]] | None:
    """The symbols of what a recording says, and [frames] which of them each of its frames is at;
    None where they cannot be found in it."""
    phonemes = [p for sentence in to_sentences(text)[0] for p in sentence.phonemes]
    aligned = listener.align(samples, [phoneme.symbol for phoneme in phonemes])
    if aligned is None:
        return None
    symbols = sayer.symbols([p.symbol for p in phonemes], [p.stress for p in phonemes])
    return symbols, aligned.frame_symbol


def _part(symbols: Symbols, start: int, stop: int) -> Symbols:
    span = slice(start, stop)
    return Symbols(symbols.ids[span], symbols.stress[span], symbols.borders[span])


def results(asked: Sequence[Asked], filled: Sequence[Middle]) -> dict[str, Any]:
    """By style, Spearman's correlation within each voice and sentence (mean, interval over voices)
    and over all clips together; by row, the phoneme error rate of the middles."""
    styles = {}
    for style in dict.fromkeys(one.style for one in asked):
        own = [one for one in asked if one.style == style and one.measured is not None]
        correlations: dict[str, list[float]] = {}
        for speaker, sentence in sorted({(one.speaker, one.sentence) for one in own}):
            pairs = [
                (one.asked, one.measured or 0.0)
                for one in own
                if (one.speaker, one.sentence) == (speaker, sentence)
            ]
            found = spearman(*zip(*pairs, strict=True))
            if np.isfinite(found):
                correlations.setdefault(speaker, []).append(found)
        each = list(correlations.values())
        totals, counts = [sum(known) for known in each], [len(known) for known in each]
        together = spearman([one.asked for one in own], [one.measured or 0.0 for one in own])
        styles[style] = {
            "clips": len(own),
            "within_voices": asdict(Figure(*bootstrap_interval(totals, counts))) if each else None,
            "together": together if np.isfinite(together) else None,
        }
    rows = {}
    for row in dict.fromkeys(one.row for one in filled):
        sums = {name: np.zeros(2) for name in sorted({one.speaker for one in filled})}
        for middle in filled:
            if middle.row == row:
                sums[middle.speaker] += (middle.errors, middle.phonemes)
        figure = Figure(*bootstrap_interval(*np.array(list(sums.values())).T))
        rows[row] = {"phoneme_error_rate": asdict(figure)}
    return {"styles": styles, "middles": rows}


def table(found: dict[str, Any]) -> str:
    """The figures as lines of text, intervals in brackets."""

    def cell(figure: dict[str, float] | None) -> str:
        if figure is None:
            return "-"
        return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"

    lines = [f"{'asked and measured':22}{'Spearman in a voice':>26}{'in all':>10}"]
    for style, row in found["styles"].items():
        together = "-" if row["together"] is None else f"{row['together']:.3f}"
        lines.append(f"{style:22}{cell(row['within_voices']):>26}{together:>10}")
    lines.append(f"{'middles':22}{'phoneme error rate':>26}")
    for name, row in found["middles"].items():
        lines.append(f"{name:22}{cell(row['phoneme_error_rate']):>26}")
    return "\n".join(lines)
