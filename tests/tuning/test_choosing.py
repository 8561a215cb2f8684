"""Settings are chosen on validation, and nothing else is looked at."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from recsys_lib import Dataset, split_ratings
from recsys_lib.dataset import Fold, Split
from recsys_lib.models import Bias, ItemKNN
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.tuning import choose


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(0)
    rows = [
        (user, item, np.clip(5 + item % 4 + rng.normal(), 1, 10))
        for user in range(80)
        for item in rng.choice(20, 12, replace=False)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    return split_ratings(Dataset.from_frame(frame, rating_scale=(1, 10)))


def damped() -> list[Bias]:
    return [Bias(item_damping=damping) for damping in (1e6, 2.0, 50.0)]


def test_the_lowest_error_is_chosen_and_all_trials_are_told(split: Split) -> None:
    choice = choose({"biases": damped()}, split, "rmse")
    assert choice.models["biases"].item_damping == 2.0
    assert choice.trials["settings"].tolist() == [
        "item_damping=1000000.0",
        "item_damping=2.0",
        "item_damping=50.0",
    ]
    assert choice.trials["chosen"].tolist() == [False, True, False]
    assert choice.trials["rmse"].idxmin() == 1


def test_the_highest_value_is_chosen_where_higher_is_better(split: Split) -> None:
    rankers = [OnLikes(model=ItemKNN(neighbours=n), min_value=7.0) for n in (1, 15)]
    choice = choose({"knn": rankers}, split, "ndcg@5", min_value=7.0)
    assert choice.trials.set_index("chosen").loc[True, "ndcg@5"] == choice.trials["ndcg@5"].max()
    assert choice.trials["settings"].tolist() == ["neighbours=1", "neighbours=15"]


def test_the_test_fold_is_never_looked_at(split: Split) -> None:
    class Sealed(Fold):
        def __getattribute__(self, name: str):
            raise AssertionError("the test was looked at")

    sealed = dataclasses.replace(split, test=object.__new__(Sealed))
    choose({"biases": damped()}, sealed, "rmse")


def test_a_family_without_candidates_is_named(split: Split) -> None:
    with pytest.raises(ValueError, match="'svd' has none"):
        choose({"svd": []}, split, "rmse")
