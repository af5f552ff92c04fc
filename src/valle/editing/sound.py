"""Recordings to edit: read with all their channels, and written with the same samples."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from valle.arrays import Floats
from valle.audio.decoding import open_audio
from valle.audio.encoding import FORMATS, infer_audio_format
from valle.errors import OutputError, RecordingError
from valle.files import write_atomically
from valle.trust import ledger, provenance

MAX_SECONDS = 3600.0
_BLOCK = 1 << 18  # samples
_LOSSLESS = {"wav": ("PCM_U8", "PCM_16", "PCM_24", "FLOAT"), "flac": ("PCM_16", "PCM_24")}
_BITS = {"PCM_U8": 16, "PCM_16": 16, "PCM_24": 24}


@dataclass(frozen=True, eq=False)
class EditableSound:
    """A recording with all of its channels."""

    samples: Floats
    """[N, channels], in [-1, 1]."""
    rate: int
    """Hz."""
    subtype: str
    """How its samples are coded, in libsndfile's terms; "" for none of the lossless ones."""


def read_editable(source: object) -> EditableSound:
    """Read a recording; its samples are those of the file, up to 24 bits.

    Args:
        source: A path, an open binary file or (samples, sample rate).

    Raises:
        RecordingError: It cannot be read, is silent, longer than an hour, or has samples that are
            not finite.
    """
    with open_audio(source) as opened:
        limit = int(MAX_SECONDS * opened.rate)
        blocks, frames = [], 0
        for block in opened.read_blocks(0, limit + 1, _BLOCK):
            blocks.append(block)
            frames += len(block)
        if frames > limit:
            raise RecordingError(
                "the recording is longer than an hour; cut out the part to be edited"
            )
        rate, channels = opened.rate, opened.channels
    samples = np.concatenate([np.zeros((0, channels), np.float32), *blocks])
    if not np.isfinite(samples).all():
        raise RecordingError("the recording holds NaN or infinity; export it again")
    if not samples.any():
        raise RecordingError("the recording is silent; give one in which somebody speaks")
    return EditableSound(samples, rate, _read_subtype(source))


def _read_subtype(source: object) -> str:
    if isinstance(source, (str, os.PathLike)):
        with contextlib.suppress(soundfile.SoundFileError, RuntimeError, OSError):
            return str(soundfile.info(os.fspath(source)).subtype)
    return ""


def choose_subtype(name: str, subtype: str) -> str:
    """Return how a file of format `name` codes a recording that was coded as `subtype`."""
    if name not in _LOSSLESS:
        return FORMATS[name][1]
    if subtype in ("PCM_32", "FLOAT", "DOUBLE"):
        return _LOSSLESS[name][-1]
    return subtype if subtype in _LOSSLESS[name] else "PCM_16"


@dataclass(frozen=True, eq=False)
class ChangedRecording:
    """A recording after a change."""

    samples: Floats
    """[N, channels], in [-1, 1]."""
    sample_rate: int
    """Hz, that of the recording."""
    provenance: dict[str, Any]
    """What made it: the model, the voice, the receipt of its consent, the options."""
    original: EditableSound
    """The recording as it was."""

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Write the audio, and next to it `<path>.json`, a signed statement that valle made it.

        The audio is coded as the original was, if the format of the file has that. Samples that did
        not change are bit for bit those of a recording of up to 24 bits, in a WAV or FLAC file.

        Args:
            path: The file to write; its ending is the format: wav, flac, mp3 or ogg.
            overwrite: Whether existing files are replaced.

        Raises:
            FileExistsError: A file exists and `overwrite` is False.
            OutputError: A file cannot be written.
            UsageError: The ending is unknown.
            ConsentError: The user's key cannot be used.
        """
        name = infer_audio_format(path)
        key = ledger.get_signing_key().private
        samples = np.ascontiguousarray(self.samples).tobytes()
        record = self.provenance | {
            "seconds": round(self.seconds, 3),
            "samples_sha256": hashlib.sha256(samples).hexdigest(),
        }
        # In this order nothing but a rename can fail once the audio is in its place.
        with (
            write_atomically(provenance.sidecar_path(path), overwrite) as sidecar_part,
            write_atomically(path, overwrite) as audio_part,
        ):
            _encode(audio_part, name, self.original, self.samples, f"{record['made_by']}; edited")
            record["file_sha256"] = provenance.file_sha256(audio_part)
            signed = provenance.sign(record, key)
            sidecar_part.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")


def _encode(path: Path, name: str, original: EditableSound, samples: Floats, comment: str) -> None:
    """Encode to a file; integers are converted here, since libsndfile would scale them."""
    subtype = choose_subtype(name, original.subtype)
    try:
        with soundfile.SoundFile(
            path,
            "w",
            original.rate,
            samples.shape[1],
            subtype=subtype,
            format=FORMATS[name][0],
        ) as file:
            file.comment = comment
            for start in range(0, len(samples), _BLOCK // 4):
                file.write(_to_numbers(samples[start : start + _BLOCK // 4], subtype))
        with soundfile.SoundFile(path) as file:
            complete = file.frames >= len(samples)
    except soundfile.SoundFileError as error:
        detail = getattr(error, "error_string", str(error)).strip().rstrip(".")
        raise OutputError(
            f"cannot write {name} at {original.rate} Hz: {detail}; write a .wav instead"
        ) from error
    if not complete:
        raise OutputError(f"the {name} file could not be written to its end; is the disk full?")


def _to_numbers(samples: Floats, subtype: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Return samples as the numbers that libsndfile writes as they are."""
    bits = _BITS.get(subtype)
    if bits is None:
        return samples
    top = 1 << (bits - 1)
    numbers = np.clip(np.rint(samples.astype(np.float64) * top), -top, top - 1)
    return numbers.astype(np.int16) if bits == 16 else numbers.astype(np.int32) << 8
