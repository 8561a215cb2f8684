"""Argument checks refuse what they must and leave the argument alone."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib import checks
from recsys_lib.dataset import Fold
from recsys_lib.errors import NotFittedError


def test_any_sparse_format_becomes_canonical_float32_csr() -> None:
    dense = np.array([[0, 2, 1], [3, 0, 0]])
    for form in ("csr", "csc", "coo", "lil", "dok"):
        found = checks.check_user_items(sparse.coo_array(dense).asformat(form))
        assert (found.format, found.dtype) == ("csr", np.float32)
        np.testing.assert_array_equal(found.toarray(), dense)


def test_diagonals_with_zeros_in_them_are_no_duplicates() -> None:
    dense = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 2]])
    assert checks.check_user_items(sparse.dia_array(dense)).toarray().tolist() == dense.tolist()


def test_unsorted_input_is_sorted_in_a_copy() -> None:
    x = sparse.csr_array((np.array([1, 2], np.float32), np.array([2, 0]), np.array([0, 2])), (1, 3))
    found = checks.check_user_items(x)
    assert found.indices.tolist() == [0, 2]
    assert x.indices.tolist() == [2, 0]


def test_explicit_zeros_stay_observations() -> None:
    x = sparse.csr_array((np.zeros(1, np.float32), ([0], [1])), shape=(1, 3))
    assert checks.check_user_items(x).nnz == 1


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.eye(2), TypeError, "must be a SciPy sparse array"),
        (sparse.csr_array(np.eye(2)) * 1j, ValueError, "must hold real numbers"),
        (sparse.csr_array([[1.0, 0], [np.nan, 1]]), ValueError, "row 1 holds NaN"),
        (sparse.csr_array([[np.inf, 0]]), ValueError, "row 0 holds NaN or infinity"),
        (sparse.coo_array(([1, 1], ([0, 0], [1, 1])), (1, 2)), ValueError, "each user-item pair"),
        (
            sparse.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2])), (1, 2)),
            ValueError,
            "each user-item pair once",
        ),
    ],
)
def test_bad_matrices_are_refused(bad: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        checks.check_user_items(bad)


def test_other_columns_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="the 5 item columns .*; got 2"):
        checks.check_user_items(sparse.eye_array(2), n_items=5)


def test_an_unfitted_model_says_so() -> None:
    with pytest.raises(NotFittedError, match="object must be fitted"):
        checks.check_is_fitted(object(), "weights_")


@pytest.mark.parametrize(
    ("check", "value", "error"),
    [
        (checks.check_positive, 0, ValueError),
        (checks.check_positive, float("nan"), ValueError),
        (checks.check_positive, "1", TypeError),
        (checks.check_positive, True, TypeError),
        (checks.check_nonnegative, -0.1, ValueError),
        (checks.check_fraction, 1.0, ValueError),
        (checks.check_fraction, 0.0, ValueError),
        (checks.check_integer, 1.0, TypeError),
        (checks.check_integer, -1, ValueError),
    ],
)
def test_wrong_numbers_are_refused_by_name(check: object, value: object, error: type) -> None:
    with pytest.raises(error, match="`l2` must be"):
        check("l2", value)


def test_the_edges_that_are_allowed_pass() -> None:
    checks.check_nonnegative("l2", 0)
    checks.check_fraction("dropout", 0.0, closed=True)
    checks.check_integer("k", np.int64(1), minimum=1)


def test_a_class_that_was_loaded_anew_is_still_known_by_its_name() -> None:
    before = type("Fold", (), {})()
    checks.check_kind("fold", before, Fold)
    with pytest.raises(TypeError, match="`fold` must be a Fold; got Fold2"):
        checks.check_kind("fold", type("Fold2", (), {})(), Fold)
