"""Ranked lists: ties, masks and short lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from recsys_lib import ranking
from recsys_lib.ranking import negative_log_likelihood, ties_at, top_k
from recsys_lib.seeding import rng_from

# Few distinct values, so that ties are common.
SCORES = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 12)),
    elements=st.sampled_from([-np.inf, -1.5, -0.5, 0.0, 0.25, 2.0]),
)


@given(scores=SCORES, k=st.integers(1, 15))
def test_lists_are_the_best_scores_in_order(scores: np.ndarray, k: int) -> None:
    top = top_k(scores, k)
    for row in range(len(scores)):
        finite = np.sort(scores[row][np.isfinite(scores[row])])[::-1][:k]
        listed = top.items[row] >= 0
        assert listed.sum() == len(finite)
        assert not listed[len(finite) :].any()
        np.testing.assert_array_equal(top.scores[row][listed], finite)
        np.testing.assert_array_equal(scores[row][top.items[row][listed]], finite)
        assert np.isneginf(top.scores[row][~listed]).all()
        assert len(set(top.items[row][listed])) == listed.sum()


def test_a_length_that_no_memory_holds_is_said_before() -> None:
    with pytest.raises(MemoryError, match="Ranking 2 lists of .* Ask for at most 3, the number"):
        top_k(np.zeros((2, 3)), 10**12)


def test_places_beyond_the_catalog_cost_no_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    best = ranking._Best
    monkeypatch.setattr(ranking, "_Best", lambda *told: widths.append(told[1]) or best(*told))
    top = top_k(np.array([[1.0, 2.0, -np.inf]]), 100_000)
    assert widths == [3]
    assert top.items[0, :3].tolist() == [1, 0, -1]
    assert top.items.shape == top.scores.shape == (1, 100_000)
    assert np.isneginf(top.scores[0, 2:]).all()


def sorted_whole(scores: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Lists by sorting everything: by score, then by the permutation of the seed."""
    order = rng_from(seed, "ties").permutation(scores.shape[1])
    items = np.full((len(scores), k), -1)
    for row, values in enumerate(scores):
        ranked = [i for i in np.lexsort((order, -values)) if values[i] > -np.inf][:k]
        items[row, : len(ranked)] = ranked
    return items


@given(
    scores=SCORES,
    k=st.integers(1, 15),
    seed=st.integers(0, 3),
    width=st.sampled_from([1, 2, 5, 99]),
)
def test_blocks_of_any_width_give_what_sorting_everything_gives(
    scores: np.ndarray, k: int, seed: int, width: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "_TILE", 1)
        patched.setattr(ranking, "_LEAST_WIDTH", width)
        top = top_k(scores, k, seed=seed)
    np.testing.assert_array_equal(top.items, sorted_whole(scores, k, seed))


@pytest.mark.parametrize("kind", ["distinct", "rounded", "zeros", "mostly hidden"])
def test_long_rows_are_ranked_as_by_sorting_everything(kind: str) -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(7, 9000)).astype(np.float32)
    if kind == "rounded":
        scores = scores.round(1)
    if kind in ("zeros", "mostly hidden"):
        rest = 0.0 if kind == "zeros" else -np.inf
        scores[rng.random(scores.shape) > 0.005] = rest
    hidden = sparse.random_array(scores.shape, density=0.05, rng=rng).tocsr()
    shown = scores.copy()
    shown[hidden.nonzero()] = -np.inf
    for k in (1, 10, 120):
        top = top_k(scores, k, exclude=hidden, seed=4)
        np.testing.assert_array_equal(top.items, sorted_whole(shown, k, 4))
        there = top.items >= 0
        expected = np.take_along_axis(shown, np.maximum(top.items, 0), axis=1)
        np.testing.assert_array_equal(top.scores, np.where(there, expected, -np.inf))


@given(scores=SCORES, k=st.integers(1, 15), seed=st.integers(0, 3))
def test_a_shorter_list_is_the_head_of_a_longer_one(scores: np.ndarray, k: int, seed: int) -> None:
    np.testing.assert_array_equal(
        top_k(scores, k, seed=seed).items, top_k(scores, k + 1, seed=seed).items[:, :k]
    )


def test_ties_do_not_favor_low_positions() -> None:
    level = np.zeros((1, 100), dtype=np.float32)
    firsts = [int(top_k(level, 1, seed=seed).items[0, 0]) for seed in range(200)]
    # Uniform over 100 positions: the mean of 200 draws is 49.5 +- 2; position order would give 0.
    assert abs(np.mean(firsts) - 49.5) < 8


def test_seen_items_are_never_listed_even_with_negative_scores() -> None:
    scores = np.array([[-1.2, -0.3, -5, -2, 0.8, -4]], dtype=np.float32)
    seen = sparse.csr_array(np.array([[0, 1, 0, 0, 1, 0]], dtype=np.float32))
    before = scores.copy()
    assert top_k(scores, 3, exclude=seen).items.tolist() == [[0, 3, 5]]
    np.testing.assert_array_equal(scores, before)


def test_a_stored_zero_counts_as_seen() -> None:
    seen = sparse.csr_array((np.zeros(1, np.float32), ([0], [1])), shape=(1, 3))
    scores = np.array([[1, 3, 2]], dtype=np.float32)
    assert top_k(scores, 1, exclude=seen).items.tolist() == [[2]]


def test_nan_scores_are_refused_by_row() -> None:
    with pytest.raises(ValueError, match="row 1 holds NaN"):
        top_k(np.array([[0, 1], [np.nan, 1]], dtype=np.float32), 1)


def test_ties_are_cuts_through_equal_scores() -> None:
    scores = np.array([[3, 2, 2, 1], [3, 2, 1, 0], [-np.inf] * 4, [1, 1, 1, 1]], np.float32)
    assert ties_at(top_k(scores, 3).scores, 2).tolist() == [True, False, False, True]
    assert not ties_at(top_k(scores, 5).scores, 4).any()


def test_negative_log_likelihood_is_the_loop_over_targets():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 6)).astype("float32")
    kinds = rng.integers(3, size=(4, 6))
    seen, targets = (sparse.csr_array((kinds == kind).astype("float32")) for kind in (1, 2))
    losses = []
    for row, item in zip(*targets.nonzero(), strict=True):
        odds = np.exp(scores[row]) * (kinds[row] != 1)
        losses.append(-np.log(odds[item] / odds.sum()))
    assert negative_log_likelihood(scores, seen, targets) == pytest.approx(np.mean(losses))
    assert np.isnan(negative_log_likelihood(scores, seen, sparse.csr_array((4, 6))))
