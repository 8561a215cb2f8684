import math
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from recsys_lib import checks
from recsys_lib.models import EASE, KernelAE

RNG = np.random.default_rng(0)
LIKES = sparse.csr_array((RNG.random((30, 4)) < 0.5).astype(np.float32))


def products_of_entries(rows: np.ndarray, gamma: float, order: int) -> np.ndarray:
    """Every product of up to `order` entries, weighted as in the derivation."""
    columns = []
    for m in range(order + 1):
        scale = math.sqrt(gamma**m / math.factorial(m) * math.exp(-gamma))
        columns += [
            scale * np.prod(rows[:, list(places)], axis=1)
            for places in product(range(rows.shape[1]), repeat=m)
        ]
    return np.column_stack(columns)


def test_it_is_the_ridge_regression_on_all_products_of_entries():
    x = LIKES[np.diff(LIKES.indptr) > 0].toarray().astype(float)
    weighted = x * x.sum(axis=0) ** -0.3
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    features = products_of_entries(unit, gamma=0.5, order=4)
    ridge = features.T @ features + 0.2 * np.eye(features.shape[1])
    expected = features @ np.linalg.solve(ridge, features.T @ x)
    model = KernelAE(sharpness=0.5, l2=0.4 * math.exp(0.5), popularity_power=0.3).fit(
        sparse.csr_array(x)
    )
    # What the orders above 4 add is below 1e-3; a kernel without its powers is off by 0.1.
    assert_allclose(model.score(sparse.csr_array(x)), expected, atol=2e-3)
    single = products_of_entries(unit, gamma=0.5, order=1)
    ridge = single.T @ single + 0.2 * np.eye(single.shape[1])
    assert np.abs(single @ np.linalg.solve(ridge, single.T @ x) - expected).max() > 0.03


def test_it_can_say_that_two_items_together_mean_what_neither_means_alone():
    # Item 3 belongs to those who hold exactly one of 0 and 1; item 2 is held by everybody.
    patterns = [[0, 0, 1, 0], [1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 0]]
    x = sparse.csr_array(np.tile(patterns, (10, 1)).astype(np.float32))
    asked = sparse.csr_array(np.array([[1, 0, 1, 0], [1, 1, 1, 0]], dtype="float32"))
    one, both = KernelAE(sharpness=8.0, l2=4.0).fit(x).score(asked)[:, 3]
    assert one > 0.1 > 0.01 > both
    single, sum_of_both = EASE(l2=0.01).fit(x).score(asked)[:, 3]
    assert single < sum_of_both


def test_with_all_users_as_landmarks_the_regression_is_the_exact_solution():
    x = sparse.random_array((80, 20), density=0.3, rng=np.random.default_rng(3)).tocsr()
    x = x[np.diff(x.indptr) > 0]
    exact = KernelAE(sharpness=2.0, l2=0.3).fit(x)
    squared = KernelAE(sharpness=2.0, l2=0.3, landmarks=x.shape[0])
    squared.item_weights_, squared.users_ = exact.item_weights_, exact.users_
    squared.sharpness_ = 2.0
    rows = exact._unit_rows(x.astype(np.float32))
    assert_allclose(
        squared._solve_landmarks(x.astype(np.float32), rows), exact.coefficients_, atol=1e-3
    )


def test_fewer_landmarks_than_users_come_near_to_the_exact_scores():
    taste = np.random.default_rng(2).random((200, 3)) @ np.random.default_rng(3).random((3, 20))
    x = sparse.csr_array((taste > np.quantile(taste, 0.7)).astype(np.float32))
    exact = KernelAE().fit(x).score(x)
    near = KernelAE(landmarks=60).fit(x)
    assert near.coefficients_.shape == (60, 20)
    assert np.corrcoef(near.score(x).ravel(), exact.ravel())[0, 1] > 0.98


def test_too_many_users_for_the_machine_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(checks, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="A kernel of 30 users .* Use fewer `landmarks`"):
        KernelAE().fit(LIKES)


@pytest.mark.parametrize("name", ["sharpness", "l2"])
def test_wrong_settings_are_named_when_fitting(name):
    with pytest.raises(ValueError, match=f"`{name}` must be > 0"):
        KernelAE(**{name: 0.0}).fit(LIKES)


def test_a_power_may_be_a_whole_number():
    rows = sparse.csr_array(np.eye(4, dtype=np.float32) + np.eye(4, k=1, dtype=np.float32))
    whole, real = (KernelAE(popularity_power=power).fit(rows).score(rows) for power in (1, 1.0))
    np.testing.assert_array_equal(whole, real)


def test_a_vanishing_sharpness_is_the_linear_autoencoder_with_the_same_penalty():
    x = LIKES[np.diff(LIKES.indptr) > 0].toarray().astype(float)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    centered = np.column_stack([unit, np.full(len(x), 1e3)])  # a constant that costs nothing
    ridge = centered.T @ centered + 2.0 * np.eye(5)
    expected = centered @ np.linalg.solve(ridge, centered.T @ x)
    asked = sparse.csr_array(x)
    model = KernelAE(sharpness=0.02, l2=2.0, popularity_power=0.0).fit(asked)
    assert_allclose(model.score(asked), expected, atol=0.01)
    # The nearest wrong penalty, the same against the whole kernel, shrinks the linear part away.
    model.l2 = 2.0 / (0.02 * math.exp(-0.02))
    assert np.abs(model.fit(asked).score(asked) - expected).max() > 0.1


def test_without_a_penalty_it_is_four_times_the_users_of_an_item_of_the_catalog():
    # 30 users for 4 items; twice the users with the same rows bear twice the penalty.
    for rows, l2 in ((LIKES, 30.0), (sparse.csr_array(sparse.vstack([LIKES, LIKES])), 60.0)):
        given = KernelAE(sharpness=2.0, l2=l2).fit(rows).score(LIKES)
        assert_allclose(KernelAE(sharpness=2.0).fit(rows).score(LIKES), given, rtol=1e-5)
        assert np.abs(KernelAE(sharpness=2.0, l2=4.0).fit(rows).score(LIKES) - given).max() > 0.05


def test_the_more_users_an_item_has_the_sharper_is_the_kernel():
    rng = np.random.default_rng(0)
    for density, expected in ((0.01, 2.0), (0.2, 2 + 0.3 * math.log(20)), (1e-9, 0.5)):
        rows = sparse.csr_array(
            (rng.permutation(20_000).reshape(100, 200) < 20_000 * density) * 1.0
        )
        model = KernelAE().fit(rows.astype(np.float32))
        assert model.sharpness_ == pytest.approx(expected)
    assert KernelAE(sharpness=3.0).fit(LIKES).sharpness_ == 3.0


def test_a_score_without_nearly_all_of_a_row_is_no_accident_of_rounding():
    x = sparse.random_array((60, 30), density=0.3, rng=np.random.default_rng(0), format="csr")
    model = KernelAE().fit(sparse.csr_array(x > 0, dtype=np.float32))
    row = sparse.csr_array(np.eye(1, 30, dtype=np.float32) * 1e4 + np.eye(1, 30, 1) * 1e-3)
    row = sparse.csr_array(row, dtype=np.float32)
    found = model.score(row) - model.gains(row, np.arange(30))
    assert_allclose(found[0], model.score(row * sparse.csr_array(np.eye(1, 30, 1)))[0], rtol=0.05)
    assert np.isfinite(found).all()
