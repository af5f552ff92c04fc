"""Import the recordings of a manifest into a store.

A manifest is a JSONL file, one object per recording: `audio` (a path relative to the manifest),
`corpus`, `speaker`, `text` (a string or null) and `seconds` (read from the recording if it is left
out). Speakers on a held-out list are never imported.
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

from valle.audio_format import SAMPLE_RATE
from valle.corpora.store import StoreWriter
from valle.errors import RecordingError, UsageError

# Corpora that were compressed at a low bit rate: the codec must not learn from their waveforms.
LOSSY_CORPORA = frozenset({"librispeech-dev-clean-mp3"})


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Read and check the rows of a manifest.

    Returns:
        One dictionary per recording. `audio`, `corpus` and `speaker` are non-empty strings, `text`
        is a string or None, and `seconds` is a positive number. Other keys are passed on unchecked.

    Raises:
        UsageError: the manifest is missing or empty, or a row is malformed; the message has the
            line number.
        RecordingError: a row has no `seconds`, and its recording cannot be read.
    """
    rows = []
    for number, line in _read_lines(path, "manifest", "--manifest"):
        if not line.strip():
            continue
        try:
            row = _check_row(json.loads(line))
        except ValueError as error:  # JSONDecodeError is one
            raise UsageError(f"{path}, line {number}: {error}") from error
        if "seconds" not in row:
            row["seconds"] = _read_duration(path.parent / row["audio"])
        rows.append(row)
    if not rows:
        raise UsageError(f"{path} lists no recordings; give another manifest with --manifest")
    return rows


def read_heldout(path: Path | None) -> frozenset[str]:
    """Read the names of speakers that no model may be trained on, one per line; None: nobody.

    Raises:
        UsageError: the list is missing, or a line is not a speaker's name.
    """
    if path is None:
        return frozenset()
    names = set()
    for number, line in _read_lines(path, "list of held-out speakers", "--heldout"):
        name = line.strip()
        if any(ord(character) < 32 for character in name) or name.startswith("{"):
            raise UsageError(
                f"{path}, line {number}: {name[:40]!r} is not a speaker's name; "
                "give a file with one name per line"
            )
        if name:
            names.add(name)
    return frozenset(names)


def _read_lines(path: Path, what: str, option: str) -> Iterator[tuple[int, str]]:
    """Number the lines of a UTF-8 text file from 1."""
    if not path.is_file():
        raise UsageError(f"there is no {what} at {path}; give one with {option}")
    try:
        with path.open(encoding="utf-8-sig") as lines:
            yield from enumerate(lines, 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as UTF-8 text: {error}") from error


def _check_row(row: Any) -> dict[str, Any]:
    """Check one row of a manifest; ValueError says what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError("a row must be a JSON object such as {...}")
    for key in ("audio", "corpus", "speaker"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise ValueError(f'"{key}" must be a non-empty string, not {row.get(key)!r}')
    if not isinstance(row.setdefault("text", None), str | None):
        raise ValueError(f'"text" must be a string or null, not {row["text"]!r}')
    seconds = row.get("seconds", 1.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(f'"seconds" must be a positive number, not {seconds!r}')
    return row


def _read_duration(path: Path) -> float:
    """Seconds of a recording, from its header."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, OSError) as error:
        raise RecordingError(_explain_unreadable(path, error)) from error


def _explain_unreadable(path: Path, error: Exception) -> str:
    return f"{path} cannot be read ({error}); repair it or remove it from the manifest"


def _read_recording(path: Path) -> NDArray[np.float32]:
    """Read a recording as mono samples at 16 kHz."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise RecordingError(_explain_unreadable(path, error)) from error
    mono = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return np.asarray(mono, dtype=np.float32)


def _read_recordings(paths: list[Path], workers: int) -> Iterator[NDArray[np.float32]]:
    if workers <= 1:
        yield from map(_read_recording, paths)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_read_recording, paths, chunksize=32)


def prepare_recordings(
    manifest: Path,
    out: Path,
    heldout: Path | None,
    workers: int = 2,
    quiet: bool = False,
) -> int:
    """Write the recordings of a manifest as a store.

    Args:
        manifest: see the module's documentation.
        out: the folder of the new store.
        heldout: a file with the speakers to leave out, one per line; None: nobody.
        workers: processes that decode recordings.
        quiet: no progress bar.

    Returns:
        How many utterances the store has.

    Raises:
        UsageError: the manifest or the held-out list is missing or malformed, or no recording is
            left.
        RecordingError: a recording cannot be read.
    """
    excluded = read_heldout(heldout)
    rows = [row for row in read_manifest(manifest) if row["speaker"] not in excluded]
    paths = [manifest.parent / row["audio"] for row in rows]
    writer = StoreWriter(out)
    bar = tqdm(total=len(rows), desc="recordings", unit="file", disable=quiet or None)
    for row, samples in zip(rows, _read_recordings(paths, workers), strict=True):
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
