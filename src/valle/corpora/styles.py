"""`valle prepare styles`: prosody features of every frame, and the edges of the style bins."""

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
from valle.audio.prosody import (
    FEATURES,
    compute_bin_edges,
    compute_frame_features,
    measure_styles,
    normalize_by_speaker,
)
from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora.store import Labels, Store, Utterance, by_speaker, split_into_batches
from valle.corpora.transcripts import IS_BORDER
from valle.errors import UsageError

_BATCH = 64  # utterances per task of a worker
_SEGMENT = 200  # frames: 4 s, about as long as the targets that the models are trained on


def prepare_styles(folders: Sequence[Path], workers: int = 1, quiet: bool = False) -> int:
    """Write `styles.npz` into some stores.

    The bin edges are computed over all stores together, so that a bin means the same in each.

    Returns:
        How many utterances the stores have together.

    Raises:
        UsageError: a folder is not a store or has no labels, which the speaking rate needs; or
            there is too little speech to measure.
    """
    stores = [Store(folder) for folder in folders]
    for store in stores:
        _ = store.labels  # a store without labels is reported before the work
    features = [_compute_features(store, workers, quiet) for store in stores]
    for store, rows in zip(stores, features, strict=True):
        for utterances in by_speaker(store.utterances).values():
            frames = np.concatenate([np.r_[utterance.frames] for utterance in utterances])
            rows[frames] = normalize_by_speaker(rows[frames])
    segments = [_measure_segments(s, rows) for s, rows in zip(stores, features, strict=True)]
    measured = np.array(list(chain.from_iterable(segments)), np.float32)
    try:
        bin_edges = compute_bin_edges(measured.reshape(len(measured), -1))
    except (ValueError, IndexError):
        raise UsageError(
            "these corpora have too little labeled speech to measure; add more"
        ) from None
    for store, rows in zip(stores, features, strict=True):
        store.write_styles(rows.astype(np.float16), bin_edges)
    return sum(len(store.utterances) for store in stores)


def count_phonemes(labels: Labels, start: int, end: int) -> int:
    """Count the phonemes in the frames [start, end) of an utterance."""
    present = np.unique(labels.frame_symbol[start:end])
    return int((~IS_BORDER[labels.symbols[present]]).sum())


def _compute_features(store: Store, workers: int, quiet: bool) -> Floats:
    """Prosody features of all frames of a store [frames, 3]."""
    batches = list(split_into_batches(store.utterances, _BATCH))
    features = np.zeros((len(store.audio) // HOP, FEATURES), np.float32)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = pool.map(partial(_compute_batch, store.folder), batches)
        name = f"styles {store.folder}"
        for batch, rows in tqdm(
            zip(batches, results, strict=True), total=len(batches), desc=name, disable=quiet or None
        ):
            for utterance, utterance_features in zip(batch, rows, strict=True):
                features[utterance.frames] = utterance_features
    return features


def _compute_batch(folder: Path, utterances: list[Utterance]) -> list[Floats]:
    store = Store(folder)
    return [compute_frame_features(store.waveform(u), SAMPLE_RATE, HOP) for u in utterances]


def _measure_segments(store: Store, features: Floats) -> list[Floats]:
    """The styles [5] of each segment of the labeled utterances."""
    styles = []
    for utterance in store.utterances:
        labels = store.labels.get(utterance.id)
        if labels is None:
            continue
        rows = features[utterance.frames]
        for start in range(0, len(rows), _SEGMENT):
            end = min(start + _SEGMENT, len(rows))
            styles.append(measure_styles(rows[start:end], count_phonemes(labels, start, end)))
    return styles
