"""Coverage, exposure, novelty and the tail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib.evaluation.metrics import (
    coverage,
    exposure,
    gini,
    novelty_at_k,
    tail_items,
    tail_recall_at_k,
)
from recsys_lib.folds import keep_entries

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=20)


@given(COUNTS)
def test_gini_is_half_the_mean_difference_over_the_mean(counts):
    array = np.array(counts, dtype=float)
    if array.sum() == 0:
        assert np.isnan(gini(array))
        return
    differences = np.abs(array[:, None] - array[None, :]).mean()
    assert gini(array) == pytest.approx(differences / (2 * array.mean()))


def test_exposure_ignores_padding_and_coverage_counts_items_once():
    lists = np.array([[0, 1], [1, -1], [1, 0]])
    assert exposure(lists, 4).tolist() == [2, 3, 0, 0]
    assert coverage(exposure(lists, 4)) == 0.5


def test_novelty_is_a_mean_over_the_listed_items_only():
    counts = np.array([30, 14, 0, 0])  # with one more each: 31, 15, 1, 1 of 48
    bits = -np.log2(np.array([31, 15, 1, 1]) / 48)
    values = novelty_at_k(np.array([[0, 2, 1], [1, -1, -1], [-1, -1, -1]]), counts, k=2)
    np.testing.assert_allclose(values, [bits[[0, 2]].mean(), bits[1], np.nan])


@given(COUNTS)
def test_the_head_is_the_fewest_items_that_hold_a_third(counts):
    array = np.array(counts)
    tail = tail_items(array)
    head = array[~tail]
    assert head.min() > array[tail].max(initial=-1)
    if array.sum():
        assert head.sum() >= array.sum() / 3
        without_last_level = head[head > head.min()]
        assert without_last_level.sum() < array.sum() / 3


def test_tail_recall_divides_by_the_tail_targets_that_fit():
    targets = sparse.csr_array([[1, 1, 1, 0], [1, 0, 0, 0]])
    tail = np.array([False, True, True, True])
    values = tail_recall_at_k(np.array([[0, 1], [0, 1]]), targets, tail, k=2)
    np.testing.assert_array_equal(values, [0.5, np.nan])


def test_kept_entries_keep_their_rows_and_stored_zeros():
    matrix = sparse.csr_array((np.array([0.0, 2, 3]), [0, 2, 1], [0, 2, 2, 3]), shape=(3, 3))
    kept = keep_entries(matrix, np.array([True, False, True]))
    assert kept.nnz == 2
    assert kept.tocoo().row.tolist() == [0, 2]
    assert kept.indices.tolist() == [0, 1]
