"""Histories cut short, items hidden, and the law of the ladder: never worse than its rungs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.coldstart import Handover, ItemContent, Ladder, rungs_of, stack_content
from recsys_lib.dataset import Dataset, Fold
from recsys_lib.errors import DataError
from recsys_lib.evaluation import evaluate
from recsys_lib.evaluation.newcomers import (
    OnlyItems,
    cut_history,
    hide_items,
    list_stability,
    measure_handover,
    newcomer_curve,
    newcomer_verdict,
    reached_lengths,
)
from recsys_lib.models import EASE, Popularity
from recsys_lib.sources import load_dataset
from recsys_lib.splitting import strong_generalization
from recsys_lib.synthesis import make_world

LENGTHS = (0, 1, 2, 5, 10)


def make_fold(n_users: int = 20, n_items: int = 30) -> Fold:
    rng = np.random.default_rng(0)
    used = rng.random((n_users, n_items)) < 0.5
    values = rng.integers(1, 6, used.shape)
    seen = rng.random(used.shape) < 0.7
    return Fold(
        fold_in=sparse.csr_array((used & seen) * values.astype(np.float32)),
        targets=sparse.csr_array((used & ~seen) * values.astype(np.float32)),
        users=np.arange(n_users),
    )


def test_cuts_are_nested_and_keep_values_and_targets() -> None:
    fold = make_fold()
    before = None
    for n in (0, 1, 3, 99):
        cut = cut_history(fold, n, seed=1)
        lengths = np.diff(cut.fold_in.indptr)
        np.testing.assert_array_equal(lengths, np.minimum(np.diff(fold.fold_in.indptr), n))
        entries = set(zip(*cut.fold_in.nonzero(), cut.fold_in.data, strict=True))
        assert entries <= set(zip(*fold.fold_in.nonzero(), fold.fold_in.data, strict=True))
        assert before is None or before <= entries
        assert cut.targets is fold.targets
        before = entries
    assert cut_history(fold, 3, seed=2).fold_in.nonzero()[1].tolist() != (
        cut_history(fold, 3, seed=1).fold_in.nonzero()[1].tolist()
    )


def test_the_curve_speaks_of_the_same_people_at_each_point() -> None:
    fold = make_fold()
    model = Popularity().fit(fold.fold_in)
    table = newcomer_curve({"p": model}, fold, lengths=(0, 9), metrics=("recall@5",))
    assert table["n_history"].tolist() == [0, 9]
    assert table["n_users"].nunique() == 1
    with pytest.raises(ValueError, match="99 was asked for and the longest has 13 entries"):
        newcomer_curve({"p": model}, fold, lengths=(0, 99))


@dataclass(frozen=True)
class TwoSigns:
    """Scores by a sign that finds the targets and one that does not, mixed as a ladder mixes."""

    handover: float
    good_is_model: bool

    def score_users(self, users: Any, fold_in: Any) -> Any:
        targets = make_fold().targets.toarray()[users] > 0
        bad = np.random.default_rng(1).random(targets.shape)
        model, below = (targets, bad) if self.good_is_model else (bad, targets)
        n = np.diff(fold_in.indptr)[:, None]
        return (n * model + self.handover * below) / (n + self.handover)


def test_the_handover_that_is_measured_best_trusts_who_is_right() -> None:
    fold = make_fold()
    model, below = (
        measure_handover(TwoSigns(1.0, right), fold, handovers=(0.0, 1.0, 50.0), metric="ndcg@5")
        for right in (True, False)
    )
    assert model.index.tolist() == [0.0, 1.0, 50.0]
    assert model.idxmax() == 0.0
    assert below.idxmax() == 50.0
    assert model.is_monotonic_decreasing
    assert below.is_monotonic_increasing


class Latest:
    """Lists first what is next to the items used: the list after a click has little of before."""

    def score(self, user_items: Any) -> Any:
        used = user_items.toarray() > 0
        return np.roll(used, 1, axis=1) + np.linspace(0, 0.5, used.shape[1])


def test_what_stays_on_a_list_is_counted_without_what_was_used() -> None:
    fold = make_fold()
    stays = list_stability({"p": Latest()}, fold, lengths=(0, 1, 4), k=6)
    wanted = []
    for before, after in ((0, 1), (1, 4)):
        shares = []
        for user in range(fold.n_rows):
            lists = []
            for n in (before, after):
                row = cut_history(fold, n).fold_in[[user]]
                scores = np.where(row.toarray()[0] > 0, -np.inf, Latest().score(row)[0])
                lists.append(set(np.argsort(-scores)[:6]))
            left = lists[0] - set(cut_history(fold, after).fold_in[[user]].indices)
            shares.append(len(left & lists[1]) / len(left))
        wanted.append(np.mean(shares))
    np.testing.assert_allclose(stays["p"], wanted)
    assert stays.index.tolist() == [1, 4]


def test_hidden_items_are_empty_columns_and_only_targets() -> None:
    x = make_fold().fold_in
    train, fold, hidden = hide_items(x, np.array([3, 5]), share=0.3, seed=4)
    with pytest.raises(ValueError, match="`users` must be a list of positions"):
        hide_items(x, np.ones(x.shape[0], dtype=bool))
    assert len(hidden) == 9
    assert not train.toarray()[:, hidden].any()
    assert not fold.fold_in.toarray()[:, hidden].any()
    np.testing.assert_array_equal((fold.fold_in + fold.targets).toarray(), x.toarray()[[3, 5]])
    known = np.setdiff1d(np.arange(30), hidden)
    assert not fold.targets.toarray()[:, known].any()
    np.testing.assert_array_equal(
        train.toarray()[:, known], np.delete(x.toarray(), [3, 5], axis=0)[:, known]
    )


def curve(data: Dataset, segment: str, l2: float, n_held: int) -> tuple[pd.DataFrame, Fold]:
    """ndcg@100 of each rung and of the ladder, for users held out, as their histories grow."""
    split = strong_generalization(data, validation_users=10, test_users=n_held, fold_in=0.5, seed=0)
    assert data.users is not None
    ladder = Ladder(segment=[segment]).fit(split.train, data.users.iloc[split.train_users])
    model = EASE(l2=l2).fit(split.train)

    scorers: dict[str, Any] = {**rungs_of(ladder, data.users)}
    scorers |= {"model": model, "ladder": Handover(model=model, ladder=ladder, users=data.users)}
    table = newcomer_curve(scorers, split.test, lengths=LENGTHS, metrics=("ndcg@100",))
    return table, split.test


def check_law(table: pd.DataFrame) -> None:
    values = table.pivot(index="n_history", columns="model", values="value")
    errors = table.pivot(index="n_history", columns="model", values="se")
    rungs = values.drop(columns="ladder")
    assert (values["ladder"] > values["popularity"]).all(), values
    # Within the noise of the best rung; in fact it is above each where there is a history.
    assert (values["ladder"] > rungs.max(axis=1) - errors["ladder"]).all(), values
    assert (values["ladder"] > rungs.max(axis=1)).loc[[2, 5]].all(), values


@pytest.mark.slow
def test_the_ladder_is_never_worse_than_its_rungs_on_the_default_world() -> None:
    data = make_world().dataset(kind="ratings").implicit(7.0)
    table, _ = curve(data, "role", l2=200.0, n_held=1500)
    check_law(table)


@pytest.mark.slow
@pytest.mark.skipif("RECSYS_DATASETS" not in os.environ, reason="RECSYS_DATASETS is not set")
def test_the_ladder_is_never_worse_than_its_rungs_on_movielens() -> None:
    path = str(Path(os.environ["RECSYS_DATASETS"]) / "ml-100k" / "ml-100k")
    data = load_dataset(f"{path}.inter", f"{path}.item", f"{path}.user").implicit(4.0)
    table, _ = curve(data, "occupation", l2=200.0, n_held=300)
    check_law(table)


def test_content_finds_hidden_labs_that_no_other_model_can_tell_apart() -> None:
    data = make_world(n_users=1500).dataset(kind="ratings").implicit(7.0)
    assert data.items is not None
    train, fold, hidden = hide_items(data.user_items, np.arange(400))
    content = ItemContent.of(data.items)
    stacked = EASE(l2=200.0).fit(stack_content(train, content, weight=4.0))
    found = {}
    scorers = {"content": content, "collective": stacked, "plain": EASE(l2=200.0).fit(train)}
    for name, scorer in scorers.items():
        only = OnlyItems(scorer=scorer, items=hidden)
        found[name] = evaluate(only, fold, metrics=("ndcg@10",))["ndcg@10"]
    assert found["content"] > 1.2 * found["plain"], found
    assert found["collective"] > 1.2 * found["plain"], found


def test_of_nobody_no_list_stays() -> None:
    stays = list_stability({"p": Latest()}, make_fold().take(np.arange(0)), lengths=(0, 1), k=3)
    assert stays["p"].isna().all()


@pytest.mark.parametrize(
    ("histories", "lengths", "reached"),
    [
        ([10] * 30, (0, 1, 2, 5, 10), (0, 1, 2, 5, 10)),
        ([10] * 19 + [3] * 81, (0, 2, 10), (0, 2)),  # 19 of 100 are too few to draw a curve from
        ([10] * 20 + [3] * 80, (0, 2, 10), (0, 2, 10)),
        ([4, 3, 2, 1], (0, 1, 4, 5), (0, 1, 4)),  # of four people, one is a quarter
        ([10] * 30, (5, 1, 1), (1, 5)),
    ],
)
def test_lengths_end_where_too_few_people_have_so_long_a_history(
    histories: list[int], lengths: tuple[int, ...], reached: tuple[int, ...]
) -> None:
    rows = sparse.csr_array(np.arange(12) < np.array(histories)[:, None], dtype=np.float32)
    assert reached_lengths(rows, lengths) == reached


def test_lengths_that_nobody_reaches_are_refused_with_what_there_is() -> None:
    rows = sparse.csr_array(np.ones((40, 3), dtype=np.float32))
    with pytest.raises(DataError, match="At least 10 people must have 5 known .* have 3 at most"):
        reached_lengths(rows, (5, 10))
    with pytest.raises(ValueError, match="`lengths` must hold finite numbers; got none"):
        reached_lengths(rows, ())


def test_a_ladder_that_falls_behind_is_named_with_its_numbers() -> None:
    rows = [(0, "ladder", 0.3), (0, "popularity", 0.2), (1, "ladder", 0.4), (1, "popularity", 0.1)]
    table = pd.DataFrame(rows, columns=["n_history", "model", "value"]).assign(se=0.03, n_users=35)
    ahead = "The ladder is ahead of popularity at 2 of 2 lengths of history."
    assert newcomer_verdict(table, ladder="ladder") == ahead
    table.loc[2, "value"] = 0.05
    assert newcomer_verdict(table, ladder="ladder") == (
        "The ladder is ahead of popularity at 1 of 2 lengths of history. It is furthest behind "
        "with 1 known: 0.050 against 0.100, over 35 people, with a standard error of 0.030 each; "
        "their difference, over the same people, is known better."
    )
