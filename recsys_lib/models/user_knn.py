"""User-based k-nearest neighbors."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_ratings
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Recommender
from recsys_lib.models.bias import Biases, fit_biases
from recsys_lib.models.neighbors import Feedback, check_neighborhood, nearest_rows, pattern
from recsys_lib.models.popularity import answer_empty_rows, item_shares

__all__ = ["UserKNN"]


@dataclass(kw_only=True)
class UserKNN(Recommender):
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
    neighbors : int
        Training users who vote for a row, >= 1.
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

    feedback: Feedback = "implicit"
    neighbours: int = 200
    shrinkage: float = 10.0
    damping: float = 0.3
    user_damping: float = 5.0
    item_damping: float = 2.0

    user_items_: sparse.csr_array = field(init=False, repr=False, compare=False)
    biases_: Biases | None = field(init=False, repr=False, compare=False)
    item_shares_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    @property
    def predicts(self) -> str:  # type: ignore[override]
        """Rating units for explicit feedback, else an order only."""
        return "rating" if self.feedback == "explicit" else "rank"

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        check_neighborhood(self.feedback, self.neighbours, self.shrinkage, self.damping)
        self.item_shares_ = item_shares(x)
        self.biases_ = None
        if self.feedback == "explicit":
            check_ratings(x)
            self.biases_ = fit_biases(
                x, user_damping=self.user_damping, item_damping=self.item_damping
            )
            x = self.biases_.deviations(x)
        self.user_items_ = x.copy()

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        rows = x if self.biases_ is None else self.biases_.deviations(x)
        similar = nearest_rows(
            rows, self.user_items_, neighbours=self.neighbours, shrinkage=self.shrinkage
        )
        votes = (similar @ self.user_items_).toarray()
        if self.biases_ is None:
            return answer_empty_rows(votes, x, self.item_shares_)
        weight = (similar @ pattern(self.user_items_)).toarray()
        # Without damping an item that no neighbor rated would be 0 / 0.
        votes /= np.maximum(weight + np.float32(self.damping), np.float32(1e-9))
        return self.biases_.predict(x) + votes

    def _arrays(self) -> Arrays:
        arrays: Arrays = {
            "data": self.user_items_.data,
            "indices": self.user_items_.indices,
            "indptr": self.user_items_.indptr,
            "item_shares": self.item_shares_,
        }
        return arrays | (self.biases_.arrays() if self.biases_ is not None else {})

    def _restore(self, arrays: Arrays) -> None:
        self.item_shares_ = arrays["item_shares"]
        self.user_items_ = sparse.csr_array(
            (arrays["data"], arrays["indices"], arrays["indptr"]),
            shape=(len(arrays["indptr"]) - 1, self.n_items_),
        )
        self.biases_ = Biases.from_arrays(arrays) if self.feedback == "explicit" else None
