"""Ranking metrics against slow, obvious loops over users, and against scikit-learn."""

import math

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import ndcg_score

from recsys_lib.evaluation.metrics import find_hits, map_at_k, mrr_at_k, ndcg_at_k, recall_at_k

N_ITEMS = 40


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, sparse.csr_array]:
    """Scores without ties, and 1 to 25 targets per user."""
    rng = np.random.default_rng(1)
    scores = rng.permuted(np.tile(np.arange(N_ITEMS, dtype=float), (60, 1)), axis=1)
    targets = np.zeros((60, N_ITEMS))
    for row in range(60):
        targets[row, rng.choice(N_ITEMS, size=rng.integers(1, 26), replace=False)] = 1
    return scores, sparse.csr_array(targets)


def lists_of(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, axis=1)


def liang_ndcg(listed: list[int], wanted: set[int], k: int) -> float:
    """NDCG_binary_at_k_batch of the authors' notebook, user by user, in plain Python."""
    gain = sum(1 / math.log2(place + 2) for place in range(k) if listed[place] in wanted)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
    return gain / ideal


def liang_recall(listed: list[int], wanted: set[int], k: int) -> float:
    return len(set(listed[:k]) & wanted) / min(k, len(wanted))


def average_precision(listed: list[int], wanted: set[int], k: int) -> float:
    found, total = 0, 0.0
    for place in range(k):
        if listed[place] in wanted:
            found += 1
            total += found / (place + 1)
    return total / min(k, len(wanted))


def reciprocal_rank(listed: list[int], wanted: set[int], k: int) -> float:
    for place in range(k):
        if listed[place] in wanted:
            return 1 / (place + 1)
    return 0.0


@pytest.mark.parametrize("k", [1, 5, 20, N_ITEMS])
@pytest.mark.parametrize(
    ("metric", "by_loop"),
    [
        (ndcg_at_k, liang_ndcg),
        (recall_at_k, liang_recall),
        (map_at_k, average_precision),
        (mrr_at_k, reciprocal_rank),
    ],
)
def test_each_value_equals_the_loop(case, metric, by_loop, k):
    scores, targets = case
    lists = lists_of(scores)
    slow = [
        by_loop(lists[row].tolist(), set(targets[[row]].indices.tolist()), k)
        for row in range(len(lists))
    ]
    np.testing.assert_allclose(metric(find_hits(lists, targets), k), slow, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 5, 20, N_ITEMS])
def test_ndcg_equals_that_of_scikit_learn(case, k):
    scores, targets = case
    dense = targets.toarray()
    theirs = [ndcg_score(dense[[row]], scores[[row]], k=k) for row in range(len(scores))]
    np.testing.assert_allclose(
        ndcg_at_k(find_hits(lists_of(scores), targets), k), theirs, rtol=1e-12
    )
