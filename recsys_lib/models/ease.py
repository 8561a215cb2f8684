"""Linear autoencoders with a zero diagonal and a closed form: EASE and EDLAE."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Recommender
from recsys_lib.models.closed_form import Dual, Primal, Solver, restore, solve
from recsys_lib.models.popularity import answer_empty_rows, item_shares

__all__ = ["EASE", "EDLAE"]


@dataclass(kw_only=True)
class EASE(Recommender):
    r"""Shallow linear autoencoder with a zero diagonal [1]_.

    Minimizes :math:`\|X - XB\|_F^2 + \lambda \|B\|_F^2` subject to :math:`\mathrm{diag}(B) = 0`;
    column ``j`` of :math:`B` predicts item ``j`` from all others, and scores are :math:`xB`.

    Parameters
    ----------
    l2 : float
        The penalty :math:`\lambda`, in numbers of interactions; positive.
    solver : {"auto", "items", "users"}
        Which side to invert: by default the smaller one. The scores are the same.

    Attributes
    ----------
    solution_ : Primal or Dual
        :math:`B` as a matrix, or in factored form where there are fewer users than items.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity: the answer to an empty row.

    Notes
    -----
    With n the smaller of users and items: n ** 3 multiplications and little more than 4 n ** 2
    bytes; too much for the machine is a `MemoryError` before it starts. Values of the rows are
    used as they are, binary or weighted.

    References
    ----------
    .. [1] H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8.
       https://arxiv.org/abs/1905.03375

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> EASE(l2=1.0).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    l2: float = 300.0
    solver: Solver = "auto"

    solution_: Primal | Dual = field(init=False, repr=False, compare=False)
    item_shares_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        self.item_shares_ = item_shares(x)
        weights = self._weights(x)
        self.solution_ = solve(x, self._ridge(x, weights), weights, solver=self.solver)

    def _weights(self, x: sparse.csr_array) -> NDArray[np.float64] | None:
        """The weight of each user in the error; None for equal weights."""
        return None

    def _ridge(
        self, x: sparse.csr_array, weights: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """The ridge penalty of each item as a predictor."""
        return np.full(x.shape[1], self.l2)

    def _item_scale(self) -> NDArray[np.float32] | None:
        """The factor applied to each item's scores; None for no scaling."""
        return None

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        scores = self.solution_.score(x)
        scale = self._item_scale()
        if scale is not None:
            scores *= scale
        return answer_empty_rows(scores, x, self.item_shares_)

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self.solution_ = restore(arrays)


@dataclass(kw_only=True)
class EDLAE(EASE):
    r"""EASE trained with dropout, to restore only what was dropped [1]_.

    Minimizes the expected squared error of the *dropped* entries, where each entry of the input is
    dropped with probability :math:`p`, plus :math:`\lambda \|B\|_F^2`. In closed form that is EASE
    with the penalty :math:`\lambda + \frac{p}{1-p} \sum_u x_{ui}^2` for item :math:`i`: popular
    items, from which much can be copied, are held back in proportion.

    Parameters
    ----------
    l2 : float
        The penalty :math:`\lambda`, in numbers of interactions; positive.
    dropout : float
        The probability :math:`p`, 0 <= p < 1; 0 is EASE.
    activity_power : float
        Users count ``n_interactions ** -activity_power`` in the error, on average 1; >= 0. Squared
        error is paid per entry, so at 0 those who use most decide; the metrics count people alike.
    popularity_discount : float
        Scores are divided by ``n_users ** popularity_discount``; >= 0. Regressions on counts lean
        toward what is common; validation users say by how much.
    solver : {"auto", "items", "users"}
        Which side to invert: by default the smaller one. The scores are the same.

    Notes
    -----
    Cost and attributes as in `EASE`. Emphasis on the dropped entries only is the case a = 1, b = 0
    of [1]_, and makes the zero diagonal superfluous as a constraint: it follows. The defaults are
    the paper's model; `activity_power` and `popularity_discount` are not in it.

    References
    ----------
    .. [1] H. Steck, "Autoencoders that don't overfit toward the Identity", NeurIPS 2020, eq. 10.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> EDLAE(l2=1.0, dropout=0.5).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    l2: float = 400.0
    dropout: float = 0.5
    activity_power: float = 0.0
    popularity_discount: float = 0.0

    def _weights(self, x: sparse.csr_array) -> NDArray[np.float64] | None:
        if self.activity_power == 0:
            return None
        counts = np.maximum(np.diff(x.indptr), 1).astype(np.float64)
        weights = counts**-self.activity_power
        return np.asarray(weights / weights.mean())

    def _ridge(
        self, x: sparse.csr_array, weights: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        squares = np.square(x.data, dtype=np.float64)
        if weights is not None:
            squares *= np.repeat(weights, np.diff(x.indptr))
        held_back = np.bincount(x.indices, squares, x.shape[1])
        return np.asarray(self.l2 + self.dropout / (1 - self.dropout) * held_back)

    def _item_scale(self) -> NDArray[np.float32] | None:
        if self.popularity_discount == 0:
            return None
        used = self.item_shares_[self.item_shares_ > 0]
        # An item that nobody used is discounted as the least used one: 0 ** -power is infinite.
        shares = np.maximum(self.item_shares_, used.min(initial=1))
        return np.asarray(shares**-self.popularity_discount, dtype=np.float32)
