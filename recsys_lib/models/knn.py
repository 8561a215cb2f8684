"""Nearest neighbors of items and of users, by shrunk cosine similarities."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import CSR, Floats, Ints
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Cost, Recommender
from recsys_lib.models.baselines import (
    Biases,
    answer_empty_rows,
    blocks_of_weights,
    fit_biases,
    item_shares,
)
from recsys_lib.ranking import Block, blocks_of, entry_rows, slices
from recsys_lib.renamed import renamed

# Dense similarities held at once, in numbers: 64 MB of float32.
_BLOCK_NUMBERS = 16_000_000
# Share of pairs with something in common below which the others are not looked at.
_FEW = 0.05
# Neighbors of all items together, by default: half a gigabyte.
_NUMBERS = 2**26


@dataclass(kw_only=True)
class _NeighborRecommender(Recommender):
    """Base of both: votes on deviations from biases, or on interactions."""

    _in_threads: ClassVar[bool] = True

    feedback: Literal["explicit", "implicit"] = "implicit"
    n_neighbors: int | None = None
    shrinkage: float = 10.0
    damping: float = 0.3
    user_damping: float = 5.0
    item_damping: float = 2.0

    biases_: Biases | None = field(init=False, repr=False, compare=False)
    item_shares_: Floats = field(init=False, repr=False, compare=False)

    @property
    def predicts(self) -> str:  # type: ignore[override]
        """Rating units for explicit feedback, else an order only."""
        return "rating" if self.feedback == "explicit" else "rank"

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        self.item_shares_ = item_shares(x)
        self.biases_ = None
        if self.feedback == "explicit":
            dampings = {"user_damping": self.user_damping, "item_damping": self.item_damping}
            self.biases_ = fit_biases(x, **dampings)
        self._learn(self._seen(x))

    def _learn(self, x: CSR) -> None:
        """Learn from interactions, or from deviations."""
        raise NotImplementedError

    def _seen(self, x: CSR) -> CSR:
        """Return the rows as neighbors see them."""
        return x if self.biases_ is None else self.biases_.deviations(x)

    def _voted(self, x: CSR, votes: CSR, weights: CSR) -> Floats:
        """Return the scores of rows, given the votes for each item and the weight behind them."""
        scores: Floats = votes.toarray()
        if self.biases_ is None:
            return answer_empty_rows(scores, x, self.item_shares_)
        # Without damping an item that nobody voted on would be 0 / 0.
        scores /= np.maximum(weights.toarray() + np.float32(self.damping), np.float32(1e-9))
        return self.biases_.predict(x) + scores

    def _restore(self, arrays: Arrays) -> None:
        if "indptr" in arrays:  # as they were called until 0.2
            names, learned = ("data", "indices", "indptr"), self._learned()[-1]
            arrays |= {f"{learned}_{name}": arrays[name] for name in names}
        super()._restore(arrays)
        self.biases_ = Biases.from_arrays(arrays) if self.feedback == "explicit" else None


@renamed(neighbours="n_neighbors")
@dataclass(kw_only=True)
class ItemKNN(_NeighborRecommender):
    r"""Weighted vote of the most similar items among those in the row.

    With ratings, both the similarities and the votes are about *deviations* from the damped biases
    :math:`b_{ui}` [1]_, so that a generous user or a liked item does not look like a taste:

    .. math:: \hat r_{ui} = b_{ui} +
       \frac{\sum_{j \in u} s_{ij} (r_{uj} - b_{uj})}{\sum_{j \in u} s_{ij} + \text{damping}}

    where :math:`s` is the cosine of two items' deviations times :math:`n / (n + \text{shrinkage})`,
    kept where positive and among the `n_neighbors` largest of item :math:`i`. With interactions,
    :math:`\hat s_{ui} = \sum_{j \in u} x_{uj} s_{ij}`.

    Parameters
    ----------
    feedback : "explicit" or "implicit"
        Whether stored values are ratings to predict, or interactions to rank by.
    n_neighbors : int, optional
        Items kept for each item, >= 1. By default 100, and for interactions at least a fortieth of
        the items, as long as all together are 2 ** 26 at most.
    shrinkage : float
        Number of imagined common users without agreement, >= 0.
    damping : float
        Similarity of an imagined neighbor that votes for the bias, >= 0; explicit only.
    activity_power : float, optional
        Each user's weight in the similarities is ``n_interactions ** -activity_power``, >= 0:
        someone who used half the catalog tells little about what belongs together. By default 0.5
        for ratings, 1 for interactions.
    user_damping, item_damping : float
        As in `Bias`; explicit only.

    Attributes
    ----------
    similarities_ : csr_array of shape (n_items, n_items), float32
        Column ``i`` holds the neighbors of item ``i``.
    biases_ : Biases or None
        The baseline; None for implicit feedback.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity, the answer to an empty row where feedback is implicit.

    Notes
    -----
    O(sum of n_u ** 2) to fit; O(n_row * n_neighbors) per row to score. An item with no neighbor in
    the row is predicted by its bias, or scored 0.

    Neighbors are the nearest of the item in the whole catalog, found once, instead of the
    nearest among those a user has rated, found for each prediction: scoring is one sparse product.

    References
    ----------
    .. [1] Y. Koren, "Factor in the Neighbors", TKDD 4(1), 2010, eq. 3. Differs: cosine over all
       raters of each item instead of Pearson over common raters, and `damping`.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> ItemKNN(feedback="implicit").fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    shrinkage: float = 5.0
    activity_power: float | None = None

    similarities_: CSR = field(init=False, repr=False, compare=False)

    def cost(self, user_items: CSR) -> Cost:
        """Return what the sparse products take; see `Recommender.cost`."""
        pairs = float(np.square(np.diff(user_items.indptr), dtype=np.float64).sum())
        n_neighbors = self.suited_to(user_items).config()["n_neighbors"]
        return Cost(200 * pairs, 8 * user_items.shape[1] * n_neighbors)

    def _suited(self, x: CSR) -> dict[str, Any]:
        if self.feedback == "explicit":
            return {"n_neighbors": 100, "activity_power": 0.5}
        n_items = x.shape[1]
        most = min(n_items // 40, _NUMBERS // n_items)
        return {"n_neighbors": max(100, most), "activity_power": 1.0}

    def _learn(self, x: CSR) -> None:
        own = self.suited_to(x).config()
        weights = np.maximum(np.diff(x.indptr), 1) ** (-0.5 * own["activity_power"])
        columns = scale_rows(x, weights).T.tocsr()
        self.similarities_ = nearest_rows(
            columns,
            columns,
            n_neighbors=own["n_neighbors"],
            shrinkage=self.shrinkage,
            skip_self=True,
        ).T.tocsr()

    @property
    def _is_linear(self) -> bool:  # type: ignore[override]
        return self.biases_ is None

    def _relate(self, items: Ints) -> Floats:
        return np.asarray(self.similarities_[:, items].T.toarray(order="C"))

    def _blocks(self, x: CSR) -> Block:
        near = self.similarities_
        if self.biases_ is None:
            return blocks_of_weights(x, near, self.item_shares_)
        return blocks_of(self._voted(x, self._seen(x) @ near, pattern(x) @ near))


@renamed(neighbours="n_neighbors")
@dataclass(kw_only=True)
class UserKNN(_NeighborRecommender):
    r"""Weighted vote of the training users most similar to the row.

    .. math:: \hat r_{ui} = b_{ui} +
       \frac{\sum_{v} s_{uv} (r_{vi} - b_{vi})}{\sum_{v} s_{uv} + \text{damping}}

    over the nearest users :math:`v` who rated item :math:`i`; :math:`s` is the cosine of two users'
    deviations from the damped biases :math:`b`, shrunk as in `ItemKNN`. With interactions,
    :math:`\hat s_{ui} = \sum_v s_{uv} x_{vi}`.

    Parameters
    ----------
    feedback : "explicit" or "implicit"
        Whether stored values are ratings to predict, or interactions to rank by.
    n_neighbors : int, optional
        Training users who vote for a row, >= 1. By default 200 for ratings, and 1.4 times the
        root of the number of training users for interactions.
    shrinkage : float
        Number of imagined common items without agreement, >= 0.
    damping : float
        Similarity of an imagined neighbor who votes for the bias, >= 0; explicit only.
    user_damping, item_damping : float
        As in `Bias`; explicit only.

    Attributes
    ----------
    user_items_ : csr_array of shape (n_users, n_items), float32
        The training rows, as deviations where feedback is explicit: this model *is* its data.
    biases_ : Biases or None
        The baseline; None for implicit feedback.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity, the answer to an empty row where feedback is implicit.

    Notes
    -----
    Nothing to fit beyond the biases; scoring a row costs O(n_interactions) of the training data. A
    row that was trained on is its own nearest neighbor, which changes no score of an item that it
    does not hold.

    References
    ----------
    .. [1] J. Herlocker, J. Konstan, A. Borchers, J. Riedl, "An Algorithmic Framework for Performing
       Collaborative Filtering", SIGIR 1999. Differs: deviations from user and item bias.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    >>> UserKNN(feedback="implicit").fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    user_items_: CSR = field(init=False, repr=False, compare=False)

    def _suited(self, x: CSR) -> dict[str, Any]:
        explicit = self.feedback == "explicit"
        return {"n_neighbors": 200 if explicit else math.ceil(1.4 * x.shape[0] ** 0.5)}

    def _learn(self, x: CSR) -> None:
        self.user_items_ = x.copy()

    def _item_vectors(self) -> CSR:
        return self.user_items_.T.tocsr()

    def _score(self, x: CSR) -> Floats:
        similar = nearest_rows(
            self._seen(x),
            self.user_items_,
            n_neighbors=self.n_neighbors or self._suited(self.user_items_)["n_neighbors"],
            shrinkage=self.shrinkage,
        )
        return self._voted(x, similar @ self.user_items_, similar @ pattern(self.user_items_))


def pattern(x: CSR) -> CSR:
    """Return `x` with every stored value replaced by 1; shares the index arrays."""
    return sparse.csr_array((np.ones_like(x.data), x.indices, x.indptr), shape=x.shape)


def scale_rows(x: CSR, factors: NDArray[np.floating]) -> CSR:
    """Return `x` with row ``r`` multiplied by ``factors[r]``, float32; shares the index arrays."""
    data = x.data * factors[entry_rows(x)]
    return sparse.csr_array((data.astype(np.float32), x.indices, x.indptr), shape=x.shape)


def nearest_rows(
    left: CSR, right: CSR, *, n_neighbors: int, shrinkage: float, skip_self: bool = False
) -> CSR:
    r"""Return for each row of `left` its most similar rows of `right`.

    .. math:: s_{ab} = \frac{\langle l_a, r_b \rangle}{\|l_a\| \|r_b\|}
       \cdot \frac{n_{ab}}{n_{ab} + \text{shrinkage}}

    with :math:`n_{ab}` the number of columns that both store: a cosine over few common columns is
    mostly luck. Only positive similarities are kept.

    Parameters
    ----------
    left : csr_array of shape (n_left, n_columns), float32
    right : csr_array of shape (n_right, n_columns), float32
    n_neighbors : int
        Number of rows of `right` kept for each row of `left`, >= 1. Ties at the cut go by position.
    shrinkage : float
        >= 0.
    skip_self : bool
        `left` is `right`, and no row is its own neighbor.

    Returns
    -------
    csr_array of shape (n_left, n_right), float32

    Notes
    -----
    Computed in blocks of rows; about 64 MB are dense at any time. Where a row of `left` is compared
    with itself, of a wide catalog with few users only pairs with something in common are looked at.
    """
    from sklearn.preprocessing import normalize

    left_unit, right_unit = normalize(left), normalize(right).T.tocsr()
    left_seen, right_seen = pattern(left), pattern(right).T.tocsr()
    parts = []
    for rows in slices(left.shape[0], max(1, _BLOCK_NUMBERS // max(1, right.shape[0]))):
        found = left_unit[rows] @ right_unit
        common = left_seen[rows] @ right_seen if shrinkage > 0 else pattern(found)
        # Users who score come in batches, which must not change how their ties are settled.
        if skip_self and found.nnz < _FEW * found.shape[0] * found.shape[1]:
            common.data /= common.data + np.float32(shrinkage)
            parts.append(_largest_stored(found.multiply(common).tocsr(), rows.start, n_neighbors))
            continue
        block = found.toarray()
        if shrinkage > 0:
            common = common.toarray()
            block *= common / (common + np.float32(shrinkage))
        if skip_self:
            block[np.arange(block.shape[0]), np.arange(rows.start, rows.stop)] = 0
        parts.append(_largest(block, n_neighbors))
    if not parts:
        return sparse.csr_array((left.shape[0], right.shape[0]), dtype=np.float32)
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _largest(block: Floats, k: int) -> CSR:
    """The `k` largest positive entries of each row, as CSR."""
    if k < block.shape[1]:
        kept = np.argpartition(block, block.shape[1] - k, axis=1)[:, -k:]
        kept.sort(axis=1)
    else:
        kept = np.tile(np.arange(block.shape[1]), (block.shape[0], 1))
    values = np.take_along_axis(block, kept, axis=1)
    indptr = np.arange(0, values.size + 1, values.shape[1])
    found = sparse.csr_array((values.ravel(), kept.ravel(), indptr), shape=block.shape)
    found.data[found.data < 0] = 0
    found.eliminate_zeros()
    return found


def _largest_stored(block: CSR, start: int, k: int) -> CSR:
    """As `_largest`, of few stored entries; row 0 is row `start` of the whole, itself left out."""
    row = entry_rows(block)
    order = np.lexsort((block.indices, -block.data, row))
    order = order[(block.data[order] > 0) & (block.indices[order] != row[order] + start)]
    counts = np.bincount(row[order], minlength=block.shape[0])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.sort(order[rank < k])
    parts = (block.data[kept], (row[kept], block.indices[kept]))
    return sparse.csr_array(parts, shape=block.shape)
