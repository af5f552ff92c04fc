"""A picture of the listener's borders: phonemes over waveform and spectrum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valle.arrays import Samples
from valle.evaluation.material import Speaker
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.evaluation.plot import TimedWord, save_plot
from valle.runtime.recognizer import Listener
from valle.text.phonemes import to_sentences
from valle.text.symbols import BORDERS

if TYPE_CHECKING:
    from valle import Model

_SPEAKERS = 3  # drawn one after the other
_LONGEST = 3.0  # seconds of each


def save_borders(target: Path, model: Model, speakers: Sequence[Speaker]) -> None:
    """Draw where the listener finds the phonemes of the first recording of some speakers.

    Args:
        target: a picture, .png, .svg or .pdf; replaced only when complete.
        model: whose listener it is, at 16 kHz.
        speakers: from `read_speakers`, whose corpora take turns.

    Raises:
        UsageError: there is nothing to draw, or matplotlib is missing.
        OutputError: the file cannot be written.
    """
    listener = Listener(model.bundle)
    frame = model.codec.hop / model.codec.sample_rate
    pieces: list[Samples] = []
    phonemes: list[TimedWord] = []
    begun = 0.0
    for speaker in speakers[:_SPEAKERS]:
        original = speaker.originals[0]
        samples = original.samples()
        asked = [p.symbol for s in to_sentences(original.text)[0] for p in s.phonemes]
        shown = samples[: round(_LONGEST * JUDGE_RATE)]
        for symbol, start, end in _spans(listener, samples, asked, frame):
            if end <= len(shown) / JUDGE_RATE:
                phonemes.append((symbol, begun + start, begun + end))
        pieces.append(shown)
        begun += len(shown) / JUDGE_RATE
    names = ", ".join(speaker.name for speaker in speakers[:_SPEAKERS])
    save_plot(
        target, np.concatenate(pieces), JUDGE_RATE, phonemes, f"borders by the listener: {names}"
    )


def _spans(
    listener: Listener, samples: Samples, asked: Sequence[str], frame: float
) -> Iterator[TimedWord]:
    """Each phoneme that has frames, with its start and end in seconds."""
    alignment = listener.align(samples, asked)
    if alignment is None:
        return
    path = alignment.frame_symbol
    for index in np.unique(path):
        if asked[index] not in BORDERS:
            at = np.flatnonzero(path == index)
            yield asked[index], float(at[0]) * frame, float(at[-1] + 1) * frame
