"""Floors, models and ceilings in one table."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import evaluate
from recsys_lib.evaluation.leaderboard import leaderboard

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
