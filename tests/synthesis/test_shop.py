import numpy as np
import pytest
from numpy.testing import assert_array_equal

from recsys_lib.synthesis import make_shop


def test_a_shop_is_sparse_long_tailed_and_the_same_for_a_seed():
    likes = make_shop(2_000, 3_000, 40_000, seed=1)
    assert_array_equal(likes.indices, make_shop(2_000, 3_000, 40_000, seed=1).indices)
    assert (likes.data == 1).all()
    assert likes.has_canonical_format
    per_item = np.sort(np.bincount(likes.indices, minlength=3_000))[::-1]
    assert per_item[:300].sum() > 0.4 * likes.nnz
    assert np.diff(likes.indptr).max() > 5 * likes.nnz / 2_000
    assert per_item[0] < 0.1 * likes.nnz


def test_people_keep_to_their_tastes():
    likes = make_shop(2_000, 3_000, 40_000)
    together = (likes.T @ likes).tocoo()
    pairs = (together.row < together.col) & (together.data >= 5)
    counts = np.bincount(likes.indices, minlength=3_000)
    by_chance = counts[together.row] * counts[together.col] / 2_000
    # Without tastes, pairs that many use together are pairs of popular items.
    assert (together.data[pairs] > 3 * by_chance[pairs]).mean() > 0.5


def test_a_shop_beyond_the_memory_is_refused_before_it_is_drawn():
    with pytest.raises(MemoryError, match=r"A shop of 1,000,000,000 items needs .* Draw fewer"):
        make_shop(10**9, 10**9, 10**10)


def test_a_shop_of_one_item_is_no_error():
    assert make_shop(3, 1, 5).shape == (3, 1)
