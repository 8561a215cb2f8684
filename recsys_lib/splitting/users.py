"""Hold out whole users (strong generalization)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_choice, check_fraction, check_integer, check_kind
from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.errors import DataError
from recsys_lib.seeding import rng_from
from recsys_lib.splitting import liang
from recsys_lib.splitting.entries import cut_rows, rank_in_row, split_ratings

# One user to train on, one to validate with and one to test on.
_FEWEST = 3


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
    if seeding == "liang2018" and seed not in (0, liang.SEED):
        raise ValueError(
            f'`seed` must be left out with seeding="liang2018", whose seed is {liang.SEED}; got '
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
        "go together: give one in which people come back."
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
    if dataset.rating_scale is not None:
        return split_ratings(dataset, seed=seed)
    return strong_generalization(dataset, seed=seed)


def _as_in_the_notebook(
    dataset: Dataset, users: NDArray[np.int64], cuts: list[int], fold_in: float
) -> Split:
    train_users, validation, test = np.split(liang.order_users(dataset, users), cuts)
    items = liang.training_items(dataset, train_users)
    # Rounded, because 1 - 0.8 is a little below 0.2 and would hide nothing of five interactions.
    hidden_share = round(1 - fold_in, 12)
    return Split(
        train=liang.select_rows(dataset, train_users, items),
        validation=liang.cut_fold(dataset, validation, items, hidden_share),
        test=liang.cut_fold(dataset, test, items, hidden_share),
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
    rank = rank_in_row(order)
    return cut_rows(rows, rank < np.repeat(hidden, counts), users)
