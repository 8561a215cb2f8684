"""The fold-in oracle: against draws from the prior weighted by hand, and against the data."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.special import ndtr

from recsys_lib.dataset import Fold, Split
from recsys_lib.models.factors import BiasedSVD
from recsys_lib.splitting import split_ratings
from recsys_lib.synthesis import (
    FoldInOracle,
    OmniscientOracle,
    ProfileOracle,
    World,
    make_world,
    newcomer_oracle,
    oracles_of_likes,
)
from recsys_lib.synthesis.oracle import Likelihood

SHARE = 0.8


def histories(world: World, kind: str, n_rows: int) -> sparse.csr_array:
    """Four fifths of some histories."""
    rows = world.dataset("ratings").user_items[:n_rows].copy()
    if kind == "likes":
        rows.data = (rows.data >= 7).astype("float32")
    if kind == "interactions":
        rows.data = np.ones_like(rows.data)
    rows.data[np.random.default_rng(0).random(rows.nnz) >= SHARE] = 0
    rows.eliminate_zeros()
    return rows


class ByHand:
    """The posterior as weights of draws from the true prior; nothing shared with the oracle."""

    def __init__(self, world: World, n_draws: int = 80_000) -> None:
        truth, settings = world.truth, world.settings
        rng = np.random.default_rng(5)
        profile = rng.choice(len(truth.profile_share), n_draws, p=truth.profile_share)
        taste = truth.profile_means[profile] + rng.standard_normal((n_draws, settings.latent_dim))
        taste /= np.linalg.norm(taste, axis=1, keepdims=True)  # times sqrt K, over sqrt K
        bias = rng.standard_normal((n_draws, 1)) + truth.item_bias
        self.signal = settings.bias_variance**0.5 * bias / 2**0.5
        self.signal += settings.taste_variance**0.5 * taste @ truth.item_factors.T
        own = settings.selection * settings.bias_variance**0.5 / 2**0.5
        self.rate = truth.log_weight + settings.selection * self.signal
        self.rate -= own * (bias - truth.item_bias)  # the user's bias is in the clock
        self.clock = rng.standard_normal(n_draws)
        self.settings, self.cuts = settings, np.r_[-np.inf, truth.thresholds, np.inf]
        likelihood = Likelihood(truth, "ratings", SHARE, 7.0)
        self.usual = likelihood.usual_clock  # a convention, as its spread of 1
        self.liked = ndtr((self.signal - truth.thresholds[5]) / settings.noise_sd)
        self.mean = 10.0 - sum(
            ndtr((cut - self.signal) / settings.noise_sd) for cut in truth.thresholds
        )

    def answers(self, row: np.ndarray, evidence: str) -> dict[str, Any]:
        """What the oracle is asked for, for one row, as weighted means."""
        stored = row > 0
        assert stored.any()
        clock = self.usual + self.clock
        taken = -np.expm1(-np.exp(self.rate + clock[:, None]))
        chance = SHARE * taken * (self.liked if evidence == "likes" else 1.0)
        log_weight = np.where(stored, np.log(chance), np.log1p(-chance)).sum(1)
        if evidence == "ratings":
            level = row[stored].astype(int)
            low, high = (
                ndtr((self.cuts[level - 1 + up] - self.signal[:, stored]) / self.settings.noise_sd)
                for up in (0, 1)
            )
            log_weight += np.log(np.maximum(high - low, 1e-300)).sum(1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        hidden = (1 - SHARE) * taken / (1 - SHARE * taken)
        return {
            "all": weight @ self.mean,
            "taken": (weight @ (self.mean * hidden)) / (weight @ hidden),
            "exposure": weight @ hidden,
            "liked_exposure": weight @ (hidden * self.liked),
            "draws": 1 / (weight**2).sum(),
        }


@pytest.fixture(scope="module")
def small() -> tuple[World, ByHand]:
    world = make_world(n_users=60, n_items=40, latent_dim=3, ratings_per_user=9.0, seed=3)
    return world, ByHand(world)


@pytest.mark.parametrize("evidence", ["ratings", "likes", "interactions"])
def test_the_posterior_is_that_of_weighted_draws(small, evidence):
    world, by_hand = small
    rows = histories(world, evidence, 14)
    rows = rows[np.diff(rows.indptr) > 0]
    answers = [by_hand.answers(row, evidence) for row in rows.toarray()]
    keep = [place for place, answer in enumerate(answers) if answer["draws"] > 200]
    assert len(keep) >= 10

    def off(rows: sparse.csr_array, **asked: Any) -> float:
        """Distance in units of the spread of the answers."""
        name = asked.get("among", asked["by"])
        found = FoldInOracle(world.truth, evidence=evidence, share=SHARE, **asked).score(rows)
        wanted = np.array([answers[place][name] for place in keep])
        return float(np.sqrt(np.mean((found[keep] - wanted) ** 2)) / wanted.std())

    nothing = sparse.csr_array(rows.shape, dtype="float32")
    for asked, most in (
        ({"by": "rating", "among": "all"}, 0.12),
        ({"by": "rating", "among": "taken"}, 0.18),
        ({"by": "exposure"}, 0.22),
        ({"by": "liked_exposure"}, 0.22),
    ):
        assert off(rows, **asked) < most
        assert off(nothing, **asked) > 2 * most  # the prior alone is far


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def split(world: World) -> Split:
    return split_ratings(world.dataset(), validation=0.01, test=0.19, seed=0)


def rmse(scores: np.ndarray, targets: sparse.csr_array) -> float:
    pairs = targets.tocoo()
    return float(np.sqrt(np.mean((scores[pairs.row, pairs.col] - pairs.data) ** 2)))


def test_each_step_of_knowledge_is_worth_something(world, split):
    fold, users = split.test, split.test.users
    nobody = sparse.csr_array(fold.fold_in.shape, dtype="float32")
    by_knowledge = [
        np.full(fold.fold_in.shape, split.train.data.mean()),
        ProfileOracle(world.truth).score_users(users, nobody),
        BiasedSVD(latent_dim=8, l2=10.0).fit(split.train).score(fold.fold_in),
        FoldInOracle(world.truth).score(fold.fold_in),
        ProfileOracle(world.truth).score_users(users, fold.fold_in),
        OmniscientOracle(world.truth).score_users(users),
    ]
    errors = [rmse(scores, fold.targets) for scores in by_knowledge]
    steps = -np.diff(errors)
    assert (steps > [0.1, 0.005, 0.1, 0.005, 0.08]).all()


def test_nothing_that_a_model_says_improves_on_the_oracle(world, split):
    """The ceiling is one: held-out errors are explained by nothing that is known beforehand."""
    fold, pairs = split.test, split.test.targets.tocoo()
    oracle = FoldInOracle(world.truth).score(fold.fold_in)[pairs.row, pairs.col]
    model = BiasedSVD(latent_dim=8, l2=10.0).fit(split.train).score(fold.fold_in)
    others = {
        "its own spread": oracle,
        "a model": model[pairs.row, pairs.col],
        "length of history": np.log(np.diff(fold.fold_in.indptr))[pairs.row],
        "quality of the lab": world.truth.item_bias[pairs.col],
        "popularity": world.truth.log_weight[pairs.col],
    }
    errors = pairs.data - oracle
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(len(errors))
    design = np.column_stack([np.ones(len(errors)), *others.values()])
    fitted = design @ np.linalg.lstsq(design, errors, rcond=None)[0]
    # Without the evidence of what was taken, of both the row and the target, this is 0.06.
    assert (fitted**2).mean() / (errors**2).mean() < 0.002


def test_the_chances_of_being_hidden_are_calibrated_but_for_a_factor(world, split):
    fold = split.test
    chance = FoldInOracle(world.truth, "exposure", share=0.8).score(fold.fold_in)
    unseen = fold.fold_in.toarray() == 0
    hidden = fold.targets.toarray() > 0
    order = np.argsort(chance[unseen])
    tenths = np.array_split(order, 10)
    said = np.array([chance[unseen][part].mean() for part in tenths])
    seen = np.array([hidden[unseen][part].mean() for part in tenths])
    ratio = said / seen  # 0.19 of 0.2 is held out for the test
    np.testing.assert_allclose(ratio / ratio.mean(), 1.0, atol=0.25)
    assert ratio.mean() == pytest.approx(1.1, abs=0.1)


def test_rows_are_scored_alone_and_the_empty_one_by_the_population(world, split):
    oracle = FoldInOracle(world.truth)
    rows = split.test.fold_in[:40]
    together = oracle.score(rows)
    np.testing.assert_allclose(oracle.score(rows[[7]])[0], together[7], atol=1e-4)
    empty = sparse.csr_array((1, 252), dtype="float32")
    newcomer = FoldInOracle(world.truth, among="all").score(empty)[0]
    everybody = world.truth.expected_rating(np.arange(5235)).mean(0)
    assert np.sqrt(np.mean((newcomer - everybody) ** 2)) < 0.1


def test_in_the_null_world_the_oracles_know_a_constant(world):
    null = make_world("null", n_users=300)
    rows = null.dataset().user_items
    for oracle in (FoldInOracle(null.truth), ProfileOracle(null.truth)):
        scores = (
            oracle.score_users(np.arange(300), rows)
            if isinstance(oracle, ProfileOracle)
            else oracle.score(rows)
        )
        np.testing.assert_allclose(scores, 5.926, atol=1e-3)
    ranked = FoldInOracle(null.truth, "exposure").score(rows)
    order = np.argsort(-null.truth.log_weight)
    assert (np.diff(ranked[:, order], axis=1) <= 0).all()


def test_rows_of_ones_are_not_taken_for_the_lowest_rating(world):
    likes = world.dataset().implicit(min_value=7).user_items[:5]
    with pytest.raises(
        ValueError, match=r"must hold ratings of 1 to 10; got 1 to 1\. Say evidence="
    ):
        FoldInOracle(world.truth).score(likes)
    with pytest.raises(ValueError, match="`by` must be one of"):
        FoldInOracle(world.truth, by="ratings")  # type: ignore[arg-type]


def test_a_taste_is_off_by_as_much_as_the_encoded_variance_says(world, split):
    oracle, tastes = FoldInOracle(world.truth), world.truth.tastes[split.test.users]
    mean, log_variance = oracle.encode(split.test.fold_in)
    assert mean.shape == log_variance.shape == tastes.shape
    said = np.exp(log_variance).mean(axis=0)
    assert ((tastes - mean) ** 2).mean(axis=0) == pytest.approx(said, rel=0.15)
    # What is due without a history is more than twice that.
    nobody = sparse.csr_array((1, world.truth.n_items), dtype="float32")
    assert (np.exp(oracle.encode(nobody)[1])[0] > 2 * said).all()


def test_the_oracles_of_likes_see_likes_and_look_for_likes(world):
    likes = world.dataset().implicit(7).user_items[:50]
    both = oracles_of_likes(world.truth, share=0.5)
    fold_in, omniscient = both["fold-in oracle"], both["omniscient"]
    expected = FoldInOracle(world.truth, "liked_exposure", evidence="likes", share=0.5)
    np.testing.assert_array_equal(fold_in.score(likes), expected.score(likes))
    known = OmniscientOracle(world.truth, "liked_exposure", share=0.5)
    np.testing.assert_array_equal(omniscient.score_users([3]), known.score_users([3]))


@pytest.mark.parametrize(
    ("n_shown", "share"), [(0, 0.02), (1, 0.1), (5, 0.5), (10, 1.0), (30, 1.0)]
)
def test_a_newcomers_oracle_takes_what_is_shown_for_its_share_of_a_usual_history(n_shown, share):
    world = make_world(n_users=40, n_items=30)
    rows = sparse.csr_array(np.ones((2, 30), dtype="float32") * (np.arange(30) < 8))
    rest = sparse.csr_array(np.ones((2, 30), dtype="float32") * (np.arange(30) >= 28))
    fold = Fold(fold_in=rows, targets=rest, users=np.arange(2))
    assert newcomer_oracle(world.truth, fold, n_shown).share == pytest.approx(share)
