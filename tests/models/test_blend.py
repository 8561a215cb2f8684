from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.models import EASE, Blend, Popularity, PureSVD, load
from recsys_lib.models.base import MODELS, Recommender
from recsys_lib.models.blend import greedy_weights, linear_library, standardize
from recsys_lib.models.neural import mean_ndcg


def world(n_users=300, n_items=40, seed=0):
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(n_users, 3)) @ rng.normal(size=(3, n_items))
    taste += rng.normal(size=n_items) + rng.gumbel(size=taste.shape)
    likes = taste > np.quantile(taste, 0.75)
    hidden = likes & (rng.random(likes.shape) < 0.2)
    shown = sparse.csr_array((likes & ~hidden).astype(np.float32))
    return shown, sparse.csr_array(hidden.astype(np.float32))


SHOWN, HIDDEN = world()
FOLD = Fold(fold_in=SHOWN[200:250], targets=HIDDEN[200:250], users=np.arange(50))
TEST = Fold(fold_in=SHOWN[250:], targets=HIDDEN[250:], users=np.arange(50))


def test_standardized_rows_have_mean_0_and_deviation_1_and_flat_rows_are_0():
    scores = standardize(np.array([[1, 2, 3], [7, 7, 7]], dtype="float32"))
    assert_allclose(scores[0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)
    assert_array_equal(scores[1], 0)


@dataclass(kw_only=True)
class Luck(Recommender):
    """Learns nothing, and draws its scores."""

    def _fit(self, x, validation):
        pass

    def _score(self, x):
        return np.random.default_rng(0).random(x.shape, dtype=np.float32)


@pytest.fixture(autouse=True)
def luck_is_a_model(monkeypatch):
    monkeypatch.setitem(MODELS, "Luck", __name__)


def test_a_random_member_gets_no_vote_and_is_not_kept():
    blend = Blend(members=(Luck(), EASE(l2=20.0), Popularity()), k=10)
    blend.fit(SHOWN[:200], validation=FOLD)
    assert blend.weights_[0] == 0
    assert blend.weights_[1] > 0.5
    assert not any(isinstance(member, Luck) for member in blend.members_)
    assert_allclose(blend.weights_.sum(), 1)
    assert "dropped, as validation users gave it no vote" in blend.notes_[0]
    assert "% of the votes" in blend._repr_html_()


def test_the_votes_never_make_the_validation_users_worse_than_the_best_member():
    members = [EASE(l2=20.0).fit(SHOWN[:200]), PureSVD(latent_dim=3).fit(SHOWN[:200])]
    blend = Blend.of(members, FOLD, k=10)
    alone = max(mean_ndcg(member.score, FOLD, k=10) for member in members)
    assert mean_ndcg(blend.score, FOLD, k=10) >= alone - 1e-9


def test_votes_go_one_by_one_to_whom_they_help_most():
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=(30, 400)).astype("float32") for _ in range(3)]
    wanted = sparse.csr_array(scores[0] + scores[1] > 3)
    seen = sparse.csr_array(scores[2] > 2)
    found = greedy_weights(scores, seen, wanted, rounds=6, k=5)
    fold = Fold(fold_in=seen, targets=wanted, users=np.arange(30))
    total, votes, best = np.zeros_like(scores[0]), np.zeros(3), (-1.0, np.zeros(3))
    for _ in range(6):
        values = [mean_ndcg(lambda _, s=total + s: s, fold, k=5) for s in scores]
        chosen = int(np.argmax(values))
        total, votes = total + scores[chosen], votes + (np.arange(3) == chosen)
        if values[chosen] > best[0] + 1e-9:
            best = (values[chosen], votes)
    assert_allclose(found, best[1] / best[1].sum())
    assert np.count_nonzero(found) == 2


def test_nobody_is_answered_by_what_all_training_users_like_and_not_the_few_who_vote():
    trained = SHOWN[:200]
    few = Fold(fold_in=SHOWN[200:203], targets=HIDDEN[200:203], users=np.arange(3))
    blend = Blend.of([PureSVD(latent_dim=3).fit(trained), EASE(l2=20.0).fit(trained)], few, k=10)
    nobody = sparse.csr_array((1, trained.shape[1]), dtype=np.float32)
    popular = Popularity(damping=0.0).fit(trained).recommend(nobody, k=10).items
    assert_array_equal(blend.recommend(nobody, k=10).items, popular)


def test_without_validation_users_every_member_has_the_same_weight():
    blend = Blend(members=(EASE(), Popularity())).fit(SHOWN)
    assert_array_equal(blend.weights_, [0.5, 0.5])


def test_members_are_fitted_anew_and_the_models_given_stay_as_they_were():
    given = EASE(l2=20.0).fit(SHOWN[:100])
    before = given.score(SHOWN[:5])
    Blend(members=(given,)).fit(SHOWN[100:])
    assert_array_equal(given.score(SHOWN[:5]), before)


def test_a_saved_blend_comes_back_with_its_members(tmp_path):
    blend = Blend(members=(Luck(), EASE(l2=20.0), PureSVD(latent_dim=3)), k=10)
    blend.fit(SHOWN[:200], validation=FOLD).save(tmp_path / "blend")
    loaded = load(tmp_path / "blend")
    assert loaded == blend
    assert_array_equal(loaded.weights_, blend.weights_)
    assert_array_equal(loaded.notes_, blend.notes_)
    assert_array_equal(loaded.score(TEST.fold_in), blend.score(TEST.fold_in))


def test_without_members_the_library_is_used_and_beats_popularity_on_new_users():
    blend = Blend(k=10).fit(SHOWN[:200], validation=FOLD)
    assert len(blend.weights_) == len(linear_library(SHOWN[:200]))
    floor = mean_ndcg(Popularity().fit(SHOWN[:200]).score, TEST, k=10)
    assert mean_ndcg(blend.score, TEST, k=10) > 1.2 * floor


def test_of_the_library_only_what_the_minutes_allow_is_fitted():
    x = SHOWN[:200]
    costs = np.sort([member.cost(x).minutes for member in linear_library(x)])
    blend = Blend(k=10, minutes=1.01 * costs[:3].sum()).fit(x, validation=FOLD)
    assert len(blend.weights_) == 3
    reasons = [one for one in blend.notes_ if ": not fitted, about " in one]
    assert len(reasons) == 6
    assert not any("about 0.0 minutes" in one for one in reasons)
    assert len(Blend(k=10, minutes=1e-12).fit(x).members_) == 1, "one is always taken"
    asked = Blend(members=(EASE(l2=20.0), PureSVD(latent_dim=3)), minutes=1e-12).fit(x)
    assert len(asked.weights_) == 2, "members that are given are all fitted"


def test_a_wide_table_has_regressions_on_few_items_in_its_library():
    names = {type(member).__name__ for member in linear_library(sparse.csr_array((8_001, 8_002)))}
    assert names == {"SparseEASE", "KernelAE", "ALS", "PureSVD"}


def test_an_unknown_member_is_named():
    with pytest.raises(ConfigError, match="got 'EAZE'"):
        Blend(members=({"model": "EAZE", "config": {}},))


def test_a_member_with_large_scores_has_no_larger_say():
    blend = Blend(members=(EASE(l2=20.0), Popularity())).fit(SHOWN)
    first, second = (standardize(member.score(SHOWN)) for member in blend.members_)
    assert_allclose(blend.score(SHOWN), (first + second) / 2, atol=1e-5)
