"""`valle evaluate watermark`: what the watermark withstands, what it costs, and that it is not seen
where it is not.

On held-out speakers and on speech of espeak-ng. Each piece is marked whole; what is judged are 3 s
(or 1 s) from any place in it, changed as speech is on its way through the world.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.corpora import augmentation
from valle.corpora.recordings import read_heldout, read_manifest
from valle.corpora.synthetic import say
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.errors import UsageError
from valle.evaluation.material import loudest, read_samples
from valle.evaluation.metrics import signals
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.evaluation.metrics.statistics import bootstrap_interval, wilson_interval
from valle.evaluation.report import Figure
from valle.watermark.detect import detect
from valle.watermark.embed import Payload, key_number, mark
from valle.watermark.grid import GRID, PERIOD, PRESENCE, PUBLISHED_KEY, places
from valle.watermark.search import Analysis, spectrogram

if TYPE_CHECKING:
    from valle import Model

SECONDS = 3.0  # in which the mark is to be found
SHORT_SECONDS = 1.0
MADE_SHARE = 0.25  # of the pieces, by espeak-ng
_SPARE = 0.6  # seconds that a piece is longer, so that the mark begins anywhere
_KEY = b"the key of an evaluation's owner"
_MADE_SEED = 1_100_000_000  # made speakers from here on are in no training corpus
_SEMITONE = 2 ** (1 / 12)
_NULL_TESTS = 500  # of each unmarked piece
_NULL_LEVELS = (1.0, 2.0, 4.0, 6.0)

Attack = Callable[[Samples], Samples]


@dataclass(frozen=True)
class Piece:
    """Speech that is not marked."""

    speaker: str
    samples: Samples
    """`SECONDS` and a little more, at 16 kHz."""


@dataclass(frozen=True)
class Trial:
    """One search in one changed piece."""

    row: str
    speaker: str
    seconds: float
    found: bool
    payload: bool
    """Whether the right payload was read."""
    misread: bool
    """Whether a wrong one was."""
    score: float


@dataclass(frozen=True)
class Result:
    """A figure over all pieces."""

    row: str
    name: str
    figure: Figure
    pieces: int


def real_pieces(manifest: Path, heldout: Path, count: int) -> list[Piece]:
    """The loudest part of recordings of held-out speakers, who take turns.

    Raises:
        UsageError: a file is missing, or there are too few recordings.
    """
    names = read_heldout(heldout)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in read_manifest(manifest):
        if row["speaker"] in names and row["seconds"] >= SECONDS + _SPARE:
            rows.setdefault(row["speaker"], []).append(row)
    turns = [row for turn in zip_longest(*rows.values()) for row in turn if row is not None]
    if len(turns) < count:
        raise UsageError(
            f"{manifest} has {len(turns)} recordings of held-out speakers of "
            f"{SECONDS + _SPARE} s or more, {count} are needed; give fewer --pieces"
        )
    length = round((SECONDS + _SPARE) * JUDGE_RATE)
    return [
        Piece(row["speaker"], loudest(read_samples(manifest.parent / row["audio"]), length))
        for row in turns[:count]
    ]


def made_pieces(texts: Sequence[str], count: int) -> list[Piece]:
    """Sentences by espeak-ng, a speaker each; `texts` long enough for a piece are taken in turn."""
    length = round((SECONDS + _SPARE) * JUDGE_RATE)
    pieces: list[Piece] = []
    for number, text in enumerate(texts):
        if len(pieces) == count:
            break
        speaker = MadeSpeaker.draw(_MADE_SEED + number, {"espeak": 1.0})
        for utterance in say(speaker, [text])[0]:
            if len(utterance.samples) >= length:
                pieces.append(Piece(speaker.name, loudest(utterance.samples, length)))
    if len(pieces) < count:
        raise UsageError(f"only {len(pieces)} sentences were long enough, {count} are needed")
    return pieces


def attacks(model: Model) -> dict[str, Attack]:
    """What is done to marked speech, by name: [N] at 16 kHz to about as many."""

    def noise(decibels: float) -> Attack:
        def add(samples: Samples) -> Samples:
            drawn = np.random.default_rng(len(samples)).standard_normal(len(samples))
            level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
            return (samples + drawn * level * 10 ** (-decibels / 20)).astype(np.float32)

        return add

    def opus(bits: int) -> Attack:
        return lambda samples: signals.through_opus(samples, bits)[0]

    def mp3(samples: Samples) -> Samples:
        return signals.through_mp3(samples, 64_000)

    def telephone_rate(samples: Samples) -> Samples:
        return resample(resample(samples, JUDGE_RATE, 8000), 8000, JUDGE_RATE)

    def quieter(samples: Samples) -> Samples:
        return (np.rint(samples * (10 ** (-12 / 20) * 32768)) / 32768).astype(np.float32)

    def band(samples: Samples) -> Samples:
        return augmentation.band_limit(samples, 300.0, 3400.0)

    def faster(samples: Samples, factor: float = 1.05) -> Samples:
        return resample(samples, round(JUDGE_RATE * factor), JUDGE_RATE)

    def higher(samples: Samples) -> Samples:
        return augmentation.tempo(faster(samples, _SEMITONE), 1 / _SEMITONE)

    def own_codec(samples: Samples) -> Samples:
        return model.codec.decode(model.codec.encode(samples))[: len(samples)]

    return {
        "nothing": lambda samples: samples,
        "MP3 64 kbit/s": mp3,
        "Opus 24 kbit/s": opus(24_000),
        "8 kHz and back": telephone_rate,
        "noise 20 dB": noise(20),
        "gain -12 dB": quieter,
        "300-3400 Hz": band,
        "speed 1.05": faster,
        "tempo 1.05": lambda samples: augmentation.tempo(samples, 1.05),
        "pitch +1 semitone": higher,
        "own codec": own_codec,
        "Opus, then noise": lambda samples: noise(20)(opus(24_000)(samples)),
        "noise, then Opus": lambda samples: opus(24_000)(noise(20)(samples)),
        "8 kHz, then MP3": lambda samples: mp3(telephone_rate(samples)),
        "speed, then MP3": lambda samples: mp3(faster(samples)),
        "Opus 16 kbit/s": opus(16_000),
        "Opus 12 kbit/s": opus(12_000),
        "noise 10 dB": noise(10),
    }


def trials(model: Model, pieces: Sequence[Piece], quiet: bool = True) -> Iterator[Trial]:
    """Every attack on every piece; unattacked, a second alone too; and pieces without a mark.

    Args:
        model: whose codec is one of the attacks.
        pieces: from `real_pieces` and `made_pieces`.
        quiet: no progress bar.
    """
    rng = np.random.default_rng(0)
    changes = attacks(model)
    for piece in tqdm(pieces, desc="watermark", unit="piece", disable=quiet or None):
        payload = Payload(int(rng.integers(1 << 16)), key_number(_KEY))
        marked = mark(piece.samples, JUDGE_RATE, _KEY, payload)
        start = int(rng.integers(round(_SPARE * JUDGE_RATE)))
        part = slice(start, start + round(SECONDS * JUDGE_RATE))
        second = slice(start, start + round(SHORT_SECONDS * JUDGE_RATE))
        yield _trial("not marked", piece, piece.samples[part], payload)
        yield _trial("nothing", piece, marked[second], payload)
        for name, change in changes.items():
            yield _trial(name, piece, change(marked[part]), payload)


def _trial(row: str, piece: Piece, samples: Samples, payload: Payload) -> Trial:
    found = detect(samples, JUDGE_RATE, _KEY)
    read = {span.payload for span in found.spans if span.payload is not None}
    return Trial(
        row,
        piece.speaker,
        len(samples) / JUDGE_RATE,
        found.found,
        read == {payload},
        bool(read - {payload}),
        found.score,
    )


def trial_results(made: Sequence[Trial]) -> list[Result]:
    """Shares found, read and misread, with Wilson's intervals, and the scores' fifth percentile."""
    results = []
    short = SHORT_SECONDS
    for row, brief in dict.fromkeys((t.row, t.seconds <= short) for t in made):
        own = [t for t in made if (t.row, t.seconds <= short) == (row, brief)]
        name = f"{row}, {SHORT_SECONDS:.0f} s" if brief else row
        for figure, values in (
            ("found", [t.found for t in own]),
            ("payload right", [t.payload for t in own]),
            ("payload wrong", [t.misread for t in own]),
        ):
            interval = wilson_interval(sum(values), len(values))
            results.append(Result(name, figure, Figure(*interval), len(own)))
    return results


def quality_results(pieces: Sequence[Piece], quiet: bool = True) -> list[Result]:
    """PESQ of marked against unmarked, change of DNSMOS, and seconds of work a second marked."""
    judge = signals.QualityJudge()
    names = sorted({piece.speaker for piece in pieces})
    sums = {name: np.zeros((len(names), 2)) for name in ("PESQ", "DNSMOS change", "rtf")}
    for piece in tqdm(pieces, desc="quality", unit="piece", disable=quiet or None):
        start = time.process_time()
        marked = mark(piece.samples, JUDGE_RATE, _KEY, Payload(0, key_number(_KEY)))
        work = time.process_time() - start
        index = names.index(piece.speaker)
        sums["rtf"][index] += (work, len(piece.samples) / JUDGE_RATE)
        change = judge.overall(marked) - judge.overall(piece.samples)
        sums["DNSMOS change"][index] += (change, 1)
        pesq = signals.pesq(piece.samples, marked)
        if pesq is not None:
            sums["PESQ"][index] += (pesq, 1)
    return [
        Result("marking", name, Figure(*bootstrap_interval(*rows.T)), len(pieces))
        for name, rows in sums.items()
    ]


def null_results(pieces: Sequence[Piece]) -> list[Result]:
    """How often single tests of unmarked pieces reach a score s, beside the bound exp(-s).

    `value` is the share that reaches it, divided by the bound: above 1, the bound would be wrong.
    """
    scores = np.concatenate([_null_scores(piece, seed) for seed, piece in enumerate(pieces)])
    results = []
    for level in _NULL_LEVELS:
        interval = np.array(wilson_interval(int((scores >= level).sum()), len(scores)))
        figure = Figure(*(interval / math.exp(-level)).tolist())
        results.append(Result("not marked", f"tests over {level:.0f} / bound", figure, len(pieces)))
    return results


def _null_scores(piece: Piece, seed: int) -> NDArray[np.float64]:
    """Scores of tests over all of the piece at offsets and shifts that are drawn."""
    rng = np.random.default_rng(seed)
    analysis = Analysis(spectrogram(piece.samples))
    turns = places(PUBLISHED_KEY, "presence") * (2 * np.pi / GRID)
    scores = []
    for _ in range(_NULL_TESTS):
        positions = analysis.positions(int(rng.integers(int(analysis.column))))
        shifts = (int(rng.integers(PERIOD)) + np.arange(len(positions))) % PERIOD
        cells = np.where(PRESENCE[shifts], analysis.cells[positions], 0)
        heard = (cells * np.exp(-1j * turns[shifts])).real.sum()
        scores.append(max(0.0, float(heard)) ** 2 / float((np.abs(cells) ** 2).sum()))
    return np.array(scores)


def table(results: Sequence[Result]) -> str:
    """The figures as lines of text: row, figure, value, interval, pieces."""
    return "\n".join(
        f"{r.row:20}{r.name:22}{r.figure.value:9.4f}"
        f"  [{r.figure.low:.4f}, {r.figure.high:.4f}]{r.pieces:6d}"
        for r in results
    )
