"""A plot of the recognizer's phoneme boundaries over waveform and spectrogram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valle.arrays import Samples
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.plot import TimedWord, save_plot
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS

if TYPE_CHECKING:
    from valle import Model

_SPEAKERS = 3  # plotted one after the other
_SECONDS = 3.0  # of each


def save_alignment_plot(target: Path, model: Model, speakers: Sequence[Speaker]) -> None:
    """Plot where the recognizer finds the phonemes of the first utterance of some speakers.

    Args:
        target: an image file, .png, .svg or .pdf; replaced only when complete.
        model: whose recognizer aligns, at 16 kHz.
        speakers: from `read_speakers`, corpora interleaved.

    Raises:
        UsageError: there is nothing to plot, or matplotlib is missing.
        OutputError: the file cannot be written.
    """
    recognizer = PhonemeRecognizer(model.bundle)
    frame = model.codec.hop / model.codec.sample_rate
    excerpts: list[Samples] = []
    phonemes: list[TimedWord] = []
    offset = 0.0
    for speaker in speakers[:_SPEAKERS]:
        utterance = speaker.utterances[0]
        samples = utterance.samples()
        symbols = [p.symbol for s in split_sentences(utterance.text)[0] for p in s.phonemes]
        excerpt = samples[: round(_SECONDS * EVALUATION_RATE)]
        seconds = len(excerpt) / EVALUATION_RATE
        for symbol, start, end in _align_phonemes(recognizer, samples, symbols, frame):
            if end <= seconds:
                phonemes.append((symbol, offset + start, offset + end))
        excerpts.append(excerpt)
        offset += seconds
    names = ", ".join(speaker.name for speaker in speakers[:_SPEAKERS])
    title = f"phonemes aligned by the recognizer: {names}"
    save_plot(target, np.concatenate(excerpts), EVALUATION_RATE, phonemes, title)


def _align_phonemes(
    recognizer: PhonemeRecognizer, samples: Samples, symbols: Sequence[str], frame: float
) -> Iterator[TimedWord]:
    """Each phoneme that has frames, with its start and end in seconds."""
    alignment = recognizer.align(samples, symbols)
    if alignment is None:
        return
    path = alignment.frame_symbol
    for index in np.unique(path):
        if symbols[index] not in BORDERS:
            frames = np.flatnonzero(path == index)
            yield symbols[index], float(frames[0]) * frame, float(frames[-1] + 1) * frame
