"""Recordings that are sent: read within limits, and kept under names of our own."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from starlette.datastructures import UploadFile

from valle.errors import Error, RecordingError
from valle.server.errors import ApiError

_BLOCK = 1 << 18


async def read_upload(upload: UploadFile, max_mebibytes: int) -> bytes:
    """Return an uploaded file.

    Raises:
        ApiError: 413, it is too large.
        RecordingError: It is empty.
    """
    data = bytearray()
    while block := await upload.read(_BLOCK):
        data += block
        if len(data) > max_mebibytes << 20:
            raise ApiError(413, f"the recording is larger than {max_mebibytes} MiB", "too_large")
    if not data:
        raise RecordingError("the recording is empty (0 bytes)")
    return bytes(data)


def decode_audio_field(value: str, max_mebibytes: int) -> bytes:
    """Return the recording in a field of JSON: base64, or a data URL.

    Addresses and paths are refused: this server fetches nothing that a request names.

    Raises:
        RecordingError: It is neither.
        ApiError: 413, it is too large.
    """
    if value.startswith("data:"):
        head, _, value = value.partition(",")
        if not head.endswith(";base64"):
            raise RecordingError("ref_audio takes a data URL in base64: data:audio/wav;base64,...")
    elif "://" in value[:16]:
        raise RecordingError(
            "ref_audio takes the recording itself, in base64 or as a data URL; this server fetches "
            "no addresses"
        )
    if len(value) > (max_mebibytes << 20) * 4 // 3 + 4:
        raise ApiError(413, f"the recording is larger than {max_mebibytes} MiB", "too_large")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise RecordingError("ref_audio is not base64; send the file's bytes in base64") from None
    if not data:
        raise RecordingError("ref_audio is empty")
    return data


@contextlib.contextmanager
def as_file(data: bytes, ending: str = "") -> Iterator[Path]:
    """Yield a private file with some bytes, which is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="valle-upload-") as folder:
        path = Path(folder, f"recording{ending}")
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
        yield path


@contextlib.contextmanager
def call_it(path: Path, name: str) -> Iterator[None]:
    """Have the errors of the block call a temporary file by what it is."""
    try:
        yield
    except Error as error:
        error.args = (str(error).replace(str(path), name),)
        raise
