"""A store's utterances played at other speeds: more voices than were recorded.

Pitch, formants and tempo move together, as between a larger and a smaller speaker (Ko et al. 2015,
"Audio augmentation for speech recognition"). Labels and styles follow by arithmetic, so that
nothing is aligned or measured a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.corpora import augmentation
from valle.corpora.store import HOP, Labels, Store, StoreWriter
from valle.errors import UsageError

SLOWEST, FASTEST = 0.7, 1.4  # beyond these nobody sounds so


def prepare_speeds(folder: Path, out: Path, speeds: Sequence[float], quiet: bool = False) -> int:
    """Write a store of `folder`'s labelled utterances at each of `speeds`.

    At each speed a speaker is another one, called "name@speed". The styles keep their borders, so
    that both stores can be learnt from together. Returns how many utterances have labels.

    Raises:
        UsageError: `folder` holds no store or one without labels, is `out` itself, or a speed is
            not within 0.7 to 1.4, is 1 or is given twice.
    """
    for speed in speeds:
        if not SLOWEST <= speed <= FASTEST or speed == 1.0:
            raise UsageError(
                f"--speed {speed:g}: give speeds of {SLOWEST:g} to {FASTEST:g}, other than 1"
            )
    if len(set(speeds)) < len(speeds):
        raise UsageError("each --speed can be given once")
    if folder.resolve() == out.resolve():
        raise UsageError(f"{out} is read from: give another folder to write to")
    store = Store(folder)
    labelled = [each for each in store.utterances if each.id in store.labels]
    writer = StoreWriter(out)
    labels: dict[str, Labels] = {}
    features = []
    with tqdm(
        total=len(labelled) * len(speeds), desc="speeds", unit="utterance", disable=quiet or None
    ) as bar:
        for utterance in labelled:
            for speed in speeds:
                written = writer.add(
                    f"{utterance.id}@{speed:g}",
                    utterance.corpus,
                    f"{utterance.speaker}@{speed:g}",
                    augmentation.played(store.waveform(utterance), speed),
                    utterance.text,
                    waveform_is_clean=utterance.waveform_is_clean,
                    made=utterance.made,
                )
                frames = written.samples // HOP
                label = store.labels[utterance.id]
                path = path_at(label.frame_symbol, frames, speed)
                if path is not None:
                    labels[written.id] = replace(label, frame_symbol=path)
                if store.styles is not None:
                    rows = frames_at(frames, utterance.samples // HOP, speed)
                    features.append(_played(store.styles[0][utterance.frames][rows]))
                bar.update()
    writer.close()
    new = Store(out)
    new.write_labels(labels)
    if store.styles is not None:
        new.write_styles(np.concatenate(features), store.styles[1])
    return len(labels)


def path_at(path: NDArray[np.int64], frames: int, speed: float) -> NDArray[np.int64] | None:
    """The symbol that each of `frames` frames is at, of one's [T] that was played at `speed`.

    Every symbol keeps a frame of its own, as the pointer, which passes over borders alone, needs.
    None where there are fewer frames than symbols.
    """
    begins = np.flatnonzero(np.diff(path, prepend=path[0] - 1))
    symbols, count = path[begins], np.arange(len(begins))
    if frames < len(symbols):
        return None
    # From the first on none begins before the one before it has a frame, nor too late for the rest.
    starts = np.rint(begins / speed).astype(np.int64)
    starts = np.maximum.accumulate(starts - count) + count
    starts = np.minimum(starts, frames - len(symbols) + count)
    return np.repeat(symbols, np.diff(starts, append=frames))


def frames_at(frames: int, of: int, speed: float) -> NDArray[np.int64]:
    """[frames] which of an utterance's `of` frames is heard in the middle of each, played so."""
    return np.minimum(((np.arange(frames) + 0.5) * speed).astype(np.int64), of - 1)


def _played(features: NDArray[np.float16]) -> NDArray[np.float16]:
    """Features [frames, 3] of styles at another speed: the level stays, and the pitch beside what
    is usual for a speaker who is another one now.

    The tilt is not known any more (NaN, so that nobody is told of it): where harmonics pass from
    one band into another it moves by up to two classes.
    """
    moved = features.copy()
    moved[:, 2] = np.nan
    return moved
