"""What a code holds: divergences, active dimensions, and the truth that can be read off it."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, sparse, stats

from recsys_lib.evaluation import doubt_curve, kl_spectra, open_lists, recovery_table
from recsys_lib.evaluation.latent import kl_by_dimension, linear_recovery


class Drawn(NamedTuple):
    """A code whose spread is known."""

    mean: Any
    log_variance: Any

    def sample(self, n: int, *, seed: int) -> Any:
        noise = np.random.default_rng(seed).normal(size=(n, *np.shape(self.mean)))
        return self.mean + np.exp(0.5 * np.asarray(self.log_variance)) * noise


class Conjugate:
    """As many dimensions as items; each entry is a measurement of its own dimension."""

    def __init__(self, doubt: float) -> None:
        self.doubt = doubt

    def encode(self, rows: Any) -> Drawn:
        dense = rows.toarray()
        return Drawn(dense, np.log(np.where(dense == 0, self.doubt, self.doubt / 4)))

    def decode(self, codes: Any) -> Any:
        return np.asarray(codes, dtype=np.float32)


def people(n: int = 60) -> sparse.csr_array:
    rng = np.random.default_rng(5)
    return sparse.csr_array(np.where(rng.random((n, 12)) < 0.6, rng.normal(3, 1, (n, 12)), 0))


def test_the_divergence_of_a_dimension_is_the_integral_averaged_over_rows() -> None:
    mean, log_variance = np.array([[0.5, 0.0], [-1.0, 0.0]]), np.array([[0.3, 0.0], [-1.2, 0.0]])

    def integral(mu: float, log_var: float) -> float:
        q, p = stats.norm(mu, np.exp(log_var / 2)), stats.norm()
        return float(integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -9, 9)[0])

    expected = np.mean([integral(0.5, 0.3), integral(-1.0, -1.2)])
    assert_allclose(kl_by_dimension(mean, log_variance), [expected, 0.0], atol=1e-8)


def test_the_truth_is_recovered_through_any_linear_map_and_not_beyond_the_noise() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(3000, 2))
    codes = truth @ rng.normal(size=(2, 5)) + 3.0
    assert_allclose(linear_recovery(codes, truth), 1.0, atol=1e-3)
    noisy = np.column_stack([truth[:, 0] + rng.normal(size=3000), np.zeros(3000)])
    first, second = linear_recovery(noisy, truth)
    assert first == pytest.approx(0.5, abs=0.05)
    assert abs(second) < 0.02


def test_recovery_is_measured_on_rows_that_the_map_has_not_seen() -> None:
    # With as many dimensions as rows an in-sample fit would be perfect.
    rng = np.random.default_rng(2)
    found = linear_recovery(rng.normal(size=(60, 50)), rng.normal(size=(60, 1)))
    assert found[0] < 0


def test_spectra_are_sorted_each_for_itself_and_may_differ_in_width() -> None:
    codes = {"a": (np.zeros((2, 2)), [[0.0, 1.0]] * 2), "b": ([[2.0], [2.0]], np.zeros((2, 1)))}
    table = kl_spectra(codes)
    assert table.index.tolist() == [1, 2]
    assert_allclose(table["a"], [0.5 * (np.e - 2), 0.0], atol=1e-12)
    assert table["b"].tolist()[:1] == [2.0]
    assert np.isnan(table["b"][2])


def test_a_map_that_is_worse_than_the_mean_recovers_nothing() -> None:
    rng = np.random.default_rng(0)
    codes = {"noise": (rng.normal(size=(63, 24)), None)}
    table = recovery_table(codes, rng.normal(size=(63, 8)))
    assert table.min(axis=None) == 0


def test_each_column_of_a_recovery_table_is_one_true_dimension() -> None:
    truth = np.random.default_rng(3).normal(size=(400, 2))
    table = recovery_table({"second only": (truth[:, 1:], None)}, truth)
    assert table.columns.tolist() == [1, 2]
    assert table.loc["second only", 1] < 0.05 < 0.99 < table.loc["second only", 2]


def test_doubt_falls_with_what_is_shown_and_ignores_who_has_none_to_tell() -> None:
    table = doubt_curve({"one": Conjugate(2.0), "oracle": object()}, people(), lengths=(0, 2, 5))
    assert table.columns.tolist() == ["one"]
    # All dimensions alike: of 12, each one shown loses three quarters of its variance.
    assert_allclose(table["one"], [1.0, 1 - 0.75 * 2 / 12, 1 - 0.75 * 5 / 12], atol=0.02)


def test_a_history_that_nobody_has_is_refused() -> None:
    with pytest.raises(ValueError, match="`lengths` must be reached by some row; 13 was asked"):
        doubt_curve({}, people(), lengths=(0, 13))
    with pytest.raises(ValueError, match="13 was asked for and the longest has 1[012] entries"):
        open_lists(Conjugate(1.0), people(), lengths=(13,))


def test_without_doubt_there_is_one_list_and_with_it_places_are_shared() -> None:
    sure = open_lists(Conjugate(1e-12), people(), lengths=(0, 3), k=4)
    # Three are known and left out, the other nine are equal: any four of them, in each draw anew.
    assert_allclose(sure.sum(), 4.0)
    settled = open_lists(Conjugate(1e-12), 1e3 * people(), lengths=(3,), k=9)["3 likes known"]
    assert_allclose(settled[:9], 1.0)
    assert_allclose(settled[9:], 0.0)
    unsure = open_lists(Conjugate(1.0), people(), lengths=(0, 1), k=4)
    assert list(unsure) == ["0 likes known", "1 like known"]
    unsure = unsure["0 likes known"]
    assert unsure.iloc[0] < 0.6
    assert unsure.is_monotonic_decreasing
