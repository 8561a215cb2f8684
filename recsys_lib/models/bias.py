"""Bias models: the mean rating plus user and item effects."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Recommender
from recsys_lib.ranking import entry_rows

__all__ = ["Bias", "Biases", "GlobalMean", "fit_biases"]

# The sweeps contract by about n / (n + damping) of the smaller side; 20 leave less than 1e-4.
_SWEEPS = 20


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
    items: NDArray[np.float64]
    user_damping: float

    def of_users(self, x: sparse.csr_array) -> NDArray[np.float64]:
        """Return the user bias of each row, (n_rows,) float64; 0 for an empty row."""
        counts = np.diff(x.indptr)
        residuals = x.data - self.mean - self.items[x.indices]
        sums = np.bincount(entry_rows(x), residuals, len(counts))
        # Without damping an empty row would be 0 / 0.
        return np.asarray(sums / np.maximum(counts + self.user_damping, 1e-12))

    def deviations(self, x: sparse.csr_array) -> sparse.csr_array:
        """Return what the biases leave unexplained, with the entries of `x`, float32."""
        rest = x.data - self.mean - self.items[x.indices] - self.of_users(x)[entry_rows(x)]
        return sparse.csr_array((rest.astype(np.float32), x.indices, x.indptr), shape=x.shape)

    def predict(self, x: sparse.csr_array) -> NDArray[np.float32]:
        """Return the expected rating of every item for each row, (n_rows, n_items) float32."""
        return np.asarray(self.of_users(x)[:, None] + (self.mean + self.items), dtype=np.float32)

    def arrays(self) -> Arrays:
        """Return the parts as arrays, for `from_arrays`."""
        return {
            "bias_mean": np.array(self.mean),
            "bias_items": self.items,
            "bias_user_damping": np.array(self.user_damping),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Biases":
        """Rebuild from `arrays`."""
        return cls(
            float(arrays["bias_mean"]), arrays["bias_items"], float(arrays["bias_user_damping"])
        )


def fit_biases(
    x: sparse.csr_array, *, user_damping: float = 5.0, item_damping: float = 2.0
) -> Biases:
    """Fit damped biases by alternating means, to convergence.

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

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        self.mean_ = float(np.mean(x.data, dtype=np.float64))

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        return np.full(x.shape, self.mean_, dtype=np.float32)


@dataclass(kw_only=True)
class Bias(Recommender):
    r"""Mean plus a damped bias for each user and each item.

    .. math:: \hat r_{ui} = \mu + b_u + b_i,\quad
       b_u = \frac{\sum_{i \in u} (r_{ui} - \mu - b_i)}{n_u + d_U},\quad
       b_i = \frac{\sum_{u \in i} (r_{ui} - \mu - b_u)}{n_i + d_I}

    Both hold at once after the sweeps. The user bias comes from the row, so an unseen user has one
    too, and an empty row gets the item's expected rating.

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

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        self.biases_ = fit_biases(x, user_damping=self.user_damping, item_damping=self.item_damping)

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        return self.biases_.predict(x)

    def _restore(self, arrays: Arrays) -> None:
        self.biases_ = Biases.from_arrays(arrays)
