"""Which items meet, which ratings are likes, and what remains when ratings are dealt out anew."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.seeding import rng_from

__all__ = ["item_lift", "like_threshold", "shuffled_ratings"]


def item_lift(user_items: sparse.csr_array) -> NDArray[np.float64]:
    """Return how much more often two items meet in one user than by chance.

    Chance is that everybody has as many items as they have, and every item as many users: the
    configuration model. Without the first, active users, who have more of everything, would lift
    every pair.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
        Stored entries count, whatever their value.

    Returns
    -------
    ndarray of shape (n_items, n_items), float64
        1 is chance, 0 is never. NaN on the diagonal and for items without users.

    References
    ----------
    .. [1] M. E. J. Newman, "Networks", 2nd ed. 2018, section 12.1 (configuration model), with
       users' degrees: E_ij = n_i n_j sum_u d_u (d_u - 1) / (sum_u d_u)^2.

    Examples
    --------
    >>> both = sparse.csr_array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]])
    >>> item_lift(both).round(1)
    array([[nan, 2.7, 0. , 0. ],
           [2.7, nan, 0. , 1.3],
           [0. , 0. , nan, 4. ],
           [0. , 1.3, 4. , nan]])
    """
    seen = user_items.copy()
    seen.data = np.ones(seen.nnz)
    meetings = np.asarray((seen.T @ seen).toarray(), dtype=np.float64)
    counts = meetings.diagonal().copy()
    degrees = np.diff(seen.indptr).astype(np.float64)
    pairs_per_end = (degrees * (degrees - 1)).sum() / max(1.0, degrees.sum()) ** 2
    chance = np.outer(counts, counts) * pairs_per_end
    lift = np.divide(meetings, chance, out=np.full_like(meetings, np.nan), where=chance > 0)
    np.fill_diagonal(lift, np.nan)
    return lift


def like_threshold(dataset: Dataset, wanted: float | None = None) -> float:
    """Return the rating from which on an item counts as liked.

    Parameters
    ----------
    dataset : Dataset
    wanted : float, optional
        The threshold, in rating units. None takes the lowest rating in the upper third of the
        scale: 7 of 1 to 10, 4 of 1 to 5.

    Returns
    -------
    float
        1 where the data set holds likes, not ratings: each of them counts.

    Raises
    ------
    DataError
        If `wanted` lies outside the scale.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "value": [1, 4, 5]})
    >>> like_threshold(Dataset.from_frame(frame))
    4.0
    """
    if dataset.rating_scale is None:
        return 1.0
    low, high = dataset.rating_scale
    if wanted is None:
        levels = np.unique(dataset.user_items.data)
        # A hair lower: 2/3 of a scale from 1 to 10 is 7 on paper and may be 7.000001 in floats.
        return float(levels[levels >= low + 2 / 3 * (high - low) - 1e-6].min(initial=high))
    if not low < wanted <= high:
        raise DataError(
            f"A like must be a rating above {low:g} and up to {high:g}; got {wanted:g}. "
            f"Try {low + 2 / 3 * (high - low):g}."
        )
    return float(wanted)


def shuffled_ratings(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Return the data set with its ratings dealt out again at random over the same pairs.

    Who used what stays, and so does the histogram; what the ratings said is gone. A model that
    predicts them better than their mean has seen the answers: the leak test for data whose truth
    nobody knows.

    Parameters
    ----------
    dataset : Dataset
    seed : int
        Of the order.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"user_id": range(4), "item_id": range(4), "value": [1, 2, 3, 4]})
    >>> shuffled_ratings(Dataset.from_frame(frame)).user_items.data
    array([2., 4., 1., 3.], dtype=float32)
    """
    x = dataset.user_items
    dealt = rng_from(seed, "exploration", "shuffle").permutation(x.data)
    shuffled = sparse.csr_array((dealt, x.indices, x.indptr), shape=x.shape)
    return dataclasses.replace(dataset, user_items=shuffled)
