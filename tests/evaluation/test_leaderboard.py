"""Floors, models and ceilings in one table."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from recsys_lib import make_world, split_ratings, strong_generalization
from recsys_lib.dataset import Fold, Split
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import (
    RandomOrder,
    evaluate,
    evaluate_all,
    measured_and_true,
    reference_reports,
    share_of_gap_closed,
)
from recsys_lib.evaluation.leaderboard import _gap_closed, error_levels, leaderboard
from recsys_lib.evaluation.statistics import Estimate, Sample
from recsys_lib.models import Bias, Popularity
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.ranking import entry_rows, negative_log_likelihood

WANTED = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10] * 4.0)
FOLD = Fold(fold_in=sparse.csr_array((40, 3)), targets=WANTED, users=np.arange(40))
ORDERS = {"popularity": [9, 1, 0], "knn": [0, 9, 1], "svd": [0, 1, 9], "omniscient": [0, 1, 9]}


@pytest.fixture
def ranked(same):
    def reports(*names: str):
        return [evaluate(same(ORDERS[name]), FOLD, ["mrr@3"], name=name) for name in names]

    return reports


def test_floors_come_first_then_models_from_worst_to_best_then_ceilings(ranked) -> None:
    table = leaderboard(ranked("omniscient", "svd", "popularity", "knn"), "mrr@3")
    assert table.index.tolist() == ["popularity", "knn", "svd", "omniscient"]
    assert table["role"].tolist() == ["floor", "model", "model", "ceiling"]
    assert table["gap"].tolist() == pytest.approx([0, 0.5, 1, 1])


def test_without_a_ceiling_no_gap_is_claimed(ranked) -> None:
    assert "gap" not in leaderboard(ranked("popularity", "knn"), "mrr@3")


def test_errors_rank_the_other_way(same) -> None:
    guesses = {"mean rating": 1.0, "good": 3.5, "bad": 2.0, "fold-in oracle": 4.0}
    reports = [
        evaluate(same([value] * 3, "rating"), FOLD, ["rmse"], name=name, rating_scale=(1, 5))
        for name, value in guesses.items()
    ]
    table = leaderboard(reports, "rmse")
    assert table.index.tolist() == ["mean rating", "bad", "good", "fold-in oracle"]
    assert table["value"].tolist() == pytest.approx([3, 2, 0.5, 0])
    assert table["gap"].tolist() == pytest.approx([0, 1 / 3, 2.5 / 3, 1])


def test_where_floor_and_ceiling_are_one_there_is_no_share(same) -> None:
    same = [
        evaluate(same([1, 2, 3]), FOLD, ["mrr@3"], name=name)
        for name in ("popularity", "knn", "omniscient")
    ]
    assert leaderboard(same, "mrr@3")["gap"].isna().all()


def test_reports_without_the_metric_are_left_out_and_one_is_not_enough(ranked, same) -> None:
    other = evaluate(same([1, 2, 3]), FOLD, ["recall@2"], name="other")
    assert "other" not in leaderboard([*ranked("popularity", "knn"), other], "mrr@3").index
    with pytest.raises(ConfigError, match="must hold 'mrr@3' at least twice; 1 of 2 do"):
        leaderboard([*ranked("knn"), other], "mrr@3")


@pytest.fixture(scope="module")
def taste() -> tuple[np.ndarray, Fold, np.ndarray]:
    """Chances to like, a fold drawn from them, and the popularity a large crowd would show."""
    rng = np.random.default_rng(0)
    appeal = rng.normal(-2.5, 0.7, size=60)
    chance = 1 / (1 + np.exp(-(appeal + rng.normal(0, 1.5, size=(1500, 60)))))
    targets = sparse.csr_array((rng.random(chance.shape) < chance).astype("float32"))
    counts = np.round(1e4 * chance.mean(axis=0)).astype(int)
    fold = Fold(fold_in=sparse.csr_array(chance.shape), targets=targets, users=np.arange(1500))
    return chance, fold, counts


METRICS = ("ndcg@20", "recall@10", "mrr@10")


def test_oracle_beats_model_beats_popularity_beats_chance(taste, scorer):
    chance, fold, counts = taste
    oracle = scorer(chance, predicts="rank")
    blurred = np.log(chance) + np.random.default_rng(1).normal(0, 1, chance.shape)
    model = evaluate(scorer(blurred), fold, METRICS, name="model")
    random, popularity, top = reference_reports(
        fold, METRICS, oracles={"omniscient": oracle}, item_counts=counts
    )
    for metric in METRICS:
        assert top[metric] > model[metric] > popularity[metric] > random[metric]
    shares = share_of_gap_closed([model], floor=popularity, ceiling=top, n_resamples=300)
    assert ((shares["low"] > 0) & (shares["high"] < 1)).all()
    gap = top["mrr@10"] - popularity["mrr@10"]
    by_hand = (model["mrr@10"] - popularity["mrr@10"]) / gap
    assert shares.set_index("metric").loc["mrr@10", "share"] == pytest.approx(by_hand)


def test_chance_gives_what_chance_should_whatever_the_batch(taste):
    _, fold, _ = taste
    reports = [
        evaluate(RandomOrder(), fold, ["recall@10", "precision@60"], batch_size=size)
        for size in (64, 1500)
    ]
    assert reports[0].values.equals(reports[1].values)
    # A random list of 10 of 60 holds each target with chance 1/6.
    n = fold.targets.sum(axis=1)
    n = n[n > 0]
    expected = np.mean(10 / 60 * n / np.minimum(10, n))
    values = reports[0].values["recall@10"]
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / np.sqrt(len(values)))


def test_without_truth_there_is_no_ceiling_row(taste):
    _, fold, _ = taste
    assert [row.name for row in reference_reports(fold, METRICS)] == ["random", "popularity"]


def test_the_floor_of_rating_errors_is_the_mean_not_chance():
    rng = np.random.default_rng(2)
    ratings = rng.integers(1, 11, size=(200, 8)).astype("float32")
    hidden = rng.random(ratings.shape) < 0.4
    fold = Fold(
        fold_in=sparse.csr_array(ratings * ~hidden),
        targets=sparse.csr_array(ratings * hidden),
        users=np.arange(200),
    )
    rows = reference_reports(fold, ["rmse", "ndcg@5"], min_value=7.0)
    assert {row.name: row.metrics for row in rows} == {
        "random": ("ndcg@5",),
        "popularity": ("ndcg@5",),
        "mean rating": ("rmse",),
    }
    assert rows[2]["rmse"] == pytest.approx(ratings[hidden].std(), rel=0.01)
    assert rows[0].protocol["min_value"] == 7.0
    given = reference_reports(fold, ["rmse"], mean_rating=1.0)
    assert given[0]["rmse"] > rows[2]["rmse"] + 1


def test_a_gap_that_is_none_is_not_divided_by(taste, scorer):
    chance, fold, _ = taste
    flat = [
        evaluate(scorer(np.random.default_rng(seed).random(chance.shape)), fold, ["ndcg@20"])
        for seed in range(3)
    ]
    table = share_of_gap_closed(flat[2:], floor=flat[0], ceiling=flat[1], n_resamples=50)
    assert table[["share", "low", "high"]].isna().all(axis=None)
    assert table["value"].notna().all()


def test_a_resample_without_a_gap_is_left_out_of_the_interval():
    influence = Sample.of([0.0, 1.0] * 10).influence
    gap = Estimate(0.5, influence, 20, (), np.array([0.4, 0.0, 0.6]))
    with np.errstate(all="raise"):
        closed = _gap_closed(gap, gap)
    assert (closed["share"], closed["low"], closed["high"]) == (1.0, 1.0, 1.0)


def test_a_model_at_the_floor_closes_nothing_and_at_the_ceiling_everything(taste, scorer, same):
    chance, fold, counts = taste
    floor = evaluate(same(counts), fold, ["ndcg@20"], name="floor")
    ceiling = evaluate(scorer(chance), fold, ["ndcg@20"], name="ceiling")
    table = share_of_gap_closed([floor, ceiling], floor=floor, ceiling=ceiling, n_resamples=50)
    assert table["share"].tolist() == pytest.approx([0.0, 1.0])
    assert table["low"].tolist() == pytest.approx([0.0, 1.0])


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


def test_models_measured_by_rmse_as_well_stand_beside_floors_that_were_not() -> None:
    split = split_ratings(make_world(n_users=100, n_items=30).dataset())
    model = Bias().fit(split.train)
    reports = evaluate_all({"bias": model}, split, ["rmse", "ndcg@10"])
    assert leaderboard(reports, "ndcg@10").index.tolist() == ["random", "popularity", "bias"]
    scales = [evaluate(model, split.test, ["rmse"], rating_scale=(1, top)) for top in (5, 10)]
    with pytest.raises(ValueError, match="differ in rating_scale"):
        share_of_gap_closed(scales, floor=scales[0], ceiling=scales[1])


def test_ratings_of_zero_are_pairs_of_a_fold_as_any_others():
    world = make_world(n_users=40, n_items=30, rating_scale=(0, 5), rating_mean=2.0)
    split = split_ratings(world.dataset())
    model = Bias().fit(split.train)
    assert (split.test.targets.data == 0).any()
    found = world.truth.like_chances(split.test, 3)
    assert len(found) == split.test.targets.nnz
    hidden = np.ones(split.train.shape, dtype=bool)
    hidden[entry_rows(split.train), split.train.indices] = False
    predicted = np.clip(model.score(split.train).astype(float), 0, 5)
    signal = world.truth.signal(np.arange(40))
    probit = world.truth.probit
    squares = (predicted - probit.expected(signal)) ** 2 + probit.variance(signal)
    row = measured_and_true({"bias": model}, split.test, world.truth, min_value=3).loc["bias"]
    assert row["true_rmse"] == pytest.approx(np.sqrt(squares[hidden].mean()))


def test_the_level_of_popularity_takes_no_table_of_all_people_and_items():
    people, n_items = np.arange(4_000), 10_000
    rows = [
        sparse.csr_array((np.ones(4_000, "float32"), (people, (people + n) % n_items)), shape=shape)
        for n, shape in enumerate([(4_000, n_items)] * 2)
    ]
    fold = Fold(fold_in=rows[0], targets=rows[1], users=people)
    split = Split(train=rows[0], validation=fold, test=fold, train_users=people)
    tracemalloc.start()
    level = error_levels({}, split)["popularity"]
    assert tracemalloc.get_traced_memory()[1] < 2e8  # the table has 320 MB, and a copy
    tracemalloc.stop()
    popular = np.log(np.bincount(rows[0].indices, minlength=n_items) + 0.5).astype("float32")
    few = negative_log_likelihood(np.tile(popular, (20, 1)), rows[0][:20], rows[1][:20])
    assert level == pytest.approx(few, rel=1e-4)
