"""Recordings listed in a manifest, brought into a store.

A manifest is a JSONL file beside the recordings: `audio` (path relative to it), `corpus`,
`speaker`, `text` or null, `seconds`. Speakers of a held-out list never enter a store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from valle.corpora.store import SAMPLE_RATE, StoreWriter
from valle.errors import RecordingError, UsageError

# A corpus that went through a low-rate coder: its waveform is not what a codec should learn.
LOSSY_CORPORA = frozenset({"librispeech-dev-clean-mp3"})


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """The manifest's rows.

    Raises:
        UsageError: there is no such manifest.
    """
    if not path.is_file():
        raise UsageError(f"no manifest at {path}; give one with --manifest")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_heldout(path: Path | None) -> frozenset[str]:
    """Names of speakers that no model may train on (one a line).

    Raises:
        UsageError: there is no such list.
    """
    if path is None:
        return frozenset()
    if not path.is_file():
        raise UsageError(f"no list of held-out speakers at {path}; give one with --heldout")
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines)


def _read(path: Path) -> NDArray[np.float32]:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise RecordingError(f"{path} cannot be read ({error}); mend it or its line") from error
    mono = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return np.asarray(mono, dtype=np.float32)


def _decoded(paths: list[Path], workers: int) -> Iterator[NDArray[np.float32]]:
    if workers <= 1:
        yield from map(_read, paths)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_read, paths, chunksize=32)


def prepare_recordings(
    manifest: Path,
    out: Path,
    heldout: Path | None,
    workers: int = 2,
    quiet: bool = False,
) -> int:
    """Write the manifest's recordings as a store; returns how many utterances it holds.

    Raises:
        UsageError: no manifest, no list of held-out speakers, or no recording is left.
        RecordingError: a recording cannot be read.
    """
    hidden = read_heldout(heldout)
    rows = [row for row in read_manifest(manifest) if row["speaker"] not in hidden]
    paths = [manifest.parent / row["audio"] for row in rows]
    writer = StoreWriter(out)
    bar = tqdm(total=len(rows), desc="recordings", unit="file", disable=quiet or None)
    for row, samples in zip(rows, _decoded(paths, workers), strict=True):
        writer.add(
            row["audio"],
            row["corpus"],
            row["speaker"],
            samples,
            row["text"],
            waveform_is_clean=row["corpus"] not in LOSSY_CORPORA,
        )
        bar.update()
    bar.close()
    writer.close()
    return len(rows)
