"""Standard errors and bootstrap intervals, by formula and by simulation."""

import numpy as np
import pytest

from recsys_lib.evaluation.statistics import (
    Estimate,
    Sample,
    bootstrap,
    estimates,
    percentile_interval,
)


def skewed(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).beta(0.6, 2.0, size=n)


def test_the_spread_of_the_draws_is_the_standard_error_of_the_mean():
    sample = Sample.of(skewed(400, 0))
    draws = bootstrap([sample], n_resamples=4000)[:, 0]
    by_formula = sample.per_user.std(ddof=1) / np.sqrt(400)
    assert sample.standard_error == pytest.approx(by_formula)
    # The standard deviation of 4,000 draws is itself known to about 1.1 %.
    assert draws.std() == pytest.approx(by_formula, rel=0.05)
    assert draws.mean() == pytest.approx(sample.mean, abs=4 * by_formula / np.sqrt(4000))


def test_the_matrix_product_equals_averaging_the_users_drawn(monkeypatch):
    from recsys_lib.evaluation import statistics

    counts = np.array([[2.0, 0, 1], [0, 3, 0]])
    monkeypatch.setattr(statistics, "_resamples", lambda *_: iter([counts[:1], counts[1:]]))
    plain, rmse = Sample.of([1.0, 5.0, 4.0]), Sample.of([1.0, 2.0, 3.0], weights=[1, 2, 4])
    squared = Sample(rmse.per_user, rmse.weights, squared=True)
    draws = bootstrap([plain, rmse, squared], n_resamples=2)
    np.testing.assert_allclose(draws[:, 0], [(1 + 1 + 4) / 3, 5.0])
    np.testing.assert_allclose(draws[:, 1], [(2 * 1 + 4 * 3) / (2 + 4), 2.0])
    np.testing.assert_allclose(draws[:, 2], [np.sqrt((2 * 1 + 4 * 9) / 6), 2.0])


def test_every_draw_holds_as_many_users_as_there_are():
    ones = Sample.of(np.arange(7.0), weights=np.ones(7))
    counted = Sample.of(np.ones(7), weights=np.arange(7.0))
    draws = bootstrap([ones, counted], n_resamples=500)
    assert (draws[:, 1] == 1).all()
    assert len(np.unique(draws[:, 0])) > 15
    assert draws[:, 0].min() >= 0
    assert draws[:, 0].max() <= 6


@pytest.mark.parametrize("squared", [False, True])
def test_the_standard_error_of_a_pooled_error_agrees_with_the_bootstrap(squared):
    rng = np.random.default_rng(3)
    weights = rng.integers(1, 30, size=500)
    sample = Sample.of(rng.gamma(4, 0.25, size=500), weights=weights, squared=squared)
    draws = bootstrap([sample], n_resamples=4000)[:, 0]
    assert sample.standard_error == pytest.approx(draws.std(), rel=0.05)


def test_the_pooled_error_is_that_of_the_cells():
    cells = [np.array([1.0, -2.0, 0.5]), np.array([3.0])]
    own = [np.sqrt(np.mean(errors**2)) for errors in cells]
    sample = Sample.of(own, weights=[3, 1], squared=True)
    assert sample.mean == pytest.approx(np.sqrt(np.mean(np.concatenate(cells) ** 2)))


def test_users_without_a_value_are_as_if_absent():
    values = np.array([1.0, np.nan, 3.0, 8.0])
    with_gaps, without = Sample.of(values), Sample.of(values[[0, 2, 3]])
    assert with_gaps.mean == without.mean
    assert with_gaps.n_users == 3
    assert with_gaps.standard_error == pytest.approx(without.standard_error)


def test_one_user_has_no_interval():
    found = estimates([Sample.of([0.5])], n_resamples=9)[0].row()
    assert np.isnan([found["low"], found["high"], found["se"]]).all()


def test_two_equal_columns_never_differ_on_any_draw():
    a = Sample.of(skewed(50, 1))
    draws = bootstrap([a, a], n_resamples=200)
    assert (draws[:, 0] == draws[:, 1]).all()


def test_a_seed_gives_the_same_draws_and_another_seed_others():
    a = Sample.of(skewed(50, 1))
    first, again, other = (bootstrap([a], n_resamples=20, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # 400 samples of 80 users of a skewed metric; 95 % intervals should hold the mean in 380 of
    # them. Binomial spread is 4.4, and the percentile bootstrap falls a little short at n = 80.
    truth = 0.6 / 2.6
    held = 0
    for seed in range(400):
        draws = bootstrap([Sample.of(skewed(80, 1000 + seed))], n_resamples=400, seed=seed)
        low, high = percentile_interval(draws[:, 0])
        held += low <= truth <= high
    assert 360 <= held <= 394


def test_intervals_of_few_users_hold_the_truth_nearly_as_often():
    # 1,000 samples of 8 users of a skewed metric: plain percentiles held the mean of 869, Student's
    # t, which may leave the unit interval, that of 911.
    truth = 0.6 / 2.6
    held = 0
    for seed in range(1000):
        [one] = estimates([Sample.of(skewed(8, 3000 + seed))], n_resamples=400, seed=seed)
        low, high = one.interval()
        assert low >= 0
        held += low <= truth <= high
    assert held >= 900


def test_seed_and_user_variance_add_up():
    sample = Sample.of(skewed(100, 2))
    draws = np.array([])
    one = Estimate(sample.mean, sample.influence, 100, ((0.002, 4),), draws)
    other = Estimate(0.1, np.zeros(100), 100, ((0.003, 2),), draws)
    total = sample.standard_error**2 + 0.002 + 0.003
    difference = one - other
    assert difference.standard_error == pytest.approx(np.sqrt(total))
    parts = sample.standard_error**4 / 99 + 0.002**2 / 4 + 0.003**2 / 2
    assert difference.degrees == pytest.approx(total**2 / parts)
