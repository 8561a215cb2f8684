"""Hold out random ratings of all users."""

import numpy as np

from recsys_lib.checks import check_fraction
from recsys_lib.dataset import Dataset, Split
from recsys_lib.seeding import rng_from
from recsys_lib.splitting.entries import split_entries

__all__ = ["split_ratings"]


def split_ratings(
    dataset: Dataset, *, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> Split:
    """Hold out random ratings of all users; for rating prediction.

    ::

                  0  1  2  3  4  5
        ann       5     3  v  4  t      v: validation.targets   t: test.targets
        bob       t  2     v     1      the digits are train and both fold_ins

    Parameters
    ----------
    dataset : Dataset
    validation, test : float
        Shares of the ratings to hold out, at least one rating each; together below 1.
    seed : int

    Returns
    -------
    Split
        Every part has the rows of the data set; both folds show the training ratings.

    Raises
    ------
    ValueError
        If a share is outside (0, 1) or both together leave no training ratings.

    Notes
    -----
    The future may predict the past here; use `split_by_time` where that matters.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame([(u, i, 3) for u in range(10) for i in range(5)], columns=list("uiv"))
    >>> dataset = Dataset.from_frame(table, user="u", item="i", value="v")
    >>> split = split_ratings(dataset)
    >>> split.train.nnz, split.validation.targets.nnz, split.test.targets.nnz
    (40, 5, 5)
    """
    check_fraction("validation", validation)
    check_fraction("test", test)
    n = dataset.n_interactions
    n_validation, n_test = (max(1, round(share * n)) for share in (validation, test))
    if n_validation + n_test >= n:
        raise ValueError(
            f"`validation` and `test` must leave ratings to train on; got {validation} + {test} "
            f"of {n} ratings. Lower them, or bring more ratings."
        )
    order = rng_from(seed, "split", "ratings").permutation(n)
    part = np.zeros(n, dtype=np.int8)
    part[order[:n_test]] = 2
    part[order[n_test : n_test + n_validation]] = 1
    return split_entries(dataset, part)
