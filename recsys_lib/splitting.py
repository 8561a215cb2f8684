"""Splits: training, validation and test parts, by rating, by time, or by user.

Single interactions are held out at random or as the latest ones; strong generalization holds out
whole users, also as Liang et al. (2018) drew them.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import (
    CSR,
    Ints,
    Mask,
    check_choice,
    check_fraction,
    check_integer,
    check_kind,
)
from recsys_lib.dataset import Dataset, Fold, Split, keep_entries
from recsys_lib.errors import DataError
from recsys_lib.ranking import entry_rows
from recsys_lib.seeding import rng_from

__all__ = [
    "enough_interactions",
    "hold_out",
    "leave_last_out",
    "split_by_time",
    "split_ratings",
    "strong_generalization",
]

# One user to train on, one to validate with and one to test on.
_FEWEST = 3

# The random streams of Liang et al. (2018), so that a split of ML-20M is theirs, user by user.
# Their notebook seeds NumPy's legacy global generator with 98765 three times: before permuting the
# users, before hiding interactions of the validation users, and before those of the test users. A
# `RandomState` of that seed is the same stream without touching the global one.
_LIANG_SEED = 98765
# A held-out user with fewer interactions, after foreign items are dropped, is shown whole.
_LIANG_ENOUGH = 5


def __dir__() -> list[str]:
    return sorted(__all__)


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
        Every part has the rows of the dataset; both folds show the training ratings.

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
        Every part has the rows of the dataset. The test shows train and validation, since the
        validation interaction lies in the past by then.

    Raises
    ------
    DataError
        If the dataset has no timestamps, or nobody has enough interactions.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=4)
    >>> table = pd.DataFrame({"user_id": "ann", "item_id": list("abcd"), "timestamp": days})
    >>> dataset = Dataset.from_frame(table, value=None, timestamp="timestamp")
    >>> split = leave_last_out(dataset)
    >>> parts = split.train, split.validation.targets, split.test.targets
    >>> [dataset.item_ids[part.indices].tolist() for part in parts]
    [['a', 'b'], ['c'], ['d']]
    """
    check_integer("min_interactions", min_interactions, minimum=3)
    times, x = timestamps_of(dataset), dataset.user_items
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
        Every part has the rows of the dataset. The test shows train and validation.

    Raises
    ------
    DataError
        If the dataset has no timestamps, or fewer than three different ones.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=10)
    >>> table = pd.DataFrame({"user_id": "ann", "item_id": list("abcdefghij"), "timestamp": days})
    >>> dataset = Dataset.from_frame(table, value=None, timestamp="timestamp")
    >>> split = split_by_time(dataset, validation=0.2, test=0.1)
    >>> parts = split.train, split.validation.targets, split.test.targets
    >>> ["".join(dataset.item_ids[part.indices]) for part in parts]
    ['abcdefg', 'hi', 'j']
    """
    check_fraction("validation", validation)
    check_fraction("test", test)
    times = timestamps_of(dataset)
    if validation + test >= 1:
        raise ValueError(f"`validation` + `test` must be below 1; got {validation} + {test}.")
    ordered, instants = np.sort(times), np.unique(times)
    if len(instants) < 3:
        raise DataError(
            "Timestamps must tell three parts apart; the dataset has "
            f"{len(instants)} different one{'s' * (len(instants) > 1)}. Use split_ratings."
        )
    last_cut = max(ordered[int((1 - test) * len(times))], instants[2])
    before = instants[np.searchsorted(instants, last_cut) - 1]
    middle_cut = ordered[int((1 - test - validation) * len(times))]
    middle_cut = min(max(middle_cut, instants[1]), before)
    part = (times >= middle_cut).astype(np.int8) + (times >= last_cut).astype(np.int8)
    return _split_past(dataset, part)


def timestamps_of(dataset: Dataset) -> Ints:
    """Return the times of a dataset; `DataError` if it has none."""
    check_kind("dataset", dataset, Dataset)
    if dataset.timestamps is None:
        raise DataError(
            "The dataset must have timestamps; it has none. Build it with "
            'Dataset.from_frame(..., timestamp="column").'
        )
    return dataset.timestamps


def _split_past(dataset: Dataset, part: NDArray[np.int8]) -> Split:
    """As `split_entries`, but the test sees the validation entries, which are past by then."""
    split = split_entries(dataset, part)
    seen = keep_entries(dataset.user_items, part < 2)
    return replace(split, test=replace(split.test, fold_in=seen))


def rank_in_row(keys: CSR) -> Ints:
    """Rank, from 0, of each stored value within its row."""
    counts = np.diff(keys.indptr)
    order = np.lexsort((keys.data, entry_rows(keys)))
    rank = np.empty(keys.nnz, dtype=np.int64)
    rank[order] = np.arange(keys.nnz) - np.repeat(keys.indptr[:-1], counts)
    return rank


def cut_rows(rows: CSR, hidden: Mask, users: Ints) -> Fold:
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


def strong_generalization(
    dataset: Dataset,
    *,
    validation_users: int | float = 0.1,
    test_users: int | float = 0.1,
    fold_in: float = 0.8,
    min_interactions: int | None = None,
    seed: int = 0,
    seeding: Literal["named", "liang2018"] = "named",
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
        The catalog stays as it is: an item that no training user has is an empty column.
    validation_users, test_users : int or float
        How many users to hold out, or which share of those with enough interactions.
    fold_in : float
        Share of a held-out user's interactions that the model may see, in (0, 1). At least one
        interaction is shown and at least one is hidden.
    min_interactions : int, optional
        Users with fewer interactions are left out of the split, >= 2. By default 5, or as many
        as the data allow (`enough_interactions`).
    seed : int
        Not used with ``seeding="liang2018"``, which has the authors' 98765.
    seeding : {"named", "liang2018"}
        "named" draws from streams of their own for users and targets. "liang2018" repeats the
        authors' notebook: with 10,000 and 10,000 held-out users of ML-20M the split is theirs, pair
        by pair.

    Returns
    -------
    Split
        No user is in two parts.

    Raises
    ------
    DataError
        If too few users have enough interactions.
    ValueError
        If an argument is out of range, or `seed` is set together with ``seeding="liang2018"``.

    Notes
    -----
    ``seeding="liang2018"`` differs in what the notebook does differently. Its columns are the items
    of the *training* users in order of first appearance, ``split.items``, and held-out interactions
    with other items are dropped; elsewhere the catalog is fixed before the split. The hidden
    share is rounded down. A held-out user left with fewer than 5 interactions has no target.
    Training users and held-out users keep the permuted order. The order of appearance is by user
    id and item id, which is the order of ML-20M's file; of a file in another order the notebook
    would make another split.

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
    >>> theirs = strong_generalization(
    ...     dataset, validation_users=2, test_users=2, seeding="liang2018"
    ... )
    >>> theirs.train_users, theirs.test.users
    (array([8, 7, 1, 2, 0, 6]), array([3, 5]))
    """
    check_fraction("fold_in", fold_in)
    if min_interactions is None:
        min_interactions = enough_interactions(dataset)
    check_integer("min_interactions", min_interactions, minimum=2)
    check_choice("seeding", seeding, ("named", "liang2018"))
    if seeding == "liang2018" and seed not in (0, _LIANG_SEED):
        raise ValueError(
            f'`seed` must be left out with seeding="liang2018", whose seed is {_LIANG_SEED}; got '
            f'{seed!r}. Use seeding="named" for other seeds.'
        )
    counts = np.diff(dataset.user_items.indptr)
    users = np.flatnonzero(counts >= min_interactions)
    n_validation = _count("validation_users", validation_users, len(users))
    n_test = _count("test_users", test_users, len(users))
    n_train = len(users) - n_validation - n_test
    if n_train < 1:
        enough_interactions(dataset)  # where the data lack them, it says so
        raise DataError(
            f"Enough users must be left to train on; {len(users)} of {dataset.n_users} users have "
            f">= {min_interactions} interactions and {n_validation} + {n_test} are held out. "
            "It takes longer histories; or hold out fewer users or lower min_interactions."
        )
    cuts = [n_train, n_train + n_validation]
    if seeding == "liang2018":
        return _as_in_the_notebook(dataset, users, cuts, fold_in)
    users = rng_from(seed, "split", "users").permutation(users)
    train_users, validation, test = (np.sort(part) for part in np.split(users, cuts))
    return Split(
        train=dataset.user_items[train_users],
        validation=_hide(dataset, validation, fold_in, seed),
        test=_hide(dataset, test, fold_in, seed),
        train_users=train_users,
    )


def enough_interactions(dataset: Dataset, at_most: int = 5) -> int:
    """Return how many interactions a user must have to be held out, as the data allow.

    Parameters
    ----------
    dataset : Dataset
    at_most : int
        What one would ask for, >= 2.

    Returns
    -------
    int
        The highest number up to `at_most` that half of the users have, or a hundred of them.

    Raises
    ------
    DataError
        If hardly anybody has two interactions, one to show and one to hide.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame([(u, i) for u in range(10) for i in range(3)], columns=["u", "i"])
    >>> enough_interactions(Dataset.from_frame(table, user="u", item="i", value=None))
    3
    """
    check_kind("dataset", dataset, Dataset)
    counts = np.diff(dataset.user_items.indptr)
    for enough in range(at_most, 1, -1):
        if (counts >= enough).sum() >= max(_FEWEST, min(100, (counts > 0).sum() / 2)):
            return enough
    if (counts >= 2).sum() >= _FEWEST:
        return 2
    raise DataError(
        f"At least {_FEWEST} users must have two interactions, one to show and one to hide; "
        f"{(counts >= 2).sum():,} of {dataset.n_users:,} have. This table hardly says which items "
        "go together: give one with more people who come back. Where a row lists all items of a "
        'user, pandas makes a row of each, X being their column: frame.assign(X=frame["X"].str.'
        """strip("[]").str.split(" ")).explode("X")."""
    )


def hold_out(dataset: Dataset, *, seed: int = 0) -> Split:
    """Split as the question of the data asks: ratings by rating, likes by user.

    Parameters
    ----------
    dataset : Dataset
    seed : int

    Returns
    -------
    Split
        `split_ratings` of a dataset with ratings, else `strong_generalization`.
    """
    check_kind("dataset", dataset, Dataset)
    split = strong_generalization if dataset.rating_scale is None else split_ratings
    return split(dataset, seed=seed)


def _as_in_the_notebook(dataset: Dataset, users: Ints, cuts: list[int], fold_in: float) -> Split:
    train_users, validation, test = np.split(liang_order(dataset, users), cuts)
    items = liang_items(dataset, train_users)
    # Rounded, because 1 - 0.8 is a little below 0.2 and would hide nothing of five interactions.
    hidden_share = round(1 - fold_in, 12)
    return Split(
        train=select_rows(dataset, train_users, items),
        validation=liang_fold(dataset, validation, items, hidden_share),
        test=liang_fold(dataset, test, items, hidden_share),
        train_users=train_users,
        items=items,
    )


def _count(name: str, wanted: int | float, available: int) -> int:
    """Turn a number or a share of users into a number."""
    if isinstance(wanted, float):
        check_fraction(name, wanted)
        return max(1, round(wanted * available))
    check_integer(name, wanted, minimum=1)
    return wanted


def _hide(dataset: Dataset, users: Ints, fold_in: float, seed: int) -> Fold:
    """Hide a random share of each user's interactions."""
    x = dataset.user_items
    rows = x[users]
    counts = np.diff(rows.indptr)
    hidden = np.clip(counts - np.round(fold_in * counts).astype(int), 1, counts - 1)
    # One draw for each user and item of the dataset, in stored order: the same pair is hidden or
    # shown whatever else is held out.
    draws = rng_from(seed, "split", "targets").random(x.nnz)
    order = sparse.csr_array((draws, x.indices, x.indptr), shape=x.shape)[users]
    return cut_rows(rows, rank_in_row(order) < np.repeat(hidden, counts), users)


def liang_order(dataset: Dataset, users: Ints) -> Ints:
    """Return `users` in their order: sorted by external id, then permuted.

    Parameters
    ----------
    dataset : Dataset
    users : ndarray of shape (n,), int64
        Rows of the users with enough interactions.

    Returns
    -------
    ndarray of shape (n,), int64
        Training users first, then validation users, then test users.
    """
    by_id = users[np.asarray(dataset.user_ids.take(users).argsort())]
    return by_id[np.random.RandomState(_LIANG_SEED).permutation(len(by_id))]


def liang_items(dataset: Dataset, train_users: Ints) -> Ints:
    """Return the items that training users have, in order of first appearance.

    Parameters
    ----------
    dataset : Dataset
    train_users : ndarray of shape (n,), int64

    Returns
    -------
    ndarray of shape (n_kept_items,), int64
        Columns of the dataset. Appearance is by user id, then by item id, as the rows of ML-20M's
        file are ordered.
    """
    users = train_users[np.asarray(dataset.user_ids.take(train_users).argsort())]
    by_id = np.asarray(dataset.item_ids.argsort())
    return by_id[pd.unique(select_rows(dataset, users, by_id).indices)]


def select_rows(dataset: Dataset, users: Ints, items: Ints) -> CSR:
    """Return the interactions of `users` with `items`, both in the order given."""
    rows = dataset.user_items[users][:, items]
    rows.sort_indices()
    return rows


def liang_fold(dataset: Dataset, users: Ints, items: Ints, hidden_share: float) -> Fold:
    """Hide interactions of held-out users with their stream.

    Parameters
    ----------
    dataset : Dataset
    users : ndarray of shape (n,), int64
        Validation or test users, in any order; it is kept.
    items : ndarray of shape (n_kept_items,), int64
        See `liang_items`; interactions with other items are dropped.
    hidden_share : float
        Of each user's interactions that many are hidden, rounded down.

    Returns
    -------
    Fold
        Its columns are `items`. Users with fewer than 5 interactions have no targets.
    """
    rows = select_rows(dataset, users, items)
    place_of = np.empty(len(items), dtype=np.int64)
    place_of[np.asarray(dataset.item_ids.take(items).argsort())] = np.arange(len(items))
    hidden = np.zeros(rows.nnz, dtype=bool)
    stream = np.random.RandomState(_LIANG_SEED)
    for row in np.asarray(dataset.user_ids.take(users).argsort()):
        start, stop = int(rows.indptr[row]), int(rows.indptr[row + 1])
        n = stop - start
        if n >= _LIANG_ENOUGH:
            drawn = stream.choice(n, size=int(hidden_share * n), replace=False)
            # They number a user's interactions in the order of the file, by item id.
            by_id = np.argsort(place_of[rows.indices[start:stop]])
            hidden[start + by_id[drawn]] = True
    return cut_rows(rows, hidden, users)
