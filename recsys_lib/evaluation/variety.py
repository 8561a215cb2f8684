"""How varied lists are, and what that costs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import CSR, Doubles, Integers
from recsys_lib.evaluation.statistics import Sample, estimates, percentile_interval
from recsys_lib.ranking import ndcg_of_lists


def list_distance(items: Integers, features: CSR | NDArray[np.floating]) -> Doubles:
    r"""Return the mean distance between two items of a list [1]_.

    Parameters
    ----------
    items : ndarray of shape (n_rows, k), int
        Lists of positions; -1 where a list is shorter.
    features : csr_array or ndarray of shape (n_items, n_features)
        Vectors of length one, as of `ItemContent.features`; the distance is one minus the cosine.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN for a list of fewer than two items.

    Notes
    -----
    O(n_rows * k * n_features): the cosines of all pairs are the squared length of the sum.

    References
    ----------
    .. [1] C.-N. Ziegler, S. McNee, J. Konstan, G. Lausen, "Improving Recommendation Lists Through
       Topic Diversification", WWW 2005. Differs: theirs is a sum of similarities.

    Examples
    --------
    >>> list_distance(np.array([[0, 1], [0, 2]]), np.array([[1.0, 0], [1, 0], [0, 1]])).round(6)
    array([0., 1.])
    """
    listed = items >= 0
    n = listed.sum(axis=1)
    rows = np.repeat(np.arange(len(items)), n)
    ones = np.ones(len(rows))
    shape = (len(items), features.shape[0])
    chosen = sparse.csr_array((ones, (rows, items[listed])), shape=shape)
    sums, own = chosen @ features, features * features
    lengths = np.asarray(chosen @ np.asarray(own.sum(axis=1)).ravel())
    together = np.asarray((sums * sums).sum(axis=1)).ravel() - lengths
    pairs = n * (n - 1)
    return 1 - np.divide(together, pairs, out=np.full(len(items), np.nan), where=pairs > 0)


def variety_table(
    lists: Mapping[float, Integers],
    targets: CSR,
    features: CSR | NDArray[np.floating],
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure lists of the same people at several settings of `diversity`.

    Parameters
    ----------
    lists : mapping of float to ndarray of shape (n_rows, k), int
        Setting -> lists of positions; the first is what the others are held against.
    targets : csr_array of shape (n_rows, n_items)
        What is to be found.
    features : csr_array or ndarray of shape (n_items, n_features)
        As of `list_distance`.
    n_resamples, seed : int
        Of the paired bootstrap over people.

    Returns
    -------
    DataFrame
        One row a setting, index ``diversity``: ``distance`` and ``ndcg``, the means, and for both
        the change against the first setting with its 95 % interval, as shares: ``distance_change,
        distance_low, distance_high, ndcg_change, ndcg_low, ndcg_high``.

    Examples
    --------
    >>> wanted, features = sparse.csr_array([[0, 1.0, 0]]), np.array([[1.0, 0], [1, 0], [0, 1]])
    >>> lists = {0.0: np.array([[1, 0]]), 0.5: np.array([[1, 2]])}
    >>> variety_table(lists, wanted, features, n_resamples=10)[["distance", "ndcg"]].round(6)
               distance  ndcg
    diversity
    0.0             0.0   1.0
    0.5             1.0   1.0
    """
    found = pd.DataFrame(index=pd.Index(list(lists), name="diversity"))
    measures = {
        "distance": [list_distance(items, features) for items in lists.values()],
        "ndcg": [ndcg_of_lists(items, targets) for items in lists.values()],
    }
    for name, per_user in measures.items():
        samples = [Sample.of(values) for values in per_user]
        first, *_ = numbers = estimates(samples, n_resamples=n_resamples, seed=seed)
        rows = []
        for one in numbers:
            with np.errstate(divide="ignore", invalid="ignore"):
                change = np.float64(one.value) / first.value - 1
                low, high = percentile_interval(one.draws / first.draws - 1)
            rows.append((one.value, change, low, high))
        found[[name, f"{name}_change", f"{name}_low", f"{name}_high"]] = rows
    return found
