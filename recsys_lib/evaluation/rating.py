"""Rating error on the held-out cells: one sum per user, pooled over cells.

Errors are pooled: every *rating* counts the same, as in Surprise, LensKit and the Netflix Prize. A
mean of per-user errors, where every *user* counts the same, is another number and usually lower.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_rating_scale

__all__ = ["absolute_error", "clip_to_scale", "predictions_at", "root_squared_error"]


def predictions_at(scores: NDArray[np.floating], targets: sparse.csr_array) -> NDArray[np.float64]:
    """Return the scores at the target cells, in the order of ``targets.data``.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float
    targets : csr_array of shape (n_rows, n_items)

    Returns
    -------
    ndarray of shape (targets.nnz,), float64

    Examples
    --------
    >>> predictions_at(np.array([[1.0, 2.0], [3.0, 4.0]]), sparse.csr_array([[0, 5], [5, 0]]))
    array([2., 3.])
    """
    rows = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
    return np.asarray(scores[rows, targets.indices], dtype=np.float64)


def clip_to_scale(
    predicted: NDArray[np.float64], rating_scale: tuple[float, float] | None
) -> NDArray[np.float64]:
    """Return the predictions clipped to the rating scale; None leaves them as they are.

    Examples
    --------
    >>> clip_to_scale(np.array([0.2, 3.0, 7.0]), (1, 5))
    array([1., 3., 5.])
    """
    if rating_scale is None:
        return predicted
    return np.clip(predicted, *check_rating_scale(rating_scale))


def root_squared_error(
    predicted: NDArray[np.float64], targets: sparse.csr_array
) -> NDArray[np.float64]:
    """Return each user's own RMSE, in rating units.

    Parameters
    ----------
    predicted : ndarray of shape (targets.nnz,), float64
        Predictions in the order of ``targets.data``.
    targets : csr_array of shape (n_rows, n_items)
        Held-out ratings.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN for users without held-out ratings. A report pools these over cells:
        sqrt(sum n_u r_u^2 / sum n_u).

    References
    ----------
    .. [1] J. L. Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM
       TOIS 22(1), 2004, section 4.1.

    Examples
    --------
    >>> root_squared_error(np.array([4.0, 2.0]), sparse.csr_array([[5.0, 1.0], [0.0, 0.0]]))
    array([ 1., nan])
    """
    return np.sqrt(_mean_by_row((predicted - targets.data) ** 2, targets))


def absolute_error(
    predicted: NDArray[np.float64], targets: sparse.csr_array
) -> NDArray[np.float64]:
    """Return each user's own mean absolute error, in rating units.

    Parameters
    ----------
    predicted : ndarray of shape (targets.nnz,), float64
        Predictions in the order of ``targets.data``.
    targets : csr_array of shape (n_rows, n_items)
        Held-out ratings.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN for users without held-out ratings. A report pools these over cells.

    References
    ----------
    .. [1] J. L. Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM
       TOIS 22(1), 2004, section 4.1.

    Examples
    --------
    >>> absolute_error(np.array([4.0, 3.0]), sparse.csr_array([[5.0, 1.0]]))
    array([1.5])
    """
    return _mean_by_row(np.abs(predicted - targets.data), targets)


def _mean_by_row(values: NDArray[np.float64], targets: sparse.csr_array) -> NDArray[np.float64]:
    """Mean of the cell values of each row, NaN for empty rows."""
    counts = np.diff(targets.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    totals = np.bincount(rows, weights=values, minlength=len(counts))
    return np.divide(totals, counts, out=np.full(len(counts), np.nan), where=counts > 0)
