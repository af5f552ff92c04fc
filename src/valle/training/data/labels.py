"""`valle prepare codes|labels`: codes, speaker embeddings and alignments by trained models.

The listener aligns transcripts. Without a transcript, it recognizes the phonemes (as VALL-E did for
its unlabeled speech), uncertain ones as unknown. The phoneme times of synthetic speech are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from valle.audio_format import HOP
from valle.corpora.store import Labels, Store, Utterance, split_into_batches
from valle.corpora.transcripts import IS_BORDER, transcript_ids
from valle.runtime.alignment import Posteriors, align_frames, find_loud_frames
from valle.runtime.recognizer import format_prompt_symbols, recognize
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.checkpoints import load_codec, load_listener, load_speaker
from valle.training.models.sizes import CODEBOOKS

_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
_BATCH = 64  # utterances per task of a worker
_MIN_SCORE = -4.0  # mean log-probability per phoneme; below it text and recording do not match


def write_codes(store: Store, codec_run: Path, workers: int = 1, quiet: bool = False) -> None:
    """Write the codec's codes of all frames into the store.

    Raises:
        UsageError: the run has no checkpoint.
    """
    load_codec(codec_run)  # a missing checkpoint is reported here, not in a worker
    results = _map_batches(
        store, partial(_encode_batch, codec_run), workers, f"codes {store.folder}", quiet
    )
    codes = np.zeros((len(store.audio) // HOP, CODEBOOKS), np.int16)
    for batch in results:
        for frames, rows in batch:
            codes[frames] = rows
    store.write_codes(codes)


def write_voices(store: Store, speaker_run: Path, workers: int = 1, quiet: bool = False) -> None:
    """Write the speaker embedding of each utterance into the store.

    Raises:
        UsageError: the run has no checkpoint.
    """
    load_speaker(speaker_run)
    name = f"voices {store.folder}"
    results = _map_batches(store, partial(_embed_batch, speaker_run), workers, name, quiet)
    store.write_voices(np.concatenate(list(results)))


def write_alignments(
    store: Store, listener_run: Path, workers: int = 1, quiet: bool = False
) -> int:
    """Write phonemes and their times into the store; returns the number of labeled utterances.

    Raises:
        UsageError: the run has no checkpoint.
    """
    load_listener(listener_run)
    synthetic = {u.id for u in store.utterances if u.is_synthetic}
    labels: dict[str, Labels] = {}
    if (store.folder / "labels.npz").is_file():
        labels = {name: label for name, label in store.labels.items() if name in synthetic}
    label_batch = partial(_label_batch, listener_run, frozenset(labels))
    for part in _map_batches(store, label_batch, workers, f"labels {store.folder}", quiet):
        labels.update(part)
    store.write_labels(labels)
    return len(labels)


_Result = TypeVar("_Result")


def _map_batches(
    store: Store,
    work: Callable[[Path, list[Utterance]], _Result],
    workers: int,
    name: str,
    quiet: bool,
) -> Iterator[_Result]:
    """Run a function on the batches of a store in several processes, with a progress bar."""
    batches = list(split_into_batches(store.utterances, _BATCH))
    run = partial(work, store.folder)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from tqdm(
            pool.map(run, batches), total=len(batches), desc=name, disable=quiet or None
        )


def _encode_batch(
    run: Path, folder: Path, utterances: list[Utterance]
) -> list[tuple[slice, NDArray[np.int16]]]:
    codec, store = _load_once(load_codec, run), Store(folder)
    codes = []
    for utterance in utterances:
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            codes.append((utterance.frames, codec.encode(waveform)[0].numpy().astype(np.int16)))
    return codes


def _embed_batch(run: Path, folder: Path, utterances: list[Utterance]) -> NDArray[np.float32]:
    speaker, store = _load_once(load_speaker, run), Store(folder)
    embeddings = []
    for utterance in utterances:
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            embeddings.append(speaker(waveform)[0].numpy())
    return np.stack(embeddings)


def _label_batch(
    run: Path, known: frozenset[str], folder: Path, utterances: list[Utterance]
) -> dict[str, Labels]:
    listener, store = _load_once(load_listener, run), Store(folder)
    labels = {}
    for utterance in utterances:
        if utterance.id in known:
            continue
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            ctc, frame = (head[0].numpy() for head in listener(waveform))
        label = _label(
            utterance,
            Posteriors(ctc, frame, LISTENER_SYMBOLS),
            find_loud_frames(waveform[0].numpy(), HOP),
        )
        if label is not None:
            labels[utterance.id] = label
    return labels


@lru_cache(maxsize=1)
def _load_once(load: Callable[[Path], _Result], run: Path) -> _Result:
    """Load a worker's model once; it uses one thread, since the workers share the cores."""
    torch.set_num_threads(1)
    return load(run)


def _label(
    utterance: Utterance,
    posteriors: Posteriors,
    is_loud: NDArray[np.bool_],
) -> Labels | None:
    """Labels from the listener's log-probabilities; None if text and recording do not match."""
    if utterance.text is not None:
        ids = transcript_ids(utterance.text)
        if ids is None:
            return None
        symbols, stress = ids
    else:
        heard = format_prompt_symbols(recognize(posteriors))
        symbols = np.array([_IDS[symbol] for symbol in heard], np.int64)
        stress = np.zeros_like(symbols)
    alignment = align_frames(posteriors, is_loud, [SYMBOLS[index] for index in symbols])
    if alignment is None or not (~IS_BORDER[symbols]).any():
        return None
    if float(alignment.score[~IS_BORDER[symbols]].mean()) < _MIN_SCORE:
        return None
    path = start_at_first_symbol(alignment.frame_symbol)
    return None if path is None else Labels(symbols, stress, path)


def start_at_first_symbol(path: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """An alignment [frames] with its first frame moved to symbol 0, where the pointer starts.

    None if that frame is the only one of the first phoneme.
    """
    if path[0] == 0:
        return path
    if len(path) < 2 or path[1] != path[0]:
        return None
    return np.concatenate([[0], path[1:]])
