"""Item-based k-nearest neighbors."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_nonnegative, check_ratings
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Recommender
from recsys_lib.models.bias import Biases, fit_biases
from recsys_lib.models.neighbors import (
    Feedback,
    check_neighborhood,
    nearest_rows,
    pattern,
    scale_rows,
)
from recsys_lib.models.popularity import answer_empty_rows, item_shares

__all__ = ["ItemKNN"]


@dataclass(kw_only=True)
class ItemKNN(Recommender):
    r"""Weighted vote of the most similar items among those in the row.

    With ratings, both the similarities and the votes are about *deviations* from the damped biases
    :math:`b_{ui}` [1]_, so that a generous user or a liked item does not look like a taste:

    .. math:: \hat r_{ui} = b_{ui} +
       \frac{\sum_{j \in u} s_{ij} (r_{uj} - b_{uj})}{\sum_{j \in u} s_{ij} + \text{damping}}

    where :math:`s` is the cosine of two items' deviations times :math:`n / (n + \text{shrinkage})`,
    kept where positive and among the `neighbours` largest of item :math:`i`. With interactions,
    :math:`\hat s_{ui} = \sum_{j \in u} x_{uj} s_{ij}`.

    Parameters
    ----------
    feedback : "explicit" or "implicit"
        Whether stored values are ratings to predict, or interactions to rank by.
    neighbors : int
        Items kept for each item, >= 1.
    shrinkage : float
        Number of imagined common users without agreement, >= 0.
    damping : float
        Similarity of an imagined neighbor that votes for the bias, >= 0; explicit only.
    activity_power : float
        Each user's weight in the similarities is ``n_interactions ** -activity_power``, >= 0:
        someone who used half the catalog tells little about what belongs together.
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
    O(sum of n_u ** 2) to fit; O(n_row * neighbors) per row to score. An item with no neighbor in
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

    feedback: Feedback = "implicit"
    neighbours: int = 100
    shrinkage: float = 10.0
    damping: float = 0.3
    activity_power: float = 0.5
    user_damping: float = 5.0
    item_damping: float = 2.0

    similarities_: sparse.csr_array = field(init=False, repr=False, compare=False)
    biases_: Biases | None = field(init=False, repr=False, compare=False)
    item_shares_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    @property
    def predicts(self) -> str:  # type: ignore[override]
        """Rating units for explicit feedback, else an order only."""
        return "rating" if self.feedback == "explicit" else "rank"

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        check_neighborhood(self.feedback, self.neighbours, self.shrinkage, self.damping)
        check_nonnegative("activity_power", self.activity_power)
        self.item_shares_ = item_shares(x)
        self.biases_ = None
        if self.feedback == "explicit":
            check_ratings(x)
            self.biases_ = fit_biases(
                x, user_damping=self.user_damping, item_damping=self.item_damping
            )
            x = self.biases_.deviations(x)
        weights = np.maximum(np.diff(x.indptr), 1) ** (-0.5 * self.activity_power)
        columns = scale_rows(x, weights).T.tocsr()
        self.similarities_ = nearest_rows(
            columns,
            columns,
            neighbours=self.neighbours,
            shrinkage=self.shrinkage,
            skip_self=True,
        ).T.tocsr()

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        if self.biases_ is None:
            return answer_empty_rows((x @ self.similarities_).toarray(), x, self.item_shares_)
        votes = (self.biases_.deviations(x) @ self.similarities_).toarray()
        weight = (pattern(x) @ self.similarities_).toarray()
        # Without damping an item without neighbors in the row would be 0 / 0.
        votes /= np.maximum(weight + np.float32(self.damping), np.float32(1e-9))
        return self.biases_.predict(x) + votes

    def _arrays(self) -> Arrays:
        arrays: dict[str, Any] = {
            "data": self.similarities_.data,
            "indices": self.similarities_.indices,
            "indptr": self.similarities_.indptr,
            "item_shares": self.item_shares_,
        }
        return arrays | (self.biases_.arrays() if self.biases_ is not None else {})

    def _restore(self, arrays: Arrays) -> None:
        self.item_shares_ = arrays["item_shares"]
        self.similarities_ = sparse.csr_array(
            (arrays["data"], arrays["indices"], arrays["indptr"]),
            shape=(self.n_items_, self.n_items_),
        )
        self.biases_ = Biases.from_arrays(arrays) if self.feedback == "explicit" else None
