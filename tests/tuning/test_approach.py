"""Models on more and more data, between popularity and the oracle."""

from dataclasses import replace

import pytest

from recsys_lib import make_world, strong_generalization
from recsys_lib.dataset import Split
from recsys_lib.evaluation import evaluate, gains_of_steps
from recsys_lib.models import EASE, ItemKNN, Popularity
from recsys_lib.synthesis import oracles_of_likes
from recsys_lib.tuning import approach_by_setting, approach_ceiling, contest

FAMILIES = {"EASE": [EASE(l2=1.0), EASE(l2=200.0)], "item KNN": [ItemKNN(n_neighbors=40)]}


def likes_of(world, **options) -> Split:
    held = {"validation_users": 150, "test_users": 400, "min_interactions": 2}
    return strong_generalization(world.dataset().implicit(7), **held, **options)


@pytest.fixture(scope="module")
def world():
    return make_world(n_users=2600)


@pytest.fixture(scope="module")
def table(world):
    ceiling = oracles_of_likes(world.truth)["fold-in oracle"]
    options = {"ceiling": ceiling, "train_users": (100, 1500)}
    return approach_ceiling(FAMILIES, likes_of(world), "ndcg@10", **options)


def test_the_ends_of_a_curve_are_popularity_of_the_same_people_and_the_oracle(world, table):
    split = likes_of(world)
    few = split.train[:100]
    floor = evaluate(Popularity().fit(few), split.test, ["ndcg@10"])["ndcg@10"]
    oracle = oracles_of_likes(world.truth)["fold-in oracle"]
    top = evaluate(oracle, split.test, ["ndcg@10"])["ndcg@10"]
    first = table.iloc[0]
    assert (first["floor"], first["ceiling"]) == pytest.approx((floor, top))
    assert first["interactions"] == few.nnz
    assert first["share"] == pytest.approx((first["value"] - floor) / (top - floor))


def test_more_people_bring_every_model_nearer_and_none_beyond(table):
    shares = table.set_index(["train_users", "model"])["share"]
    assert (shares[1500] > shares[100] + 0.1).all()
    assert (table["low"] < 1).all()
    assert (table["low"] < table["share"]).all()


def test_settings_are_chosen_anew_for_each_size(world):
    split = likes_of(world)
    # With hardly any penalty EASE is worthless on a hundred people; the choice must not keep it.
    alone = EASE(l2=1.0).fit(split.train[:100])
    part = replace(split, train=split.train[:100], train_users=split.train_users[:100])
    chosen = contest(FAMILIES, part, "ndcg@10")[1]
    assert chosen["ndcg@10"] > evaluate(alone, split.test, ["ndcg@10"])["ndcg@10"] + 0.02


def test_in_the_null_world_nobody_is_ahead_of_popularity_but_who_saw_the_test():
    split = likes_of(make_world("null", n_users=1200))
    reports = {report.name: report for report in contest(FAMILIES, split, "ndcg@10")}
    assert list(reports) == ["popularity", "EASE", "item KNN"]
    whole = split.test.fold_in + split.test.targets
    reports["leak"] = evaluate(EASE(l2=50.0).fit(whole), split.test, ["ndcg@10"], name="leak")
    steps = dict.fromkeys(["EASE", "item KNN", "leak"], "popularity")
    gains = gains_of_steps(reports, steps, "ndcg@10", n_resamples=500)
    ahead = gains["certain"] & (gains["gain"] > 0)
    assert ahead.tolist() == [False, False, True]


def test_without_a_gap_there_is_no_share_of_it(world):
    split = likes_of(world)
    floor = Popularity().fit(split.train[:500])
    options = {"ceiling": floor, "train_users": [500]}
    table = approach_ceiling({"EASE": [EASE(l2=200.0)]}, split, "ndcg@10", **options)
    assert table["share"].isna().all()


def test_more_people_than_there_are_is_an_error(world):
    with pytest.raises(ValueError, match="`train_users` must be at most 1[0-9]+.*got 5000"):
        approach_ceiling(FAMILIES, likes_of(world), "ndcg@10", ceiling=None, train_users=[5000])


def test_one_world_for_each_value_of_a_setting():
    families = {"EASE": [EASE(l2=50.0)]}
    with pytest.raises(ValueError, match="`rho2` must hold finite numbers; got none"):
        approach_by_setting(families, "ndcg@10", "rho2", (), train_users=[150], test_users=60)
    with pytest.raises(ValueError, match="`train_users` must hold finite numbers; got none"):
        approach_by_setting(families, "ndcg@10", "rho2", (0.5,), train_users=(), test_users=60)
    held = {"train_users": [150], "test_users": 60, "validation_users": 30}
    table = approach_by_setting(families, "ndcg@10", "ratings_per_user", (10, 30), **held)
    assert table["x"].tolist() == [10, 30]
    assert table["train_users"].tolist() == [150, 150]
    assert table["interactions"].iloc[1] > 2 * table["interactions"].iloc[0]
