"""PureSVD, ALS and BiasedSVD: what their oracles do not say."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from recsys_lib import evaluate, make_world, strong_generalization
from recsys_lib.models import ALS, BiasedSVD, ItemKNN, PureSVD, load
from recsys_lib.models.base import leave_one_out_gains

RNG = np.random.default_rng(0)
LIKES = sparse.csr_array((RNG.random((30, 8)) < 0.4).astype(np.float32))


def test_the_projection_does_not_depend_on_the_seed():
    a, b = PureSVD(latent_dim=3, seed=0).fit(LIKES), PureSVD(latent_dim=3, seed=1).fit(LIKES)
    assert_allclose(a.score(LIKES), b.score(LIKES), atol=1e-5)


def test_directions_by_default_are_as_good_as_those_tried_where_few_are_best():
    split = strong_generalization(make_world().dataset().likes(7), min_interactions=2)
    tried = [PureSVD(), *(PureSVD(latent_dim=dim) for dim in (8, 10, 12, 14, 18))]
    found = [evaluate(one.fit(split.train), split.test, ["ndcg@100"])["ndcg@100"] for one in tried]
    assert found[0] > 0.95 * max(found)


@pytest.mark.parametrize("name", ["latent_dim", "epochs", "alpha", "l2"])
def test_als_names_wrong_settings_when_fitting(name):
    with pytest.raises(ValueError, match=f"`{name}` must be >=? "):
        ALS(**{name: 0}).fit(LIKES)


def test_als_warns_nobody_about_threads(recwarn):
    ALS(latent_dim=2, epochs=1).fit(LIKES).score(LIKES)
    assert not [w for w in recwarn if "threadpool" in str(w.message)]


@pytest.mark.parametrize("alpha", [0.4, 1.0, 20.0])
def test_reasons_of_als_are_those_of_folding_in_without_each_item(alpha):
    counts = sparse.csr_array(LIKES.toarray() * RNG.integers(1, 4, LIKES.shape).astype("float32"))
    model = ALS(latent_dim=4, alpha=alpha, l2=0.5).fit(counts)
    items = np.array([0, 3, 7])
    for row in (counts[[1]], counts[[5]], sparse.csr_array(counts[0].toarray()[None] > 0)):
        row = row.astype(np.float32)
        whole = model.score(row)[0, items]
        expected = []
        for place in range(row.nnz):
            without = row.copy()
            without.data[place] = 0
            without.eliminate_zeros()
            expected.append(whole - model.score(without)[0, items])
        assert_allclose(leave_one_out_gains(model, row, items), expected, atol=1e-5)
        assert np.abs(expected).max() > 0.01
        assert model.gains(row, items) is not None
    single = sparse.csr_array(np.eye(8, dtype=np.float32)[[2]])
    assert model.gains(single, items) is None, "nothing is left but popularity"
    lost = model.score(single)[0, items] - model.item_shares_[items]
    assert_allclose(leave_one_out_gains(model, single, items), [lost], atol=1e-6)


@pytest.mark.parametrize("name", ["latent_dim", "epochs", "l2", "user_damping", "item_damping"])
def test_biased_svd_names_wrong_settings_when_fitting(name):
    with pytest.raises(ValueError, match=f"`{name}` must be >=? "):
        BiasedSVD(**{name: 0}).fit(LIKES)


@pytest.mark.parametrize("scale", [lambda x: 25 * (x - 1), lambda x: x / 4], ids=["0-100", "to 1"])
def test_biased_svd_learns_the_same_on_every_scale_of_ratings(scale):
    rng = np.random.default_rng(0)
    ratings = sparse.csr_array(rng.integers(1, 6, (60, 20)) * (rng.random((60, 20)) < 0.5) * 1.0)
    other = ratings.copy()
    other.data = scale(other.data)
    scores, scaled = (BiasedSVD(l2=2, epochs=200).fit(x).score(x) for x in (ratings, other))
    assert_allclose(scaled, scale(scores), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif("RECSYS_DATASETS" not in os.environ, reason="RECSYS_DATASETS is not set")
@pytest.mark.parametrize(
    # On this split: LensKit item KNN 0.919, Surprise's tuned SVD 0.923, biases alone 0.944.
    ("model", "bar"),
    [(ItemKNN(feedback="explicit"), 0.915), (BiasedSVD(), 0.920)],
    ids=["ItemKNN", "BiasedSVD"],
)
def test_ratings_of_movielens_are_predicted_better_than_by_peers(model, bar):
    path = Path(os.environ["RECSYS_DATASETS"]) / "ml-100k" / "ml-100k.inter"
    table = np.loadtxt(path, skiprows=1)
    users, items = table[:, 0].astype(int), table[:, 1].astype(int)
    order = np.random.RandomState(42).permutation(len(table))
    train, test = order[:80_000], order[90_000:]
    x = sparse.csr_array(
        (table[train, 2].astype(np.float32), (users[train], items[train])),
        shape=(users.max() + 1, items.max() + 1),
    )
    predicted = np.clip(model.fit(x).score(x)[users[test], items[test]], 1, 5)
    assert np.sqrt(np.mean((predicted - table[test, 2]) ** 2)) < bar


@pytest.mark.parametrize("alpha", [5, 5.0, np.float32(5)])
def test_an_als_with_a_whole_number_as_its_confidence_is_read_back(alpha, tmp_path: Path) -> None:
    model = ALS(latent_dim=2, alpha=alpha, epochs=1).fit(LIKES)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").score(LIKES), model.score(LIKES))
