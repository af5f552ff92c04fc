"""`valle evaluate detector`: is made speech told from recordings, whoever made it and however sent.

Held-out speakers' recordings against what the model says in their voices, against the same
recordings re-encoded by its codec or made again by Griffin-Lim, and against made speakers of other
programs. Both sides of a comparison always go through the same changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.consent.verification import MADE_SPEECH_LIMIT
from valle.corpora import augmentation, channel
from valle.corpora.detector_store import re_encoded
from valle.corpora.griffin_lim import griffin_lim
from valle.corpora.recordings import read_heldout, read_manifest
from valle.corpora.self_synthesized import LETTERS, PROMPT
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.synthetic import available_engines, say
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.corpora.synthetic_store import read_sentences
from valle.detection.detector import judge
from valle.errors import UsageError
from valle.evaluation.material import read_samples
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.evaluation.metrics.statistics import equal_error_rate, wilson_interval
from valle.evaluation.protocols.zero_shot import ATTESTATION
from valle.evaluation.report import Figure
from valle.watermark.embed import Payload, mark

if TYPE_CHECKING:
    from valle import Model

REAL, OWN, OWN_MARKED = "real", "valle", "valle, marked"
_SECONDS = 6.0  # of a piece, at most
_MADE_SEED = 1_200_000_000  # made speakers from here on are in no training corpus
_ATTACKED = (REAL, OWN)  # what is heard after every change
_CONTROLLED = ("nothing", "MP3", "Opus", "noise 20 dB")  # what the control is run after
_DRAWS = 1000  # of the bootstrap
_RIDGE, _DIRECTIONS = 1.0, 24  # of the control


@dataclass(frozen=True)
class Piece:
    """Speech, of a kind that is known."""

    row: str
    speaker: str
    samples: Samples
    """At 16 kHz."""


@dataclass(frozen=True)
class Heard:
    """What the detector said of one piece after one change."""

    row: str
    change: str
    speaker: str
    real: float
    made: float
    """Probabilities."""

    @property
    def refused(self) -> bool:
        """Whether the check of consent would refuse it."""
        return 1.0 - self.real > MADE_SPEECH_LIMIT

    @property
    def score(self) -> float:
        """Log likelihood ratio of made against real speech."""
        return float(np.log(self.made + 1e-9) - np.log(self.real + 1e-9))


@dataclass(frozen=True)
class Result:
    """A figure over all pieces of a row after one change."""

    row: str
    change: str
    name: str
    figure: Figure
    pieces: int


def changes() -> dict[str, Callable[[Samples], Samples]]:
    """What is done to speech before it is heard, by name."""

    def noise(samples: Samples) -> Samples:
        white = augmentation.noise("white", samples, np.random.default_rng(len(samples)))
        return augmentation.add_noise(samples, white, 20.0)

    def telephone(samples: Samples) -> Samples:
        there = resample(samples, JUDGE_RATE, 8000)
        return resample(there, 8000, JUDGE_RATE)[: len(samples)]

    return {
        "nothing": lambda samples: samples,
        "MP3": lambda samples: channel.coded(samples, "MPEG_LAYER_III", 0.6),
        "Opus": lambda samples: channel.coded(samples, "OPUS", 0.93),
        "Vorbis": lambda samples: channel.coded(samples, "VORBIS", 0.8),
        "noise 20 dB": noise,
        "8 kHz and back": telephone,
    }


def read_pieces(
    model: Model,
    manifest: Path,
    heldout: Path,
    sentences: Path,
    each: int,
    quiet: bool = True,
) -> list[Piece]:
    """All that is heard: `each` recordings and sentences of every held-out speaker, and as many
    pieces of every other generator as there are speakers, twice.

    Raises:
        UsageError: a file is missing, or there is no recording or sentence to take.
    """
    names = read_heldout(heldout)
    rows: dict[str, list[Path]] = {}
    for row in read_manifest(manifest):
        if row["speaker"] in names and row["seconds"] >= PROMPT:
            rows.setdefault(row["speaker"], []).append(manifest.parent / row["audio"])
    texts = [
        text
        for text in read_sentences(sentences)
        if is_evaluation_sentence(text) and len(text) in LETTERS
    ]
    if len(rows) < 2 or not texts:
        raise UsageError("the detector is judged on two held-out speakers or more, and sentences")
    pieces: list[Piece] = []
    for speaker in tqdm(sorted(rows), desc="pieces", unit="speaker", disable=quiet or None):
        paths, first = rows[speaker], len(pieces)
        for path in paths[1 : each + 1]:
            pieces.append(Piece(REAL, speaker, read_samples(path)[: round(_SECONDS * JUDGE_RATE)]))
        own = pieces[first:]
        for place, piece in enumerate(own):
            pieces += _remade(model, piece, place)
        said = [texts[(first + turn) % len(texts)] for turn in range(each)]
        pieces += _spoken(model, speaker, read_samples(paths[0]), said)
    return pieces + _by_programs(texts, 2 * len(rows))


def _remade(model: Model, piece: Piece, place: int) -> list[Piece]:
    """A recording through our codec, and every fourth by Griffin-Lim."""
    made = [
        Piece(
            f"re-encoded, {kept} codebooks",
            piece.speaker,
            re_encoded(model.codec, piece.samples, kept),
        )
        for kept in (8, 4)
    ]
    if place % 4 == 0:
        again = griffin_lim(piece.samples, np.random.default_rng(place))
        made.append(Piece("griffin-lim", piece.speaker, again))
    return made


def _spoken(model: Model, speaker: str, prompt: Samples, texts: list[str]) -> list[Piece]:
    voice = model.enroll((prompt, JUDGE_RATE), attest=ATTESTATION)
    pieces = []
    for seed, text in enumerate(texts):
        speech = model.speak(text, voice, seed=seed, redo=0)
        marked = resample(speech.audio, model.sample_rate, JUDGE_RATE)
        unmarked = model.codec.decode(speech.codes, model.embedding(voice))
        plain = resample(unmarked, model.sample_rate, JUDGE_RATE)
        pieces += [Piece(OWN_MARKED, speaker, marked), Piece(OWN, speaker, plain)]
    return pieces


def _by_programs(texts: list[str], count: int) -> list[Piece]:
    pieces = []
    for engine in available_engines():
        found: list[Piece] = []
        for number, text in enumerate(texts):
            if len(found) == count:
                break
            speaker = MadeSpeaker.draw(_MADE_SEED + number, {engine: 1.0})
            for one in islice(say(speaker, [text])[0], 1):
                found.append(Piece(engine, speaker.name, one.samples))
        pieces += found
    return pieces


def hear(model: Model, pieces: Sequence[Piece], quiet: bool = True) -> list[Heard]:
    """The detector's verdicts: of all pieces as they are, of recordings and the model's own speech
    after every change, and of recordings after the watermark.

    Raises:
        UsageError: the model's bundle has no detector.
    """
    heard = []
    for piece in tqdm(pieces, desc="detector", unit="piece", disable=quiet or None):
        for name, change in changes().items():
            if name == "nothing" or piece.row in _ATTACKED:
                heard.append(_heard(model, piece, name, change(piece.samples)))
        if piece.row == REAL:
            marked = mark(piece.samples, JUDGE_RATE, None, Payload(0, 0))
            heard.append(_heard(model, piece, "watermark", marked))
    return heard


def _heard(model: Model, piece: Piece, change: str, samples: Samples) -> Heard:
    verdict = judge(model.bundle, samples, JUDGE_RATE)
    if verdict is None:
        raise UsageError("the bundle has no detector; train one and export it first")
    return Heard(piece.row, change, piece.speaker, verdict.whole["real"], verdict.whole["made"])


def results(heard: Sequence[Heard]) -> list[Result]:
    """The share called made and that which the consent check would refuse, for every row and
    change, and the equal error rate against recordings that were changed alike."""
    found = []
    real = {
        change: [h for h in heard if (h.row, h.change) == (REAL, change)]
        for change in {h.change for h in heard}
    }
    for row, change in dict.fromkeys((h.row, h.change) for h in heard):
        own = [h for h in heard if (h.row, h.change) == (row, change)]
        for name, called in (
            ("called made", [h.made > 0.5 for h in own]),
            ("refused", [h.refused for h in own]),
        ):
            share = Figure(*wilson_interval(sum(called), len(own)))
            found.append(Result(row, change, name, share, len(own)))
        if row != REAL and real[change]:
            scored = [
                (h.speaker, h.score, is_made)
                for group, is_made in ((own, True), (real[change], False))
                for h in group
            ]
            found.append(Result(row, change, "EER", _rate(scored), len(own)))
    return found


def control_results(pieces: Sequence[Piece]) -> list[Result]:
    """How well less than the voice tells recordings from the model's speech: EER of linear
    classifiers of the long-term spectrum, of the part above 5 kHz and of pauses alone; as they are,
    and with both sides coded or under noise, since recordings were coded before and may show that.

    Learnt on half of the speakers and judged on the other, both ways. A detector that is much
    better than they are hears more than a channel.
    """
    chosen = [piece for piece in pieces if piece.row in _ATTACKED]
    names = sorted({piece.speaker for piece in chosen})
    half = np.array([names.index(piece.speaker) % 2 for piece in chosen])
    made = np.array([piece.row != REAL for piece in chosen])
    found = []
    for change in _CONTROLLED:
        frames = [_frames(changes()[change](piece.samples)) for piece in chosen]
        for name, of in _CONTROLS.items():
            seen = np.stack([of(one) for one in frames])
            scores = np.zeros(len(chosen))
            for side in (0, 1):
                learnt, judged = half != side, half == side
                scores[judged] = _linear(seen[learnt], made[learnt], seen[judged])
            scored = [
                (p.speaker, float(s), bool(m)) for p, s, m in zip(chosen, scores, made, strict=True)
            ]
            found.append(Result(f"control: {name}", change, "EER", _rate(scored), int(made.sum())))
    return found


def _frames(samples: Samples) -> NDArray[np.float64]:
    """Log power spectra [frames, 257] of speech brought to one level."""
    level = augmentation.active_level(samples) or 1.0
    windows = np.lib.stride_tricks.sliding_window_view(samples / level, 512)[::160]
    return np.log(np.abs(np.fft.rfft(windows * np.hanning(512))) ** 2 + 1e-5)


def _pauses(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    quiet = frames.mean(axis=1)
    return np.asarray(frames[quiet <= np.quantile(quiet, 0.1)].mean(axis=0))


_CONTROLS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "long-term spectrum": lambda frames: frames.mean(axis=0),
    "above 5 kHz": lambda frames: frames[:, 160:].mean(axis=0),
    "pauses": _pauses,
}


def _linear(
    seen: NDArray[np.float64], made: NDArray[np.bool_], judged: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores of a ridge regression in the directions of greatest variance."""
    mean = seen.mean(axis=0)
    _, spread, axes = np.linalg.svd(seen - mean, full_matrices=False)
    count = max(1, min(_DIRECTIONS, len(seen) // 8))
    kept = axes[:count] / (spread[:count, None] + 1e-9)
    rows = (seen - mean) @ kept.T * np.sqrt(len(seen))
    square = rows.T @ rows + _RIDGE * np.eye(len(kept))
    weights = np.linalg.solve(square, rows.T @ (2.0 * made - 1.0))
    return np.asarray((judged - mean) @ kept.T @ weights)


def _rate(scored: Sequence[tuple[str, float, bool]]) -> Figure:
    """Equal error rate, its interval by bootstrap over speakers."""
    names = sorted({speaker for speaker, _, _ in scored})
    at = np.array([names.index(speaker) for speaker, _, _ in scored])
    scores = np.array([score for _, score, _ in scored])
    made = np.array([is_made for _, _, is_made in scored])
    rng, rates = np.random.default_rng(0), []
    for _ in range(_DRAWS):
        weights = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[at]
        if weights[made].sum() and weights[~made].sum():
            rates.append(equal_error_rate(scores, made, weights))
    low, high = np.quantile(rates, (0.025, 0.975))
    return Figure(equal_error_rate(scores, made), float(low), float(high))


def changed_by_mark(heard: Sequence[Heard]) -> Result:
    """In how many recordings the watermark alone moves the verdict over the limit, or back."""
    before, after = (
        [h.refused for h in heard if (h.row, h.change) == (REAL, change)]
        for change in ("nothing", "watermark")
    )
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    return Result(
        REAL,
        "watermark",
        "verdict changed",
        Figure(*wilson_interval(moved, len(before))),
        len(before),
    )


def table(found: Sequence[Result]) -> str:
    """The figures as lines of text: row, change, name, value, interval, pieces."""
    return "\n".join(
        f"{r.row:28}{r.change:16}{r.name:16}{r.figure.value:8.4f}"
        f"  [{r.figure.low:.4f}, {r.figure.high:.4f}]{r.pieces:6d}"
        for r in found
    )
