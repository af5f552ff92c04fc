"""Drawing the codes of the later codebooks."""

import numpy as np
import pytest

from valle.nar import draw_rows

LOGITS = np.random.default_rng(0).normal(scale=3, size=(9, 40)).astype(np.float32)


class Counted(np.random.Generator):
    """Counts the numbers that were asked of it."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(np.random.PCG64(seed))
        self.used = 0

    def random(self, size: int) -> np.ndarray:
        self.used += size
        return super().random(size)


def test_temperature_0_takes_the_likeliest() -> None:
    rng = Counted()
    for found in (draw_rows(LOGITS, 0.0, rng), draw_rows(LOGITS, 0.0, None)):
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, LOGITS.argmax(axis=-1))
    assert rng.used == 0
    cold = draw_rows(LOGITS, 1e-3, rng)
    np.testing.assert_array_equal(cold, LOGITS.argmax(axis=-1))


def test_the_same_chances_draw_the_same() -> None:
    one, two, other = (draw_rows(LOGITS, 1.0, np.random.default_rng(s)) for s in (5, 5, 6))
    assert one.dtype == np.int64
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


@pytest.mark.parametrize("rows", [0, 1, 4, 9])
def test_each_row_uses_one_number(rows: int) -> None:
    """Rows that come later never change those before them."""
    rng = Counted(7)
    some = draw_rows(LOGITS[:rows], 1.0, rng)
    assert rng.used == rows
    whole = draw_rows(LOGITS, 1.0, np.random.Generator(np.random.PCG64(7)))
    np.testing.assert_array_equal(some, whole[:rows])
    following = np.random.Generator(np.random.PCG64(7)).random(rows + 1)[-1]
    assert rng.random(1)[0] == following


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_shares_of_draws_are_those_of_the_softmax(temperature: float) -> None:
    logits = np.array([1.0, 0.0, -np.inf, 2.0, -1.0, 0.0], np.float32)
    draws = 40_000
    many = np.broadcast_to(logits + 500, (draws, len(logits)))  # large ones do not overflow
    found = draw_rows(many, temperature, np.random.default_rng(1))
    weights = np.exp(logits / temperature)
    wanted = weights / weights.sum()
    shares = np.bincount(found, minlength=len(logits)) / draws
    spread = np.sqrt(wanted * (1 - wanted) / draws)
    assert (np.abs(shares - wanted) <= 4 * spread).all()
    assert shares[2] == 0.0


@pytest.mark.parametrize("number", [0.0, np.nextafter(1.0, 0.0)])
def test_no_chance_falls_outside_the_codes(number: float) -> None:
    class Fixed(np.random.Generator):
        def random(self, size: int) -> np.ndarray:
            return np.full(size, number)

    logits = np.array([[-np.inf, 0.0, 0.0, 0.0, -np.inf]], np.float32)
    found = draw_rows(logits, 0.7, Fixed(np.random.PCG64(0)))
    assert found[0] == (1 if number == 0.0 else 3)
