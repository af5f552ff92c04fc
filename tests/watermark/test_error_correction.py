"""The payload of 32 bits, and the code that carries it through noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.watermark import error_correction
from valle.watermark.embed import Payload, key_fingerprint
from valle.watermark.grid import PAYLOAD_PERIOD, PRESENCE_MASK

KEY = b"the owner's key, 32 bytes of it."
OTHER_KEY = b"the key of somebody else, also 32"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_payload_round_trips_through_32_bits(bits: int) -> None:
    payload = Payload.from_bits(bits)
    assert payload.bits == bits
    assert 0 <= payload.receipt < 2**16
    assert 0 <= payload.key < 2**12
    assert payload.version < 16
    assert error_correction.decode(error_correction.encode(bits)) == bits


def test_payload_contains_the_key_fingerprint() -> None:
    assert Payload.for_receipt(KEY, "c0ffee" + "0" * 58) == Payload(0xC0FF, key_fingerprint(KEY))
    assert key_fingerprint(KEY) != key_fingerprint(OTHER_KEY)


@pytest.mark.parametrize(("energy", "max_error_rate"), [(30.0, 0.30), (40.0, 0.06), (50.0, 0.01)])
def test_word_error_rate_at_known_noise(energy: float, max_error_rate: float) -> None:
    rng = np.random.default_rng(0)
    errors = 0
    for _ in range(100):
        bits = int(rng.integers(2**32))
        symbols = error_correction.encode(bits)
        noise = rng.standard_normal(len(symbols)) * math.sqrt(0.5)
        received = symbols * math.sqrt(energy / error_correction.SYMBOLS) + noise
        errors += error_correction.decode(received) != bits
    assert errors <= max_error_rate * 100


def test_decodes_with_half_of_the_symbols_erased() -> None:
    symbols = error_correction.encode(0xDEADBEEF)
    for erased in (slice(0, 192), slice(100, 292), slice(1, None, 2)):
        received = symbols.copy()
        received[erased] = 0
        assert error_correction.decode(received) == 0xDEADBEEF


def test_minimum_distance_of_the_code() -> None:
    payload_cells = (~PRESENCE_MASK[:PAYLOAD_PERIOD]).sum()
    assert len(error_correction.encode(0)) == payload_cells == error_correction.SYMBOLS
    single_bits = [1 << index for index in range(32)]
    payloads = [*single_bits, 3, 5, 7, 9, 11, 13, 15, 17, 257, 511, 2**32 - 1]
    assert min((error_correction.encode(bits) < 0).sum() for bits in payloads) >= 74
