"""Distances within lists by loops, and their changes with intervals."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.evaluation import list_distance, variety_table


def test_the_distance_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    lists = np.array([rng.permutation(12)[:5] for _ in range(6)])
    lists[1, 3:], lists[2, 1:], lists[3] = -1, -1, -1
    for form in (features, sparse.csr_array(features)):
        found = list_distance(lists, form)
        for row, items in enumerate(lists):
            kept = items[items >= 0]
            pairs = [1 - features[a] @ features[b] for a in kept for b in kept if a != b]
            wanted = np.mean(pairs) if pairs else np.nan
            assert found[row] == pytest.approx(wanted, nan_ok=True)


def test_changes_are_paired_and_the_first_setting_is_the_measure() -> None:
    rng = np.random.default_rng(1)
    features = np.repeat(np.eye(10), 3, axis=0)
    targets = sparse.csr_array((rng.random((200, 30)) < 0.2).astype(np.float32))
    near = np.array([rng.permutation(30)[:6] for _ in range(200)])
    near[:, 1] = near[:, 0] // 3 * 3 + (near[:, 0] + 1) % 3
    far = near.copy()
    far[:, 1] = (near[:, 1] + 15) % 30
    table = variety_table({0.0: near, 0.5: far, 0.6: near}, targets, features, n_resamples=500)
    assert table.loc[0.6].drop("distance").equals(table.loc[0.0].drop("distance"))
    assert (table.loc[0.0, ["distance_change", "ndcg_low", "ndcg_high"]] == 0).all()
    row = table.loc[0.5]
    assert 0 < row["distance_low"] < row["distance_change"] < row["distance_high"]
    assert row["ndcg_low"] < row["ndcg_change"] < row["ndcg_high"]
    assert row["distance_change"] == pytest.approx(row["distance"] / table["distance"][0.0] - 1)
