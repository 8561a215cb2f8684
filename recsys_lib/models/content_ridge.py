"""Ridge regression from item content to a model's scores, so that new items get scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_nonnegative, check_positive
from recsys_lib.models.content import ItemContent

__all__ = ["ContentRidge"]

_ROUNDS = 200
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class ContentRidge:
    r"""Predict a model's scores of unused items from its scores of similar ones.

    The scores s of a person, less their mean, are regressed on the content F of the items in use,

    .. math:: \min_w \|F w - s\|^2 + \lambda \|w - a t\|^2,

    and every item, new ones included, gets F w. A map from content to the latent factors of a model
    [1]_ is the same thing from the other side: where scores are linear in it, as :math:`x B`
    of EASE in the columns of B, or the output of a decoder in its rows, regressing the columns and
    then scoring with what comes out is regressing the scores. So nothing is learned in advance, and
    it works with every model.

    Terms with little support are shrunk not to zero but to similarity: t is the content of what the
    person used, and a how much the scores go with it, by least squares, times `trust`.

    Parameters
    ----------
    content : ItemContent
        Of all items.
    known : ndarray of shape (n_items,), bool
        Items in use, whose scores are meaningful.
    l2 : float
        The penalty, in items; must be positive.
    trust : float
        In likeness, >= 0. Scores are noisy, which makes least squares give it too little.

    Notes
    -----
    By conjugate gradients: about 20 products with F for a row, 20 ms for 17,000 items with 200,000
    terms in all.

    References
    ----------
    .. [1] Z. Gantner, L. Drumond, C. Freudenthaler, S. Rendle, L. Schmidt-Thieme, "Learning
       Attribute-to-Feature Mappings for Cold-Start Recommendations", ICDM 2010.

    Examples
    --------
    >>> import pandas as pd
    >>> content = ItemContent.of(pd.DataFrame({"track": ["A", "A", "B", "B", "A", "B"]}))
    >>> known = np.array([True, True, True, True, False, False])
    >>> ridge = ContentRidge(content=content, known=known, l2=1.0)
    >>> ridge.score(np.array([[3.0, 5.0, 1.0, 1.0, 0.0, 0.0]], dtype="float32")).round(1)
    array([[3.5, 3.5, 1.5, 1.5, 3.5, 1.5]], dtype=float32)
    """

    content: ItemContent
    known: NDArray[np.bool_]
    l2: float = 3.0
    trust: float = 2.0

    def __post_init__(self) -> None:
        check_positive("l2", self.l2)
        check_nonnegative("trust", self.trust)
        n_items = self.content.features.shape[0]
        if np.shape(self.known) != (n_items,):
            raise ValueError(
                f"`known` must mark which of the {n_items} items are in use; got shape "
                f"{np.shape(self.known)}. Take both from one catalog."
            )

    def score(
        self, scores: NDArray[np.floating], alike: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """Return the scores that the content predicts for every item.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_items)
            Of a model; those of new items are ignored.
        alike : ndarray of shape (n_rows, n_items), optional
            Similarity to each person's history (`ItemContent.score`); zeros if unknown.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
        """
        in_use = np.flatnonzero(self.known)
        said = np.array(scores, dtype=np.float32)
        leaning = np.zeros_like(said)
        if alike is not None:
            leaning = self._slope(said[:, in_use], alike[:, in_use]) * alike
        features = self.content.features[in_use]
        rest = (said - leaning)[:, in_use].T
        mean = rest.mean(axis=0)
        weights = _solve(features, np.asarray(features.T @ (rest - mean)), self.l2)
        mapped = (self.content.features @ weights + mean).T
        return np.asarray(mapped + leaning, dtype=np.float32)

    def _slope(self, said: NDArray[np.float32], alike: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return how much the scores go with likeness, not below zero, one number a row."""
        alike = alike - alike.mean(axis=1, keepdims=True)
        spread = (alike**2).sum(axis=1)
        together = ((said - said.mean(axis=1, keepdims=True)) * alike).sum(axis=1)
        slope = np.divide(together, spread, out=np.zeros_like(spread), where=spread > 0)
        return np.asarray(self.trust * np.maximum(slope, 0.0), dtype=np.float32)[:, None]


def _solve(
    features: sparse.csr_array, right: NDArray[np.float32], l2: float
) -> NDArray[np.float32]:
    """Return the solutions of (F'F + l2) w = right, of all columns side by side."""
    back = features.T.tocsr()
    found = np.zeros_like(right)
    rest = right.copy()
    way = rest.copy()
    length = (rest**2).sum(axis=0)
    enough = _TOLERANCE**2 * length
    for _ in range(_ROUNDS):
        if (length <= enough).all():
            break
        step = back @ (features @ way) + np.float32(l2) * way
        size = length / np.maximum((way * step).sum(axis=0), np.finfo(np.float32).tiny)
        found += size * way
        rest -= size * step
        before, length = length, (rest**2).sum(axis=0)
        way = rest + length / np.maximum(before, np.finfo(np.float32).tiny) * way
    return found
