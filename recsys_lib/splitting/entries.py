"""Hold out single interactions: random ratings, or the latest, per user or at one point in time."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_fraction, check_integer, check_kind
from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.errors import DataError
from recsys_lib.folds import keep_entries
from recsys_lib.seeding import rng_from


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
    check_kind("dataset", dataset, Dataset)
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
        If the data set has no timestamps, or nobody has enough interactions.
    """
    check_integer("min_interactions", min_interactions, minimum=3)
    times, x = _timestamps(dataset), dataset.user_items
    counts = np.diff(x.indptr)
    rank = rank_in_row(sparse.csr_array((times, x.indices, x.indptr), shape=x.shape))
    from_end = np.repeat(counts, counts) - 1 - rank
    part = np.zeros(x.nnz, dtype=np.int8)
    if counts.max() < min_interactions:
        raise DataError(
            f"Some user must have at least {min_interactions} interactions to leave the last ones "
            f"out; the longest history has {counts.max()}. Use split_ratings."
        )
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
        Shares of the interactions to hold out. The cuts move back to the last change of time, so
        that interactions of one instant stay together and every part holds at least one instant.

    Returns
    -------
    Split
        Every part has the rows of the data set. The test shows train and validation.

    Raises
    ------
    DataError
        If the data set has no timestamps, or fewer than three different ones.
    """
    check_fraction("validation", validation)
    check_fraction("test", test)
    times = _timestamps(dataset)
    if validation + test >= 1:
        raise ValueError(f"`validation` + `test` must be below 1; got {validation} + {test}.")
    ordered, instants = np.sort(times), np.unique(times)
    if len(instants) < 3:
        raise DataError(
            "Timestamps must tell three parts apart; the data set has "
            f"{len(instants)} different one{'s' * (len(instants) > 1)}. Use split_ratings."
        )
    last_cut = max(ordered[int((1 - test) * len(times))], instants[2])
    before = instants[np.searchsorted(instants, last_cut) - 1]
    middle_cut = ordered[int((1 - test - validation) * len(times))]
    middle_cut = min(max(middle_cut, instants[1]), before)
    part = (times >= middle_cut).astype(np.int8) + (times >= last_cut).astype(np.int8)
    return _split_past(dataset, part)


def _timestamps(dataset: Dataset) -> NDArray[np.int64]:
    check_kind("dataset", dataset, Dataset)
    if dataset.timestamps is None:
        raise DataError(
            "The data set must have timestamps; it has none. Build it with "
            'Dataset.from_frame(..., timestamp="column").'
        )
    return dataset.timestamps


def _split_past(dataset: Dataset, part: NDArray[np.int8]) -> Split:
    """As `split_entries`, but the test sees the validation entries, which are past by then."""
    split = split_entries(dataset, part)
    seen = keep_entries(dataset.user_items, part < 2)
    return replace(split, test=replace(split.test, fold_in=seen))


def rank_in_row(keys: sparse.csr_array) -> NDArray[np.int64]:
    """Rank, from 0, of each stored value within its row."""
    counts = np.diff(keys.indptr)
    row = np.repeat(np.arange(keys.shape[0]), counts)
    order = np.lexsort((keys.data, row))
    rank = np.empty(keys.nnz, dtype=np.int64)
    rank[order] = np.arange(keys.nnz) - np.repeat(keys.indptr[:-1], counts)
    return rank


def cut_rows(rows: sparse.csr_array, hidden: NDArray[np.bool_], users: NDArray[np.int64]) -> Fold:
    """Split rows by a mark on each stored entry: hidden or shown."""
    return Fold(
        fold_in=keep_entries(rows, ~hidden), targets=keep_entries(rows, hidden), users=users
    )


def split_entries(dataset: Dataset, part: NDArray[np.int8]) -> Split:
    """Split by a label of each stored entry: 0 train, 1 validation, 2 test."""
    x, users = dataset.user_items, np.arange(dataset.n_users)
    train, middle, last = (keep_entries(x, part == label) for label in (0, 1, 2))
    return Split(
        train=train,
        validation=Fold(fold_in=train, targets=middle, users=users),
        test=Fold(fold_in=train, targets=last, users=users),
        train_users=users,
    )
