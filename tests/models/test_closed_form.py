import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from recsys_lib import checks
from recsys_lib.models import EASE, EDLAE
from recsys_lib.models.ease import gram, invert, solve
from recsys_lib.models.knn import scale_rows

RNG = np.random.default_rng(0)


def rows(n_users, n_items, density=0.05):
    return sparse.random_array(
        (n_users, n_items), density=density, rng=np.random.default_rng(1), dtype=np.float32
    ).tocsr()


def test_both_solvers_give_the_same_scores_with_weights_of_rows_and_items():
    # More than one block on either side.
    x = rows(600, 700)
    ridge, weights = RNG.uniform(1, 3, 700), RNG.uniform(0.5, 2, 600)
    asked = rows(40, 700, density=0.1)
    weighted = scale_rows(x, np.sqrt(weights))
    by_items = solve(weighted, ridge, solver="items").score(asked)
    by_users = solve(weighted, ridge, solver="users").score(asked)
    assert np.abs(by_items).max() > 0.1
    assert_allclose(by_users, by_items, atol=2e-5)


def test_the_smaller_side_is_inverted():
    assert hasattr(solve(rows(30, 50), np.ones(50)), "kernel")
    assert hasattr(solve(rows(50, 30), np.ones(30)), "blocks")


def test_the_inverse_comes_in_the_memory_of_the_matrix():
    x = rows(800, 600)
    dense = x.toarray().astype(float)
    matrix = gram(x)
    matrix[np.diag_indices_from(matrix)] += 1
    inverse = invert(matrix)
    assert np.shares_memory(inverse, matrix)
    assert_allclose(inverse, np.linalg.inv(dense.T @ dense + np.eye(600)), atol=1e-5)


@pytest.mark.parametrize("solver", ["items", "users"])
def test_peak_memory_stays_below_two_and_a_half_times_the_matrix(solver):
    n = 2000
    x = rows(n, n, density=0.01)
    tracemalloc.start()
    EASE(l2=10.0, solver=solver).fit(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The bound is the issue's; a second matrix of the size would stand at 2.
    assert peak < 1.6 * 4 * n**2


def test_too_much_for_the_machine_is_said_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(checks, "available_memory", lambda: 10_000_000)
    x = rows(3000, 2500, density=0.001)
    tracemalloc.start()
    with pytest.raises(
        MemoryError, match=r"2500 x 2500 items needs about 0.1 GB of memory; 0.0 GB"
    ):
        EASE().fit(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_the_memory_that_counts_is_the_smaller_of_machine_and_container():
    assert 10_000_000 < checks.available_memory() < 10**15


def test_a_penalty_too_small_for_float32_names_the_remedy():
    twins = sparse.csr_array(np.full((300, 2), 1000.0, dtype="float32"))
    with pytest.raises(ValueError, match="`l2` must make the regressions solvable in float32"):
        EASE(l2=1e-6, solver="items").fit(twins)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"l2": 0.0}, "`l2` must be > 0; got 0.0"),
        ({"solver": "lu"}, "`solver` must be one of 'auto', 'items', 'users'; got 'lu'"),
        ({"dropout": 1.0}, "`dropout` must be a share"),
        ({"activity_power": -1.0}, "`activity_power` must be >= 0"),
        ({"popularity_discount": -0.1}, "`popularity_discount` must be >= 0"),
    ],
)
def test_wrong_settings_are_named_when_fitting(wrong, message):
    with pytest.raises(ValueError, match=message):
        EDLAE(**wrong).fit(rows(20, 10))


def test_edlae_without_dropout_is_ease():
    x = rows(60, 30, density=0.3)
    assert_allclose(EDLAE(l2=2.0, dropout=0.0).fit(x).score(x), EASE(l2=2.0).fit(x).score(x))


def test_a_user_who_counts_twice_is_a_user_who_came_twice():
    # Rows of 1 and 4 items: with power 1 the short one counts four times as much.
    dense = np.array([[1, 1, 1, 1, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 1]], dtype="float32")
    weights = np.array([1 / 4, 1, 1 / 2])
    weights /= weights.mean()
    repeated = sparse.csr_array(np.repeat(dense, np.array([1, 4, 2]), axis=0))
    asked = sparse.csr_array(np.eye(5, dtype="float32"))
    # Seven rows for weights that sum to 3: the penalty is scaled alike.
    expected = EDLAE(l2=7 / 3, dropout=0.3).fit(repeated).score(asked)
    model = EDLAE(l2=1.0, dropout=0.3, activity_power=1.0).fit(sparse.csr_array(dense))
    assert_allclose(model.score(asked), expected, atol=1e-6)


def test_the_discount_divides_scores_by_a_power_of_the_number_of_users():
    x = rows(60, 30, density=0.3)
    plain, discounted = EDLAE().fit(x), EDLAE(popularity_discount=0.5).fit(x)
    counts = np.bincount(x.indices, minlength=30)
    ratio = plain.score(x)[0] / discounted.score(x)[0]
    assert_allclose(ratio / ratio[0], np.sqrt(counts / counts[0]), rtol=1e-4)


def test_reasons_are_looked_up_in_the_weights_wherever_these_lie() -> None:
    x = sparse.random_array((900, 600), density=0.02, rng=np.random.default_rng(3), format="csr")
    x = sparse.csr_array(x, dtype=np.float32)
    model, items = EDLAE(l2=5.0, popularity_discount=0.3).fit(x), np.array([599, 3, 256, 511, 255])
    row = x[[np.diff(x.indptr).argmax()]]
    alone = sparse.diags_array(row.data).tocsr() @ sparse.eye_array(600, format="csr")[row.indices]
    expected = model.score(sparse.csr_array(alone))[:, items]
    assert_allclose(model.gains(row, items), expected, rtol=1e-5)
    assert np.abs(expected).min(axis=0).max() > 0
