import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib.models import Popularity
from recsys_lib.models.baselines import answer_empty_rows

LIKES = sparse.csr_array(np.array([[1, 1, 0], [0, 3, 0], [0, 1, 1], [0, 1, 0]], dtype="float32"))


def test_shares_count_users_whatever_the_values_are():
    assert_allclose(Popularity(damping=0).fit(LIKES).score(LIKES)[0], [0.25, 1, 0.25])


def test_damping_draws_shares_to_the_mean_share_and_keeps_the_order():
    # The mean share is 1/2, so four imagined users add 2 to each count.
    assert_allclose(Popularity(damping=4).fit(LIKES).score(LIKES)[0], [3 / 8, 6 / 8, 3 / 8])


def test_negative_damping_is_refused_when_fitting():
    with pytest.raises(ValueError, match="`damping` must be >= 0; got -1"):
        Popularity(damping=-1).fit(LIKES)


def test_rows_without_a_say_get_the_answer_and_others_keep_their_scores():
    rows = LIKES.copy()
    rows.data[:2] = 0  # stored zeros say nothing either
    scores = np.zeros((4, 3), dtype=np.float32)
    answered = answer_empty_rows(scores, rows, np.array([3, 2, 1], dtype=np.float32))
    assert_array_equal(answered[0], [3, 2, 1])
    assert not answered[1:].any()
