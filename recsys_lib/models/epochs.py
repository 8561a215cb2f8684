"""What all models that train in epochs share: a fit that reports each one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import pandas as pd
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models.base import Recommender, check_rows

__all__ = ["EpochRecommender", "OnEpoch"]

#: Receives the history record of the epoch that has just ended.
OnEpoch = Callable[[dict[str, float]], object]


@dataclass(kw_only=True)
class EpochRecommender(Recommender):
    """Base of the models that train in epochs; subclasses implement `_fit` with `on_epoch`.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch.
    """

    history_: pd.DataFrame = field(init=False, repr=False, compare=False)

    def fit(
        self,
        user_items: sparse.csr_array,
        *,
        validation: Fold | None = None,
        on_epoch: OnEpoch | Sequence[OnEpoch] | None = None,
    ) -> Self:
        """Fit from scratch.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items), float32
            Stored entries are observations. Not modified.
        validation : Fold, optional
            Held-out users or ratings, by which the best weights are kept and training stops.
        on_epoch : callable or sequence of callables, optional
            Each is called after every epoch with its record, a row of `history_` as a dict:
            ``epoch``, the terms of the objective, what was measured on the validation fold,
            ``seconds``. An exception that it raises leaves `fit`.

        Returns
        -------
        Self

        Raises
        ------
        TypeError, ValueError
            If the matrix or a hyper-parameter is not what it must be.
        """
        x = check_rows(user_items, validation)
        self._fit(x, validation, _one(on_epoch))
        self.n_items_ = int(x.shape[1])
        return self

    def _fit(
        self, x: sparse.csr_array, validation: Fold | None, on_epoch: OnEpoch | None = None
    ) -> None:
        raise NotImplementedError


def _one(on_epoch: OnEpoch | Sequence[OnEpoch] | None) -> OnEpoch | None:
    """Return one callable that calls all."""
    if on_epoch is None or callable(on_epoch):
        return on_epoch
    calls = list(on_epoch)

    def call_all(record: dict[str, float]) -> None:
        for call in calls:
            call(record)

    return call_all
