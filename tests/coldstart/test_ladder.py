"""Neighbors by profile and segments, against slow and obvious counts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib.coldstart import Ladder, rungs_of
from recsys_lib.coldstart.ladder import LikeRates, ProfileRegression
from recsys_lib.coldstart.profile import ProfileSpace
from recsys_lib.errors import DataError

RATINGS = sparse.csr_array(np.array([[9, 0, 3], [8, 2, 0], [0, 9, 9], [0, 8, 0]], dtype=np.float32))
USERS = pd.DataFrame(
    {
        "role": ["ops", "ops", "dev", None],
        "years": [0.0, 10.0, 10.0, 5.0],
        "tags": ["a|b", "b", "a|b|c", None],
        "login": ["q", "w", "e", "r"],
    }
)


@given(
    weights=st.lists(st.floats(0, 3), min_size=4, max_size=4),
    prior=st.floats(0.1, 50),
    like=st.sampled_from([None, 8.0]),
)
def test_rates_are_weighted_shares_shrunk_to_the_parent(
    weights: list[float], prior: float, like: float | None
) -> None:
    rates = LikeRates(like=like, prior=prior).fit(RATINGS)
    parent = np.array([0.1, 0.5, 0.9])
    found = rates.among(np.arange(4), np.array(weights), parent, prior)
    dense = RATINGS.toarray()
    for item in range(3):
        likes = trials = 0.0
        for user, weight in enumerate(weights):
            used = dense[user, item] > 0
            trials += weight * (used if like is not None else 1)
            likes += weight * (used if like is None else dense[user, item] >= like)
        expected = (likes + prior * parent[item]) / (trials + prior)
        assert found[item] == pytest.approx(expected, rel=1e-5)


def test_nobody_leaves_the_parent_as_it_is() -> None:
    rates = LikeRates(like=8.0).fit(RATINGS)
    found = rates.among(np.arange(4), np.zeros(4), rates.overall_, 10.0)
    np.testing.assert_allclose(found, rates.overall_)


def test_similarity_is_the_mean_over_columns_and_unknown_adds_nothing() -> None:
    space = ProfileSpace.of(USERS)
    assert space is not None
    assert list(space.columns) == ["role", "years", "tags"]
    found = space.similarity({"role": "ops", "years": 10, "tags": ["a", "b"]})
    np.testing.assert_allclose(
        found,
        [
            (1 + 0 + 2 / 2) / 3,
            (1 + 1 + 1 / 2) / 3,
            (0 + 1 + 2 / 3) / 3,
            (0 + 0.5 + 0) / 3,
        ],
    )
    assert space.similarity({"role": "ops"}).max() == pytest.approx(1 / 3)
    assert space.similarity({"role": None, "years": np.nan}).max() == 0.0


def test_columns_that_name_the_user_are_not_compared() -> None:
    users = pd.DataFrame(
        {"role": ["ops", "dev"] * 20, "zip": [f"0{n}" for n in range(40)], "same": [1] * 40}
    )
    space = ProfileSpace.of(users)
    assert space is not None
    assert list(space.columns) == ["role"]
    assert ProfileSpace.of(users[["zip", "same"]]) is None


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (
            {"role": "chef"},
            r"`profile\['role'\]` must be a value .* got 'chef'. Known: 'ops', 'dev'",
        ),
        ({"role": ["ops"]}, "must be a value that some user has"),
        ({"years": "ten"}, r"`profile\['years'\]` must be a number"),
        ({"tags": ["a", "z"]}, "got 'z'. Known: 'a', 'b', 'c'"),
    ],
)
def test_values_no_user_has_are_refused(profile: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Ladder().fit(RATINGS, USERS).answer(profile)


def test_users_as_near_as_the_last_neighbor_count_too_in_any_order() -> None:
    users = pd.DataFrame({"role": ["ops", "dev", "ops", "ops"]})
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        ladder = Ladder(n_neighbors=1).fit(RATINGS[order], users.iloc[order])
        near, similarity = ladder.neighbors({"role": "ops"})
        assert sorted(np.array(order)[near]) == [0, 2, 3]
        assert similarity.tolist() == [1.0, 1.0, 1.0]


def test_a_user_is_no_neighbor_of_their_own_and_far_ones_are_none() -> None:
    ladder = Ladder().fit(RATINGS, USERS[["role", "years"]])
    near, _ = ladder.neighbors({"role": "ops", "years": 0.0}, leave_out=0)
    assert near.tolist() == [1]
    assert len(ladder.neighbors({"role": "dev"}, leave_out=2)[0]) == 0


def test_a_segment_is_everybody_with_the_same_values() -> None:
    ladder = Ladder(prior=2.0, segment=["role", "years"]).fit(RATINGS, USERS)
    assert ladder.members({"role": "ops", "years": 10}).tolist() == [1]
    assert ladder.members({"role": "ops"}).tolist() == []
    rung, overall = rungs_of(ladder, USERS)["segment popularity"], ladder.rates_.overall_
    found = rung.score_users(np.array([1, 3]), RATINGS[[1, 3]])  # the fourth has no role
    np.testing.assert_allclose(found[0], (np.array([1, 1, 0]) + 2 * overall) / 3, rtol=1e-6)
    np.testing.assert_allclose(found[1], overall, rtol=1e-6)


def test_profiles_of_other_users_and_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="one row for each of the 4 users"):
        Ladder().fit(RATINGS, USERS[:3])
    with pytest.raises(KeyError, match="rle"):
        Ladder(segment=["rle"]).fit(RATINGS, USERS)
    with pytest.raises(ValueError, match="`n_neighbors` must be >= 1"):
        Ladder(n_neighbors=0).fit(RATINGS, USERS)


@pytest.mark.parametrize("like", [None, 8.0])
def test_each_item_is_a_ridge_regression_on_the_profiles(like: float | None) -> None:
    rng = np.random.default_rng(3)
    users = pd.DataFrame(
        {
            "role": rng.choice(["ops", "dev", "sec"], 40),
            "years": rng.integers(0, 20, 40).astype(float),
            "tags": rng.choice(["a|b", "b", "c"], 40),
        }
    )
    dense = rng.integers(0, 11, (40, 5)).astype(np.float32)
    rates = LikeRates(like=like, prior=2.0).fit(sparse.csr_array(dense))
    space = ProfileSpace.of(users)
    assert space is not None
    model = ProfileRegression(rates=rates, space=space, l2=3.0).fit()
    profile = {"role": "dev", "years": 7, "tags": "a|b"}
    found = model.score(profile)
    years, tags = users["years"], users["tags"].str.get_dummies("|")
    roles = pd.get_dummies(users["role"])[list(pd.unique(users["role"]))]
    design = np.column_stack([roles, (years - years.mean()) / years.std(ddof=0), tags])
    query = np.array(
        [*(roles.columns == "dev"), (7 - years.mean()) / years.std(ddof=0), 1, 1, 0], float
    )
    means = design.mean(axis=0)
    for item in range(5):
        seen = dense[:, item] > 0 if like is not None else np.ones(40, dtype=bool)
        liked = dense[:, item] >= like if like is not None else dense[:, item] > 0
        x = np.column_stack([np.ones(seen.sum()), (design - means)[seen]])
        y = liked[seen] - rates.overall_[item]
        # The penalty as rows of data: least squares then needs no normal equations.
        penalty = np.diag(np.sqrt([1.0, *np.full(len(means), 3.0)]))
        weights = np.linalg.lstsq(
            np.vstack([x, penalty]), np.concatenate([y, np.zeros(len(penalty))]), rcond=None
        )[0]
        expected = rates.overall_[item] + weights[0] + (query - means) @ weights[1:]
        assert found[item] == pytest.approx(np.clip(expected, 0, 1), abs=1e-6)


def test_an_unknown_profile_is_the_mean_one() -> None:
    space = ProfileSpace.of(USERS)
    assert space is not None
    np.testing.assert_allclose(space.encode({}), 0.0)
    np.testing.assert_allclose(space.features().sum(axis=0), 0.0, atol=1e-9)
    # A slip of a digit is no farther than the farthest user.
    np.testing.assert_allclose(space.encode({"years": 1e9}), space.encode({"years": 10.0}))
