"""`valle evaluate parts`: the codec, the listener and the speaker encoder, each by itself.

All on speakers that trained nothing. The codec stands beside the originals and beside Opus at the
lowest rate that Opus has; the speaker encoder beside Resemblyzer on the same pairs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Samples
from valle.corpora.synthetic import say
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import signals
from valle.evaluation.metrics.confidence import Judged, calibration, judged
from valle.evaluation.metrics.judges import JUDGE_RATE, SentenceChooser, VoiceJudge
from valle.evaluation.metrics.statistics import bootstrap_interval, equal_error_rate
from valle.evaluation.report import Figure
from valle.runtime.check import phoneme_error_rate
from valle.runtime.recognizer import Listener
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.text.phonemes import to_sentences
from valle.text.symbols import BORDERS

if TYPE_CHECKING:
    from valle import Model

SENTENCES = 100  # that the judge chooses between
PIECE_SECONDS = 3.0  # of speech, in which a speaker is to be known again
PIECES = 8  # of each speaker
DRAWS = 500  # of speakers, for an interval
BORDER = "border off, median s"
NATIVE = "librispeech-dev-clean-mp3"  # the held-out corpus of native speakers
_MADE_SEED = 1_000_000_000  # made speakers from here on are in no training corpus
_BORDER_LATE = 0.05  # seconds; further off is called wrong


@dataclass(frozen=True)
class Measurement:
    """One number of one clip: `value` out of `weight` (1, or the phonemes of the clip)."""

    row: str
    figure: str
    speaker: str
    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Result:
    """A figure over all clips, its interval by bootstrap over the speakers."""

    row: str
    name: str
    figure: Figure
    clips: int


def results(measured: Sequence[Measurement | Judged]) -> list[Result]:
    """All figures, in the order in which they were first measured; calibration after the others."""
    measurements = [one for one in measured if isinstance(one, Measurement)]
    phonemes = [one for one in measured if isinstance(one, Judged)]
    found = []
    for row, name in dict.fromkeys((m.row, m.figure) for m in measurements):
        own = [m for m in measurements if (m.row, m.figure) == (row, name)]
        if name == BORDER:
            figure = _median(own)
        else:
            speakers = sorted({m.speaker for m in own})
            sums = np.zeros((len(speakers), 2))
            for m in own:
                sums[speakers.index(m.speaker)] += (m.value, m.weight)
            figure = Figure(*bootstrap_interval(*sums.T))
        found.append(Result(row, name, figure, len(own)))
    for row in dict.fromkeys(each.row for each in phonemes):
        found.append(Result(row, "calibration error", *calibration(row, phonemes)))
    return found


def _median(measurements: Sequence[Measurement]) -> Figure:
    by_speaker: dict[str, list[float]] = {}
    for m in measurements:
        by_speaker.setdefault(m.speaker, []).append(m.value)
    rows = [np.array(values) for values in by_speaker.values()]
    rng = np.random.default_rng(0)
    drawn = [
        np.median(np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))]))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(float(np.median(np.concatenate(rows))), float(low), float(high))


def codec_measurements(
    model: Model,
    speakers: Sequence[Speaker],
    decoys: Sequence[str],
    chooser: SentenceChooser,
    quiet: bool = True,
) -> Iterator[Measurement]:
    """The speakers' originals, as they are, through the codec, and through Opus.

    Args:
        model: whose codec it is, at 16 kHz.
        speakers: from `read_speakers`.
        decoys: sentences that fill the choice up to `SENTENCES`, different from the transcripts.
        chooser: the judge of sentences.
        quiet: no progress bar.
    """
    voices, quality = VoiceJudge(), signals.QualityJudge()
    originals = [(s.name, o) for s in speakers for o in s.originals]
    choices = [*(original.text for _, original in originals), *decoys][:SENTENCES]
    codec = model.codec
    for speaker, original in tqdm(originals, desc="codec", unit="clip", disable=quiet or None):
        samples = original.samples()
        codes = codec.encode(samples)
        start = time.perf_counter()
        coded = codec.decode(codes)[: len(samples)]
        work = time.perf_counter() - start
        opus, bits = signals.through_opus(samples)
        # The codec is in step, and must be. What it makes has other phases than the original, so
        # that the delay at which both fit best would be one by chance.
        opus = signals.in_step(samples, opus)
        yield Measurement("codec", "rtf", speaker, work, len(samples) / JUDGE_RATE)
        yield Measurement("opus", "bits a second", speaker, bits)
        wanted = voices.embed(samples)
        for row, made in (("originals", samples), ("codec", coded), ("opus", opus)):
            chosen = chooser.choose(made, choices)
            right = chosen is not None and choices[chosen] == original.text
            yield Measurement(row, "sentence right", speaker, float(right))
            yield Measurement(row, "DNSMOS", speaker, quality.overall(made))
            if row == "originals":
                continue
            yield Measurement(row, "similarity", speaker, float(wanted @ voices.embed(made)))
            score = signals.pesq(samples, made)
            if score is not None:
                yield Measurement(row, "PESQ", speaker, score)
            yield Measurement(row, "STOI", speaker, signals.stoi(samples, made))


def listener_measurements(
    model: Model,
    speakers: Sequence[Speaker],
    sentences: Sequence[str],
    made_speakers: int = 20,
    quiet: bool = True,
) -> Iterator[Measurement | Judged]:
    """Phoneme error rates on real and made speech, and how sure the listener was of each phoneme;
    on made speech the borders between phonemes.

    Args:
        model: whose listener it is, at 16 kHz.
        speakers: from `read_speakers`.
        sentences: for the made speakers to say; in no training text.
        made_speakers: how many, of espeak-ng, which knows when each phoneme begins.
        quiet: no progress bar.
    """
    listener = Listener(model.bundle)
    for speaker in tqdm(speakers, desc="listener", unit="speaker", disable=quiet or None):
        row = "native" if speaker.corpus == NATIVE else "accented"
        for original in speaker.originals:
            asked = [p.symbol for s in to_sentences(original.text)[0] for p in s.phonemes]
            yield from _phonemes(listener, row, speaker.name, original.samples(), asked)
    hop = model.codec.hop / model.codec.sample_rate
    for number in tqdm(range(made_speakers), desc="made", unit="speaker", disable=quiet or None):
        voice = MadeSpeaker.draw(_MADE_SEED + number, {"espeak": 1.0})
        texts = [sentences[(number * 2 + turn) % len(sentences)] for turn in range(2)]
        for utterance in say(voice, texts)[0]:
            asked = [phoneme.symbol for phoneme in utterance.phonemes]
            samples = utterance.samples
            yield from _phonemes(listener, "made", voice.name, samples, asked)
            alignment = listener.align(samples, asked)
            if alignment is None or utterance.frame_symbol is None:
                continue
            spoken = [index for index, symbol in enumerate(asked) if symbol not in BORDERS]
            for index in spoken:
                true, found = (
                    int(np.argmax(path >= index)) * hop
                    for path in (utterance.frame_symbol, alignment.frame_symbol)
                )
                late = abs(true - found)
                yield Measurement("made", BORDER, voice.name, late)
                wrong = float(late > _BORDER_LATE)
                yield Measurement("made", "border off > 50 ms", voice.name, wrong)


def _phonemes(
    listener: Listener, row: str, speaker: str, samples: Samples, asked: Sequence[str]
) -> Iterator[Measurement | Judged]:
    asked = [symbol for symbol in asked if symbol not in BORDERS]
    heard = listener.hear(samples)
    wrong = phoneme_error_rate(asked, heard.guesses) * len(asked)
    yield Measurement(row, "phoneme error rate", speaker, wrong, len(asked))
    yield judged(row, speaker, heard, asked)


def speaker_errors(model: Model, speakers: Sequence[Speaker], quiet: bool = True) -> list[Result]:
    """Equal error rates on pairs of 3 s pieces, never of one recording: ours, Resemblyzer's, and by
    how much ours is above it on the same pairs.

    Args:
        model: whose speaker encoder it is, at 16 kHz.
        speakers: from `read_speakers`.
        quiet: no progress bar.
    """
    judge, encoder = VoiceJudge(), SpeakerEncoder(model.bundle)
    length = round(PIECE_SECONDS * JUDGE_RATE)
    owners, recordings = [], []
    ours, theirs = [], []
    for number, speaker in enumerate(tqdm(speakers, desc="speaker", disable=quiet or None)):
        recorded = [speaker.prompt, *(original.samples() for original in speaker.originals)]
        pieces = [
            (index, samples[start : start + length])
            for index, samples in enumerate(recorded)
            for start in range(0, len(samples) - length + 1, length)
        ]
        for index, piece in pieces[:PIECES]:
            owners.append(number)
            recordings.append((number, index))
            ours.append(encoder.embed(piece))
            theirs.append(judge.embed(piece))
    likeness, their_likeness = (np.stack(rows) @ np.stack(rows).T for rows in (ours, theirs))
    return _error_rates(likeness, their_likeness, np.array(owners), recordings)


def _error_rates(
    ours: NDArray[Any],
    theirs: NDArray[Any],
    owners: NDArray[np.int64],
    recordings: list[tuple[int, int]],
) -> list[Result]:
    """Of likenesses [pieces, pieces] by two judges; intervals over the same draws of speakers."""
    one, other = np.triu_indices(len(owners), 1)
    apart = np.array([recordings[a] != recordings[b] for a, b in zip(one, other, strict=True)])
    one, other = one[apart], other[apart]
    same = owners[one] == owners[other]
    own, their = ours[one, other], theirs[one, other]
    count = int(owners.max()) + 1

    def rates(times: NDArray[np.float64]) -> list[float]:
        found = [equal_error_rate(scores, same, times) for scores in (own, their)]
        return [*found, found[0] - found[1]]

    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        weight = times[owners[one]] * times[owners[other]]
        if weight[same].any() and weight[~same].any():  # not one speaker alone
            drawn.append(rates(weight.astype(np.float64)))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    values = rates(np.ones(len(one)))
    return [
        Result(row, "equal error rate", Figure(*map(float, figure)), len(one))
        for row, *figure in zip(
            ("ours", "Resemblyzer", "difference"), values, low, high, strict=True
        )
    ]


def table(found: Sequence[Result]) -> str:
    """The figures as lines of text: row, figure, value, interval, clips."""
    return "\n".join(
        f"{r.row:12}{r.name:22}{r.figure.value:9.3f}"
        f"  [{r.figure.low:.3f}, {r.figure.high:.3f}]{r.clips:7d}"
        for r in found
    )
