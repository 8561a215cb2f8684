"""Reports cut by history length and by item popularity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.evaluation import (
    by_history_length,
    by_item_popularity,
    by_mainstream,
    evaluate,
    wins,
)
from recsys_lib.evaluation.segments import popularity_buckets


def test_groups_by_history_share_out_all_users_and_average_to_the_whole(fold, noise):
    report = evaluate(noise, fold, ["ndcg@10", "recall@5"])
    table = by_history_length(report, n_groups=3, n_resamples=50)
    for metric in ("ndcg@10", "recall@5"):
        rows = table[table["metric"] == metric]
        assert rows["n_users"].sum() == len(report.users)
        mean = np.average(rows["value"], weights=rows["n_users"])
        assert mean == pytest.approx(report[metric])
        assert (rows["shortest"].to_numpy()[1:] > rows["longest"].to_numpy()[:-1]).all()
        assert (rows["low"] <= rows["value"]).all()
        assert (rows["value"] <= rows["high"]).all()
    assert list(table["segment"].cat.categories) == list(dict.fromkeys(table["segment"]))


def test_pooled_errors_of_groups_pool_to_the_whole(fold, noise):
    report = evaluate(noise, fold, ["rmse"])
    table = by_history_length(report, n_groups=2, n_resamples=10)
    longer = report.users["n_fold_in"] >= table["shortest"].iloc[1]
    cells = report.users.groupby(longer)["n_rated"].sum()
    pooled = np.sqrt(np.average(table["value"] ** 2, weights=cells))
    assert pooled == pytest.approx(report["rmse"])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.integers(2, 5))
def test_a_more_popular_item_is_never_in_a_later_bucket(counts, n_buckets):
    bucket = popularity_buckets(counts, n_buckets=n_buckets)
    assert bucket.min() >= 0
    assert bucket.max() < n_buckets
    order = np.argsort(counts)[::-1]
    assert (np.diff(bucket[order]) >= 0).all()
    for count in set(counts):
        assert len(set(bucket[np.array(counts) == count])) == 1


def test_buckets_hold_about_equally_many_interactions():
    counts = np.round(1000 / np.arange(1, 201)).astype(int)
    bucket = popularity_buckets(counts, n_buckets=4)
    shares = np.bincount(bucket, weights=counts) / counts.sum()
    assert shares == pytest.approx([0.25] * 4, abs=0.1)


def test_popularity_serves_the_head_and_nothing_else(fold, same):
    counts = np.arange(30, 0, -1)
    report = evaluate(same(counts), fold, ["recall@5"], item_counts=counts)
    table = by_item_popularity(report, fold, counts, k=5, n_resamples=50)
    assert table["n_items"].sum() == 30
    assert table["listed"].sum() == pytest.approx(1.0)
    assert table["listed"].iloc[0] == table["listed"].max()
    assert table["value"].iloc[0] > table["value"].iloc[-1] == 0.0


def test_recall_of_a_bucket_is_that_of_its_targets(noise, same):
    targets = sparse.csr_array(np.array([[1, 1, 0, 0], [0, 0, 1, 0]], dtype="float32"))
    fold = Fold(fold_in=sparse.csr_array((2, 4)), targets=targets, users=np.array([3, 9]))
    report = evaluate(same([9, 1, 1, 1]), fold, ["recall@1"])
    table = by_item_popularity(report, fold, [9, 1, 1, 1], k=1, n_buckets=2, n_resamples=10)
    assert table["value"].tolist() == [1.0, 0.0]
    assert table["n_users"].tolist() == [1, 2]
    assert table["segment"].astype(str).tolist() == ["9", "1"]


def test_another_fold_is_refused(fold, noise, make_fold):
    report = evaluate(noise, fold, ["recall@20"])
    with pytest.raises(ValueError, match="must be the one that report 'Table' is on"):
        by_item_popularity(report, make_fold(80, 30, seed=1), np.ones(30))


def test_groups_by_mainstream_order_users_by_what_the_model_saw_of_them(fold, noise):
    report = evaluate(noise, fold, ["ndcg@10"])
    counts = np.arange(fold.fold_in.shape[1])
    table = by_mainstream(report, fold, counts, n_resamples=10)
    assert table["n_users"].sum() == len(report.users)
    assert np.average(table["value"], weights=table["n_users"]) == pytest.approx(report["ndcg@10"])
    assert (table["lowest"].to_numpy()[1:] >= table["highest"].to_numpy()[:-1]).all()
    # By loops: the share of interactions that are of less popular items, averaged over the row.
    seen = fold.take(np.flatnonzero(np.isin(fold.users, report.users.index))).fold_in
    share = [(counts[counts < c].sum() + c / 2) / counts.sum() for c in counts]
    means = [np.mean([share[i] for i in seen[[u]].indices]) for u in range(seen.shape[0])]
    assert table["lowest"].iloc[0] == pytest.approx(min(means))
    assert table["highest"].iloc[-1] == pytest.approx(max(means))


def test_wins_are_those_of_a_loop_over_users(fold, noise, same):
    count = np.bincount(fold.targets.indices, minlength=fold.targets.shape[1])
    reports = [
        evaluate(noise, fold, ["recall@5"], name="noise"),
        evaluate(same(count), fold, ["recall@5"], name="popular"),
        evaluate(same(-count), fold, ["recall@5"], name="rare"),
    ]
    table = wins(reports, "recall@5")
    values = np.column_stack([report.values["recall@5"] for report in reports])
    alone = {report.name: 0 for report in reports}
    shared = dict(alone)
    for row in values:
        leaders = [r.name for r, value in zip(reports, row, strict=True) if value == row.max()]
        if row.min() < row.max():
            for name in leaders:
                (alone if len(leaders) == 1 else shared)[name] += 1
    for name in alone:
        assert table.loc[name, "alone"] == pytest.approx(alone[name] / len(values))
        assert table.loc[name, "shared"] == pytest.approx(shared[name] / len(values))
    assert sum(alone.values()) > 0
    assert sum(shared.values()) > 0
    assert not wins(reports[:1], "recall@5").to_numpy().any()


def test_a_user_without_a_like_to_find_counts_for_no_share_of_wins(same) -> None:
    ratings = sparse.csr_array([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 1.0]])
    fold = Fold(fold_in=sparse.csr_array((3, 3)), targets=ratings, users=np.arange(3))
    ask = {"metrics": ["recall@1", "rmse"], "min_value": 3.0}  # all have ratings, two have likes
    scorers = {"a": same([2.0, 1, 0], "rating"), "b": same([1.0, 2, 0], "rating")}
    reports = [evaluate(one, fold, name=name, **ask) for name, one in scorers.items()]
    assert wins(reports, "recall@1")["alone"].to_dict() == {"a": 0.5, "b": 0.5}


def test_one_metric_needs_no_list_and_counts_are_of_each_item(fold, noise):
    report = evaluate(noise, fold, ["ndcg@20"])
    one, listed = (by_history_length(report, m, n_resamples=9) for m in ("ndcg@20", ["ndcg@20"]))
    assert one.equals(listed)
    for cut in (by_mainstream, by_item_popularity):
        with pytest.raises(ValueError, match="`item_counts` must hold a number >= 0 for each of"):
            cut(report, fold, np.ones(3, dtype=int))


def test_a_rating_of_zero_was_seen_as_any_other(same):
    seen = sparse.csr_array([[5.0, 0, 0, 0], [0, 5, 0, 0]])
    wanted = sparse.csr_array([[0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    counts = [8, 4, 2, 1]
    tables = []
    for value in (5, 0):
        seen.data[:] = value
        fold = Fold(fold_in=seen.copy(), targets=wanted)
        report = evaluate(same(np.arange(4.0)), fold, ["mrr@2"])
        tables.append(by_mainstream(report, fold, counts, n_resamples=9))
    assert tables[1].equals(tables[0])
