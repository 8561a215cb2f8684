"""Ranking models on ratings: they see the likes, each as a 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from recsys_lib.checks import Floats
from recsys_lib.dataset import Fold, likes_of
from recsys_lib.models.base import Recommender
from recsys_lib.ranking import Block
from recsys_lib.renamed import old_names

__all__ = ["OnLikes", "likes_of", "on_likes"]

__getattr__ = old_names(__name__, {"likes_fold": "recsys_lib.dataset:Fold.likes"})


def on_likes(
    families: Mapping[str, Sequence[Recommender]], *, min_value: float
) -> dict[str, list["OnLikes"]]:
    """Return the families of models with each of them shown the likes only; see `OnLikes`.

    Parameters
    ----------
    families : mapping of str to sequence of Recommender
        As `tuning.choose` takes them.
    min_value : float
        Lowest rating that counts as a like, in rating units.

    Returns
    -------
    dict of str to list of OnLikes

    Examples
    --------
    >>> from recsys_lib.models import Popularity
    >>> on_likes({"popularity": [Popularity()]}, min_value=4)["popularity"][0].min_value
    4
    """
    return {
        name: [OnLikes(model=model, min_value=min_value) for model in family]
        for name, family in families.items()
    }


@dataclass(kw_only=True)
class OnLikes:
    """Fit and score a model of likes on rows of ratings.

    This way, models that rank and models that predict ratings can be evaluated on the same fold:
    both know what the user has used and leave it out.

    Parameters
    ----------
    model : Recommender
        Sees a 1 for each like and nothing else.
    min_value : float
        Lowest rating that counts as a like, in rating units.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.models import Popularity
    >>> ratings = sparse.csr_array([[9.0, 2.0, 0.0], [8.0, 0.0, 3.0]])
    >>> model = OnLikes(model=Popularity(damping=0.0), min_value=7.0).fit(ratings)
    >>> model.score(ratings[[0]])
    array([[1., 0., 0.]], dtype=float32)
    """

    predicts: ClassVar[Literal["rating", "rank"]] = "rank"

    model: Recommender
    min_value: float

    def suited_to(self, user_items: Any) -> Self:
        """Return a copy whose model suits the likes of these rows; see `Recommender.suited_to`."""
        inner = self.model.suited_to(likes_of(user_items, self.min_value))
        return replace(self, model=inner)

    def fit(self, user_items: Any, *, validation: Fold | None = None, **options: Any) -> Self:
        """Fit the model to the likes of `user_items`, and stop by those of `validation`.

        Parameters
        ----------
        user_items : sparse array of shape (n_users, n_items)
            Ratings.
        validation : Fold, optional
            Of ratings; users without a like among their targets are left out.
        **options
            Passed on to the model's own `fit`, such as `on_epoch`.
        """
        if validation is not None:
            validation = validation.likes(self.min_value)
        self.model.fit(likes_of(user_items, self.min_value), validation=validation, **options)
        return self

    def score(self, user_items: Any) -> Floats:
        """Return the model's scores of rows of ratings, (n_rows, n_items) float32."""
        return self.model.score(likes_of(user_items, self.min_value))

    def score_blocks(self, user_items: Any) -> Block:
        """Return what scores blocks of items for rows of ratings; as of `Recommender`."""
        return self.model.score_blocks(likes_of(user_items, self.min_value))
