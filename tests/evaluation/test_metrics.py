"""Ranking metrics against hand values, and the laws every one of them keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib.dataset import keep_entries
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import metrics
from recsys_lib.evaluation.metrics import (
    coverage,
    exposure,
    find_hits,
    gini,
    hit_rate_at_k,
    known_metrics,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    novelty_at_k,
    parse_metric,
    parse_metrics,
    precision_at_k,
    recall_at_k,
    tail_items,
    tail_recall_at_k,
)

ALL = (hit_rate_at_k, map_at_k, mrr_at_k, ndcg_at_k, precision_at_k, recall_at_k)
PERFECT_IS_ONE = tuple(metric for metric in ALL if metric is not precision_at_k)


def targets_of(*rows: list[int]) -> sparse.csr_array:
    return sparse.csr_array(np.array(rows, dtype="float32"))


@st.composite
def ranked(draw: st.DrawFn) -> tuple[np.ndarray, sparse.csr_array, int]:
    """Random lists, targets (some users have none) and a list length."""
    n_items = draw(st.integers(2, 12))
    n_rows = draw(st.integers(1, 4))
    k = draw(st.integers(1, n_items))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lists = np.stack([rng.permutation(n_items)[:k] for _ in range(n_rows)])
    return lists, sparse.csr_array(rng.random((n_rows, n_items)) < 0.4), k


def test_values_are_those_computed_by_hand():
    # Targets 1, 3, 4; the list of four holds 3 in place 1 and 1 in place 4.
    hits = find_hits([[3, 0, 2, 1]], targets_of([0, 1, 0, 1, 1]))
    assert recall_at_k(hits, 4) == pytest.approx([2 / 3])
    assert recall_at_k(hits, 2) == pytest.approx([1 / 2])  # min(k, targets), not targets
    assert precision_at_k(hits, 4) == pytest.approx([2 / 4])
    assert map_at_k(hits, 4) == pytest.approx([(1 / 1 + 2 / 4) / 3])
    assert mrr_at_k(hits, 4) == pytest.approx([1.0])
    assert hit_rate_at_k(hits, 1) == pytest.approx([1.0])
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert ndcg_at_k(hits, 4) == pytest.approx([(1 + 1 / np.log2(5)) / ideal])


def test_padding_is_never_a_hit_although_the_last_item_is_a_target():
    hits = find_hits([[0, -1], [-1, -1]], targets_of([0, 0, 1], [0, 0, 1]))
    assert not hits.hit.any()


def test_a_target_of_the_next_user_is_not_a_hit():
    hits = find_hits([[0, 1, 2], [0, 1, 2]], targets_of([0, 0, 0], [1, 0, 0]))
    assert hits.hit.tolist() == [[False] * 3, [True, False, False]]


def test_unsorted_targets_give_the_same_hits():
    matrix = sparse.csr_array((np.ones(3), [2, 0, 1], [0, 2, 3]), shape=(2, 3))
    assert not matrix.has_sorted_indices
    assert find_hits([[0, 2], [1, 0]], matrix).hit.tolist() == [[True, True], [True, False]]


def test_a_stored_zero_is_a_target():
    zero = sparse.csr_array((np.zeros(1), [1], [0, 1]), shape=(1, 2))
    assert recall_at_k(find_hits([[1]], zero), 1) == 1.0


@pytest.mark.parametrize("metric", ALL)
def test_a_user_without_targets_has_no_value(metric):
    assert np.isnan(metric(find_hits([[0, 1]], targets_of([0, 0])), 2)).all()


def test_lists_that_are_too_short_are_named():
    with pytest.raises(ValueError, match="must not exceed the length of the lists, 1; got 2"):
        recall_at_k(find_hits([[0]], targets_of([1, 0])), 2)


@given(ranked())
def test_every_value_lies_in_the_unit_interval(case):
    lists, targets, k = case
    for metric in ALL:
        values = metric(find_hits(lists, targets), k)
        assert (np.isnan(values) == (np.diff(targets.indptr) == 0)).all()
        assert ((values >= 0) & (values <= 1 + 1e-12))[~np.isnan(values)].all()


@given(ranked(), st.data())
def test_moving_a_hit_up_never_lowers_a_value(case, data):
    lists, targets, k = case
    place = data.draw(st.integers(0, k - 1))
    higher = data.draw(st.integers(0, place))
    before = find_hits(lists, targets)
    swap = before.hit[:, place] & ~before.hit[:, higher]
    moved = lists.copy()
    moved[swap, higher], moved[swap, place] = lists[swap, place], lists[swap, higher]
    for metric in ALL:
        old, new = metric(before, k), metric(find_hits(moved, targets), k)
        assert (np.isnan(old) | (new >= old - 1e-12)).all()
    # The metrics that look at places see it, unless nothing moved.
    if swap.any() and higher < place:
        gain = ndcg_at_k(find_hits(moved, targets), k) - ndcg_at_k(before, k)
        assert (gain[swap] > 0).all()


@given(ranked(), st.randoms(use_true_random=False))
def test_relabeled_items_change_nothing(case, random):
    lists, targets, k = case
    names = list(range(targets.shape[1]))
    random.shuffle(names)
    renamed = np.array(names)
    inverse = np.argsort(renamed)
    for metric in ALL:
        np.testing.assert_array_equal(
            metric(find_hits(lists, targets), k),
            metric(find_hits(renamed[lists], targets[:, inverse]), k),
        )


@given(ranked())
def test_a_list_that_starts_with_the_targets_is_exactly_one(case):
    _, targets, k = case
    perfect = np.argsort(-targets.toarray().astype(int), axis=1, kind="stable")[:, :k]
    has_targets = np.diff(targets.indptr) > 0
    for metric in PERFECT_IS_ONE:
        assert (metric(find_hits(perfect, targets), k)[has_targets] == 1.0).all()


def test_random_lists_give_the_value_that_chance_gives():
    # Of n items r are targets and k are listed: a place is a hit with chance r / n, so
    # E recall = k / n where k <= r is not binding, and E precision = r / n.
    rng = np.random.default_rng(0)
    n_rows, n_items, n_targets, k = 20_000, 50, 10, 20
    lists = rng.permuted(np.tile(np.arange(n_items), (n_rows, 1)), axis=1)[:, :k]
    targets = sparse.csr_array(np.tile(np.arange(n_items) < n_targets, (n_rows, 1)))
    hits = find_hits(lists, targets)
    discount = 1 / np.log2(np.arange(2, k + 2))
    expected_ndcg = (n_targets / n_items) * discount.sum() / discount[:n_targets].sum()
    for values, expected in (
        (recall_at_k(hits, k), k / n_items),
        (precision_at_k(hits, k), n_targets / n_items),
        (ndcg_at_k(hits, k), expected_ndcg),
    ):
        assert values.mean() == pytest.approx(expected, abs=4 * values.std() / np.sqrt(n_rows))


def test_every_known_name_parses_to_itself_with_a_definition_and_a_source():
    for name in known_metrics():
        metric = parse_metric(name.replace("@k", "@7"))
        assert metric.k == (7 if "@k" in name else None)
        assert metric.definition.endswith(".")
        assert "References" in metrics._COMPUTED_BY[metric.family].__doc__


@pytest.mark.parametrize(("name", "near"), [("ndgc@10", "ndcg"), ("Recall@5", "recall")])
def test_a_near_name_is_proposed(name, near):
    with pytest.raises(ConfigError, match=f"got '{name}'. Did you mean '{near}'"):
        parse_metric(name)


@pytest.mark.parametrize("name", ["ndgc@10", "NDCG@10", "", "accuracy", 10, None])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ConfigError, match=r"ndcg@k.*rmse|string such as 'ndcg@100'"):
        parse_metric(name)


@pytest.mark.parametrize("name", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg@²"])
def test_a_ranking_metric_needs_a_list_length(name):
    with pytest.raises(ConfigError, match="needs a list length >= 1"):
        parse_metric(name)


def test_a_rating_error_has_no_list_length():
    with pytest.raises(ConfigError, match="has no list length"):
        parse_metric("rmse@10")


def test_no_metric_at_all_is_an_error_and_a_lone_string_is_one_metric():
    with pytest.raises(ConfigError, match="must name at least one"):
        parse_metrics([])
    with pytest.raises(ConfigError, match="must name at least one"):
        parse_metrics(None)
    assert [metric.name for metric in parse_metrics("mae")] == ["mae"]


def test_two_spellings_of_one_metric_are_one_column():
    assert [metric.name for metric in parse_metrics(["ndcg@010", "ndcg@10"])] == ["ndcg@10"]


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
