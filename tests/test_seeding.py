"""Random streams are named, repeatable and independent."""

import numpy as np
import pytest

from recsys_lib.seeding import rng_from, seed_from


def test_streams_repeat_and_differ_by_seed_and_name() -> None:
    draws = {
        key: tuple(rng_from(key[0], *key[1:]).random(4))
        for key in [(0,), (1,), (0, "a"), (0, "b"), (0, "a", "b"), (0, "ab")]
    }
    assert len(set(draws.values())) == len(draws)
    assert draws[(0, "a")] == tuple(rng_from(0, "a").random(4))


def test_streams_are_uncorrelated() -> None:
    a, b = (rng_from(0, name).normal(size=20_000) for name in ("ratings", "events"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03  # 4 standard errors


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", None])
def test_a_seed_is_an_integer_from_zero(seed: object) -> None:
    with pytest.raises(ValueError, match="`seed` must be an integer >= 0"):
        rng_from(seed)


def test_integer_seeds_fit_31_bits() -> None:
    assert all(0 <= seed_from(seed, "x") < 2**31 for seed in range(100))
