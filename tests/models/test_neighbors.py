import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib.models import ItemKNN, UserKNN, knn
from recsys_lib.models.knn import nearest_rows

RNG = np.random.default_rng(0)
RATINGS = sparse.csr_array(
    (RNG.integers(1, 6, (25, 9)) * (RNG.random((25, 9)) < 0.5)).astype(np.float32)
)


def test_similarities_do_not_depend_on_the_blocks_they_are_computed_in(monkeypatch):
    whole = nearest_rows(RATINGS, RATINGS, n_neighbors=3, shrinkage=1.0, skip_self=True)
    monkeypatch.setattr(knn, "_BLOCK_NUMBERS", 60)  # two rows at a time
    parts = nearest_rows(RATINGS, RATINGS, n_neighbors=3, shrinkage=1.0, skip_self=True)
    assert_allclose(parts.toarray(), whole.toarray(), rtol=1e-6)
    assert whole.diagonal().max() == 0
    assert np.diff(whole.indptr).max() == 3


def test_negative_similarities_are_not_kept():
    rows = sparse.csr_array(np.array([[1, -1], [-1, 1]], dtype="float32"))
    assert nearest_rows(rows, rows, n_neighbors=2, shrinkage=0, skip_self=True).nnz == 0


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
def test_one_class_predicts_ratings_or_ranks(kind):
    assert kind(feedback="explicit").predicts == "rating"
    assert kind(feedback="implicit").predicts == "rank"


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
def test_without_any_neighbor_the_prediction_is_the_bias(kind):
    apart = sparse.csr_array(np.diag([5.0, 3.0, 1.0]).astype(np.float32))
    model = kind(feedback="explicit", damping=0.0).fit(apart)
    unseen = apart.toarray() == 0
    assert_allclose(model.score(apart)[unseen], model.biases_.predict(apart)[unseen], rtol=1e-6)


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"feedback": "stars"}, "`feedback` must be one of 'explicit', 'implicit'; got 'stars'"),
        ({"n_neighbors": 0}, "`n_neighbors` must be >= 1; got 0"),
        ({"shrinkage": -1.0}, "`shrinkage` must be >= 0"),
        ({"damping": -1.0}, "`damping` must be >= 0"),
    ],
)
def test_wrong_settings_are_named_when_fitting(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong).fit(RATINGS)


def test_ratings_are_required_where_ratings_are_predicted():
    with pytest.raises(ValueError, match="must store at least one rating"):
        ItemKNN(feedback="explicit").fit(sparse.csr_array((3, 4), dtype=np.float32))


def test_someone_who_used_everything_says_less_about_what_belongs_together():
    likes = np.zeros((4, 12), dtype=np.float32)
    likes[0] = 1  # used everything: thinks that 0 goes with 1
    likes[1:3, [0, 2]] = 1
    likes[3, [0, 1]] = 1
    x, asked = sparse.csr_array(likes), sparse.csr_array(np.eye(1, 12, dtype="float32"))

    def lead(power):
        scores = ItemKNN(activity_power=power, shrinkage=0).fit(x).score(asked)[0]
        return scores[2] / scores[5]  # 5 goes with 0 only for the one who used everything

    assert lead(1.0) > 1.5 * lead(0.0)


def test_a_trained_row_finds_itself_without_changing_what_it_does_not_hold():
    model = UserKNN(feedback="implicit", n_neighbors=25, shrinkage=0).fit(RATINGS)
    others = UserKNN(feedback="implicit", n_neighbors=25, shrinkage=0).fit(RATINGS[1:])
    unseen = np.setdiff1d(np.arange(9), RATINGS[[0]].indices)
    assert_array_equal(model.score(RATINGS[[0]])[0, unseen] > 0, True)
    assert_allclose(
        model.score(RATINGS[[0]])[0, unseen], others.score(RATINGS[[0]])[0, unseen], rtol=1e-5
    )


def test_user_neighbors_keep_the_rows_they_were_fitted_on():
    x = RATINGS.copy()
    model = UserKNN(feedback="implicit").fit(x)
    before = model.score(RATINGS)
    x.data[:] = 0
    assert_array_equal(model.score(RATINGS), before)


def test_users_have_more_neighbors_among_more_users_where_rows_are_likes():
    likes = sparse.csr_array(np.ones((400, 3), dtype=np.float32))
    assert UserKNN().suited_to(likes).n_neighbors == 28
    assert UserKNN(n_neighbors=5).suited_to(likes).n_neighbors == 5
    assert UserKNN(feedback="explicit").suited_to(likes).n_neighbors == 200


def test_items_have_more_neighbors_among_more_items_where_rows_are_likes():
    def found(n_items, **settings):
        suited = ItemKNN(**settings).suited_to(sparse.csr_array((50, n_items), dtype=np.float32))
        return suited.n_neighbors, suited.activity_power

    assert [found(252), found(8_000)] == [(100, 1.0), (200, 1.0)]
    # And not so many that they would not fit: these are 8 bytes each.
    assert [found(n)[0] for n in (100_000, 1_000_000)] == [671, 100]
    assert found(8_000, feedback="explicit") == (100, 0.5)
    assert found(8_000, n_neighbors=7, activity_power=0.0) == (7, 0.0)
