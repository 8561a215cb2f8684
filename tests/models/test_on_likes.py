"""Ranking models on rows of ratings."""

import numpy as np
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models import ItemKNN
from recsys_lib.models.on_likes import OnLikes, likes_of

RATINGS = sparse.csr_array(
    np.array([[9, 8, 2, 0], [8, 9, 0, 1], [7, 0, 9, 3], [0, 7, 6, 9]], dtype="float32")
)


def test_the_model_is_shown_ones_for_likes_and_nothing_else() -> None:
    on_likes = OnLikes(model=ItemKNN(), min_value=7.0).fit(RATINGS)
    ones = likes_of(RATINGS, 7.0)
    assert set(ones.data) == {1.0}
    assert (ones.toarray() == (RATINGS.toarray() >= 7)).all()
    by_hand = ItemKNN().fit(ones)
    assert np.array_equal(on_likes.score(RATINGS), by_hand.score(ones))


def test_ratings_are_not_modified() -> None:
    before = RATINGS.copy()
    OnLikes(model=ItemKNN(), min_value=7.0).fit(RATINGS).score(RATINGS)
    assert (before != RATINGS).nnz == 0


def test_validation_is_of_likes_too_and_of_users_who_have_one_to_find() -> None:
    seen: list[Fold] = []

    class Spy(ItemKNN):
        def fit(self, user_items, *, validation=None):
            seen.append(validation)
            return super().fit(user_items)

    fold = Fold(
        fold_in=RATINGS[[0, 1]],
        targets=sparse.csr_array(np.array([[0, 0, 0, 9], [0, 0, 3, 0]], dtype="float32")),
        users=np.array([10, 11]),
    )
    OnLikes(model=Spy(), min_value=7.0).fit(RATINGS, validation=fold)
    assert seen[0].users.tolist() == [10]
    assert seen[0].fold_in.toarray().tolist() == [[1, 1, 0, 0]]
    assert seen[0].targets.toarray().tolist() == [[0, 0, 0, 1]]
