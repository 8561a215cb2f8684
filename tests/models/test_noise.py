"""Noise without state: as good as uniform, and a function of seed, update and place only."""

import numpy as np
import pytest

from recsys_lib.models.networks.parts import keep_mask, uniform
from recsys_lib.training import backend


def draw(shape=(40_000,), seed=5, update=3.0) -> np.ndarray:
    return np.asarray(uniform(shape, seed=seed, update=update))


def by_hand(n: int, seed: int, update: int) -> np.ndarray:
    """The hash with Python's integers."""

    def mix(word: int) -> int:
        word = (word ^ word >> 16) * 0x7FEB352D % 2**32
        word = (word ^ word >> 15) * 0x846CA68B % 2**32
        return word ^ word >> 16

    key = mix((update + mix(seed)) % 2**32)
    other = mix((key + 0x9E3779B9) % 2**32)
    return np.array([(mix(mix((i + key) % 2**32) ^ other) >> 8) / 2**24 for i in range(n)])


@pytest.mark.parametrize(("seed", "update"), [(0, 0), (2**31 - 1, 7), (123, 2**24 - 1)])
def test_it_is_the_hash_computed_with_integers(seed: int, update: int) -> None:
    np.testing.assert_array_equal(draw((50,), seed, float(update)), by_hand(50, seed, update))


@pytest.mark.parametrize("update", [0.0, 1.0, 4000.0])
def test_moments_and_shares_are_those_of_the_uniform(update: float) -> None:
    # Six standard errors of 40,000 draws.
    sample = draw(update=update)
    assert abs(sample.mean() - 0.5) < 6 * np.sqrt(1 / 12 / 40_000)
    assert abs(sample.var() - 1 / 12) < 6 * np.sqrt(1 / 180 / 40_000)
    shares = np.bincount((sample * 20).astype(int), minlength=20) / 40_000
    assert np.abs(shares - 0.05).max() < 6 * np.sqrt(0.05 * 0.95 / 40_000)


def test_neighbors_updates_and_seeds_are_uncorrelated() -> None:
    bound = 6 / np.sqrt(40_000)
    sample = draw()
    others = [draw(update=4.0), draw(seed=6), np.roll(sample, 1), np.roll(sample, 252)]
    for other in others:
        assert abs(np.corrcoef(sample, other)[0, 1]) < bound


def test_a_compiled_draw_equals_an_eager_one() -> None:
    compiled = backend.compile_function(lambda update: uniform((7, 9), seed=5, update=update))
    np.testing.assert_array_equal(compiled(np.float32(3.0)), draw((7, 9)))


def test_a_mask_keeps_its_share_and_the_expectation() -> None:
    mask = np.asarray(keep_mask((40_000,), 0.3, seed=1, update=0.0))
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((mask > 0).mean() - 0.7) < 6 * np.sqrt(0.21 / 40_000)
