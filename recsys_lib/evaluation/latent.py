"""What a code holds: which of its dimensions speak, and how much of a known truth is in them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_lib.checks import check_integer
from recsys_lib.seeding import rng_from

__all__ = ["active_units", "kl_by_dimension", "linear_recovery"]


def kl_by_dimension(mean: ArrayLike, log_variance: ArrayLike) -> NDArray[np.float64]:
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


def active_units(mean: ArrayLike, *, threshold: float = 0.01) -> int:
    """Return how many dimensions of a code differ between rows [1]_.

    Parameters
    ----------
    mean : array of shape (n_rows, latent_dim)
        Of the code of each row.
    threshold : float
        Variance of the mean over rows from which on a dimension counts.

    Returns
    -------
    int
        Few of many: the prior has won, and the decoder listens to nobody (posterior collapse).

    References
    ----------
    .. [1] Y. Burda, R. Grosse, R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016,
       section 5.2.

    Examples
    --------
    >>> active_units([[1.0, 0.01], [-1.0, 0.0]])
    1
    """
    variance = np.var(np.asarray(mean, dtype=np.float64), axis=0)
    return int((variance > threshold).sum())


def linear_recovery(
    codes: ArrayLike, truth: ArrayLike, *, n_folds: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    r"""Say how much of a known truth can be read off a code by a linear map.

    Parameters
    ----------
    codes : array of shape (n_rows, n_dims)
        Such as the means of `MultVAE.encode`, or an oracle's posterior means.
    truth : array of shape (n_rows, n_truths)
        Such as ``world.truth.tastes`` of the same users.
    n_folds : int
        Parts of the rows, >= 2; each is predicted by a map fitted to the others.
    seed : int
        Of the parts.

    Returns
    -------
    ndarray of shape (n_truths,), float64
        :math:`R^2 = 1 - \sum(t - \hat t)^2 / \sum(t - \bar t)^2` of each column, out of sample:
        1 if all of it is there, 0 if nothing, below 0 for a map that only fits noise.

    Raises
    ------
    ValueError
        If the rows differ in number, or are fewer than the parts.

    Notes
    -----
    Ridge regression on standardised dimensions with the penalty 1, next to nothing: it is there
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
    check_integer("n_folds", n_folds, minimum=2)
    x, wanted = np.asarray(codes, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if len(x) != len(wanted) or len(x) < n_folds:
        raise ValueError(
            f"`codes` and `truth` must have the same rows, at least {n_folds}; got {len(x)} and "
            f"{len(wanted)}. Take the truth of the users that were encoded."
        )
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    x = np.column_stack([x, np.ones(len(x))])
    part = rng_from(seed, "evaluation", "recovery").permutation(len(x)) % n_folds
    predicted = np.empty_like(wanted)
    for fold in range(n_folds):
        shown = part != fold
        gram = x[shown].T @ x[shown] + np.eye(x.shape[1])
        predicted[~shown] = x[~shown] @ np.linalg.solve(gram, x[shown].T @ wanted[shown])
    left = ((wanted - predicted) ** 2).sum(axis=0)
    return np.asarray(1.0 - left / ((wanted - wanted.mean(axis=0)) ** 2).sum(axis=0))
