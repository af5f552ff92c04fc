"""Import the recordings of a manifest into a store.

A manifest is a JSONL file, one object per recording: `audio` (a path relative to the manifest),
`corpus`, `speaker`, `text` (a string or null) and `seconds` (read from the recording if it is left
out). A row with `start` (in seconds) is a part of a recording. `license` is carried on to the model
card. Speech of a program has its name as `generator`, so that the detector can learn from it.
Speakers on a held-out list are never imported.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from valle.audio.recording import Recording, load_part, load_recording
from valle.audio_format import SAMPLE_RATE
from valle.corpora.shards import Plan, run_shards
from valle.corpora.store import StoreWriter, UtteranceInfo, to_stored_samples
from valle.errors import OutputError, RecordingError, UsageError
from valle.files import write_atomically

# Corpora that were compressed at a low bit rate: the codec must not learn from their waveforms.
LOSSY_CORPORA = frozenset({"librispeech-dev-clean-mp3"})
REFUSED = "refused.jsonl"

_SHARDS = "shards"
_SHARD_VERSION = 1  # another one where the bytes of a shard change
_SHARD_SECONDS = 60.0  # of speech: a second of work, which is lost if a process is killed
_MAX_SECONDS = 1e9  # of a recording; JSON also has infinity
_MAX_SHARDS = 20_000  # larger corpora have longer shards


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
        except (ValueError, RecursionError) as error:  # JSONDecodeError is a ValueError
            raise UsageError(f"{path}, line {number}: {error}") from error
        if "seconds" not in row:
            row["seconds"] = _read_duration(path.parent / row["audio"])
        rows.append(row)
    if not rows:
        raise UsageError(f"{path} lists no recordings; give another manifest with --manifest")
    return rows


def find_part(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """The part of a recording that a row of a manifest names: start and length in seconds.

    None if the row is about the whole recording.
    """
    return (row["start"], row["seconds"]) if "start" in row else None


def load_recording_part(path: Path, part: tuple[float, float] | None) -> Recording:
    """Load a recording, or a part of it as `find_part` returns it.

    Raises:
        RecordingError: it cannot be read, or has too little sound.
    """
    return load_recording(path) if part is None else load_part(path, *part)


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
    generator = row.get("generator")
    if generator is not None and (not isinstance(generator, str) or not generator):
        raise ValueError(f'"generator" must be the name of a program, not {generator!r}')
    seconds = row.get("seconds", 1.0)
    if not _is_time(seconds) or not seconds > 0:
        raise ValueError(f'"seconds" must be a positive number, not {seconds!r}')
    start = row.get("start", 0.0)
    if not _is_time(start):
        raise ValueError(f'"start" must be a number from 0 on, not {start!r}')
    if "start" in row and "seconds" not in row:
        raise ValueError('a row with "start" needs "seconds"')
    if not isinstance(row.get("license"), str | None):
        raise ValueError(f'"license" must be a string or null, not {row["license"]!r}')
    return row


def _is_time(value: object) -> TypeGuard[float]:
    """Whether a value is a number of seconds: from 0 on, and not infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= _MAX_SECONDS  # NaN is not


def _read_duration(path: Path) -> float:
    """Seconds of a recording, from its header."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, OSError, ValueError) as error:  # a name that is not UTF-8
        raise RecordingError(_explain_unreadable(path, error)) from error


def _explain_unreadable(path: Path, error: object) -> str:
    return f"{path} cannot be read ({error}); repair it or remove it from the manifest"


def _read_recording(path: Path, row: dict[str, Any]) -> NDArray[np.float32]:
    """Read a recording, or the part of it that a row names, as mono samples at 16 kHz."""
    try:
        with soundfile.SoundFile(path) as file:
            frames = -1
            if (part := find_part(row)) is not None:
                start, frames = (round(seconds * file.samplerate) for seconds in part)
                file.seek(min(start, file.frames))
            samples, rate = file.read(frames, "float32", always_2d=True), file.samplerate
    except (soundfile.LibsndfileError, OSError, RuntimeError, ValueError) as error:
        raise RecordingError(_explain_unreadable(path, error)) from error
    if not len(samples):
        raise RecordingError(_explain_unreadable(path, "it holds no samples, or ends before them"))
    mono = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if not np.isfinite(mono).all():
        raise RecordingError(_explain_unreadable(path, "it has samples that are not numbers"))
    return np.asarray(mono, dtype=np.float32)


@dataclass(frozen=True)
class PreparationTally:
    """What became of the recordings of a manifest."""

    kept: int
    refused: int
    seconds_kept: float
    seconds_refused: float
    """As the manifest says."""


def prepare_recordings(
    manifest: Path,
    out: Path,
    heldout: Path | None,
    workers: int = 2,
    quiet: bool = False,
) -> PreparationTally:
    """Write the recordings of a manifest as a store.

    Recordings that cannot be read are left out, and listed with the reason in refused.jsonl. The
    work is done in shards (see `valle.corpora.shards`): after a crash, the same call goes on.

    Args:
        manifest: see the module's documentation.
        out: the folder of the new store.
        heldout: a file with the speakers to leave out, one per line; None: nobody.
        workers: processes that decode recordings.
        quiet: no progress bar.

    Raises:
        UsageError: the manifest or the held-out list is missing or malformed, or no recording is
            left.
        RecordingError: no recording can be read.
        OutputError: the folder cannot be written, or another process writes it.
    """
    excluded = read_heldout(heldout)
    rows = [row for row in read_manifest(manifest) if row["speaker"] not in excluded]
    if not rows:
        raise UsageError(f"no utterance is left for {out}: there is nothing to prepare")
    shards = _cut_into_shards(rows)
    base = manifest.parent.resolve()
    plan = Plan(
        [_name_shard(number, shard, base) for number, shard in enumerate(shards)],
        [(base, shard) for shard in shards],
        decode_shard,
    )
    files = run_shards(plan, out / _SHARDS, workers, quiet)
    tally = _assemble(files, out)
    if tally.kept + tally.refused != len(rows):
        raise OutputError(
            f"of {len(rows)} recordings, {tally.kept} were kept and {tally.refused} refused: this "
            "is an error in valle, please report it"
        )
    shutil.rmtree(out / _SHARDS)
    return tally


def _cut_into_shards(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Cut a manifest into consecutive parts of about the same length."""
    total = sum(row["seconds"] for row in rows)
    longest = max(_SHARD_SECONDS, total / _MAX_SHARDS)
    shards: list[list[dict[str, Any]]] = [[]]
    seconds = 0.0
    for row in rows:
        if shards[-1] and seconds + row["seconds"] > longest:
            shards.append([])
            seconds = 0.0
        shards[-1].append(row)
        seconds += row["seconds"]
    return shards


def _name_shard(number: int, rows: list[dict[str, Any]], base: Path) -> str:
    """The name of a shard's file, which depends on all that it is made of."""
    sizes = [_file_size(base / row["audio"]) for row in rows]
    text = json.dumps([_SHARD_VERSION, rows, sizes], sort_keys=True)
    return f"{number:06d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.shard"


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def decode_shard(part: tuple[Path, list[dict[str, Any]]]) -> bytes:
    """Decode the recordings of a shard.

    Args:
        part: the manifest's folder, and rows of the manifest.

    Returns:
        The length of a JSON text (8 bytes), the text, and the samples of all recordings. The text
        has `kept`, a list of rows with their number of samples, and `refused`.
    """
    base, rows = part
    kept, refused, samples = [], [], []
    for row in rows:
        try:
            stored = to_stored_samples(_read_recording(base / row["audio"], row))
        except RecordingError as error:
            refused.append({**row, "reason": str(error)})
            continue
        kept.append([row, len(stored)])
        samples.append(stored.tobytes())
    text = json.dumps({"kept": kept, "refused": refused}).encode()
    return b"".join((len(text).to_bytes(8, "little"), text, *samples))


def _assemble(shards: list[Path], out: Path) -> PreparationTally:
    """Join shards to a store, in the order of the plan."""
    refused = [row for path in shards for row in _read_header(path)[0]["refused"]]
    if refused and not any(_read_header(path)[0]["kept"] for path in shards):
        raise RecordingError(refused[0]["reason"])
    writer = StoreWriter(out)
    seconds = 0.0
    for path in shards:
        header, start = _read_header(path)
        with path.open("rb") as file:
            file.seek(start)
            for row, length in header["kept"]:
                writer.append(_describe_utterance(row), np.fromfile(file, np.int16, length))
                seconds += row["seconds"]
    writer.close()
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in refused)
    with write_atomically(out / REFUSED) as temporary:
        temporary.write_text(lines, encoding="utf-8", errors="backslashreplace")
    return PreparationTally(
        len(writer), len(refused), seconds, sum(row["seconds"] for row in refused)
    )


def _read_header(shard: Path) -> tuple[dict[str, Any], int]:
    """What `decode_shard` says of a shard, and where its samples begin."""
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length


def _describe_utterance(row: dict[str, Any]) -> UtteranceInfo:
    generator = row.get("generator")
    start = f"#{row['start']:.2f}" if "start" in row else ""
    return UtteranceInfo(
        row["audio"] + start,
        row["corpus"] if generator is None else f"synthetic-{generator}",
        row["speaker"],
        row["text"],
        waveform_is_clean=row["corpus"] not in LOSSY_CORPORA,
        is_synthetic=generator is not None,
        license=row.get("license"),
    )
