"""Where the truth is known: the order of floor, model and ceiling, and a world without any."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.dataset import Split
from recsys_lib.evaluation import (
    Report,
    compare,
    evaluate,
    reference_reports,
    share_of_gap_closed,
)
from recsys_lib.models.ease import EASE
from recsys_lib.models.factors import BiasedSVD, PureSVD
from recsys_lib.models.knn import ItemKNN
from recsys_lib.splitting import split_ratings, strong_generalization
from recsys_lib.synthesis import FoldInOracle, OmniscientOracle, World, make_world

METRICS = ("ndcg@20", "recall@10")
MODELS: dict[str, Callable[[], Any]] = {
    "EASE": lambda: EASE(l2=100.0),
    "ItemKNN": ItemKNN,
    "PureSVD": PureSVD,
}


@dataclass
class Case:
    world: World
    split: Split
    item_counts: np.ndarray
    models: dict[str, Report]
    references: dict[str, Report]


def case(preset: str) -> Case:
    """Top-N of likes: users held out, every model fitted on the others."""
    world = make_world(preset, n_users=2000, n_items=100, seed=3)
    split = strong_generalization(
        world.dataset().implicit(min_value=7.0), validation_users=100, test_users=500
    )
    counts = np.bincount(split.train.indices, minlength=split.train.shape[1])
    oracles = {
        "fold-in oracle": FoldInOracle(world.truth, by="liked_exposure", evidence="likes"),
        "omniscient": OmniscientOracle(world.truth, by="liked_exposure"),
    }
    rows = reference_reports(split.test, METRICS, oracles=oracles, item_counts=counts)
    models = {
        name: evaluate(make().fit(split.train), split.test, METRICS, name=name)
        for name, make in MODELS.items()
    }
    return Case(world, split, counts, models, {row.name: row for row in rows})


@pytest.fixture(scope="module")
def structured() -> Case:
    return case("default")


@pytest.fixture(scope="module")
def null() -> Case:
    return case("null")


def better(one: Report, other: Report, metric: str) -> bool:
    """Whether `one` beats `other` by more than its interval."""
    row = compare([one, other], [metric], n_resamples=500).table.iloc[0]
    return bool(row["a"] == one.name and row["low"] > 0 and row["distinguishable"])


@pytest.mark.parametrize("metric", METRICS)
def test_oracle_beats_model_beats_popularity_beats_chance(structured, metric):
    rows = structured.references
    assert better(rows["omniscient"], rows["fold-in oracle"], metric)
    assert better(rows["fold-in oracle"], structured.models["EASE"], metric)
    assert better(structured.models["EASE"], rows["popularity"], metric)
    assert better(rows["popularity"], rows["random"], metric)


def test_a_good_model_closes_most_of_the_gap_and_never_all_of_it(structured):
    table = share_of_gap_closed(
        [structured.models["EASE"]],
        floor=structured.references["popularity"],
        ceiling=structured.references["fold-in oracle"],
        n_resamples=500,
    )
    assert (table["low"] > 0.4).all()
    assert (table["high"] < 1.0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_in_the_null_world_no_model_beats_popularity(null, metric):
    popularity = null.references["popularity"]
    for model in null.models.values():
        assert not better(model, popularity, metric)
    for oracle in ("fold-in oracle", "omniscient"):  # not even who knows everything
        assert not better(null.references[oracle], popularity, metric)


def test_a_model_that_sees_a_few_targets_is_caught_in_the_null_world(null):
    rng = np.random.default_rng(0)
    known = null.split.test.targets.copy()
    known.data = (rng.random(known.nnz) < 0.05).astype("float32")  # one target in twenty leaks

    class Leaking:
        def score_users(self, users: np.ndarray, fold_in: sparse.csr_array) -> np.ndarray:
            rows = np.searchsorted(null.split.test.users, users)
            return null.item_counts + 1e6 * known[rows].toarray()

    leaking = evaluate(Leaking(), null.split.test, METRICS, name="leaking")
    assert all(better(leaking, null.references["popularity"], metric) for metric in METRICS)


def test_ratings_are_predicted_in_the_order_of_what_is_known(structured):
    split = split_ratings(structured.world.dataset())
    oracles = {
        "fold-in oracle": FoldInOracle(structured.world.truth),
        "omniscient": OmniscientOracle(structured.world.truth),
    }
    mean, fold_in, omniscient = reference_reports(split.test, ["rmse"], oracles=oracles)
    model = evaluate(BiasedSVD().fit(split.train), split.test, ["rmse"], name="BiasedSVD")
    assert omniscient["rmse"] < fold_in["rmse"] < model["rmse"] < mean["rmse"]


def test_ratings_of_the_null_world_are_no_better_than_their_mean(null):
    split = split_ratings(null.world.dataset())
    oracles = {"omniscient": OmniscientOracle(null.world.truth)}
    mean, omniscient = reference_reports(split.test, ["rmse"], oracles=oracles)
    model = evaluate(BiasedSVD().fit(split.train), split.test, ["rmse"], name="BiasedSVD")
    assert omniscient["rmse"] == pytest.approx(mean["rmse"], abs=0.01)
    assert model["rmse"] > mean["rmse"] - 0.01
