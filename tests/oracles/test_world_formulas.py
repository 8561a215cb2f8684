"""The world's formulas against slow, obvious references."""

import itertools

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats
from scipy.special import log_ndtr

from recsys_lib.synthesis import OmniscientOracle, make_world
from recsys_lib.synthesis.crowd import arrival_keys, chosen, inclusion_probabilities
from recsys_lib.synthesis.oracle import (
    Gaussian,
    held_to_sphere,
    probit_derivatives,
    sphere_moments,
)
from recsys_lib.synthesis.truth import OrdinalProbit, exact_thresholds

CUTS = exact_thresholds(6, 2, (1, 10))


def test_gumbel_top_n_is_plackett_luce():
    weights = np.array([4.0, 2.0, 1.0, 0.5])
    rng = np.random.default_rng(0)
    keys = arrival_keys(np.tile(np.log(weights), (100_000, 1)), rng)
    _, items = chosen(keys, np.full(len(keys), 2))
    seen = np.bincount(4 * items[::2] + items[1::2], minlength=16)
    expected = np.zeros(16)
    for first, second in itertools.permutations(range(4), 2):  # by hand: one after the other
        left = weights.sum() - weights[first]
        chance = weights[first] / weights.sum() * weights[second] / left
        expected[4 * first + second] = chance * len(keys)
    possible = expected > 0
    assert seen[~possible].sum() == 0
    assert stats.chisquare(seen[possible], expected[possible]).pvalue > 0.01


def test_counts_of_labs_taken_differ_by_row():
    keys = np.array([[0.4, 0.1, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4]])
    rows, items = chosen(keys, np.array([3, 1]))
    assert rows.tolist() == [0, 0, 0, 1]
    assert items.tolist() == [1, 3, 2, 0]


def test_inclusion_probabilities_are_those_of_the_draw():
    rng = np.random.default_rng(1)
    eta = 1.2 * rng.standard_normal((1, 60))
    keys = arrival_keys(np.repeat(eta, 40_000, axis=0), rng)
    _, items = chosen(keys, np.full(len(keys), 12))
    share = np.bincount(items, minlength=60) / len(keys)
    found = inclusion_probabilities(eta, np.array([12]))[0]
    assert found.sum() == pytest.approx(12, abs=1e-6)
    assert np.abs(found - share).max() < 0.015  # the naive 12 * softmax errs by more than 0.3
    assert np.abs(12 * np.exp(eta[0]) / np.exp(eta[0]).sum() - share).max() > 0.3


@pytest.mark.parametrize(
    ("rho2", "rmse"),
    [(0.0, 1.862), (0.25, 1.620), (0.5, 1.334), (0.6, 1.201), (0.75, 0.966), (0.9, 0.651)],
)
def test_irreducible_rmse_agrees_with_the_table_computed_elsewhere(rho2, rmse):
    probit = OrdinalProbit(CUTS, 1, (1 - rho2) ** 0.5)
    nodes, weights = hermegauss(64)  # of signals that are N(0, rho2)
    variance = np.average(probit.variance(rho2**0.5 * nodes), weights=weights)
    assert variance**0.5 == pytest.approx(rmse, abs=0.0006)


def test_the_probit_is_a_cut_normal_by_simulation():
    probit = OrdinalProbit(CUTS, 1, 0.6)
    rng = np.random.default_rng(2)
    for signal, variance in ((-1.0, 0.0), (0.4, 0.5)):
        drawn = signal + variance**0.5 * rng.standard_normal(200_000)
        ratings = probit.rate(drawn + 0.6 * rng.standard_normal(200_000)).astype(float)
        error = 4 * ratings.std() / np.sqrt(len(ratings))
        assert probit.expected(signal, variance) == pytest.approx(ratings.mean(), abs=error)
        assert probit.at_least(7, signal, variance) == pytest.approx(
            (ratings >= 7).mean(), abs=0.005
        )
        if variance == 0:
            assert probit.variance(signal) == pytest.approx(ratings.var(), rel=0.02)
            pmf = np.bincount(ratings.astype(int), minlength=11)[1:] / len(ratings)
            above = [probit.at_least(level, signal) for level in range(1, 12)]
            np.testing.assert_allclose(-np.diff(above), pmf, atol=0.005)


def test_probit_derivatives_are_those_of_the_log_probability_far_into_the_tails():
    truth = make_world(n_users=10, n_items=12).truth
    cuts, sigma, step = truth.thresholds, truth.settings.noise_sd, 1e-4
    at_least = truth.probit.at_least
    log_chances = {
        1: lambda signal: log_ndtr((cuts[0] - signal) / sigma),
        6: lambda signal: np.log(at_least(6, signal) - at_least(7, signal)),
        10: lambda signal: log_ndtr((signal - cuts[-1]) / sigma),
    }
    for rating, log_chance in log_chances.items():
        signal = np.linspace(-1, 1.5, 9) if rating == 6 else np.linspace(-2.5, 3.5, 9)
        low, middle, high = (log_chance(signal + move) for move in (-step, 0, step))
        ratings = np.full(len(signal), rating, dtype=np.float32)
        slope, bend = probit_derivatives(truth, ratings, signal)
        np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(bend, -(high - 2 * middle + low) / step**2, rtol=1e-3, atol=1e-3)


def test_the_omniscient_error_is_the_irreducible_one():
    world = make_world()
    ratings = world.dataset().user_items
    guess = OmniscientOracle(world.truth).score_users(np.arange(5235))
    rows = np.repeat(np.arange(5235), np.diff(ratings.indptr))
    squared = (ratings.data - guess[rows, ratings.indices]) ** 2
    error = 4 * squared.std() / np.sqrt(len(squared))
    assert squared.mean() == pytest.approx(world.truth.irreducible_rmse(ratings) ** 2, abs=error)


def test_rating_what_pleases_is_allowed_for_where_it_is_known():
    # With selection on the rating itself those observed are above what all would say.
    world = make_world(n_users=3000, selection=0.0, selection_on_rating=1.0)
    pairs, truth = world.positions(world.ratings), world.truth
    users = np.arange(3000)
    taken = truth.expected_rating(users, among="taken")[pairs]
    anyway = truth.expected_rating(users)[pairs]
    assert world.ratings["value"].mean() == pytest.approx(taken.mean(), abs=0.05)
    assert world.ratings["value"].mean() - anyway.mean() > 0.5


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_moments_on_the_sphere_are_those_of_draws(strength):
    rng = np.random.default_rng(3)
    center = strength * np.array([[0.6, 0.0, -0.8, 0.0, 0.0]])
    drawn = center + rng.standard_normal((200_000, 5))
    drawn *= np.sqrt(5) / np.linalg.norm(drawn, axis=1, keepdims=True)
    found = sphere_moments(center)
    np.testing.assert_allclose(found.mean[0], drawn.mean(0), atol=0.01)
    np.testing.assert_allclose(found.covariance[0], np.cov(drawn.T), atol=0.015)


def test_a_gaussian_is_held_to_the_sphere_as_by_rejection():
    rng = np.random.default_rng(4)
    root = 0.7 * np.eye(4) + 0.15 * rng.standard_normal((4, 4))
    given = Gaussian(np.array([[1.4, 0.9, 0.0, 0.5]]), (root @ root.T)[None])
    drawn = given.mean + rng.standard_normal((3_000_000, 4)) @ root.T
    near = drawn[np.abs((drawn[:, :3] ** 2).sum(1) - 3) < 0.03]
    held = held_to_sphere(given, 3)
    np.testing.assert_allclose(held.mean[0], near.mean(0), atol=0.06)
    np.testing.assert_allclose(held.covariance[0], np.cov(near.T), atol=0.06)
    assert np.abs(given.mean[0] - near.mean(0)).max() > 0.2  # what it started from was far
