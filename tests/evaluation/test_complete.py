"""Held-out ratings against everything, where everything is known."""

import numpy as np
import pytest

from recsys_lib import make_world, strong_generalization
from recsys_lib.evaluation import measured_and_true
from recsys_lib.models import Bias, Popularity
from recsys_lib.models.on_likes import OnLikes


class Knows:
    """Whoever predicts the truth, or is off by a constant on what is shown or on what is not."""

    predicts = "rating"

    def __init__(self, truth, users, off=0.0, off_shown=0.0):
        self.truth, self.users, self.off, self.off_shown = truth, users, off, off_shown

    def score(self, rows):
        return self.score_users(self.users, rows)

    def score_users(self, users, rows):
        assert rows.shape[0] == len(users)
        off = np.where(rows.toarray() > 0, self.off_shown, self.off)
        return (self.truth.expected_rating(users) + off).astype(np.float32)


@pytest.fixture(scope="module")
def blind():
    world = make_world(n_users=2500, selection=0.0)
    return world, strong_generalization(world.dataset(), test_users=900).test


@pytest.fixture(scope="module")
def choosy():
    world = make_world(n_users=2500, selection=1.5)
    return world, strong_generalization(world.dataset(), test_users=900)


def test_who_knows_the_truth_has_the_irreducible_error_of_what_is_not_shown(choosy):
    world, fold = choosy[0], choosy[1].test
    variance = world.truth.probit.variance(world.truth.signal(fold.users))
    left = np.sqrt(variance[fold.fold_in.toarray() == 0].mean())
    exact = Knows(world.truth, fold.users)
    careless = Knows(world.truth, fold.users, off_shown=-3.0)
    table = measured_and_true({"exact": exact, "careless": careless}, fold, world.truth)
    assert table["true_rmse"].tolist() == pytest.approx([left, left], rel=1e-4)


def test_without_selection_a_sample_tells_the_same_as_everything(blind):
    world, fold = blind
    row = measured_and_true({"oracle": Knows(world.truth, fold.users)}, fold, world.truth).iloc[0]
    assert row["measured_rmse"] == pytest.approx(row["true_rmse"], abs=0.06)


def test_a_constant_error_adds_its_square(blind):
    world, fold = blind
    scorers = {str(n): Knows(world.truth, fold.users, off=n) for n in (0.0, -0.5)}
    exact, off = measured_and_true(scorers, fold, world.truth)["true_rmse"] ** 2
    assert off - exact == pytest.approx(0.25, abs=0.02)  # a little less: predictions are clipped


def test_selection_flatters_the_held_out_error_and_known_weights_mend_it(choosy):
    world, split = choosy
    model = Bias().fit(split.train)
    row = measured_and_true({"biases": model}, split.test, world.truth).loc["biases"]
    assert row["true_rmse"] > row["measured_rmse"] + 0.3
    assert abs(row["weighted_rmse"] - row["true_rmse"]) < 0.4 * (
        row["true_rmse"] - row["measured_rmse"]
    )
    assert 50 < row["counts"] < 0.5 * split.test.targets.nnz


def test_the_list_of_the_truth_is_the_best_there_is_and_the_table_says_how_good(blind):
    world, fold = blind
    popular = OnLikes(model=Popularity(), min_value=7).fit(fold.fold_in)
    scorers = {"truth": Knows(world.truth, fold.users), "popular": popular}
    table = measured_and_true(scorers, fold, world.truth, k=5)
    chance = np.where(fold.fold_in.toarray() > 0, -1, world.truth.like_probability(fold.users, 7))
    best = np.sort(chance, axis=1)[:, -5:].mean()
    assert table.loc["truth", "true_list"] == pytest.approx(best, abs=1e-3)
    assert table.loc["popular", "true_list"] < best - 0.2
    assert np.isnan(table.loc["popular", "true_rmse"])
