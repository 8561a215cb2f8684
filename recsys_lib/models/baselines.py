"""What a personal model must beat: popularity, the mean rating, biases."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from scipy import sparse

from recsys_lib.checks import CSR, Doubles, Floats, Mask
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Recommender, packed, unpacked
from recsys_lib.ranking import Block, Items, entry_rows, slices

# What 20 leave is mostly a shift of all users against all items, which cancels in predictions: it
# was .001 on the default world and .026 on MovieLens 100K, where .0001 of the rmse is left to gain.
_SWEEPS = 20
#: As many rows as a vector of any processor has lanes. Products round all lanes alike; with more
#: rows, how one is rounded depends on where it stands, with fewer on how many there are.
LANES = 16
_TILE = 2**15


class Biases(NamedTuple):
    """An additive rating model: mean + user bias + item bias.

    Attributes
    ----------
    mean : float
        Mean of all ratings.
    items : ndarray of shape (n_items,), float64
        How much above the mean an item is rated, damped.
    user_damping : float
        Number of imagined ratings at bias 0 in each row.
    """

    mean: float
    items: Doubles
    user_damping: float

    def of_users(self, x: CSR) -> Doubles:
        """Return the user bias of each row, (n_rows,) float64; 0 for an empty row."""
        counts = np.diff(x.indptr)
        residuals = x.data - self.mean - self.items[x.indices]
        sums = np.bincount(entry_rows(x), residuals, len(counts))
        # Without damping an empty row would be 0 / 0.
        return np.asarray(sums / np.maximum(counts + self.user_damping, 1e-12))

    def deviations(self, x: CSR) -> CSR:
        """Return what the biases leave unexplained, with the entries of `x`, float32."""
        rest = x.data - self.mean - self.items[x.indices] - self.of_users(x)[entry_rows(x)]
        return sparse.csr_array((rest.astype(np.float32), x.indices, x.indptr), shape=x.shape)

    def predict(self, x: CSR) -> Floats:
        """Return the expected rating of every item for each row, (n_rows, n_items) float32."""
        return np.asarray(self.of_users(x)[:, None] + (self.mean + self.items), dtype=np.float32)

    def arrays(self) -> Arrays:
        """Return the parts as arrays, for `from_arrays`."""
        return packed({f"bias_{name}": part for name, part in self._asdict().items()})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Biases":
        """Rebuild from `arrays`."""
        names = [f"bias_{name}" for name in cls._fields]
        return cls(*unpacked(arrays, names, 0).values())


def fit_biases(x: CSR, *, user_damping: float = 5.0, item_damping: float = 2.0) -> Biases:
    """Fit damped biases by alternating means, until what is left hardly moves a prediction.

    Parameters
    ----------
    x : csr_array of shape (n_users, n_items)
        Stored entries are ratings.
    user_damping, item_damping : float
        Numbers of imagined ratings at bias 0, >= 0: what little is known is believed little.

    Returns
    -------
    Biases
    """
    counts = np.bincount(x.indices, minlength=x.shape[1])
    rows = entry_rows(x)
    biases = Biases(float(np.mean(x.data, dtype=np.float64)), np.zeros(x.shape[1]), user_damping)
    for _ in range(_SWEEPS):
        residuals = x.data - biases.mean - biases.of_users(x)[rows]
        sums = np.bincount(x.indices, residuals, x.shape[1])
        biases = biases._replace(items=sums / np.maximum(counts + item_damping, 1e-12))
    return biases


@dataclass(kw_only=True)
class GlobalMean(Recommender):
    """The mean rating for everyone and everything: the floor of rating prediction.

    Attributes
    ----------
    mean_ : float
        Mean of the stored ratings.

    Examples
    --------
    >>> ratings = sparse.csr_array([[5, 3, 0], [4, 0, 0]])
    >>> GlobalMean().fit(ratings).score(ratings[[0]])
    array([[4., 4., 4.]], dtype=float32)
    """

    predicts: ClassVar[Literal["rating", "rank"]] = "rating"

    mean_: float = field(init=False, repr=False, compare=False)

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        self.mean_ = float(np.mean(x.data, dtype=np.float64))

    def _score(self, x: CSR) -> Floats:
        return np.full(x.shape, self.mean_, dtype=np.float32)


@dataclass(kw_only=True)
class Bias(Recommender):
    r"""Mean plus a damped bias for each user and each item.

    .. math:: \hat r_{ui} = \mu + b_u + b_i,\quad
       b_u = \frac{\sum_{i \in u} (r_{ui} - \mu - b_i)}{n_u + d_U},\quad
       b_i = \frac{\sum_{u \in i} (r_{ui} - \mu - b_u)}{n_i + d_I}

    Both hold at once, nearly, after 20 sweeps. The user bias comes from the row, so an unseen user
    has one too, and an empty row gets the item's expected rating.

    Parameters
    ----------
    user_damping, item_damping : float
        Numbers of imagined ratings at bias 0 [1]_, >= 0.

    Attributes
    ----------
    biases_ : Biases
        The mean and the item biases.

    Notes
    -----
    O(n_interactions) to fit.

    References
    ----------
    .. [1] Y. Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering",
       TKDD 4(1), 2010, section 2.1. There the two biases are decoupled; here they are solved
       together, which is the ridge solution and predicts better.

    Examples
    --------
    >>> ratings = sparse.csr_array([[5, 3, 0], [4, 2, 0], [5, 0, 4]])
    >>> Bias(user_damping=0, item_damping=0).fit(ratings).score(ratings[[1]]).round(2)
    array([[4., 2., 3.]], dtype=float32)
    """

    predicts: ClassVar[Literal["rating", "rank"]] = "rating"

    user_damping: float = 5.0
    item_damping: float = 2.0

    biases_: Biases = field(init=False, repr=False, compare=False)

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        self.biases_ = fit_biases(x, user_damping=self.user_damping, item_damping=self.item_damping)

    def _score(self, x: CSR) -> Floats:
        return self.biases_.predict(x)

    def _restore(self, arrays: Arrays) -> None:
        self.biases_ = Biases.from_arrays(arrays)


def users_per_item(x: CSR) -> float:
    """Return the mean number of users of an item: the scale on which penalties mean the same."""
    return max(float(x.nnz) / x.shape[1], 1e-3)


def density(x: CSR) -> float:
    """Return the share of pairs that interact, as if there were at least one."""
    return max(x.nnz, 1) / (x.shape[0] * x.shape[1])


def item_shares(x: CSR, *, damping: float = 0.0) -> Floats:
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


def answer_empty_rows(scores: Floats, x: CSR, answer: Floats) -> Floats:
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
    scores[_empty(x)] = answer
    return scores


def _empty(x: CSR) -> Mask:
    said = np.bincount(entry_rows(x), weights=np.abs(x.data), minlength=x.shape[0])
    return np.asarray(said == 0)


def blocks_of_factors(rows: Floats, factors: Floats, x: CSR, answer: Floats) -> Block:
    """Return what scores by factors of rows and of items; empty rows as in `answer_empty_rows`.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_factors), float32
    factors : ndarray of shape (n_items, n_factors), float32
    x : csr_array of shape (n_rows, n_items)
    answer : ndarray of shape (n_items,), float32
    """
    empty = _empty(x)

    def block(items: Items) -> Floats:
        scores = products(rows, factors[items])
        scores[empty] = answer[items]
        return scores

    return block


def products(rows: Floats, factors: Floats) -> Floats:
    """Return ``rows @ factors.T``; of up to `LANES` rows, each to the bit as in any such block."""
    n_rows = len(rows)
    if n_rows > LANES:
        return np.asarray(rows @ factors.T, dtype=np.float32)
    lanes = np.zeros((rows.shape[1], LANES), dtype=np.float32)
    lanes[:, :n_rows] = rows.T
    found = np.empty((n_rows, len(factors)), dtype=np.float32)
    for tile in slices(len(factors), _TILE):
        found[:, tile] = (factors[tile] @ lanes).T[:n_rows]
    return found


def blocks_of_weights(x: CSR, weights: CSR, answer: Floats) -> Block:
    """Return what scores by sparse weights of items for items, multiplied sparse, as above."""
    # SciPy would copy all weights into the wider type of places, for every product.
    places = (x.indices.astype(weights.indices.dtype), x.indptr.astype(weights.indptr.dtype))
    rows = sparse.csr_array((x.data, *places), shape=x.shape)
    product, empty = (rows @ weights).tocsc(), _empty(x)

    def block(items: Items) -> Floats:
        scores = product[:, items].toarray()
        scores[empty] = answer[items]
        return np.asarray(scores)

    return block


@dataclass(kw_only=True)
class Popularity(Recommender):
    """Most used items first, for everyone: the floor that a personal model must beat.

    Parameters
    ----------
    damping : float
        Number of imagined users, >= 0, who use every item at the mean share. It does not change
        the order, but keeps shares in small datasets away from 0 and 1.

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

    item_shares_: Floats = field(init=False, repr=False, compare=False)

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        self.item_shares_ = item_shares(x, damping=self.damping)

    def _blocks(self, x: CSR) -> Block:
        return lambda items: np.tile(self.item_shares_[items], (x.shape[0], 1))
