"""`valle evaluate infilling`: new speech for the middle third of recordings.

The phoneme error rate of the bundle's own recognizer within the span is compared with that of the
codec resynthesis of the same recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from valle.arrays import Codes, Samples
from valle.audio.recording import resample
from valle.evaluation.alignment import align_transcript
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.report import Figure
from valle.runtime.ar import ARDecoder
from valle.runtime.check import phoneme_error_rate
from valle.runtime.nar import NAR
from valle.runtime.recognizer import PhonemeRecognizer
from valle.runtime.sampling import Sampling
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.infilling import (
    MAX_CONTEXT_FRAMES,
    Context,
    InfillRequest,
    infill,
    word_edges,
)
from valle.synthesis.utterance import Symbols

if TYPE_CHECKING:
    from valle import Model

CODEC, INFILLED = "codec resynthesis", "infilled"


@dataclass(frozen=True)
class Trial:
    """The span of one recording: phoneme edits, of how many phonemes, and its frames."""

    row: str
    speaker: str
    errors: float
    phonemes: int
    frames: int


@dataclass(frozen=True)
class _Span:
    """The middle third of a recording, cut between words."""

    request: InfillRequest
    codes: Codes
    """Of the whole recording."""
    frames: slice
    """Of the span in it."""


def run_trials(
    model: Model, speakers: Sequence[Speaker], seed: int, quiet: bool = True
) -> Iterator[Trial]:
    """Resynthesize and infill a span of every utterance.

    Recordings that cannot be aligned with their transcript, or that have no word in the span, are
    left out.
    """
    recognizer = PhonemeRecognizer(model.bundle)
    acoustic_model = AcousticModel(model.bundle, model.codec)
    encoder = SpeakerEncoder(model.bundle)
    ar, nar = ARDecoder(model.bundle), NAR(model.bundle)
    utterances = [(speaker, utterance) for speaker in speakers for utterance in speaker.utterances]
    for index, (speaker, utterance) in enumerate(
        tqdm(utterances, desc="infilling", unit="clip", disable=quiet or None)
    ):
        samples = resample(utterance.samples(), EVALUATION_RATE, model.sample_rate)
        aligned = align_transcript(recognizer, acoustic_model, samples, utterance.text)
        if aligned is None:
            continue
        codes, embedding = model.codec.encode(samples), encoder.embed(samples)
        span = _cut_span(*aligned, codes, embedding)
        if span is None:
            continue
        rng = np.random.default_rng((seed, index))
        infilled = infill(ar, nar, span.request, Sampling(), rng)
        symbols = span.request.span
        expected = [model.bundle.config.symbols[i] for i in symbols.ids[~symbols.borders]]
        for row, span_codes in ((CODEC, codes[span.frames]), (INFILLED, infilled)):
            spliced = np.concatenate(
                [codes[: span.frames.start], span_codes, codes[span.frames.stop :]]
            )
            recognition = recognizer.transcribe(model.codec.decode(spliced, embedding))
            first, last = span.frames.start, span.frames.start + len(span_codes)
            recognized = [
                guess
                for guess, frame in zip(recognition.guesses, recognition.frames, strict=True)
                if first <= frame < last
            ]
            edits = phoneme_error_rate(expected, recognized) * len(expected)
            yield Trial(row, speaker.name, edits, len(expected), len(span_codes))


def _cut_span(
    symbols: Symbols, frame_symbol: Codes, codes: Codes, embedding: Samples
) -> _Span | None:
    """The middle third between word edges; None where it has no word."""
    edges = word_edges(frame_symbol, symbols.borders)
    start, end = (
        next((int(edge) for edge in edges if edge >= share * len(frame_symbol)), 0)
        for share in (1 / 3, 2 / 3)
    )
    if not 0 < start < end:
        return None
    inside = _slice(symbols, int(frame_symbol[start]), int(frame_symbol[end]))
    if inside.borders.all():
        return None
    first = max(0, start - MAX_CONTEXT_FRAMES)
    last = min(len(frame_symbol), end + MAX_CONTEXT_FRAMES)
    before, after = (
        Context(
            codes[a:b],
            _slice(symbols, int(frame_symbol[a]), int(frame_symbol[b - 1]) + 1),
            frame_symbol[a:b] - frame_symbol[a],
        )
        for a, b in ((first, start), (end, last))
    )
    request = InfillRequest(before, inside, after, embedding)
    return _Span(request, codes, slice(start, end))


def _slice(symbols: Symbols, start: int, stop: int) -> Symbols:
    span = slice(start, stop)
    return Symbols(symbols.ids[span], symbols.stress[span], symbols.borders[span])


def summarize(trials: Sequence[Trial]) -> dict[str, Any]:
    """By row, the phoneme error rate within the spans."""
    rows = {}
    for row in dict.fromkeys(trial.row for trial in trials):
        sums = {name: np.zeros(2) for name in sorted({trial.speaker for trial in trials})}
        for trial in trials:
            if trial.row == row:
                sums[trial.speaker] += (trial.errors, trial.phonemes)
        figure = Figure(*bootstrap_interval(*np.array(list(sums.values())).T))
        rows[row] = {"phoneme_error_rate": asdict(figure)}
    return {"rows": rows}


def table(summary: dict[str, Any]) -> str:
    """The error rates as text, intervals in brackets."""
    lines = [f"{'middle third':24}{'phoneme error rate':>26}"]
    for row, figures in summary["rows"].items():
        lines.append(f"{row:24}{Figure(**figures['phoneme_error_rate'])!s:>26}")
    return "\n".join(lines)
