"""Linear and neighborhood models against slow, obvious references on small random worlds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from recsys_lib.models import ALS, EASE, EDLAE, Bias, BiasedSVD, ItemKNN, PureSVD, UserKNN
from recsys_lib.models.factors import leading_directions


def world(*, values: str = "binary", n_users: int = 30, n_items: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    shown = rng.random((n_users, n_items)) < 0.4
    shown[:, 0] |= ~shown.any(axis=1)
    drawn = {"binary": 1, "weighted": rng.uniform(0.5, 2, shown.shape)}
    drawn["ratings"] = np.clip(np.round(3 + rng.normal(size=shown.shape) * 1.5), 1, 5)
    return sparse.csr_array((shown * drawn[values]).astype(np.float32))


def ridge_without_own_column(x: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    weights = np.zeros((x.shape[1], x.shape[1]))
    for item in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), item)
        design, target = x[:, others], x[:, item]
        normal = design.T @ design + np.diag(ridge[others])
        weights[others, item] = np.linalg.solve(normal, design.T @ target)
    return weights


@pytest.mark.parametrize("values", ["binary", "weighted"])
@pytest.mark.parametrize("solver", ["items", "users"])
def test_each_column_of_ease_is_a_ridge_regression_on_the_other_items(values, solver):
    x = world(values=values)
    expected = ridge_without_own_column(x.toarray().astype(float), np.full(12, 2.0))
    # A transposed B would be off by more than 0.1 somewhere; rows are unseen combinations.
    probe = sparse.csr_array(np.eye(12, dtype="float32") * 1.5)
    scores = EASE(l2=2.0, solver=solver).fit(x).score(probe)
    assert_allclose(scores, 1.5 * expected, atol=2e-5)
    assert np.abs(expected - expected.T).max() > 0.01


def test_edlae_minimizes_the_error_of_dropped_entries_in_expectation():
    x, dropout, l2 = world().toarray().astype(float), 0.4, 3.0
    keep = 1 - dropout
    rng = np.random.default_rng(1)
    normal, moment = np.zeros((12, 12, 12)), np.zeros((12, 12))
    masks = 160_000
    for _ in range(masks // 200):
        kept = rng.random((200, *x.shape)) < keep
        noisy = x * kept
        for item in range(12):
            # Only samples in which this item was dropped are targets.
            rows = noisy[~kept[:, :, item]]
            target = np.broadcast_to(x[:, item], kept.shape[:2])[~kept[:, :, item]]
            normal[item] += rows.T @ rows
            moment[item] += rows.T @ target
    scale = masks * dropout
    expected = np.zeros((12, 12))
    for item in range(12):
        matrix = normal[item] / scale + keep**2 * l2 * np.eye(12)
        expected[:, item] = keep * np.linalg.solve(matrix, moment[item] / scale)
    weights = (
        EDLAE(l2=l2, dropout=dropout).fit(sparse.csr_array(x)).score(sparse.csr_array(np.eye(12)))
    )
    assert_allclose(weights, expected, atol=2e-3)
    # Nearest wrong answers: no dropout, and p in the place of p / (1 - p).
    for wrong in (EASE(l2=l2), EDLAE(l2=l2, dropout=dropout / (1 + dropout))):
        other = wrong.fit(sparse.csr_array(x)).score(sparse.csr_array(np.eye(12)))
        assert np.abs(other - expected).max() > 0.02


@pytest.mark.parametrize("latent_dim", [3, 12])
@pytest.mark.parametrize(("activity", "popularity"), [(0.0, 0.0), (1.0, 1.0), (0.7, 0.2)])
def test_pure_svd_projects_on_the_first_singular_vectors(latent_dim, activity, popularity):
    x = world(values="weighted")
    dense, used = x.toarray(), x.toarray() > 0
    users = np.diag(used.sum(axis=1) ** (-activity / 2))
    items = np.diag(used.sum(axis=0) ** (-popularity / 2))
    right = np.linalg.svd(users @ dense @ items)[2][:latent_dim]
    model = PureSVD(
        latent_dim=latent_dim, activity_power=activity, popularity_power=popularity
    ).fit(x)
    expected = dense @ items @ right.T @ right @ np.linalg.inv(items)
    assert_allclose(model.score(x), expected, atol=1e-4)


def test_leading_directions_are_found_among_many():
    rng = np.random.default_rng(0)
    strong = np.kron(np.eye(5), np.ones((40, 30))) * rng.random((200, 150))
    noisy = sparse.csr_array((strong + 0.1 * rng.random(strong.shape)).astype(np.float32))
    vectors, values = leading_directions(noisy, 5, seed=0)
    expected = np.linalg.svd(noisy.toarray())
    assert_allclose(values, expected[1][:5], rtol=1e-4)
    assert_allclose(vectors @ vectors.T, expected[2][:5].T @ expected[2][:5], atol=1e-3)


def test_biases_are_the_joint_ridge_solution():
    x = world(values="ratings")
    users, items = x.nonzero()
    design = np.zeros((x.nnz, 42))
    design[np.arange(x.nnz), users] = 1
    design[np.arange(x.nnz), 30 + items] = 1
    penalty = np.diag([3.0] * 30 + [2.0] * 12)
    rest = x.data - x.data.mean()
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ rest)
    expected = x.data.mean() + solution[:30, None] + solution[30:]
    assert_allclose(Bias(user_damping=3, item_damping=2).fit(x).score(x), expected, atol=1e-4)


def deviations_by_loops(x: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    return np.where(x != 0, x - baseline, 0)


def shrunk_cosine(a: np.ndarray, b: np.ndarray, shrinkage: float) -> float:
    common = np.count_nonzero((a != 0) & (b != 0))
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / length * common / (common + shrinkage) if length and common else 0.0


def weighted_mean(similar: np.ndarray, deviations: np.ndarray, damping: float) -> float:
    voting = (deviations != 0) & (similar > 0)
    return similar[voting] @ deviations[voting] / (similar[voting].sum() + damping)


def test_explicit_item_neighbors_vote_as_in_the_loops():
    x = world(values="ratings")
    baseline = Bias().fit(x).score(x).astype(float)
    rest = deviations_by_loops(x.toarray(), baseline)
    say = np.count_nonzero(rest, axis=1) ** -0.25
    expected = np.zeros(x.shape)
    for item in range(12):
        similar = np.array(
            [
                shrunk_cosine(rest[:, item] * say, rest[:, other] * say, 2.0) * (other != item)
                for other in range(12)
            ]
        )
        similar[np.argsort(-similar)[4:]] = 0
        for user in range(30):
            expected[user, item] = weighted_mean(similar, rest[user], 0.5)
    model = ItemKNN(
        feedback="explicit", n_neighbors=4, shrinkage=2.0, damping=0.5, activity_power=0.5
    )
    assert_allclose(model.fit(x).score(x), baseline + expected, atol=1e-4)


def test_explicit_user_neighbors_vote_as_in_the_loops():
    x = world(values="ratings")
    baseline = Bias().fit(x).score(x).astype(float)
    rest = deviations_by_loops(x.toarray(), baseline)
    expected = np.zeros(x.shape)
    for user in range(30):
        similar = np.array([shrunk_cosine(rest[user], other, 2.0) for other in rest])
        similar[np.argsort(-similar)[6:]] = 0
        for item in range(12):
            expected[user, item] = weighted_mean(similar, rest[:, item], 0.5)
    model = UserKNN(feedback="explicit", n_neighbors=6, shrinkage=2.0, damping=0.5)
    assert_allclose(model.fit(x).score(x), baseline + expected, atol=1e-4)


def test_implicit_neighbors_vote_as_in_the_loops():
    x = world()
    dense = x.toarray()
    items = np.array([[shrunk_cosine(a, b, 2.0) for b in dense.T] for a in dense.T])
    np.fill_diagonal(items, 0)
    model = ItemKNN(feedback="implicit", n_neighbors=12, shrinkage=2.0, activity_power=0)
    assert_allclose(model.fit(x).score(x), dense @ items, atol=1e-5)
    users = np.array([[shrunk_cosine(a, b, 2.0) for b in dense] for a in dense])
    model = UserKNN(feedback="implicit", n_neighbors=30, shrinkage=2.0)
    assert_allclose(model.fit(x).score(x), users @ dense, atol=1e-5)


def test_a_row_is_folded_into_als_by_its_weighted_ridge_solution():
    x = world(values="weighted")
    model = ALS(latent_dim=3, alpha=4.0, l2=0.7).fit(x)
    factors = model.item_factors_.astype(float)
    expected = []
    for row in x.toarray():
        confidence = np.where(row != 0, 4.0 * row, 1.0)
        normal = factors.T @ (confidence[:, None] * factors) + 0.7 * np.eye(3)
        expected.append(factors @ np.linalg.solve(normal, factors.T @ (confidence * (row != 0))))
    assert_allclose(model.score(x), expected, atol=1e-4)


def penalty_of(model: BiasedSVD, x: sparse.csr_array) -> float:
    return model.l2 * np.std(x.data) / 1.125  # in units of the spread of MovieLens


def biased_svd_row(model: BiasedSVD, row: np.ndarray, l2: float) -> np.ndarray:
    seen = np.flatnonzero(row)
    baseline = model.biases_.mean + model.biases_.items
    design = np.column_stack([np.ones(len(seen)), model.item_factors_[seen]])
    penalty = np.diag([model.user_damping] + [l2] * model.latent_dim)
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ (row[seen] - baseline[seen]))
    return baseline + solution[0] + model.item_factors_ @ solution[1:]


def test_a_row_is_folded_into_biased_svd_by_its_ridge_solution():
    x = world(values="ratings")
    model = BiasedSVD(latent_dim=3, l2=2.0, epochs=3).fit(x)
    expected = [biased_svd_row(model, row, penalty_of(model, x)) for row in x.toarray()]
    assert_allclose(model.score(x), expected, atol=1e-4)


def test_biased_svd_comes_to_rest_where_the_gradient_of_its_objective_is_zero():
    x = world(values="ratings")
    model = BiasedSVD(latent_dim=2, l2=4.0, epochs=400).fit(x)
    seen = x.toarray() != 0
    users, l2 = model._users(x), penalty_of(model, x)
    error = np.where(seen, x.toarray() - model.score(x), 0)
    of_items = error.T @ users[:, 1:] - l2 * model.item_factors_
    of_bias = error.sum(axis=0) - model.item_damping * model.biases_.items
    of_users = error @ model.item_factors_ - l2 * users[:, 1:]
    assert np.abs(model.item_factors_).max() > 0.1
    for gradient in (of_items, of_bias, of_users):
        assert_allclose(gradient, 0, atol=2e-3)
