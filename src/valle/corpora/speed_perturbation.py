"""`valle prepare speeds`: speed perturbation of a labeled store, for more speakers.

Pitch, formants and tempo change together, as between a larger and a smaller speaker (Ko et al.
2015, "Audio augmentation for speech recognition"). Labels and prosody features are rescaled, so
nothing is aligned or measured again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.audio_format import HOP
from valle.corpora import augmentation
from valle.corpora.store import Labels, Store, StoreWriter, UtteranceInfo
from valle.errors import UsageError

SLOWEST, FASTEST = 0.7, 1.4  # no human speaker sounds like this beyond these


def prepare_speed_perturbed(
    folder: Path, out: Path, speeds: Sequence[float], quiet: bool = False
) -> int:
    """Write a store with the labeled utterances of `folder` at each of `speeds`.

    Each speed makes another speaker, named "name@speed". The style bins stay the same, so that a
    model can be trained on both stores together.

    Returns:
        How many utterances of the new store have labels.

    Raises:
        UsageError: `folder` is not a store, has no labels or is `out` itself, or a speed is out of
            range, is 1 or is given twice.
    """
    for speed in speeds:
        if not SLOWEST <= speed <= FASTEST or speed == 1.0:
            raise UsageError(
                f"--speed {speed:g}: give speeds of {SLOWEST:g} to {FASTEST:g}, other than 1"
            )
    if len(set(speeds)) < len(speeds):
        raise UsageError("each --speed can be given only once")
    if folder.resolve() == out.resolve():
        raise UsageError(f"{out} is the corpus to read from; give another folder to write to")
    store = Store(folder)
    labeled = [utterance for utterance in store.utterances if utterance.id in store.labels]
    writer = StoreWriter(out)
    labels: dict[str, Labels] = {}
    features = []
    with tqdm(
        total=len(labeled) * len(speeds), desc="speeds", unit="utterance", disable=quiet or None
    ) as bar:
        for utterance in labeled:
            for speed in speeds:
                written = writer.add(
                    UtteranceInfo(
                        f"{utterance.id}@{speed:g}",
                        utterance.corpus,
                        f"{utterance.speaker}@{speed:g}",
                        utterance.text,
                        waveform_is_clean=utterance.waveform_is_clean,
                        is_synthetic=utterance.is_synthetic,
                        license=utterance.license,
                    ),
                    augmentation.change_speed(store.waveform(utterance), speed),
                )
                frames = written.samples // HOP
                label = store.labels[utterance.id]
                frame_symbol = rescale_frame_symbols(label.frame_symbol, frames, speed)
                if frame_symbol is not None:
                    labels[written.id] = replace(label, frame_symbol=frame_symbol)
                if store.styles is not None:
                    rows = source_frames(frames, utterance.samples // HOP, speed)
                    features.append(_drop_tilt(store.styles[0][utterance.frames][rows]))
                bar.update()
    writer.close()
    perturbed = Store(out)
    perturbed.write_labels(labels)
    if store.styles is not None:
        perturbed.write_styles(np.concatenate(features), store.styles[1])
    return len(labels)


def rescale_frame_symbols(
    frame_symbol: NDArray[np.int64], frames: int, speed: float
) -> NDArray[np.int64] | None:
    """Rescale an alignment to another speed.

    Every symbol keeps at least one frame, because the pointer can skip only borders.

    Args:
        frame_symbol: the symbol of each frame before the change [T].
        frames: how many frames there are after it.
        speed: above 1 is faster.

    Returns:
        The symbol of each frame [frames]; None if there are fewer frames than symbols.
    """
    begins = np.flatnonzero(np.diff(frame_symbol, prepend=frame_symbol[0] - 1))
    symbols, count = frame_symbol[begins], np.arange(len(begins))
    if frames < len(symbols):
        return None
    # Each start leaves at least one frame to the symbol before and one to each that follows.
    starts = np.rint(begins / speed).astype(np.int64)
    starts = np.maximum.accumulate(starts - count) + count
    starts = np.minimum(starts, frames - len(symbols) + count)
    return np.repeat(symbols, np.diff(starts, append=frames))


def source_frames(frames: int, of: int, speed: float) -> NDArray[np.int64]:
    """Map frames at a changed speed to the frames before the change.

    Args:
        frames: how many frames there are after the change.
        of: how many there were before it.
        speed: above 1 is faster.

    Returns:
        [frames] indices below `of`.
    """
    return np.minimum(((np.arange(frames) + 0.5) * speed).astype(np.int64), of - 1)


def _drop_tilt(features: NDArray[np.float16]) -> NDArray[np.float16]:
    """Prosody features [frames, 3] at another speed.

    The level does not change, nor does the pitch, which is relative to the (new) speaker's usual
    one. The tilt becomes unknown (NaN, and no model is conditioned on it): it changes by up to two
    bins where harmonics move from one band to another.
    """
    changed = features.copy()
    changed[:, 2] = np.nan
    return changed
