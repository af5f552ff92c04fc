"""The watermark: marks speech while it is made, so that it can be told from recordings later.

See `watermark.grid` for what is marked and why, `watermark.search` for how it is found again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Samples
from valle.errors import UsageError
from valle.watermark import error_correction
from valle.watermark.grid import (
    BANDS,
    COLUMN_HOPS,
    EDGES,
    FURTHEST,
    GRID,
    HOPS_PER_SECOND,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE,
    PUBLISHED_KEY,
    band_powers,
    places,
    window,
)

VERSION = 1
LOWEST_RATE = 8000
"""Hz; below it not all bands are there."""
# Windows reach over the borders of cells, which takes back so much of a change.
_OVERDRIVE = 1.3
_SILENCE = 1e-12  # power that keeps the logarithm of digital silence finite


@dataclass(frozen=True)
class Payload:
    """What the owner's key reads: 32 bits.

    The owner knows the version and the key; that both are read as they should be is the check that
    a reading is right, at no cost in bits. The receipt points into the owner's own records.
    """

    receipt: int
    """0 to 65535: the first 16 bits of a consent receipt's id."""
    key: int
    """0 to 4095: the first 12 bits of the hash of the owner's key."""
    version: int = VERSION
    """0 to 15."""

    @classmethod
    def of(cls, owner_key: bytes, receipt_id: str) -> Payload:
        """For a receipt's id in hexadecimal, at least 4 digits."""
        return cls(int(receipt_id[:4], 16), key_number(owner_key))

    @classmethod
    def from_bits(cls, bits: int) -> Payload:
        """From the number that `bits` gives."""
        return cls(bits & 0xFFFF, bits >> 16 & 0xFFF, bits >> 28)

    @property
    def bits(self) -> int:
        """All of it as one number, 0 to 2**32 - 1."""
        return self.version << 28 | self.key << 16 | self.receipt


def key_number(owner_key: bytes) -> int:
    """The 12 bits by which a payload names the key that it is to be read with."""
    return (
        int.from_bytes(hashlib.sha256(b"valle key number\0" + owner_key).digest()[:2], "big") >> 4
    )


def payload_places(owner_key: bytes) -> NDArray[np.float64]:
    """Where the steps of payload cells lie for a 0: [PERIOD, BANDS] dB, once every 2.56 s anew."""
    own = places(owner_key, "payload")[:PAYLOAD_PERIOD]
    return np.tile(own, (PERIOD // PAYLOAD_PERIOD, 1))


class Marker:
    """Marks a stream: `feed` gives what is ready, at most 50 ms late, `finish` the rest.

    All pieces together are as long as what was fed, and the same however it was cut. Where the
    speech is silent, so is the mark.
    """

    def __init__(
        self, sample_rate: int, owner_key: bytes | None = None, payload: Payload | None = None
    ) -> None:
        """The owner's key and the payload go together; without them the mark names no one.

        Raises UsageError for a sample rate under 8 kHz.
        """
        if sample_rate < LOWEST_RATE:
            raise UsageError(
                f"speech at {sample_rate} Hz cannot be marked; a model must give {LOWEST_RATE} Hz "
                "or more"
            )
        self._hop = round(sample_rate / HOPS_PER_SECOND)
        self._window = window(self._hop)
        self._places = places(PUBLISHED_KEY, "presence")
        self._marked = PRESENCE
        self._payload = payload if owner_key is not None else None
        if owner_key is not None and payload is not None:
            symbols = np.zeros((PAYLOAD_PERIOD, BANDS))
            symbols[~PRESENCE[:PAYLOAD_PERIOD]] = error_correction.encode(payload.bits)
            shifted = np.tile(symbols < 0, (PERIOD // PAYLOAD_PERIOD, 1)) * (GRID / 2)
            self._places = np.where(PRESENCE, self._places, payload_places(owner_key) + shifted)
            self._marked = np.ones_like(PRESENCE)
        self._column = 0
        self._waiting: NDArray[np.floating] = np.zeros(0)
        self._tail = np.zeros(self._hop)  # what the last frame adds to the samples after it

    def described(self) -> dict[str, Any]:
        """The mark, for the record of how speech was made: plain values."""
        payload = self._payload
        return {"version": VERSION, "payload": payload and f"{payload.bits:08x}"}

    def feed(self, samples: Samples) -> Samples:
        """Samples [N] as they come; gives whole columns of 40 ms."""
        self._waiting = np.concatenate((self._waiting, samples))
        return self._mark()

    def finish(self) -> Samples:
        """What is still owed."""
        owed = len(self._waiting)
        self._waiting = np.pad(self._waiting, (0, -owed % (COLUMN_HOPS * self._hop) + self._hop))
        return self._mark()[:owed]

    def _mark(self) -> Samples:
        hop = self._hop
        columns = max(0, len(self._waiting) - hop) // (COLUMN_HOPS * hop)
        if not columns:
            return np.zeros(0, np.float32)
        end = columns * COLUMN_HOPS * hop
        frames = np.lib.stride_tricks.sliding_window_view(self._waiting[: end + hop], 2 * hop)[
            ::hop
        ]
        if self._column == 0:  # in place of a frame before the first
            self._tail = self._waiting[:hop] * self._window[hop:] ** 2
        self._waiting = self._waiting[end:]
        spectra = np.fft.rfft(frames * self._window)
        inside = spectra.reshape(columns, 2, COLUMN_HOPS // 2, -1)[..., EDGES[0] : EDGES[-1]]
        factors = self._factors(band_powers(spectra))
        inside[:, 0] *= factors[:, None]
        inside[:, 1] /= factors[:, None]
        made = (np.fft.irfft(spectra, 2 * hop) * self._window).reshape(-1, 2, hop)
        marked = made[:, 0]
        marked[0] += self._tail
        marked[1:] += made[:-1, 1]
        self._tail = made[-1, 1].copy()
        return marked.reshape(-1).astype(np.float32)

    def _factors(self, powers: NDArray[np.floating]) -> NDArray[np.float64]:
        """What to multiply the first halves of columns with: [columns, bins inside the bands].

        `powers` are those of the bands, [columns * 4, BANDS].
        """
        halves = powers.reshape(-1, 2, COLUMN_HOPS // 2, BANDS).sum(axis=2) + _SILENCE
        index = (self._column + np.arange(len(halves))) % PERIOD
        self._column += len(halves)
        away = 10 * np.log10(halves[:, 0] / halves[:, 1]) - self._places[index]
        away -= GRID * np.rint(away / GRID)
        change = -_OVERDRIVE * np.clip(away, -FURTHEST, FURTHEST) * self._marked[index]
        # Half of the change to each half of the column, and the square root of a power's.
        return np.repeat(10 ** (change / 40), np.diff(EDGES), axis=1)


def mark(
    samples: Samples,
    sample_rate: int,
    owner_key: bytes | None = None,
    payload: Payload | None = None,
) -> Samples:
    """Whole speech [N] marked as a stream of it is; see `Marker`."""
    marker = Marker(sample_rate, owner_key, payload)
    return np.concatenate((marker.feed(samples), marker.finish()))
