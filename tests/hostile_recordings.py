"""Recordings made to harm their reader: headers that lie, bombs, devices, names, damaged bytes."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from media_files import MEDIA, write_media_file
from recordings import syllables
from valle.arrays import Samples

RATE = 16_000
_ALL = 0xFFFFFFFF

Files = dict[str, Path]


def write_hostile_recordings(folder: Path) -> Files:
    """Write the files into an empty folder; returns them by what is wrong with each."""
    sound = syllables(3.0, RATE)
    contents: dict[str, bytes] = {
        **_lying_wavs(sound),
        **dict(_other_headers()),
        **_damaged(folder, sound),
        **_bombs(folder, sound),
        **_bad_values(sound),
    }
    files = {}
    for number, (name, data) in enumerate(contents.items()):
        path = folder / f"{number}.bin"
        path.write_bytes(data)
        files[name] = path
    return files | _sparse(folder) | _special(folder) | _names(folder, sound)


def _chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(data) if size is None else size) + data


def _wav(
    data: bytes,
    tag: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    block: int = 2,
    size: int | None = None,
    before: bytes = b"",
) -> bytes:
    form = struct.pack("<HHIIHH", tag, channels, rate, (rate * block) & _ALL, block, bits)
    body = b"WAVE" + before + _chunk(b"fmt ", form) + _chunk(b"data", data, size)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _lying_wavs(sound: Samples) -> dict[str, bytes]:
    data = (sound * 32767).astype("<i2").tobytes()
    extensible = struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE, 32000, 2, 16, 22, 16, 4) + b"\xff" * 16
    return {
        "wav of 2^32 - 1 bytes": _wav(data, size=_ALL),
        "wav of 2^31 bytes": _wav(data, size=1 << 31),
        "wav at 0 Hz": _wav(data, rate=0),
        "wav at 1 Hz": _wav(data, rate=1),
        "wav at 2^31 - 1 Hz": _wav(data, rate=(1 << 31) - 1),
        "wav at 2^32 - 1 Hz": _wav(data, rate=_ALL),
        "wav of no channels": _wav(data, channels=0),
        "wav of 65535 channels": _wav(data, channels=65535, block=65535),
        "wav of 0 bits": _wav(data, bits=0),
        "wav of 65535 bits": _wav(data, bits=65535),
        "wav with blocks of 0 bytes": _wav(data, block=0),
        "wav in an unknown codec": _wav(data, tag=0xBEEF),
        "wav in ADPCM that is not": _wav(data, tag=2, bits=4, block=65535),
        "wav in GSM that is not": _wav(data, tag=0x31, bits=0, block=65),
        "wav with an unknown GUID": b"RIFF\xff\xff\xff\xffWAVE"
        + _chunk(b"fmt ", extensible)
        + _chunk(b"data", data),
        "wav without a format": b"RIFF\xff\xff\xff\xffWAVE" + _chunk(b"data", data),
        "wav with a format of 2^32 - 1 bytes": b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff"
        + data[:1000],
        "wav with 100,000 chunks": _wav(data, before=_chunk(b"LIST", b"") * 100_000),
        "wav with a list of 2^32 - 1 bytes": _wav(data, before=_chunk(b"LIST", b"INFO", _ALL)),
        "wav with a cue of 2^32 - 1 points": _wav(
            data, before=_chunk(b"cue ", struct.pack("<I", _ALL) + bytes(24))
        ),
        "rf64 of 2^63 samples": b"RF64\xff\xff\xff\xffWAVE"
        + _chunk(b"ds64", struct.pack("<QQQI", 1 << 63, 1 << 63, 1 << 63, _ALL))
        + _wav(data, size=_ALL)[12:],
    }


def _other_headers() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    noise = rng.bytes(20_000)
    # STREAMINFO: block sizes, frame sizes, then rate (20 bits), channels - 1 (3), bits - 1 (5),
    # samples (36)
    for name, rate, channels, samples in (
        ("flac of 2^36 - 1 samples", RATE, 1, (1 << 36) - 1),
        ("flac at 655,350 Hz", 655_350, 8, 1000),
        ("flac at 0 Hz", 0, 1, 1000),
    ):
        packed = (rate << 44 | (channels - 1) << 41 | 15 << 36 | samples).to_bytes(8, "big")
        info = struct.pack(">HH", 65535, 65535) + bytes(6) + packed + bytes(16)
        yield name, b"fLaC\x80\0\0\x22" + info + noise
    yield "flac with 20 MB of tags in 4 KB", b"fLaC\x84\xff\xff\xff" + noise[:4000]
    common = struct.pack(">hIh", 1, _ALL, 16)
    for name, rate80 in (("infinite", b"\x7f\xff\x80" + bytes(7)), ("negative", b"\xff" * 10)):
        body = b"AIFFCOMM\0\0\0\x12" + common + rate80 + b"SSND\xff\xff\xff\xff" + bytes(8) + noise
        yield f"aiff at a rate that is {name}", b"FORM\xff\xff\xff\xff" + body
    yield "au that begins at 2^32 - 1", b".snd" + struct.pack(">5I", _ALL, _ALL, 3, RATE, 1) + noise
    yield (
        "caf at a rate that is not a number",
        (b"caff\0\1\0\0desc" + struct.pack(">q", 32) + struct.pack(">d", np.nan) + b"lpcm")
        + struct.pack(">5I", 0, 2, 1, 1, 16)
        + (b"data" + struct.pack(">q", -1) + noise),
    )
    yield "mp3 with a tag of 256 MB", b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"\xff\xfb\x90\0" + noise
    yield (
        "mp3 of 2^32 - 1 frames",
        b"\xff\xfb\x90\xc4" + bytes(32) + b"Xing\0\0\0\1" + b"\xff" * 999,
    )
    yield "ogg of 255 channels", _ogg(b"OpusHead\1\xff" + bytes(9)) + noise
    yield "ogg vorbis with blocks of 2^15", _ogg(b"\1vorbis\0\0\0\0\1" + b"\xff" * 18) + noise
    yield (
        "m4a with a box of 2^63 bytes",
        _box(b"ftyp", b"M4A \0\0\0\0") + struct.pack(">I4sQ", 1, b"moov", 1 << 63),
    )
    nested = b""
    for _ in range(3000):
        nested = _box(b"moov", nested)
    yield "m4a with boxes 3000 deep", _box(b"ftyp", b"M4A \0\0\0\0") + nested
    yield "matroska of unknown sizes", b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\xff" * 500
    yield "amr of noise", b"#!AMR\n" + noise
    yield "asf of noise", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\xff" * 16 + noise
    yield "avi of noise", b"RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrlavih" + noise
    yield "transport stream of noise", (b"\x47" + noise[:187]) * 100
    yield "pickle", b"\x80\4cos\nsystem\n(S'touch owned'\ntR." + bytes(100)
    yield "numpy array", b"\x93NUMPY\1\0v\0{'descr': '|O', 'shape': (1,), " + bytes(200)
    yield "zip", b"PK\3\4" + noise
    yield "gzip bomb", gzip.compress(bytes(10_000_000))


def _ogg(packet: bytes) -> bytes:
    return b"OggS\0\2" + bytes(20) + b"\1" + bytes([len(packet)]) + packet


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + name + data


def _damaged(folder: Path, sound: Samples) -> dict[str, bytes]:
    """Whole files of every kind, with bytes changed, or cut."""
    rng = np.random.default_rng(1)
    whole: dict[str, bytes] = {}
    for kind, settings in {
        "flac": {"format": "FLAC"},
        "mp3": {"format": "MP3"},
        "opus": {"format": "OGG", "subtype": "OPUS"},
        "vorbis": {"format": "OGG", "subtype": "VORBIS"},
    }.items():
        file = io.BytesIO()
        soundfile.write(file, sound, RATE, **settings)
        whole[kind] = file.getvalue()
    for ending in MEDIA:
        path = write_media_file(folder / f"whole.{ending}", sound, RATE)
        whole[ending] = path.read_bytes()
        path.unlink()
    damaged = {}
    for kind, data in whole.items():
        flipped = bytearray(data)
        for place in rng.integers(0, len(data), 20):
            flipped[place] ^= 1 << int(rng.integers(8))
        damaged[f"{kind} with 20 bits flipped"] = bytes(flipped)
        start = bytearray(data)
        start[8:60] = rng.bytes(52)
        damaged[f"{kind} with a header of noise"] = bytes(start)
        damaged[f"{kind} cut in the middle"] = data[: len(data) // 2]
    return damaged


def _bombs(folder: Path, sound: Samples) -> dict[str, bytes]:
    """Little that becomes much: compressed silence, compressed headers."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((4_000_000, 8), np.int16), 96_000, format="FLAC")
    silence = file.getvalue()
    path = write_media_file(folder / "whole.mov", sound, RATE)
    movie = path.read_bytes()
    path.unlink()
    at = movie.index(b"moov") - 4
    # QuickTime's compressed header: how it is compressed, how long it will be, and its data
    compressed = zlib.compress(bytes(200_000_000), 9)
    header = _box(b"dcom", b"zlib") + _box(b"cmvd", struct.pack(">I", _ALL) + compressed)
    return {
        "flac of silence, 1 : 1000": silence,
        "mov with a header of 200 MB in 200 kB": movie[:at] + _box(b"moov", _box(b"cmov", header)),
        "mp3 of a million tags": b"ID3\4\0\0\0\0\0\0" * 100_000,
    }


def _bad_values(sound: Samples) -> dict[str, bytes]:
    def floats(values: Samples) -> bytes:
        return _wav(values.astype("<f4").tobytes(), tag=3, bits=32, block=4)

    with np.errstate(over="ignore"):
        return {
            "not a number": floats(np.where(np.arange(len(sound)) == 999, np.nan, sound)),
            "infinite": floats(np.where(np.arange(len(sound)) == 999, np.inf, sound)),
            "1e38": floats(sound * 1e38),
            "denormal": floats(sound * 1e-40),
            "constant": floats(np.ones_like(sound)),
            "one sample": floats(sound[:1]),
        }


def _sparse(folder: Path) -> Files:
    """Files of gigabytes that take no place on disk."""
    files = {}
    for name, channels in (("sparse wav of 2 GB", 1), ("sparse wav of 2 GB, 64 channels", 64)):
        path = folder / f"sparse{channels}.wav"
        header = _wav(b"", channels=channels, bits=8, block=channels, size=(1 << 31) - 100)
        path.write_bytes(header)
        os.truncate(path, 1 << 31)
        files[name] = path
    return files


def _special(folder: Path) -> Files:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    loop = folder / "loop"
    loop.symlink_to(loop)
    link = folder / "link.wav"
    link.symlink_to("/dev/zero")
    return {
        "a device": Path("/dev/zero"),
        "a link to a device": link,
        "a link to itself": loop,
        "a pipe that nobody writes to": pipe,
        "a folder": folder,
        "a process's memory": Path("/proc/self/mem"),
        "a name that is too long": folder / ("x" * 5000),
        "nothing": folder / "nothing",
    }


def _names(folder: Path, sound: Samples) -> Files:
    files = {}
    for name in ("two\nlines", "\x1b[31mred\x07", "right\u202eleft", "bytes\udcff\udc80", "-o"):
        path = folder / name
        path.write_bytes(b"nothing to hear")
        files[f"the name {name!r}"] = path
    return files
