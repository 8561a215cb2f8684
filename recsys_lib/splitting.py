"""Splits: what is trained on, what chooses, and what is reported."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_fraction, check_integer
from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.errors import DataError
from recsys_lib.seeding import rng_from

__all__ = ["leave_last_out", "split_by_time", "split_ratings", "strong_generalization"]


def strong_generalization(
    dataset: Dataset,
    *,
    validation_users: int | float = 0.1,
    test_users: int | float = 0.1,
    fold_in: float = 0.8,
    min_interactions: int = 5,
    seed: int = 0,
) -> Split:
    """Hold out whole users; of each, show a part and hide the rest [1]_.

    ::

                  0  1  2  3  4  5
        ann       X     X  X  X  X      train: the whole row
        bob       X     X     X  X      test.fold_in
        bob             .  X            test.targets (hidden from every model)

    Parameters
    ----------
    dataset : Dataset
        The catalogue stays as it is: an item that no training user has is an empty column.
    validation_users, test_users : int or float
        How many users to hold out, or which share of those with enough interactions.
    fold_in : float
        Share of a held-out user's interactions that the model may see, in (0, 1). At least one
        interaction is shown and at least one is hidden.
    min_interactions : int
        Users with fewer interactions are left out of the split, >= 2.
    seed : int

    Returns
    -------
    Split
        No user is in two parts.

    Raises
    ------
    DataError
        If too few users have enough interactions.

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for
       Collaborative Filtering", WWW 2018, section 4.1. https://arxiv.org/abs/1802.05814

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame([(u, i) for u in range(10) for i in range(5)], columns=["u", "i"])
    >>> dataset = Dataset.from_frame(table, user="u", item="i", value=None)
    >>> split = strong_generalization(dataset, validation_users=2, test_users=2)
    >>> split.train.shape, split.test.fold_in.nnz, split.test.targets.nnz
    ((6, 5), 8, 2)
    """
    check_fraction("fold_in", fold_in)
    check_integer("min_interactions", min_interactions, minimum=2)
    counts = np.diff(dataset.user_items.indptr)
    users = np.flatnonzero(counts >= min_interactions)
    n_validation = _count("validation_users", validation_users, len(users))
    n_test = _count("test_users", test_users, len(users))
    n_train = len(users) - n_validation - n_test
    if n_train < 1:
        raise DataError(
            f"Enough users must be left to train on; {len(users)} of {dataset.n_users} users have "
            f">= {min_interactions} interactions and {n_validation} + {n_test} are held out. "
            "Hold out fewer users or lower min_interactions."
        )
    users = rng_from(seed, "split", "users").permutation(users)
    parts = np.split(users, [n_train, n_train + n_validation])
    train_users, validation, test = (np.sort(part) for part in parts)
    return Split(
        train=dataset.user_items[train_users],
        validation=_hide(dataset, validation, fold_in, seed),
        test=_hide(dataset, test, fold_in, seed),
        train_users=train_users,
    )


def _count(name: str, wanted: int | float, available: int) -> int:
    """Turn a number or a share of users into a number."""
    if isinstance(wanted, float):
        check_fraction(name, wanted)
        return max(1, round(wanted * available))
    check_integer(name, wanted, minimum=1)
    return wanted


def _hide(dataset: Dataset, users: NDArray[np.int64], fold_in: float, seed: int) -> Fold:
    """Hide a random share of each user's interactions."""
    rows = dataset.user_items[users]
    counts = np.diff(rows.indptr)
    hidden = np.clip(counts - np.round(fold_in * counts).astype(int), 1, counts - 1)
    # One draw for each user and item of the data set, in stored order: the same pair is hidden or
    # shown whatever else is held out.
    draws = rng_from(seed, "split", "targets").random(dataset.n_interactions)
    order = sparse.csr_array(
        (draws, dataset.user_items.indices, dataset.user_items.indptr),
        shape=dataset.user_items.shape,
    )[users]
    rank = _rank_in_row(order)
    return _fold(rows, rank < np.repeat(hidden, counts), users)


def _rank_in_row(keys: sparse.csr_array) -> NDArray[np.int64]:
    """Rank, from 0, of each stored value within its row."""
    counts = np.diff(keys.indptr)
    row = np.repeat(np.arange(keys.shape[0]), counts)
    order = np.lexsort((keys.data, row))
    rank = np.empty(keys.nnz, dtype=np.int64)
    rank[order] = np.arange(keys.nnz) - np.repeat(keys.indptr[:-1], counts)
    return rank


def _fold(rows: sparse.csr_array, hidden: NDArray[np.bool_], users: NDArray[np.int64]) -> Fold:
    return Fold(fold_in=_keep(rows, ~hidden), targets=_keep(rows, hidden), users=users)


def _keep(rows: sparse.csr_array, kept: NDArray[np.bool_]) -> sparse.csr_array:
    """The stored entries marked in `kept`; a stored zero is an observation and stays."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[kept]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows.shape[0]))])
    return sparse.csr_array(
        (rows.data[kept], rows.indices[kept], indptr.astype(rows.indptr.dtype)), shape=rows.shape
    )


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
        Shares of the ratings to hold out; together below 1.
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
    n_validation, n_test = round(validation * n), round(test * n)
    if n_validation + n_test >= n:
        raise ValueError(
            f"`validation` and `test` must leave ratings to train on; got {validation} + {test} "
            f"of {n} ratings. Lower them."
        )
    order = rng_from(seed, "split", "ratings").permutation(n)
    part = np.zeros(n, dtype=np.int8)
    part[order[:n_test]] = 2
    part[order[n_test : n_test + n_validation]] = 1
    return _split_entries(dataset, part)


def _split_entries(dataset: Dataset, part: NDArray[np.int8]) -> Split:
    """Split by a label of each stored entry: 0 train, 1 validation, 2 test."""
    x, users = dataset.user_items, np.arange(dataset.n_users)
    train, middle, last = (_keep(x, part == label) for label in (0, 1, 2))
    return Split(
        train=train,
        validation=Fold(fold_in=train, targets=middle, users=users),
        test=Fold(fold_in=train, targets=last, users=users),
        train_users=users,
    )


def leave_last_out(dataset: Dataset, *, min_interactions: int = 3) -> Split:
    """Hide each user's last interaction for the test and the one before for validation.

    Parameters
    ----------
    dataset : Dataset
        With timestamps. Of equal times the item that is stored later counts as later.
    min_interactions : int
        Users with fewer keep all their interactions in train, >= 3.

    Returns
    -------
    Split
        Every part has the rows of the data set. The test shows train and validation, since the
        validation interaction lies in the past by then.

    Raises
    ------
    DataError
        If the data set has no timestamps.
    """
    check_integer("min_interactions", min_interactions, minimum=3)
    x, times = dataset.user_items, _timestamps(dataset)
    counts = np.diff(x.indptr)
    rank = _rank_in_row(sparse.csr_array((times, x.indices, x.indptr), shape=x.shape))
    from_end = np.repeat(counts, counts) - 1 - rank
    part = np.zeros(x.nnz, dtype=np.int8)
    enough = np.repeat(counts, counts) >= min_interactions
    part[enough & (from_end == 0)] = 2
    part[enough & (from_end == 1)] = 1
    return _split_past(dataset, part)


def split_by_time(dataset: Dataset, *, validation: float = 0.1, test: float = 0.1) -> Split:
    """Hold out the latest interactions of all users together.

    ::

        train | validation | test        one clock for everybody; nothing shown is later than
        ------+------------+------> time a target

    Parameters
    ----------
    dataset : Dataset
        With timestamps.
    validation, test : float
        Shares of the interactions to hold out. The cuts move to the next change of time, so that
        interactions of one instant stay together.

    Returns
    -------
    Split
        Every part has the rows of the data set. The test shows train and validation.

    Raises
    ------
    DataError
        If the data set has no timestamps, or all of them are equal.
    """
    check_fraction("validation", validation)
    check_fraction("test", test)
    times = _timestamps(dataset)
    if validation + test >= 1:
        raise ValueError(f"`validation` + `test` must be below 1; got {validation} + {test}.")
    ordered = np.sort(times)
    last_cut = ordered[int((1 - test) * len(times))]
    middle_cut = ordered[int((1 - test - validation) * len(times))]
    part = (times >= middle_cut).astype(np.int8) + (times >= last_cut).astype(np.int8)
    if not {0, 1, 2} <= set(np.unique(part).tolist()):
        raise DataError(
            "Timestamps must tell the parts apart; too many interactions have the same time. "
            "Use split_ratings or larger shares."
        )
    return _split_past(dataset, part)


def _timestamps(dataset: Dataset) -> NDArray[np.int64]:
    if dataset.timestamps is None:
        raise DataError(
            "The data set must have timestamps; it has none. Build it with "
            'Dataset.from_frame(..., timestamp="column").'
        )
    return dataset.timestamps


def _split_past(dataset: Dataset, part: NDArray[np.int8]) -> Split:
    """As `_split_entries`, but the test sees the validation entries, which are past by then."""
    split = _split_entries(dataset, part)
    seen = _keep(dataset.user_items, part < 2)
    test = Fold(fold_in=seen, targets=split.test.targets, users=split.test.users)
    return Split(
        train=split.train, validation=split.validation, test=test, train_users=split.train_users
    )
