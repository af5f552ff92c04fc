"""`valle prepare codes|labels`: what the AR and the NAR learn from, by trained models.

Transcripts are aligned by the listener; where there is none, the listener writes down the phonemes
that it hears (as VALL-E did for its unlabelled hours), unsure ones as unknown. Phoneme times that
came with made speech are kept.
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

from valle.corpora.store import HOP, Labels, Store, Utterance, batches_of
from valle.corpora.transcripts import IS_BORDER, transcript_ids
from valle.runtime.alignment import align_frames, loud_frames
from valle.runtime.recognizer import heard_from, prompt_symbols
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.checkpoints import load_codec, load_listener, load_speaker
from valle.training.models.sizes import CODEBOOKS

_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
_PART = 64  # utterances a worker takes at a time
_WORST = -4.0  # mean log-probability a phoneme, below which text and recording do not fit


def write_codes(store: Store, codec_run: Path, workers: int = 1, quiet: bool = False) -> None:
    """Write the codec's codes of all frames beside the store's samples.

    Raises:
        UsageError: the run has no checkpoint.
    """
    load_codec(codec_run)  # a missing checkpoint is said here, not in a worker
    parts = _in_parts(store, partial(_codes_of, codec_run), workers, f"codes {store.folder}", quiet)
    codes = np.zeros((len(store.audio) // HOP, CODEBOOKS), np.int16)
    for part in parts:
        for name, rows in part:
            codes[name] = rows
    store.write_codes(codes)


def write_voices(store: Store, speaker_run: Path, workers: int = 1, quiet: bool = False) -> None:
    """Write the speaker embedding of each utterance beside the store's samples.

    Raises:
        UsageError: the run has no checkpoint.
    """
    load_speaker(speaker_run)
    name = f"voices {store.folder}"
    parts = _in_parts(store, partial(_voices_of, speaker_run), workers, name, quiet)
    store.write_voices(np.concatenate(list(parts)))


def write_alignments(
    store: Store, listener_run: Path, workers: int = 1, quiet: bool = False
) -> int:
    """Write phonemes and their times beside the store's samples; returns for how many utterances.

    Raises:
        UsageError: the run has no checkpoint.
    """
    load_listener(listener_run)
    exact = {u.id for u in store.utterances if u.made}
    labels: dict[str, Labels] = {}
    if (store.folder / "labels.npz").is_file():
        labels = {name: label for name, label in store.labels.items() if name in exact}
    listen = partial(_labels_of, listener_run, frozenset(labels))
    for part in _in_parts(store, listen, workers, f"labels {store.folder}", quiet):
        labels.update(part)
    store.write_labels(labels)
    return len(labels)


_Part = TypeVar("_Part")


def _in_parts(
    store: Store,
    work: Callable[[Path, list[Utterance]], _Part],
    workers: int,
    name: str,
    quiet: bool,
) -> Iterator[_Part]:
    parts = list(batches_of(store.utterances, _PART))
    call = partial(work, store.folder)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from tqdm(pool.map(call, parts), total=len(parts), desc=name, disable=quiet or None)


def _codes_of(
    run: Path, folder: Path, utterances: list[Utterance]
) -> list[tuple[slice, NDArray[np.int16]]]:
    codec, store = _once(load_codec, run), Store(folder)
    found = []
    for utterance in utterances:
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            found.append((utterance.frames, codec.encode(waveform)[0].numpy().astype(np.int16)))
    return found


def _voices_of(run: Path, folder: Path, utterances: list[Utterance]) -> NDArray[np.float32]:
    speaker, store = _once(load_speaker, run), Store(folder)
    found = []
    for utterance in utterances:
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            found.append(speaker(waveform)[0].numpy())
    return np.stack(found)


def _labels_of(
    run: Path, known: frozenset[str], folder: Path, utterances: list[Utterance]
) -> dict[str, Labels]:
    listener, store = _once(load_listener, run), Store(folder)
    found = {}
    for utterance in utterances:
        if utterance.id in known:
            continue
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            ctc, frame = (head[0].numpy() for head in listener(waveform))
        label = _label(utterance, ctc, frame, loud_frames(waveform[0].numpy(), HOP))
        if label is not None:
            found[utterance.id] = label
    return found


@lru_cache(maxsize=1)
def _once(load: Callable[[Path], _Part], run: Path) -> _Part:
    """A worker reads its model once; with one thread, since the workers share the cores."""
    torch.set_num_threads(1)
    return load(run)


def _label(
    utterance: Utterance,
    ctc: NDArray[np.float32],
    frame: NDArray[np.float32],
    loud: NDArray[np.bool_],
) -> Labels | None:
    if utterance.text is not None:
        ids = transcript_ids(utterance.text)
        if ids is None:
            return None
        symbols, stress = ids
    else:
        heard = prompt_symbols(heard_from(ctc, frame, LISTENER_SYMBOLS))
        symbols = np.array([_IDS[symbol] for symbol in heard], np.int64)
        stress = np.zeros_like(symbols)
    alignment = align_frames(
        ctc, frame, loud, [SYMBOLS[index] for index in symbols], LISTENER_SYMBOLS
    )
    if alignment is None or not (~IS_BORDER[symbols]).any():
        return None
    if float(alignment.score[~IS_BORDER[symbols]].mean()) < _WORST:
        return None
    path = from_the_start(alignment.frame_symbol)
    return None if path is None else Labels(symbols, stress, path)


def from_the_start(path: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The alignment [frames] with its first frame on symbol 0, where the pointer starts.

    None where that frame is the only one of the first phoneme.
    """
    if path[0] == 0:
        return path
    if len(path) < 2 or path[1] != path[0]:
        return None
    return np.concatenate([[0], path[1:]])
