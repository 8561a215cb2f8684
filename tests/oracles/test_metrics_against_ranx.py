"""Ranking metrics against ranx, in a file of its own because ranx brings numba."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.evaluation.metrics import (
    find_hits,
    hit_rate_at_k,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)

# The cases are tiny, and compiling for them would take most of a minute.
numba = pytest.importorskip("numba", reason="numba comes with ranx, a development extra")
numba.config.DISABLE_JIT = True
ranx = pytest.importorskip("ranx", reason="ranx, a development extra, is not installed")

N_ROWS, N_ITEMS, K = 40, 30, 10


@pytest.fixture(scope="module")
def lists_and_targets() -> tuple[np.ndarray, sparse.csr_array]:
    rng = np.random.default_rng(2)
    lists = rng.permuted(np.tile(np.arange(N_ITEMS), (N_ROWS, 1)), axis=1)[:, :K]
    targets = rng.random((N_ROWS, N_ITEMS)) < rng.uniform(0.05, 0.7, (N_ROWS, 1))
    targets[np.arange(N_ROWS), rng.integers(N_ITEMS, size=N_ROWS)] = True
    return lists, sparse.csr_array(targets)


def ranx_values(lists: np.ndarray, targets: sparse.csr_array, metric: str) -> np.ndarray:
    rows = range(len(lists))
    qrels = ranx.Qrels({f"u{row}": {f"i{i}": 1 for i in targets[[row]].indices} for row in rows})
    run = ranx.Run(
        {f"u{row}": {f"i{i}": float(K - at) for at, i in enumerate(lists[row])} for row in rows}
    )
    ranx.evaluate(qrels, run, metric, make_comparable=True)
    return np.array([run.scores[metric][f"u{row}"] for row in rows])


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (ndcg_at_k, "ndcg"),
        (precision_at_k, "precision"),
        (hit_rate_at_k, "hit_rate"),
        (mrr_at_k, "mrr"),
    ],
)
def test_value_equals_that_of_ranx(lists_and_targets, metric, theirs):
    lists, targets = lists_and_targets
    np.testing.assert_allclose(
        metric(find_hits(lists, targets), K),
        ranx_values(lists, targets, f"{theirs}@{K}"),
        rtol=1e-12,
    )


@pytest.mark.parametrize(("metric", "theirs"), [(recall_at_k, "recall"), (map_at_k, "map")])
def test_value_equals_that_of_ranx_but_for_the_denominator(lists_and_targets, metric, theirs):
    # ranx divides by |targets| where Liang et al. divide by min(k, |targets|).
    lists, targets = lists_and_targets
    n_targets = np.diff(targets.indptr)
    assert (n_targets > K).any()
    rescaled = ranx_values(lists, targets, f"{theirs}@{K}") * n_targets / np.minimum(K, n_targets)
    np.testing.assert_allclose(metric(find_hits(lists, targets), K), rescaled, rtol=1e-12)
