"""Recordings listed in a manifest, brought into a store.

A manifest is a JSONL file beside the recordings: `audio` (path relative to it), `corpus`,
`speaker`, `text` or null, `seconds`. Speakers of a held-out list never enter a store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from valle.corpora import effects
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


def changed_voice(samples: NDArray[np.float32], speaker: str, copy: int) -> NDArray[np.float32]:
    """The samples in the voice of somebody who does not exist; the same for all of a speaker's.

    Pitch and formants move together, as they do in people, and tempo and colour a little. The
    least changed copy is still further from its original than one recording of a person is from
    another by the same person.
    """
    seed = hashlib.sha256(f"{speaker} {copy}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    size = rng.choice((-1.0, 1.0)) * rng.uniform(0.05, 0.13)  # of the vocal tract, in log
    pitch = float(np.clip(np.exp(1.6 * size + rng.normal(0, 0.04)), 0.75, 1.35))
    moved = effects.shift_formants(effects.shift_pitch(samples, pitch), float(np.exp(size)))
    moved = effects.tempo(moved, float(rng.uniform(0.9, 1.12)))
    moved = effects.tilt(moved, float(rng.uniform(-1.5, 1.5)))
    return moved * min(1.0, 0.99 / (float(np.abs(moved).max()) + 1e-9))


def _copies(changed: int, row: tuple[Path, str]) -> list[NDArray[np.float32]]:
    """The recording itself, or its copies in changed voices."""
    path, speaker = row
    samples = _read(path)
    if not changed:
        return [samples]
    return [changed_voice(samples, speaker, copy) for copy in range(changed)]


def _decoded(
    rows: list[tuple[Path, str]], changed: int, workers: int
) -> Iterator[list[NDArray[np.float32]]]:
    work = partial(_copies, changed)
    if workers <= 1:
        yield from map(work, rows)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, rows, chunksize=32)


def prepare_recordings(
    manifest: Path,
    out: Path,
    heldout: Path | None,
    workers: int = 2,
    quiet: bool = False,
    changed: int = 0,
) -> int:
    """Write the manifest's recordings as a store; returns how many utterances it holds.

    `changed`: write this many copies of each recording in changed voices instead of the recording
    itself, so that a model hears more speakers than there are.

    Raises:
        UsageError: no manifest, no list of held-out speakers, or no recording is left.
        RecordingError: a recording cannot be read.
    """
    hidden = read_heldout(heldout)
    rows = [row for row in read_manifest(manifest) if row["speaker"] not in hidden]
    sources = [(manifest.parent / row["audio"], row["speaker"]) for row in rows]
    writer = StoreWriter(out)
    bar = tqdm(total=len(rows), desc="recordings", unit="file", disable=quiet or None)
    count = 0
    for row, copies in zip(rows, _decoded(sources, changed, workers), strict=True):
        for copy, samples in enumerate(copies):
            mark = f"#{copy + 1}" if changed else ""
            writer.add(
                row["audio"] + mark,
                row["corpus"],
                row["speaker"] + mark,
                samples,
                row["text"],
                waveform_is_clean=row["corpus"] not in LOSSY_CORPORA and not changed,
            )
            count += 1
        bar.update()
    bar.close()
    writer.close()
    return count
