import os
import signal
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib import checks
from recsys_lib.models import EASE, EDLAE, Blend, Popularity, PureSVD, SparseEASE
from recsys_lib.models import sparse_ease as module
from recsys_lib.models.baselines import blocks_of_weights
from recsys_lib.models.sparse_ease import group_items, regress, thin


def rows(n_users=300, n_items=60, density=0.1, seed=1):
    rng = np.random.default_rng(seed)
    x = sparse.random_array((n_users, n_items), density=density, rng=rng, dtype=np.float32)
    return x.tocsr()


def clustered(n_clusters=40, size=10, users_each=12, seed=0):
    """People who use items of their own cluster, in a catalog whose order says nothing."""
    rng = np.random.default_rng(seed)
    used = np.kron(np.eye(n_clusters), np.ones((users_each, size))) * (
        rng.random((n_clusters * users_each, n_clusters * size)) < 0.6
    )
    noise = rng.random(used.shape) < 0.002
    order = rng.permutation(used.shape[1])
    return sparse.csr_array((used + noise > 0)[:, order].astype(np.float32)), order // size


@pytest.mark.parametrize("dense", [EASE(l2=7.0), EDLAE(l2=7.0, dropout=0.4, activity_power=0.5)])
def test_with_all_neighbors_it_is_the_dense_model(dense):
    x = rows()
    like = {key: value for key, value in dense.config().items() if key != "solver"}
    model = SparseEASE(
        **{"dropout": 0.0, "activity_power": 0.0, **like},
        n_neighbors=59,
        n_candidates=8,
        latent_dim=0,
    ).fit(x)
    probe = sparse.csr_array(np.eye(60, dtype="float32"))
    expected = dense.fit(x).score(probe)
    assert np.abs(expected).max() > 0.05
    assert_allclose(model.score(probe), expected, atol=1e-5)


def test_each_column_is_the_ridge_regression_on_the_items_that_were_kept():
    x, _ = clustered()
    model = SparseEASE(
        l2=3.0, dropout=0.25, activity_power=0.0, n_neighbors=6, n_candidates=64
    ).fit(x)
    weights = model.weights_.toarray()
    assert (np.count_nonzero(weights, axis=0) <= 6).all()
    assert not weights.diagonal().any()
    held = [model.weights_.data, model.weights_.indices]
    assert sum(array.itemsize for array in held) == 8  # bytes of a weight
    dense = x.toarray().astype(float)
    matrix = dense.T @ dense
    ridge = 3.0 + 0.25 / 0.75 * matrix.diagonal()
    for item in range(0, 400, 7):
        kept = np.flatnonzero(weights[:, item])
        normal = matrix[np.ix_(kept, kept)] + np.diag(ridge[kept])
        expected = np.linalg.solve(normal, matrix[kept, item])
        assert_allclose(weights[kept, item], expected, atol=1e-5)


def test_neighbors_come_from_the_items_that_the_same_people_use():
    x, cluster = clustered()
    model = SparseEASE(n_neighbors=6, n_candidates=64).fit(x)
    predictor, item = model.weights_.nonzero()
    positive = model.weights_.data > 0.02
    same = cluster[predictor] == cluster[item]
    assert same[positive].mean() > 0.95
    assert len(np.unique(item)) == 400


def test_groups_hold_every_used_item_once_and_keep_clusters_together():
    x, cluster = clustered()
    x = sparse.csr_array(sparse.hstack([x, sparse.csr_array((x.shape[0], 5))], format="csr"))
    groups = group_items(x, 40, seed=0)
    assert max(map(len, groups)) <= 40
    assert_array_equal(np.sort(np.concatenate(groups)), np.arange(400))
    assert len(groups) <= 11
    torn = [len(np.unique(cluster[group])) for group in groups]
    assert np.mean(torn) < 8  # 26 at random


def test_the_gram_matrix_may_be_formed_once_or_for_each_group(monkeypatch):
    x, _ = clustered()
    model = SparseEASE(n_neighbors=6, n_candidates=64, activity_power=0.5)
    once = model.fit(x).score(x[:20])
    monkeypatch.setattr(module, "_SHARED_GRAM", 0)
    assert_allclose(model.fit(x).score(x[:20]), once, atol=1e-5)


def test_an_executor_gives_the_same_weights_as_the_threads_of_this_process():
    from joblib.externals.loky import ProcessPoolExecutor

    x, _ = clustered()
    model = SparseEASE(n_neighbors=6, n_candidates=64)
    here = model.fit(x).score(x[:20])
    with ProcessPoolExecutor(1) as pool:
        assert_allclose(model.fit(x, executor=pool).score(x[:20]), here, atol=1e-5)


def test_dask_takes_the_groups():
    distributed = pytest.importorskip("distributed")
    x, _ = clustered()
    model = SparseEASE(n_neighbors=6, n_candidates=64)
    with distributed.Client(processes=False, dashboard_address=":0", n_workers=1) as client:
        there = model.fit(x, executor=client.get_executor()).score(x[:20])
    assert_allclose(there, model.fit(x).score(x[:20]), atol=1e-5)


class Deadly:
    """A pool of one process, which is killed when the task of some place comes."""

    def __init__(self, pool, place):
        self.pool, self.place, self.given = pool, place, []

    def submit(self, solve, task):
        if len(self.given) == self.place:
            for future in self.given:
                future.result()
            os.kill(self.pool.submit(os.getpid).result(), signal.SIGKILL)
        self.given.append(self.pool.submit(solve, task))
        return self.given[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="no signal kills a process on Windows")
def test_a_worker_that_is_killed_loses_what_it_had_not_finished():
    from joblib.externals.loky import ProcessPoolExecutor

    x, _ = clustered()
    model = SparseEASE(n_neighbors=6, n_candidates=64)
    expected = model.fit(x).score(x[:20])
    lost = pytest.warns(RuntimeWarning, match=r"Workers must live .*; 11 of 31 tasks were lost")
    with ProcessPoolExecutor(1) as pool, lost:
        model.fit(x, executor=Deadly(pool, 20))
    assert_allclose(model.score(x[:20]), expected, atol=1e-5)


def test_memory_grows_with_the_weights_and_not_with_the_square_of_the_items(monkeypatch):
    monkeypatch.setattr(module, "_SHARED_GRAM", 0)
    monkeypatch.setattr(module, "cores", lambda: 1)
    x = rows(3000, 4000, density=0.001)
    tracemalloc.start()
    SparseEASE(n_neighbors=16, n_candidates=256, latent_dim=16).fit(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * 4 * 4000**2


def test_weights_are_not_copied_for_a_row_with_wide_places():
    drawn = np.random.default_rng(0).integers(0, 4000, (4000, 50), dtype=np.int32)
    ends = np.arange(0, 200_001, 50, dtype=np.int32)
    parts = (np.ones(200_000, dtype=np.float32), np.sort(drawn, axis=1).ravel(), ends)
    weights = sparse.csr_array(parts, shape=(4000, 4000))
    row = sparse.csr_array(([1.0], [7], [0, 1]), shape=(1, 4000), dtype=np.float32)
    row.indices, row.indptr = row.indices.astype(np.int64), row.indptr.astype(np.int64)
    shares = np.zeros(4000, dtype=np.float32)
    tracemalloc.start()
    scores = blocks_of_weights(row, weights, shares)(slice(None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_allclose(scores, weights[[7]].toarray())
    assert peak < weights.indices.nbytes / 4


def test_too_many_neighbors_for_the_machine_are_refused_before_the_fit(monkeypatch):
    monkeypatch.setattr(checks, "available_memory", lambda: 1_000_000)
    with pytest.raises(MemoryError, match="Regressing 600 items on 256 others each needs about"):
        SparseEASE().fit(rows(100, 600))


def test_long_histories_are_thinned_for_the_search_only():
    x = rows(50, 60, density=0.5)
    thinned = thin(x, 10, seed=0)
    assert np.diff(thinned.indptr).max() == 10
    assert not (
        thinned.toarray()[thinned.toarray() != 0] - x.toarray()[thinned.toarray() != 0]
    ).any()
    same = {"dropout": 0.0, "activity_power": 0.0, "l2": 2.0, "n_neighbors": 59, "latent_dim": 0}
    model = SparseEASE(**same, max_history=3).fit(x)
    assert_allclose(model.score(x), EASE(l2=2.0).fit(x).score(x), atol=1e-4)


def test_columns_are_solved_each_on_its_own_set():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(80, 30)).astype(np.float32)
    matrix, targets = half.T @ half + np.eye(30, dtype=np.float32), half[:5].T.copy()
    kept = rng.random((30, 5)) < 0.5
    found = regress(matrix, targets, kept, np.zeros_like(targets))
    for column in range(5):
        mine = np.flatnonzero(kept[:, column])
        expected = np.linalg.solve(matrix[np.ix_(mine, mine)], targets[mine, column])
        assert_allclose(found[mine, column], expected, atol=1e-5)
    assert not found[~kept].any()


def test_scores_are_those_of_the_weights_and_of_the_directions():
    x, _ = clustered()
    model = SparseEASE(n_neighbors=6, n_candidates=64, popularity_discount=0.3, latent_dim=9).fit(x)
    low = PureSVD(latent_dim=9).fit(x).score(x[:20])
    shares = x.mean(axis=0)
    expected = x[:20] @ model.weights_.toarray() + low * shares**-0.3
    assert_allclose(model.score(x[:20]), expected, atol=1e-5)
    some = np.array([3, 99, 250])
    assert_allclose(model.score(x[:20], items=some), expected[:, some], atol=1e-5)
    empty = model.score(sparse.csr_array((1, x.shape[1]), dtype=np.float32))
    assert_allclose(empty[0], shares, atol=1e-6)


def test_who_asks_for_few_weights_gets_few_directions():
    x, _ = clustered()
    assert PureSVD().suited_to(x).latent_dim > 6
    assert SparseEASE(n_neighbors=2).fit(x).item_factors_.shape == (400, 6)


def test_the_directions_know_what_few_neighbors_cannot():
    """People of one taste out of two, who use a few of its 200 items each, and no two the same."""
    rng = np.random.default_rng(0)
    taste = np.repeat([0, 1], 300)
    x = np.zeros((600, 400), dtype=np.float32)
    for user, own in enumerate(taste):
        x[user, 200 * own + rng.choice(200, 4, replace=False)] = 1
    train, asked = sparse.csr_array(x[50:550]), sparse.csr_array(np.delete(x, range(50, 550), 0))
    share = {}
    for width in (0, None):
        model = SparseEASE(n_neighbors=4, n_candidates=64, latent_dim=width).fit(train)
        listed = model.recommend(asked, k=50).items // 200
        share[width] = (listed == np.delete(taste, range(50, 550))[:, None]).mean()
    assert share[None] > 0.9 > 0.8 > share[0], share


def test_reasons_are_the_weights_and_a_blend_takes_it():
    from recsys_lib.models.base import leave_one_out_gains

    x, _ = clustered()
    model = SparseEASE(n_neighbors=6, n_candidates=64, latent_dim=0).fit(x)
    row, items = x[[3]], np.array([5, 17, 390])
    gains = leave_one_out_gains(model, row, items)
    assert_allclose(gains, model.weights_.toarray()[np.ix_(row.indices, items)], atol=1e-6)
    blend = Blend(members=(SparseEASE(n_neighbors=6, n_candidates=64), Popularity())).fit(x)
    assert (blend.recommend(x[:5], k=3).items >= 0).all()


def test_nothing_known_is_no_error():
    assert np.isfinite(SparseEASE().fit(sparse.csr_array((4, 6))).score(rows(3, 6))).all()


def test_a_pool_of_threads_is_an_executor_too():
    x, _ = clustered(n_clusters=8)
    model = SparseEASE(n_neighbors=6, n_candidates=64)
    with ThreadPoolExecutor(2) as pool:
        there = model.fit(x, executor=pool).score(x[:20])
    assert_allclose(there, model.fit(x).score(x[:20]), atol=1e-5)
