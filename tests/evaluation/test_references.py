"""Floors and ceilings, and the share of the gap closed."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.evaluation import (
    RandomOrder,
    evaluate,
    reference_reports,
    share_of_gap_closed,
)


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


def test_a_model_at_the_floor_closes_nothing_and_at_the_ceiling_everything(taste, scorer, same):
    chance, fold, counts = taste
    floor = evaluate(same(counts), fold, ["ndcg@20"], name="floor")
    ceiling = evaluate(scorer(chance), fold, ["ndcg@20"], name="ceiling")
    table = share_of_gap_closed([floor, ceiling], floor=floor, ceiling=ceiling, n_resamples=50)
    assert table["share"].tolist() == pytest.approx([0.0, 1.0])
    assert table["low"].tolist() == pytest.approx([0.0, 1.0])
