"""Encoding a soundtrack to AAC in chunks: in parallel, and only those that have changed.

A frame of AAC (1024 samples) depends on the samples of itself and of its two neighbors, so chunks
that begin a few frames early can be encoded apart, and their packets put one after the other.
Chunks meet in silence where there is some near. The samples of packet n are `n * 1024` to
`(n + 1) * 1024` of the soundtrack: the packet that an encoder begins with, before time 0, is left
out, so players need no edit list, and nothing is shifted by the encoder's delay.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from valle.arrays import Samples
from valle.errors import OutputError
from valle.media.disk_cache import DiskCache
from valle.media.films import import_av

RATE = 48_000  # Hz, what films have
CHANNELS = 2
_FRAME = 1024  # samples
_CHUNK = 470  # frames, about 10 s
_SEARCH = 94  # frames, about 2 s: how far from there a silent one is searched for
_LEAD, _TAIL = 8, 2  # frames that are encoded before and after a chunk, and dropped
_BIT_RATE = 160_000
# The search for what both channels share takes five times the work of the rest, and speech has the
# same in both: 160 kbit/s are enough for each by itself.
_OPTIONS = {"aac_coder": "fast", "aac_ms": "0"}


@dataclass(frozen=True)
class EncodedPacket:
    """A packet of a soundtrack."""

    data: bytes
    start: int
    """Samples after the beginning."""
    samples: int


class Sound(Protocol):
    """What renders a soundtrack, from its beginning to its end."""

    @property
    def samples(self) -> int:
        """Its length at `RATE`."""

    def render(self, first: int, last: int) -> Samples:
        """Return [2, last - first]; called with increasing and adjoining positions only."""


def encode_aac(sound: Sound, cache: DiskCache | None = None) -> Iterator[EncodedPacket]:
    """Yield the packets of a soundtrack in order.

    Args:
        sound: What is encoded; it is padded with silence to whole frames.
        cache: Keeps the packets of chunks.

    Raises:
        UsageError: PyAV is not installed.
        OutputError: FFmpeg cannot encode AAC.
    """
    av = import_av()
    workers = max(1, min(4, os.cpu_count() or 1))
    pending: deque[tuple[int, Future[list[bytes]]]] = deque()
    silent: dict[str, Future[list[bytes]]] = {}  # chunks that occur again and again
    with ThreadPoolExecutor(workers) as pool:
        for first, samples, lead, count in _divide(sound):
            is_silent = not samples.any()
            key = f"{lead} {count}"
            if is_silent and key in silent:
                future = silent[key]
            else:
                future = pool.submit(_encode_chunk, av, samples, lead, count, cache)
                if is_silent:
                    silent[key] = future
            pending.append((first, future))
            while len(pending) > 2 * workers:
                yield from _number(*pending.popleft())
        while pending:
            yield from _number(*pending.popleft())


def _number(first: int, future: Future[list[bytes]]) -> Iterator[EncodedPacket]:
    for index, data in enumerate(future.result(), first):
        yield EncodedPacket(data, index * _FRAME, _FRAME)


def _divide(sound: Sound) -> Iterator[tuple[int, Samples, int, int]]:
    """Yield (first frame, samples with those around it, frames before, frames in it) of chunks."""
    frames = -(-sound.samples // _FRAME)
    read = 0  # frames
    window = np.zeros((CHANNELS, _LEAD * _FRAME), np.float32)  # begins _LEAD frames before `first`
    first = 0
    while first < frames:
        wanted = min(frames, first + _CHUNK + _SEARCH + _TAIL)
        last_sample = min(wanted * _FRAME, sound.samples)
        if wanted > read:
            block = sound.render(read * _FRAME, last_sample)
            padding = (wanted - read) * _FRAME - block.shape[1]
            window = np.concatenate((window, np.pad(block, ((0, 0), (0, padding)))), axis=1)
            read = wanted
        count = min(frames - first, _CHUNK)
        if first + count < frames:
            count = _choose_border(window[:, _LEAD * _FRAME :], count)
        chunk = window[:, : (_LEAD + count + _TAIL) * _FRAME]
        missing = (_LEAD + count + _TAIL) * _FRAME - chunk.shape[1]
        yield first, np.pad(chunk, ((0, 0), (0, missing))), _LEAD, count
        window = window[:, count * _FRAME :]
        first += count


def _choose_border(samples: Samples, wanted: int) -> int:
    """Return the frame nearest to `wanted` that is silent like its neighbors, or `wanted`."""
    frames = samples.shape[1] // _FRAME
    loud = samples[:, : frames * _FRAME].reshape(CHANNELS, frames, _FRAME).any(axis=(0, 2))
    padded = np.pad(loud, 2)
    near = padded[:-4] | padded[1:-3] | padded[2:-2] | padded[3:-1] | padded[4:]
    low, high = max(1, wanted - _SEARCH), min(frames, wanted + _SEARCH)
    quiet = np.flatnonzero(~near[low:high]) + low
    return int(quiet[np.argmin(np.abs(quiet - wanted))]) if len(quiet) else wanted


def _encode_chunk(
    av: Any, samples: Samples, lead: int, count: int, cache: DiskCache | None
) -> list[bytes]:
    """Return the packets of the frames `lead` to `lead + count` of samples [2, n]."""
    digest = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).digest()
    library = av.library_versions["libavcodec"]
    key = DiskCache.make_key("aac", library, _BIT_RATE, _OPTIONS, digest, lead, count)
    if cache is not None and (stored := cache.load(key)) is not None:
        return _unpack(stored)
    packets = {packet.pts // _FRAME: bytes(packet) for packet in _encode(av, samples)}
    chosen = [packets[lead + index] for index in range(count)]
    if cache is not None:
        cache.store(key, _pack(chosen))
    return chosen


def _encode(av: Any, samples: Samples) -> Iterator[Any]:
    try:
        encoder = av.CodecContext.create("aac", "w")
        encoder.sample_rate, encoder.layout, encoder.format = RATE, "stereo", "fltp"
        encoder.bit_rate, encoder.options = _BIT_RATE, dict(_OPTIONS)
        encoder.time_base = Fraction(1, RATE)
        for start in range(0, samples.shape[1], _FRAME):
            block = np.ascontiguousarray(samples[:, start : start + _FRAME])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            yield from encoder.encode(frame)
        yield from encoder.encode(None)
    except av.error.FFmpegError as error:
        raise OutputError(f"FFmpeg cannot encode AAC: {error}") from error


def _pack(packets: list[bytes]) -> bytes:
    return b"".join(len(packet).to_bytes(4, "big") + packet for packet in packets)


def _unpack(data: bytes) -> list[bytes]:
    file, packets = io.BytesIO(data), []
    while length := file.read(4):
        packets.append(file.read(int.from_bytes(length, "big")))
    return packets
