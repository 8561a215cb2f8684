"""New items among the others: placed by what they say of themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_user_items
from recsys_lib.models.base import Recommender
from recsys_lib.models.content import ItemContent
from recsys_lib.models.content_ridge import ContentRidge

__all__ = ["NewItems", "WithNewItems"]

# Half a standard deviation for one: likeness is a weaker sign than use.
_TRUST = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class NewItems:
    """Items that nobody used, placed among the others in the order of a model.

    Two things speak for a new item, and the mean of both decides: that it is like what the person
    used (`ItemContent.score`), and that the model rates high what is like it (`ContentRidge`).
    Each is in standard deviations over the items in use. A third speaks where a profile names tags
    or categories that items have.

    Parameters
    ----------
    content : ItemContent
        Of all items.
    known : ndarray of shape (n_items,), bool
        Items in use.
    is_new : ndarray of shape (n_items,), bool
        Items that nobody used and that say something of themselves.
    l2 : float
        Of `ContentRidge`.
    """

    content: ItemContent
    known: NDArray[np.bool_]
    is_new: NDArray[np.bool_]
    l2: float = 1.0

    @classmethod
    def of(cls, items: pd.DataFrame | None, user_items: sparse.csr_array) -> Self | None:
        """Return the new items of a catalogue; None where there is none that says anything.

        Parameters
        ----------
        items : DataFrame of n_items rows, or None
        user_items : csr_array of shape (n_users, n_items)
            Items without an entry are new.
        """
        known = np.bincount(user_items.indices, minlength=user_items.shape[1]) > 0
        if items is None or known.all() or not known.any() or not says_something(items):
            return None
        content = ItemContent.of(items)
        is_new = ~known & content.spoken
        return cls(content=content, known=known, is_new=is_new) if is_new.any() else None

    @cached_property
    def _ridge(self) -> ContentRidge:
        return ContentRidge(content=self.content, known=self.known, l2=self.l2)

    def place(
        self,
        scores: NDArray[np.floating],
        history: sparse.csr_array,
        interests: Iterable[Any] = (),
    ) -> NDArray[np.float32]:
        """Return the scores with those of new items on the scale of the others.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_items)
            Of a model or a rung; those of new items are not looked at.
        history : csr_array of shape (n_rows, n_items)
            What each person used; may be empty.
        interests : iterable
            Tags or categories that the person names.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
        """
        signs = [self._standard(self._ridge.score(scores))]
        if history.nnz:
            signs.append(self._standard(self.content.score(history)))
        told = self.content.score_terms(interests)
        if told is not None:
            signs.append(self._standard(np.tile(told, (len(scores), 1))))
        placed = np.array(scores, dtype=np.float32)
        known = placed[:, self.known]
        center, spread = known.mean(axis=1)[:, None], known.std(axis=1)[:, None]
        sign = np.mean(signs, axis=0)[:, self.is_new]
        placed[:, self.is_new] = center + _TRUST * spread * sign
        return placed

    def _standard(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values in standard deviations over the items in use; zeros where all are equal."""
        known = values[:, self.known]
        spread = known.std(axis=1)[:, None]
        deviation = values - known.mean(axis=1)[:, None]
        return np.divide(deviation, spread, out=np.zeros_like(values), where=spread > 0)


@dataclass(frozen=True, kw_only=True)
class WithNewItems:
    """A model whose scores of new items come from content, ready to be measured.

    Parameters
    ----------
    model : Recommender
        Fitted.
    new : NewItems
        Of the catalogue that the model was fitted on.

    Examples
    --------
    >>> from recsys_lib.models import EASE
    >>> items = pd.DataFrame({"track": ["A", "A", "B", "B", "A", "B"]})
    >>> likes = sparse.csr_array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]], dtype="float32")
    >>> new = NewItems.of(items, likes)
    >>> scorer = WithNewItems(model=EASE(l2=1.0).fit(likes), new=new)
    >>> scores = scorer.score(likes[[0]])[0]
    >>> bool(scores[4] > scores[5])
    True
    """

    model: Recommender
    new: NewItems

    def score(self, user_items: sparse.csr_array) -> NDArray[np.float32]:
        """Return scores of shape (n_rows, n_items), float32."""
        x = check_user_items(user_items, n_items=self.model.n_items_)
        return self.new.place(self.model.score(x), x)


def says_something(items: pd.DataFrame) -> bool:
    """Say whether a catalogue has a column of text, tags or categories."""
    return not items.select_dtypes(exclude=["number"]).columns.empty
