"""Score users in batches, checking that scores have the right shape and are finite or masked."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.checks import check_integer
from recsys_lib.dataset import Fold
from recsys_lib.evaluation.beyond_accuracy import keep_entries

__all__ = ["count_items", "likes", "score_batches"]


def score_batches(
    model: Any, fold: Fold, batch_size: int = 512
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the scores of each batch of users with the rows they belong to.

    Parameters
    ----------
    model : object
        Anything with ``score(user_items)``, or an oracle with ``score_users(users, fold_in)``.
    fold : Fold
    batch_size : int
        Users that are scored at once.

    Yields
    ------
    rows : slice
        Into the fold.
    scores : ndarray of shape (n_batch, n_items), float32

    Raises
    ------
    TypeError
        If `model` has neither method.
    ValueError
        If the scores have the wrong shape.

    Examples
    --------
    >>> class Constant:
    ...     def score(self, user_items):
    ...         return np.zeros(user_items.shape)
    >>> row = sparse.csr_array([[1, 0]])
    >>> fold = Fold(fold_in=row, targets=row, users=np.array([0]))
    >>> next(score_batches(Constant(), fold))
    (slice(0, 1, None), array([[0., 0.]], dtype=float32))
    """
    check_integer("batch_size", batch_size, minimum=1)
    knows_users = hasattr(model, "score_users")
    if not knows_users and not hasattr(model, "score"):
        raise TypeError(
            f"`model` must have score(user_items); {type(model).__name__} has not. "
            "Give it one that returns an array of shape (n_rows, n_items)."
        )
    for start in range(0, fold.n_rows, batch_size):
        rows = slice(start, min(start + batch_size, fold.n_rows))
        fold_in = fold.fold_in[rows]
        raw = model.score_users(fold.users[rows], fold_in) if knows_users else model.score(fold_in)
        scores = np.asarray(raw, dtype=np.float32)
        if scores.shape != fold_in.shape:
            raise ValueError(
                f"Scores must have the shape of the rows scored, {fold_in.shape}; "
                f"{type(model).__name__} gave {scores.shape}."
            )
        yield rows, scores


def likes(targets: sparse.csr_array, min_value: float | None) -> sparse.csr_array:
    """Return the targets of at least `min_value`; None keeps every stored entry.

    Examples
    --------
    >>> likes(sparse.csr_array([[5.0, 2.0], [0.0, 1.0]]), 4.0).toarray()
    array([[5., 0.], [0., 0.]])
    """
    return targets if min_value is None else keep_entries(targets, targets.data >= min_value)


def count_items(item_counts: ArrayLike | None, fold: Fold) -> NDArray[np.int64]:
    """Return the interactions of each item: as given, or counted in the fold-in.

    Examples
    --------
    >>> rows = sparse.csr_array([[1, 1, 0], [0, 1, 0]])
    >>> count_items(None, Fold(fold_in=rows, targets=rows, users=np.array([0, 1])))
    array([1, 2, 0])
    """
    n_items = int(fold.fold_in.shape[1])
    if item_counts is None:
        return np.bincount(fold.fold_in.indices, minlength=n_items).astype(np.int64)
    counts = np.asarray(item_counts)
    if counts.shape != (n_items,) or counts.dtype.kind not in "iuf" or (counts < 0).any():
        raise ValueError(
            f"`item_counts` must hold a number >= 0 for each of the {n_items} items; got dtype "
            f"{counts.dtype} of shape {counts.shape}. Count with numpy.diff(train.tocsc().indptr)."
        )
    return counts.astype(np.int64)
