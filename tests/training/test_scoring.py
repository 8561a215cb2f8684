"""Scores do not depend on who is scored beside."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.training._keras import keras
from recsys_lib.training.scoring import Scorer


def host(tensor) -> np.ndarray:
    return np.asarray(getattr(tensor, "value", tensor)).copy()


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    x = sparse.csr_array(
        (rng.random((700, 40)) < 0.1) * rng.integers(1, 6, (700, 40)), dtype=np.float32
    )
    kernel = keras.Variable(rng.normal(size=(40, 40)).astype(np.float32))
    return x, kernel, Scorer(lambda b: b.project(kernel.value), n_items=40, state=[kernel])


@pytest.mark.parametrize("n_rows", [1, 64, 65, 512, 700])
def test_scores_are_those_of_the_formula_for_any_number_of_rows(case, n_rows: int) -> None:
    x, kernel, score = case
    expected = x[:n_rows] @ host(kernel)
    np.testing.assert_allclose(score(x[:n_rows]), expected, atol=1e-4)


def test_a_row_alone_gets_the_scores_it_gets_in_a_batch(case) -> None:
    x, _, score = case
    whole = score(x)
    for row in (0, 63, 64, 511, 512, 699):
        np.testing.assert_allclose(score(x[[row]])[0], whole[row], atol=1e-5)


def test_no_rows_get_no_scores_and_an_empty_row_the_scores_of_nothing(case) -> None:
    _, _, score = case
    assert score(sparse.csr_array((0, 40), dtype=np.float32)).shape == (0, 40)
    np.testing.assert_array_equal(score(sparse.csr_array((1, 40), dtype=np.float32)), 0)


def test_new_weights_are_used_without_a_new_scorer(case) -> None:
    x, kernel, score = case
    before = score(x[:3])
    kernel.assign(host(kernel) * 2)
    np.testing.assert_allclose(score(x[:3]), 2 * before, rtol=1e-5)
    kernel.assign(host(kernel) / 2)


def test_short_histories_of_any_length_have_one_shape(case, monkeypatch) -> None:
    """JAX compiles a function anew for each shape: a second or two for each length."""
    _, kernel, _ = case
    scorer = Scorer(lambda b: b.project(kernel.value), n_items=40, state=[kernel])
    function, lengths = scorer._function(64), set()
    monkeypatch.setattr(
        scorer,
        "_function",
        lambda size: lambda *given: lengths.add(len(given[2])) or function(*given),
    )
    for n_entries in range(1, 41):
        history = np.arange(40) < n_entries
        scorer(sparse.csr_array(history[None], dtype=np.float32))
    assert len(lengths) == 1


def test_a_code_has_as_many_columns_as_the_code(case) -> None:
    x, kernel, _ = case
    code = Scorer(lambda b: b.project(kernel.value)[:, :3], n_items=40, n_out=3, state=[kernel])
    assert code(x[:5]).shape == (5, 3)
