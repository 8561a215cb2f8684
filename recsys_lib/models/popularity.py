"""The floors: the same list for everyone by popularity, and a random list."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models.base import Recommender
from recsys_lib.ranking import entry_rows
from recsys_lib.seeding import rng_from

__all__ = ["Popularity", "Random", "answer_empty_rows", "item_shares"]


def item_shares(x: sparse.csr_array, *, damping: float = 0.0) -> NDArray[np.float32]:
    """Return the share of users who used each item, shrunk toward the mean share.

    Parameters
    ----------
    x : csr_array of shape (n_users, n_items)
        Stored entries count, whatever their value.
    damping : float
        Number of imagined users, >= 0, who use every item at the mean share.

    Returns
    -------
    ndarray of shape (n_items,), float32
        In [0, 1].
    """
    counts = np.bincount(x.indices, minlength=x.shape[1]).astype(np.float64)
    shares = (counts + damping * counts.mean() / x.shape[0]) / (x.shape[0] + damping)
    return shares.astype(np.float32)


def answer_empty_rows(
    scores: NDArray[np.float32], x: sparse.csr_array, answer: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Write `answer` into the rows of `scores` whose row in `x` is empty, in place.

    A linear model scores such a row 0 everywhere, and the tie-break would decide its list.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float32
    x : csr_array of shape (n_rows, n_items)
        A row is empty if it stores nothing but zeros.
    answer : ndarray of shape (n_items,), float32
        Usually popularity.

    Returns
    -------
    ndarray of shape (n_rows, n_items), float32
        `scores` itself.
    """
    said = np.bincount(entry_rows(x), weights=np.abs(x.data), minlength=x.shape[0])
    scores[said == 0] = answer
    return scores


@dataclass(kw_only=True)
class Popularity(Recommender):
    """Most used items first, for everyone: the floor that a personal model must beat.

    Parameters
    ----------
    damping : float
        Number of imagined users, >= 0, who use every item at the mean share. It does not change
        the order, but keeps shares in small data sets away from 0 and 1.

    Attributes
    ----------
    item_shares_ : ndarray of shape (n_items,), float32
        Damped share of users who used the item.

    Notes
    -----
    O(n_interactions) to fit, O(n_items) per row to score.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 0], [0, 1, 1]])
    >>> Popularity(damping=0).fit(likes).recommend(likes[[1]], k=1, exclude_seen=False)
    TopK(items=array([[1]], dtype=int32), scores=array([[1.]], dtype=float32))
    """

    damping: float = 5.0

    item_shares_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        self.item_shares_ = item_shares(x, damping=self.damping)

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        return np.tile(self.item_shares_, (x.shape[0], 1))


@dataclass(kw_only=True)
class Random(Recommender):
    """A random order for each row: the lowest floor.

    The order depends on the seed and on the row's contents only, so that it is the same alone, in a
    batch and after loading. Rows with the same contents get the same order.

    Parameters
    ----------
    seed : int
        The public seed.

    Notes
    -----
    O(n_items) per row.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0, 0], [0, 1, 0, 1]])
    >>> model = Random(seed=1).fit(likes)
    >>> bool((model.score(likes)[1] == model.score(likes[[1]])[0]).all())
    True
    """

    seed: int = 0

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        rng_from(self.seed)  # raises on a seed that is not one

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        scores = np.empty(x.shape, dtype=np.float32)
        for row in range(x.shape[0]):
            part = slice(x.indptr[row], x.indptr[row + 1])
            contents = x.indices[part].astype("<i8").tobytes() + x.data[part].tobytes()
            scores[row] = rng_from(self.seed, "random", contents.hex()).random(
                x.shape[1], dtype=np.float32
            )
        return scores
