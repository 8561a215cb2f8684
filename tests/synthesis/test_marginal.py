"""The histogram of ratings is the rounded normal, whatever share of it is signal."""

import numpy as np
import pytest
from scipy import stats

from recsys_lib.synthesis import make_world
from recsys_lib.synthesis.truth import OrdinalProbit, exact_thresholds, target_cdf

TARGET = np.diff(target_cdf(6, 2, (1, 10)), prepend=0.0, append=1.0)


def test_the_target_is_the_rounded_truncated_normal():
    normal = stats.truncnorm((1 - 6) / 2, (10 - 6) / 2, loc=6, scale=2)
    edges = [1, *np.arange(1.5, 10), 10]
    np.testing.assert_allclose(TARGET, np.diff(normal.cdf(edges)), atol=1e-12)
    # The histogram of the project's first dataset, to the rating.
    counts = [185, 855, 2016, 3718, 5368, 6067, 5368, 3718, 2016, 532]
    assert (29_843 * TARGET).round().tolist() == counts


@pytest.mark.parametrize("rho2", [0.0, 0.3, 0.6, 0.9])
def test_ratings_follow_the_target_for_any_share_of_signal(rho2):
    # Many labs of equal weight and two ratings a user: pairs that hardly share a user or a lab, so
    # that the counts are those of independent draws.
    world = make_world(
        n_users=4096,
        n_items=1500,
        rho2=rho2,
        selection=0.0,
        popularity_exponent=0.0,
        ratings_per_user=2.0,
        activity_spread=0.0,
        min_ratings=1,
        seed=1,
    )
    counts = np.bincount(world.ratings["value"], minlength=11)[1:]
    assert stats.chisquare(counts, TARGET * counts.sum()).pvalue > 0.01
    np.testing.assert_array_equal(world.truth.thresholds, exact_thresholds(6, 2, (1, 10)))


@pytest.mark.parametrize("changes", [{}, {"selection_on_rating": 0.7}], ids=["signal", "rating"])
def test_selection_tilts_opinions_and_the_cuts_make_up_for_it(changes):
    world = make_world(**changes)
    counts = np.bincount(world.ratings["value"], minlength=11)[1:]
    assert np.abs(counts / counts.sum() - TARGET).sum() / 2 < 0.01
    # The cuts of a world without selection would miss by far.
    latent = world.truth.signal_of_pairs(*world.positions(world.ratings))
    uncut = OrdinalProbit(exact_thresholds(6, 2, (1, 10)), 1, world.settings.noise_sd)
    missed = uncut.expected(latent)
    assert missed.mean() - (TARGET @ np.arange(1, 11)) > 0.5


def test_the_null_world_holds_no_signal():
    world = make_world("null")
    ratings = world.ratings
    for by in ("user_id", "item_id"):
        groups = ratings.groupby(by)["value"]
        size, mean = groups.size(), groups.mean()
        between = (size * (mean - ratings["value"].mean()) ** 2).sum() / (len(size) - 1)
        within = ((size - 1) * groups.var()).sum() / (len(ratings) - len(size))
        spread = np.sqrt(2 / (len(size) - 1))  # of an F ratio; the default world has F > 5
        assert between / within == pytest.approx(1.0, abs=4 * spread)
    counts = np.bincount(ratings["value"], minlength=11)[1:]
    assert stats.chisquare(counts, TARGET * counts.sum()).pvalue > 0.01
    eta = world.truth.exposure(range(50))
    np.testing.assert_array_equal(eta, np.broadcast_to(eta[0], eta.shape))  # no taste in it


def test_popularity_has_a_long_tail():
    counts = np.sort(make_world("null").ratings.groupby("item_id").size())[::-1]
    slope = np.polyfit(np.log(np.arange(40, 253)), np.log(counts[39:]), 1)[0]
    assert slope == pytest.approx(-0.8, abs=0.08)  # Zipf, below where histories saturate it
