"""One pass over a fold."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.evaluation import evaluate
from recsys_lib.evaluation.metrics import find_hits, ndcg_at_k

EVERYTHING = (
    "ndcg@10",
    "recall@5",
    "precision@5",
    "map@10",
    "mrr@10",
    "hit_rate@3",
    "tail_recall@10",
    "novelty@10",
    "coverage@3",
    "gini@3",
)


class Rows:
    """A scorer of rows that records what it was asked."""

    def __init__(self, n_items: int) -> None:
        self.weights = np.random.default_rng(0).normal(size=(n_items, n_items))
        self.asked: list[int] = []

    def score(self, user_items: sparse.csr_array) -> np.ndarray:
        self.asked.append(user_items.shape[0])
        return user_items @ self.weights


def test_the_report_is_that_of_ranking_by_hand(fold, noise):
    report = evaluate(noise, fold, ["ndcg@10"])
    for user in report.users.index:
        scores = noise.scores[user].copy()
        scores[fold.fold_in[[user]].indices] = -np.inf
        best = np.argsort(-scores)[:10]
        by_hand = ndcg_at_k(find_hits(best[None], fold.targets[[user]]), 10)
        assert report.values.loc[user, "ndcg@10"] == pytest.approx(by_hand[0])
        assert report.items[report.users.index.get_loc(user)].tolist() == best.tolist()


def test_a_seen_item_is_never_listed_although_it_scores_highest(fold, scorer):
    seen_best = scorer(fold.fold_in.toarray() * 100 - 50)
    report = evaluate(seen_best, fold, ["recall@30"])
    seen = fold.fold_in.toarray()[report.users.index]
    listed = report.items
    assert not np.take_along_axis(seen, np.maximum(listed, 0), axis=1)[listed >= 0].any()
    assert report["recall@30"] == 1.0  # every unseen item fits on the list


def test_users_without_targets_are_left_out_and_counted(fold, noise):
    empty = int((np.diff(fold.targets.indptr) == 0).sum())
    assert empty > 0
    report = evaluate(noise, fold, EVERYTHING)
    assert report.protocol["n_users_without_targets"] == empty
    assert len(report.users) == fold.n_rows - empty
    assert not report.values["ndcg@10"].isna().any()


@pytest.mark.parametrize("batch_size", [1, 7, 80, 1000])
def test_the_batch_size_does_not_change_the_report(fold, batch_size, scorer):
    ties = scorer(np.random.default_rng(1).integers(0, 4, size=(80, 30)).astype("float32"))
    whole = evaluate(ties, fold, EVERYTHING, batch_size=80)
    parts = evaluate(ties, fold, EVERYTHING, batch_size=batch_size)
    assert parts.values.equals(whole.values)
    assert parts.totals == whole.totals
    assert parts.protocol == whole.protocol


def test_one_pass_serves_all_metrics_and_never_asks_for_more_than_a_batch(fold):
    model = Rows(30)
    report = evaluate(model, fold, EVERYTHING, batch_size=32)
    assert sum(model.asked) == len(report.users)
    assert max(model.asked) == 32


def test_an_oracle_is_told_whose_row_it_scores(scorer, make_fold):
    fold = make_fold(20, 10, seed=3)
    there = Fold(fold_in=fold.fold_in, targets=fold.targets, users=np.arange(20) + 100)
    table = np.full((120, 10), np.nan)
    table[100:] = fold.targets.toarray()
    assert evaluate(scorer(table), there, ["ndcg@10"])["ndcg@10"] == 1.0


def test_the_oracle_that_ranks_targets_first_is_exactly_one(fold, scorer):
    report = evaluate(scorer(fold.targets.toarray()), fold, ["ndcg@10", "recall@10", "map@10"])
    assert (report.values == 1.0).all(axis=None)


def test_constant_scores_are_all_tie_and_the_seed_decides(scorer, make_fold):
    fold = make_fold(400, 40, seed=2)
    flat = scorer(np.zeros((400, 40), dtype="float32"))
    reports = [evaluate(flat, fold, ["recall@5"], seed=seed) for seed in (0, 0, 1)]
    assert reports[0].protocol["tie_share"] == {"5": 1.0}
    assert reports[0].values.equals(reports[1].values)
    assert not reports[0].values.equals(reports[2].values)


def test_the_tie_share_counts_lists_whose_last_place_was_drawn(scorer):
    scores = np.array([[3, 2, 1, 0], [3, 2, 2, 0], [1, 0, 0, 0]], dtype="float32")
    fold = Fold(
        fold_in=sparse.csr_array((3, 4)),
        targets=sparse.csr_array(np.eye(4)[[0, 0, 0]]),
        users=np.arange(3),
    )
    shares = evaluate(scorer(scores), fold, ["mrr@1", "mrr@2", "mrr@4"]).protocol["tie_share"]
    assert shares == {"1": 0.0, "2": pytest.approx(2 / 3), "4": 0.0}


def test_relabeled_items_change_no_value(fold, noise, scorer):
    names = np.random.default_rng(4).permutation(30)
    moved = Fold(
        fold_in=sparse.csr_array(fold.fold_in.toarray()[:, names]),
        targets=sparse.csr_array(fold.targets.toarray()[:, names]),
        users=fold.users,
    )
    before = evaluate(noise, fold, EVERYTHING)
    after = evaluate(scorer(noise.scores[:, names]), moved, EVERYTHING)
    np.testing.assert_allclose(before.values, after.values, rtol=1e-12)
    assert before.totals == pytest.approx(after.totals)


def test_rating_errors_are_pooled_over_cells_and_clipped_to_the_ratings_shown(scorer):
    fold = Fold(
        fold_in=sparse.csr_array([[1.0, 5.0, 0, 0, 0], [3.0, 0, 0, 0, 0]]),
        targets=sparse.csr_array([[0, 0, 5.0, 4.0, 2.0], [0, 0, 0, 0, 1.0]]),
        users=np.arange(2),
    )
    scores = np.array([[0, 0, 9.0, 3.0, 2.0], [0, 0, 0, 0, -7.0]])
    report = evaluate(scorer(scores), fold, ["rmse", "mae"])
    assert report["rmse"] == pytest.approx(np.sqrt((0 + 1 + 0 + 0) / 4))  # 9 is read as 5, -7 as 1
    assert report["mae"] == pytest.approx(1 / 4)
    wide = evaluate(scorer(scores), fold, ["rmse"], rating_scale=(0, 6))
    assert wide["rmse"] == pytest.approx(np.sqrt((1 + 1 + 0 + 1) / 4))
    assert wide.protocol["rating_scale"] == [0, 6]


def test_ranking_counts_likes_only_while_rating_errors_count_every_cell(scorer):
    fold = Fold(
        fold_in=sparse.csr_array((2, 3)),
        targets=sparse.csr_array([[8.0, 2.0, 0], [0, 3.0, 0]]),
        users=np.arange(2),
    )
    report = evaluate(scorer(np.eye(3)[[0, 0]]), fold, ["recall@1", "rmse"], min_value=7.0)
    assert report["recall@1"] == 1.0
    assert report.users["n_targets"].tolist() == [1, 0]
    assert report.users["n_rated"].tolist() == [2, 1]
    assert report.table()["n_users"].tolist() == [1, 2]
    assert (report.items[1] == -1).all()  # whose targets are no likes has no list


def test_a_target_with_the_value_zero_counts(scorer):
    zero = sparse.csr_array((np.zeros(1, "float32"), [1], [0, 1]), shape=(1, 2))
    fold = Fold(fold_in=sparse.csr_array((1, 2)), targets=zero, users=np.array([0]))
    assert evaluate(scorer(np.array([[0.0, 1.0]])), fold, ["recall@1"])["recall@1"] == 1.0


def test_lists_longer_than_the_catalog_are_short_not_wrong(fold, noise):
    assert evaluate(noise, fold, ["recall@500"])["recall@500"] == 1.0


def test_lists_that_no_memory_holds_are_refused_before(fold, noise):
    with pytest.raises(MemoryError, match="Ranking .* lists of 1,000,000,000,000 items needs"):
        evaluate(noise, fold, ["ndcg@1000000000000"])


def test_novelty_is_counted_in_the_training_data_where_that_is_given(fold, noise):
    flat = evaluate(noise, fold, ["novelty@5"], item_counts=np.full(30, 9))
    assert flat["novelty@5"] == pytest.approx(np.log2(30))
    assert evaluate(noise, fold, ["novelty@5"])["novelty@5"] != flat["novelty@5"]


class Ranker:
    predicts = "rank"

    def score(self, user_items):
        return np.zeros(user_items.shape)


class Misshapen:
    def score(self, user_items):
        return np.zeros((user_items.shape[0], 3))


def test_misuse_is_answered_in_plain_words(fold, noise, scorer):
    with pytest.raises(ValueError, match="Misshapen gave"):
        evaluate(Misshapen(), fold)
    with pytest.raises(ValueError, match="Ranker ranks. Leave out rmse and mae"):
        evaluate(Ranker(), fold, ["ndcg@5", "rmse"])
    with pytest.raises(ValueError, match="must not be NaN"):
        evaluate(scorer(np.full((80, 30), np.nan)), fold)
    with pytest.raises(ValueError, match="must not be NaN"):
        evaluate(scorer(np.full((80, 30), np.nan)), fold, ["rmse"])
    with pytest.raises(ValueError, match="none of its 80 users has one"):
        evaluate(noise, fold, min_value=2.0)
    with pytest.raises(ValueError, match="`item_counts` must hold a number >= 0"):
        evaluate(noise, fold, ["novelty@5"], item_counts=np.ones(7))
    with pytest.raises(ValueError, match="`item_counts` must hold a number >= 0"):
        evaluate(noise, fold, ["novelty@5"], item_counts=np.full(30, np.nan))
    with pytest.raises(ValueError, match="`batch_size` must be >= 1"):
        evaluate(noise, fold, batch_size=0)


def test_neither_the_fold_nor_the_scores_are_changed(fold, noise):
    before = (fold.fold_in.copy(), fold.targets.copy(), noise.scores.copy())
    evaluate(noise, fold, EVERYTHING)
    assert (fold.fold_in != before[0]).nnz == 0
    assert (fold.targets != before[1]).nnz == 0
    np.testing.assert_array_equal(noise.scores, before[2])


def test_scores_may_be_sparse(fold):
    scorer = Rows(30)
    dense = evaluate(scorer, fold, EVERYTHING)
    scorer.weights = sparse.csr_array(scorer.weights)
    assert evaluate(scorer, fold, EVERYTHING).table().equals(dense.table())


def test_a_target_that_is_shown_is_refused_where_lists_are_measured(scorer):
    seen = sparse.csr_array([[0.0, 0, 1], [1, 1, 0]])
    both = Fold(fold_in=seen, targets=sparse.csr_array([[1.0, 0, 0], [0, 1, 0]]))
    model = scorer(np.ones((2, 3)))
    with pytest.raises(ValueError, match="1 are, first that of user 1 and item position 1"):
        evaluate(model, both, ["recall@2", "rmse"])
    assert evaluate(model, both, ["rmse"])["rmse"] == 0  # the error on what was trained on
