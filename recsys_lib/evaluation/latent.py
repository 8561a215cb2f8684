"""Latent codes: active dimensions, recovered truth, and remaining uncertainty."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from recsys_lib.checks import CSR, Doubles, Floats
from recsys_lib.dataset import Fold
from recsys_lib.evaluation.newcomers import cut_history, people_with
from recsys_lib.ranking import top_k
from recsys_lib.seeding import rng_from


def kl_by_dimension(mean: ArrayLike, log_variance: ArrayLike) -> Doubles:
    """Return the mean divergence of each dimension of a code from N(0, 1).

    Parameters
    ----------
    mean, log_variance : array of shape (n_rows, latent_dim)
        Such as ``MultVAE.encode(user_items)``.

    Returns
    -------
    ndarray of shape (latent_dim,), float64
        In nats: what the rows tell the decoder through it, at most. 0 for one that is not used.

    References
    ----------
    .. [1] D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.

    Examples
    --------
    >>> kl_by_dimension([[1.0, 0.0], [-1.0, 0.0]], np.zeros((2, 2)))
    array([0.5, 0. ])
    """
    mu, log_var = np.asarray(mean, dtype=np.float64), np.asarray(log_variance, dtype=np.float64)
    divergence = 0.5 * (mu**2 + np.exp(log_var) - log_var - 1.0)
    return np.asarray(divergence.mean(axis=0))


def kl_spectra(codes: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> pd.DataFrame:
    """Return the divergence of each dimension of several codes, each sorted separately.

    Parameters
    ----------
    codes : mapping of str to (mean, log_variance)
        Of shape (n_rows, latent_dim) each; widths may differ.

    Returns
    -------
    DataFrame
        Indexed by dimension, the loudest is 1; one column a code, in nats.

    Examples
    --------
    >>> kl_spectra({"vae": ([[0.0, 1.0], [0.0, -1.0]], np.zeros((2, 2)))})
    divergence (nats)         vae
    dimension, loudest first
    1                         0.5
    2                         0.0
    """
    sorted_nats = {name: -np.sort(-kl_by_dimension(*code)) for name, code in codes.items()}
    table = pd.DataFrame({name: pd.Series(nats) for name, nats in sorted_nats.items()})
    table = table.set_axis(pd.RangeIndex(1, len(table) + 1, name="dimension, loudest first"))
    return table.rename_axis(columns="divergence (nats)")


_FOLDS = 5  # parts of the rows; each is predicted by a map fitted to the others


def linear_recovery(codes: ArrayLike, truth: ArrayLike, *, seed: int = 0) -> Doubles:
    r"""Measure how much of a known truth a linear map recovers from a code.

    Parameters
    ----------
    codes : array of shape (n_rows, n_dims)
        Such as the means of `MultVAE.encode`, or an oracle's posterior means.
    truth : array of shape (n_rows, n_truths)
        Such as ``world.truth.tastes`` of the same users.
    seed : int
        Of the parts of the rows; each of five is predicted by a map fitted to the others.

    Returns
    -------
    ndarray of shape (n_truths,), float64
        :math:`R^2 = 1 - \sum(t - \hat t)^2 / \sum(t - \bar t)^2` of each column, out of sample:
        1 if all of it is there, 0 if nothing, below 0 for a map that only fits noise.

    Notes
    -----
    Ridge regression on standardized dimensions with the penalty 1, next to nothing: it is there
    for dimensions that are constant. A code is only defined up to whatever map the decoder undoes,
    so single dimensions of two codes can't be compared, and this can.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(500, 2))
    >>> codes = np.column_stack([truth[:, 0] + truth[:, 1], truth[:, 0], rng.normal(size=500)])
    >>> linear_recovery(codes, truth).round(2)
    array([1., 1.])
    >>> bool(linear_recovery(codes[:, 2:], truth).max() < 0.05)
    True
    """
    from sklearn.linear_model import Ridge  # here, because `import` would take twice as long
    from sklearn.metrics import r2_score
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    x, wanted = np.asarray(codes, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    x = np.column_stack([x, np.ones(len(x))])
    part = rng_from(seed, "evaluation", "recovery").permutation(len(x)) % _FOLDS
    ridge, parts = Ridge(alpha=1.0, fit_intercept=False), PredefinedSplit(part)
    predicted = cross_val_predict(ridge, x, wanted, cv=parts)
    return np.asarray(r2_score(wanted, predicted, multioutput="raw_values"))


def recovery_table(
    codes: Mapping[str, tuple[ArrayLike, ArrayLike]], truth: ArrayLike, *, seed: int = 0
) -> pd.DataFrame:
    """Measure how much of a known truth the means of several codes hold (`linear_recovery`).

    Parameters
    ----------
    codes : mapping of str to (mean, log_variance)
    truth : array of shape (n_rows, n_truths)
    seed : int

    Returns
    -------
    DataFrame
        One row a code; columns are the true dimensions, from 1. No share is below 0: a map of few
        people may be worse than their mean, which recovers nothing.

    Examples
    --------
    >>> truth = np.random.default_rng(0).normal(size=(500, 2))
    >>> recovery_table({"first": (truth[:, :1], np.zeros((500, 1)))}, truth).round(1)
    true dimension    1    2
    first           1.0  0.0
    """
    found = {name: linear_recovery(mean, truth, seed=seed) for name, (mean, _) in codes.items()}
    table = pd.DataFrame(found).T.clip(lower=0.0)
    return table.set_axis(pd.RangeIndex(1, table.shape[1] + 1, name="true dimension"), axis=1)


def doubt_curve(
    encoders: Mapping[str, Any],
    user_items: CSR,
    *,
    lengths: Sequence[int] = (0, 1, 2, 4, 8),
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the posterior variance of encoders as more of each user's history is shown.

    Parameters
    ----------
    encoders : mapping of str to object
        Name -> what has ``encode(rows)``: mean and log variance, (n_rows, n_dims) each; such as
        `MultVAE` and `FoldInOracle`. Others are left out.
    user_items : csr_array of shape (n_rows, n_items)
        Rows with fewer entries than the longest of `lengths` are left out.
    lengths : sequence of int
        Entries shown, at random; the first ones stay.
    seed : int
        Of what is shown.

    Returns
    -------
    DataFrame
        Indexed by the number shown, one column an encoder: the variance of the code over that of an
        empty row. Each dimension weighs as much as its mean differs between the whole rows, so
        that dimensions which nobody uses don't speak. 1 is the doubt of who sees nothing.

    Raises
    ------
    ValueError
        If no row is as long as the longest of `lengths`.

    Examples
    --------
    >>> class Exact:  # a normal taste, seen through as many measurements as there are entries
    ...     def encode(self, rows):
    ...         n = np.diff(rows.indptr)[:, None]
    ...         return rows.sum(axis=1)[:, None] / (1 + n), -np.log1p(n)
    >>> rows = sparse.csr_array(np.random.default_rng(0).normal(size=(50, 4)))
    >>> doubt_curve({"exact": Exact()}, rows, lengths=(0, 1, 3))
    doubt left    exact
    likes shown
    0              1.00
    1              0.50
    3              0.25
    """
    x = sparse.csr_array(user_items)
    people = people_with(Fold(fold_in=x, targets=x), max(lengths))
    nobody = sparse.csr_array((1, people.fold_in.shape[1]), dtype=np.float32)
    parts = [cut_history(people, n, seed=seed).fold_in for n in lengths]
    table = pd.DataFrame(index=pd.Index(lengths, name="likes shown"))
    for name, encoder in encoders.items():
        if not hasattr(encoder, "encode"):
            continue
        weights = np.var(np.asarray(encoder.encode(people.fold_in)[0], dtype=np.float64), axis=0)
        left = [np.exp(encoder.encode(x)[1]).mean(axis=0) @ weights for x in [nobody, *parts]]
        table[name] = np.array(left[1:]) / left[0]
    return table.rename_axis(columns="doubt left")


def open_lists(
    model: Any,
    user_items: CSR,
    *,
    lengths: Sequence[int] = (0, 1, 2, 4, 8),
    k: int = 10,
    n_people: int = 30,
    n_draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how settled the lists are as more of each user's history is shown.

    Parameters
    ----------
    model : object
        With ``encode(rows)``, whose result has ``sample(n, seed=)``, and ``decode(codes)``, such as
        `MultVAE`. Codes are drawn, and each draw makes a list.
    user_items : csr_array of shape (n_rows, n_items)
        Rows with fewer entries than the longest of `lengths` are left out.
    lengths : sequence of int
        Entries shown, at random; the first ones stay. They are left out of the lists.
    k : int
        Length of a list.
    n_people, n_draws : int
        How many people at most, and lists of each.
    seed : int
        Of the cuts, the draws, and the order among equal scores.

    Returns
    -------
    DataFrame
        One column a length, such as ``"2 likes known"``; indexed by place: the share of a
        person's lists that hold the item listed most often (1), next often (2), and so on, averaged
        over people. 1 down to place `k` and 0 from there on: there is only one list.

    Raises
    ------
    ValueError
        If no row is as long as the longest of `lengths`.
    """
    x = sparse.csr_array(user_items)
    people = people_with(Fold(fold_in=x, targets=x), max(lengths))
    people = people.take(np.arange(min(n_people, people.n_rows)))
    table = {}
    for n in lengths:
        x = cut_history(people, n, seed=seed).fold_in
        draws = model.encode(x).sample(n_draws, seed=seed)
        shares = [
            _listed(model.decode(draws[:, row]), x[[row]], k=k, seed=seed)
            for row in range(x.shape[0])
        ]
        name = f"{n} like{'s' * (n != 1)} known"
        table[name] = np.sort(np.array(shares), axis=1)[:, ::-1].mean(axis=0)
    places = pd.RangeIndex(1, people.fold_in.shape[1] + 1, name="item, most often listed first")
    return pd.DataFrame(table, index=places).rename_axis(columns="share of lists")


def _listed(scores: Floats, seen: CSR, *, k: int, seed: int) -> Doubles:
    """Share of the lists that hold each item; one person's scores, one row a draw."""
    left_out = sparse.csr_array(sparse.vstack([seen] * len(scores)))
    listed = top_k(scores, k, exclude=left_out, seed=seed).items
    return np.bincount(listed[listed >= 0], minlength=scores.shape[1]) / len(scores)
