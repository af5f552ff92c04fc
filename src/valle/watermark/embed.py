"""Embedding the watermark into speech while it is generated.

See `watermark.grid` for what carries it, and `watermark.search` for how it is detected.
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
    HOPS_PER_SECOND,
    MAX_CHANGES,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE_MASK,
    PUBLISHED_KEY,
    STEP_SIZES,
    band_powers,
    derive_dither,
    frame_window,
)

VERSION = 2
MIN_SAMPLE_RATE = 8000
"""Hz; lower rates do not contain all bands."""
# Overlapping windows spread each change into the neighboring cells, which undoes part of it.
_OVERDRIVE = 1.3
_SILENCE = 1e-12  # power that keeps the logarithm of digital silence finite


@dataclass(frozen=True)
class Payload:
    """What the owner's key reads: 32 bits.

    The owner knows the version and the key. That both are read as expected verifies the reading,
    without spending bits on a checksum. The receipt points into the owner's own records.
    """

    receipt: int
    """0 to 65535: the first 16 bits of a consent receipt's id."""
    key: int
    """0 to 4095: see `key_fingerprint`."""
    version: int = VERSION
    """0 to 15."""

    @classmethod
    def for_receipt(cls, owner_key: bytes, receipt_id: str) -> Payload:
        """Make the payload for a receipt id of 4 or more hexadecimal digits."""
        return cls(int(receipt_id[:4], 16), key_fingerprint(owner_key))

    @classmethod
    def from_bits(cls, bits: int) -> Payload:
        """Unpack the number that `bits` gives."""
        return cls(bits & 0xFFFF, bits >> 16 & 0xFFF, bits >> 28)

    @property
    def bits(self) -> int:
        """All fields packed into one number, 0 to 2**32 - 1."""
        return self.version << 28 | self.key << 16 | self.receipt


def key_fingerprint(owner_key: bytes) -> int:
    """Return the 12 bits of an owner key's hash that identify it in payloads: 0 to 4095."""
    digest = hashlib.sha256(b"valle key number\0" + owner_key).digest()
    return int.from_bytes(digest[:2], "big") >> 4


class WatermarkEmbedder:
    """Watermarks a stream: `feed` returns what is ready, at most 50 ms late, `finish` the rest.

    The pieces returned are together as long as what was fed, and do not depend on how the stream
    was divided. Digital silence stays silent.
    """

    def __init__(
        self, sample_rate: int, owner_key: bytes | None = None, payload: Payload | None = None
    ) -> None:
        """Set up the pattern to embed.

        Args:
            sample_rate: Hz, 8000 or more.
            owner_key: Key that reads the payload. Without a key and a payload, the watermark says
                only that valle made the speech.
            payload: What to embed for the owner.

        Raises:
            UsageError: The sample rate is too low.
        """
        if sample_rate < MIN_SAMPLE_RATE:
            raise UsageError(
                f"speech at {sample_rate} Hz cannot carry the watermark; a model must have "
                f"{MIN_SAMPLE_RATE} Hz or more"
            )
        self._hop = round(sample_rate / HOPS_PER_SECOND)
        self._window = frame_window(self._hop)
        self._dither = derive_dither(PUBLISHED_KEY, "presence")
        self._carriers = PRESENCE_MASK
        self._payload = payload if owner_key is not None else None
        if owner_key is not None and payload is not None:
            symbols = np.zeros((PAYLOAD_PERIOD, BANDS))
            symbols[~PRESENCE_MASK[:PAYLOAD_PERIOD]] = error_correction.encode(payload.bits)
            # A symbol of -1 moves the lattice by half a step.
            shift = np.tile(symbols < 0, (PERIOD // PAYLOAD_PERIOD, 1)) * (STEP_SIZES / 2)
            payload_dither = derive_dither(owner_key, "payload") + shift
            self._dither = np.where(PRESENCE_MASK, self._dither, payload_dither)
            self._carriers = np.ones_like(PRESENCE_MASK)
        self._column = 0
        self._pending: NDArray[np.floating] = np.zeros(0)
        self._overlap = np.zeros(self._hop)  # what the last frame adds to the samples after it

    def describe(self) -> dict[str, Any]:
        """Describe the watermark for the provenance record: JSON-compatible values."""
        payload = self._payload
        return {"version": VERSION, "payload": payload and f"{payload.bits:08x}"}

    def feed(self, samples: Samples) -> Samples:
        """Add samples [N]; returns whole columns of 40 ms."""
        self._pending = np.concatenate((self._pending, samples))
        return self._process()

    def finish(self) -> Samples:
        """Return the samples that have not been returned yet."""
        remaining = len(self._pending)
        padding = -remaining % (COLUMN_HOPS * self._hop) + self._hop
        self._pending = np.pad(self._pending, (0, padding))
        return self._process()[:remaining]

    def _process(self) -> Samples:
        """Watermark the pending columns by overlap-add of windowed frames."""
        hop = self._hop
        columns = max(0, len(self._pending) - hop) // (COLUMN_HOPS * hop)
        if not columns:
            return np.zeros(0, np.float32)
        end = columns * COLUMN_HOPS * hop
        frames = np.lib.stride_tricks.sliding_window_view(self._pending[: end + hop], 2 * hop)[
            ::hop
        ]
        if self._column == 0:  # stands in for a frame before the first
            self._overlap = self._pending[:hop] * self._window[hop:] ** 2
        self._pending = self._pending[end:]
        spectra = np.fft.rfft(frames * self._window)
        halves = spectra.reshape(columns, 2, COLUMN_HOPS // 2, -1)[..., EDGES[0] : EDGES[-1]]
        gains = self._compute_gains(band_powers(spectra))
        halves[:, 0] *= gains[:, None]
        halves[:, 1] /= gains[:, None]
        waveforms = (np.fft.irfft(spectra, 2 * hop) * self._window).reshape(-1, 2, hop)
        output = waveforms[:, 0]
        output[0] += self._overlap
        output[1:] += waveforms[:-1, 1]
        self._overlap = waveforms[-1, 1].copy()
        return output.reshape(-1).astype(np.float32)

    def _compute_gains(self, powers: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the gains of the first half of each column: [columns, bins inside the bands].

        The second half is divided by them. `powers` are [columns * 4, BANDS].
        """
        halves = powers.reshape(-1, 2, COLUMN_HOPS // 2, BANDS).sum(axis=2) + _SILENCE
        index = (self._column + np.arange(len(halves))) % PERIOD
        self._column += len(halves)
        error = 10 * np.log10(halves[:, 0] / halves[:, 1]) - self._dither[index]
        error -= STEP_SIZES * np.rint(error / STEP_SIZES)
        change = -_OVERDRIVE * np.clip(error, -MAX_CHANGES, MAX_CHANGES) * self._carriers[index]
        # Half of the change goes to each half of the column; /20 turns dB into amplitude.
        return np.repeat(10 ** (change / 40), np.diff(EDGES), axis=1)


def embed_watermark(
    samples: Samples,
    sample_rate: int,
    owner_key: bytes | None = None,
    payload: Payload | None = None,
) -> Samples:
    """Watermark complete speech [N] exactly as a stream of it is; see `WatermarkEmbedder`."""
    embedder = WatermarkEmbedder(sample_rate, owner_key, payload)
    return np.concatenate((embedder.feed(samples), embedder.finish()))
