"""`valle prepare codes|labels`: codes, speaker embeddings and alignments by trained models.

The listener aligns transcripts. Without a transcript, it recognizes the phonemes (as VALL-E did for
its unlabeled speech), uncertain ones as unknown. The phoneme times of synthetic speech are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from valle.audio_format import HOP
from valle.corpora.shards import Plan, run_shards
from valle.corpora.store import Labels, Store, Utterance, split_into_batches
from valle.corpora.transcripts import IS_BORDER, transcript_ids
from valle.runtime.alignment import Posteriors, align_frames, find_loud_frames
from valle.runtime.recognizer import format_prompt_symbols, recognize
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.checkpoints import load_codec, load_listener, load_speaker
from valle.training.models.sizes import CODEBOOKS
from valle.training.run_folder import CHECKPOINT

_Model = TypeVar("_Model")
_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}
_BATCH = 8  # utterances of a shard: a few seconds of work, lost when a process is killed
_MAX_SHARDS = 20_000  # larger corpora have larger shards
_MIN_SCORE = -4.0  # mean log-probability per phoneme; below it text and recording do not match


def write_codes(store: Store, codec_run: Path, workers: int = 1, quiet: bool = False) -> None:
    """Write the codec's codes of all frames into the store.

    Raises:
        UsageError: the run has no checkpoint.
        OutputError: the folder cannot be written, or another process works on it. The same holds
            for all functions below.
    """
    load_codec(codec_run)  # a missing checkpoint is reported here, not in a worker
    codes = np.zeros((len(store.audio) // HOP, CODEBOOKS), np.int16)
    with _run_stage(store, _Stage("codes", codec_run, _encode_batch), workers, quiet) as parts:
        for batch, data in parts:
            rows, at = _load_array(data), 0
            for utterance in batch:
                frames = utterance.samples // HOP
                codes[utterance.frames] = rows[at : at + frames]
                at += frames
        store.write_codes(codes)


def write_voices(store: Store, speaker_run: Path, workers: int = 1, quiet: bool = False) -> None:
    """Write the speaker embedding of each utterance into the store.

    Raises:
        UsageError: the run has no checkpoint.
    """
    load_speaker(speaker_run)
    with _run_stage(store, _Stage("voices", speaker_run, _embed_batch), workers, quiet) as parts:
        store.write_voices(np.concatenate([_load_array(data) for _, data in parts]))


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
    stage = _Stage("labels", listener_run, _label_batch, frozenset(labels))
    with _run_stage(store, stage, workers, quiet) as parts:
        for _, data in parts:
            labels.update(_unpack_labels(data))
        store.write_labels(labels)
    return len(labels)


@dataclass(frozen=True)
class _Stage:
    """What is computed of every utterance.

    Attributes:
        name: of the stage.
        run: of the model.
        work: computes it of the utterances of a task.
        skipped: ids of utterances that have it already.
    """

    name: str
    run: Path
    work: Callable[[_Task], bytes]
    skipped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Task:
    """Some utterances of a store, and the model that works on them: its run, and a hash of it."""

    run: Path
    model: str
    folder: Path
    utterances: list[Utterance]
    skipped: frozenset[str]


@contextlib.contextmanager
def _run_stage(
    store: Store, stage: _Stage, workers: int, quiet: bool
) -> Iterator[Iterator[tuple[list[Utterance], bytes]]]:
    """Compute a stage in shards, so that after a crash the same command goes on.

    Yields the utterances and the result of each shard. At the end of the block, when all results
    are in the store, the shards are removed.
    """
    size = max(_BATCH, len(store.utterances) // _MAX_SHARDS)
    batches = list(split_into_batches(store.utterances, size))
    model = hashlib.sha256((stage.run / CHECKPOINT).read_bytes()).hexdigest()
    tasks = [_Task(stage.run, model, store.folder, batch, stage.skipped) for batch in batches]
    names = [_name_shard(number, task) for number, task in enumerate(tasks)]
    plan = Plan(names, tasks, stage.work)
    folder = store.folder / f"{stage.name}.shards"
    threads = torch.get_num_threads()
    try:
        files = run_shards(plan, folder, workers, quiet)
    finally:
        torch.set_num_threads(threads)
    yield ((batch, file.read_bytes()) for batch, file in zip(batches, files, strict=True))
    shutil.rmtree(folder)


def _name_shard(number: int, task: _Task) -> str:
    """The name of a shard's file, which depends on the model and the utterances."""
    skipped = [u.id for u in task.utterances if u.id in task.skipped]
    text = repr((task.model, task.utterances, skipped))
    return f"{number:06d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.shard"


def _encode_batch(task: _Task) -> bytes:
    codec, store = _load_model(load_codec, task), Store(task.folder)
    codes = []
    for utterance in task.utterances:
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            codes.append(codec.encode(waveform)[0].numpy().astype(np.int16))
    return _dump_array(np.concatenate(codes))


def _embed_batch(task: _Task) -> bytes:
    speaker, store = _load_model(load_speaker, task), Store(task.folder)
    embeddings = []
    for utterance in task.utterances:
        waveform = torch.from_numpy(store.waveform(utterance))[None]
        with torch.inference_mode():
            embeddings.append(speaker(waveform)[0].numpy())
    return _dump_array(np.stack(embeddings))


def _label_batch(task: _Task) -> bytes:
    listener, store = _load_model(load_listener, task), Store(task.folder)
    labels = {}
    for utterance in task.utterances:
        if utterance.id in task.skipped:
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
    return json.dumps(
        {
            name: [array.tolist() for array in (label.symbols, label.stress, label.frame_symbol)]
            for name, label in labels.items()
        }
    ).encode()


def _unpack_labels(data: bytes) -> dict[str, Labels]:
    return {
        name: Labels(*(np.array(array, np.int64) for array in arrays))
        for name, arrays in json.loads(data).items()
    }


def _dump_array(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _load_array(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def _load_model(load: Callable[[Path], _Model], task: _Task) -> _Model:
    """Load a worker's model once; it uses one thread, since the workers share the cores."""
    torch.set_num_threads(1)
    return _load_once(load, task.run, task.model)


@lru_cache(maxsize=1)
def _load_once(load: Callable[[Path], _Model], run: Path, model: str) -> _Model:  # noqa: ARG001
    """Load the model of a run; `model`, its hash, tells it from one that was trained since."""
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
