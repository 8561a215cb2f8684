"""Which items meet, and what remains without taste."""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Dataset
from recsys_lib.seeding import rng_from

__all__ = ["group_lift", "item_lift", "without_taste"]


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


def group_lift(lift: NDArray[np.float64], groups: pd.Series) -> tuple[float, float]:
    """Return the mean lift of two items of one group, and of two groups; NaN without such pairs.

    Examples
    --------
    >>> lift = np.array([[np.nan, 2.0, 0.5], [2.0, np.nan, 1.0], [0.5, 1.0, np.nan]])
    >>> group_lift(lift, pd.Series(["net", "net", "cmp"]))
    (2.0, 0.75)
    """
    names, known = groups.to_numpy(), ~np.isnan(lift)
    same = names[:, None] == names
    within, between = (lift[known & pair] for pair in (same, ~same))
    means = [float(part.mean()) if len(part) else float("nan") for part in (within, between)]
    return means[0], means[1]


def without_taste(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Return the data set with its taste taken out: the leak test for data of unknown truth.

    A model that seems to learn something from it has seen the answers.

    Parameters
    ----------
    dataset : Dataset
    seed : int
        Of the draw.

    Returns
    -------
    Dataset
        Ratings are dealt out again over the same pairs: who used what stays, and so does the
        histogram. Of likes everybody draws as many anew, popular items with the odds they had;
        times go.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"user_id": range(4), "item_id": range(4), "value": [1, 2, 3, 4]})
    >>> without_taste(Dataset.from_frame(frame)).user_items.data
    array([2., 4., 1., 3.], dtype=float32)
    """
    x, rng = dataset.user_items, rng_from(seed, "exploration", "shuffle")
    if dataset.rating_scale is not None:
        dealt = sparse.csr_array((rng.permutation(x.data), x.indices, x.indptr), shape=x.shape)
        return dataclasses.replace(dataset, user_items=dealt)
    counts = np.bincount(x.indices, minlength=x.shape[1])
    known = np.flatnonzero(counts)
    odds = counts[known] / counts.sum()
    drawn = [np.sort(rng.choice(known, size=n, replace=False, p=odds)) for n in np.diff(x.indptr)]
    redrawn = sparse.csr_array((x.data, np.concatenate(drawn), x.indptr), shape=x.shape)
    return dataclasses.replace(dataset, user_items=redrawn, timestamps=None)
