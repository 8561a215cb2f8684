"""What a code holds: divergences, active dimensions, and the truth that can be read off it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats

from recsys_lib.evaluation import active_units, kl_by_dimension, linear_recovery


def test_the_divergence_of_a_dimension_is_the_integral_averaged_over_rows() -> None:
    mean, log_variance = np.array([[0.5, 0.0], [-1.0, 0.0]]), np.array([[0.3, 0.0], [-1.2, 0.0]])

    def integral(mu: float, log_var: float) -> float:
        q, p = stats.norm(mu, np.exp(log_var / 2)), stats.norm()
        return float(integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -9, 9)[0])

    expected = np.mean([integral(0.5, 0.3), integral(-1.0, -1.2)])
    assert_allclose(kl_by_dimension(mean, log_variance), [expected, 0.0], atol=1e-8)


def test_a_dimension_that_says_the_same_of_everybody_is_not_active() -> None:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(400, 3)) * [1.0, 0.2, 0.02] + [0.0, 0.0, 7.0]
    assert active_units(mean) == 2
    assert active_units(mean, threshold=0.5) == 1


def test_the_truth_is_recovered_through_any_linear_map_and_not_beyond_the_noise() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(3000, 2))
    codes = truth @ rng.normal(size=(2, 5)) + 3.0
    assert_allclose(linear_recovery(codes, truth), 1.0, atol=1e-3)
    noisy = np.column_stack([truth[:, 0] + rng.normal(size=3000), np.zeros(3000)])
    first, second = linear_recovery(noisy, truth)
    assert first == pytest.approx(0.5, abs=0.05)
    assert abs(second) < 0.02


def test_recovery_is_measured_on_rows_that_the_map_has_not_seen() -> None:
    # With as many dimensions as rows an in-sample fit would be perfect.
    rng = np.random.default_rng(2)
    found = linear_recovery(rng.normal(size=(60, 50)), rng.normal(size=(60, 1)))
    assert found[0] < 0


def test_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="must have the same rows, at least 5; got 10 and 9"):
        linear_recovery(np.zeros((10, 2)), np.zeros((9, 1)))
