"""`valle prepare styles`: pitch, level and tilt of every frame, and the borders between classes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from valle.arrays import Floats
from valle.audio.prosody import FEATURES, beside_usual, borders_of, frame_features, measure
from valle.corpora.store import HOP, SAMPLE_RATE, Labels, Store, Utterance, batches_of, by_speaker
from valle.corpora.transcripts import IS_BORDER
from valle.errors import UsageError

_PART = 64  # utterances a worker takes at a time
_PIECE = 200  # frames: 4 s, as long as what the models learn to say in one go


def prepare_styles(folders: Sequence[Path], workers: int = 1, quiet: bool = False) -> int:
    """Write `styles.npz` beside the samples of some stores; returns how many utterances they have.

    The borders are drawn through all of them together, so that a class means the same in each.

    Raises:
        UsageError: a folder holds no store, or one without labels, which the rate needs; or there
            is no speech to measure.
    """
    stores = [Store(folder) for folder in folders]
    for store in stores:
        _ = store.labels  # what is missing is said before the work
    features = [_features(store, workers, quiet) for store in stores]
    for store, rows in zip(stores, features, strict=True):
        for own in by_speaker(store.utterances).values():
            frames = np.concatenate([np.r_[utterance.frames] for utterance in own])
            rows[frames] = beside_usual(rows[frames])
    pieces = [_measured(s, rows) for s, rows in zip(stores, features, strict=True)]
    measured = np.array(list(chain.from_iterable(pieces)), np.float32)
    try:
        borders = borders_of(measured.reshape(len(measured), -1))
    except (ValueError, IndexError):
        raise UsageError("these stores hold too little labelled speech to measure") from None
    for store, rows in zip(stores, features, strict=True):
        store.write_styles(rows.astype(np.float16), borders)
    return sum(len(store.utterances) for store in stores)


def phonemes_in(labels: Labels, start: int, end: int) -> int:
    """How many phonemes are said in the frames [start, end) of an utterance."""
    said = np.unique(labels.frame_symbol[start:end])
    return int((~IS_BORDER[labels.symbols[said]]).sum())


def _features(store: Store, workers: int, quiet: bool) -> Floats:
    parts = list(batches_of(store.utterances, _PART))
    found = np.zeros((len(store.audio) // HOP, FEATURES), np.float32)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(partial(_features_of, store.folder), parts)
        name = f"styles {store.folder}"
        for part, rows in tqdm(
            zip(parts, made, strict=True), total=len(parts), desc=name, disable=quiet or None
        ):
            for utterance, own in zip(part, rows, strict=True):
                found[utterance.frames] = own
    return found


def _features_of(folder: Path, utterances: list[Utterance]) -> list[Floats]:
    store = Store(folder)
    return [frame_features(store.waveform(one), SAMPLE_RATE, HOP) for one in utterances]


def _measured(store: Store, features: Floats) -> list[Floats]:
    """The styles of all pieces of labelled utterances, [5] each."""
    found = []
    for utterance in store.utterances:
        labels = store.labels.get(utterance.id)
        if labels is None:
            continue
        rows = features[utterance.frames]
        for start in range(0, len(rows), _PIECE):
            end = min(start + _PIECE, len(rows))
            found.append(measure(rows[start:end], phonemes_in(labels, start, end)))
    return found
