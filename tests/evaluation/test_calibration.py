"""Scores to probabilities, and whether those hold."""

import json

import numpy as np
import pytest
from scipy import optimize, sparse, special

from recsys_lib.dataset import Fold
from recsys_lib.errors import ArtifactError
from recsys_lib.evaluation import (
    Calibrator,
    brier_score,
    calibration,
    expected_calibration_error,
    fit_calibrator,
    promises,
    reliability_table,
    score_cells,
)
from recsys_lib.ranking import TopK

METHODS = ("isotonic", "platt")


def cells(n: int, seed: int, slope: float = 1.7, intercept: float = -0.6):
    """Scores, outcomes and the true probability of each."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(3, 1.5, size=n)
    true = special.expit(slope * (scores - 3) + intercept)
    return scores, rng.random(n) < true, true


@pytest.mark.parametrize("method", METHODS)
def test_the_true_probability_is_recovered(method):
    calibrator = Calibrator.fit(*cells(40_000, 0)[:2], method=method)
    scores, liked, true = cells(40_000, 1)
    probability = calibrator.probability(scores)
    assert np.abs(probability - true).mean() < 0.015
    assert expected_calibration_error(probability, liked) < 0.012
    # An overconfident map of the same order is told apart.
    shifted = special.expit(3 * special.logit(probability))
    assert expected_calibration_error(shifted, liked) > 0.08
    assert brier_score(probability, liked) < brier_score(shifted, liked)
    assert brier_score(true, liked) <= brier_score(probability, liked) + 1e-4


def test_platt_finds_slope_and_intercept():
    calibrator = Calibrator.fit(*cells(200_000, 2)[:2], method="platt")
    assert calibrator.arrays["slope"] == pytest.approx([1.7], abs=0.03)
    assert calibrator.arrays["intercept"] == pytest.approx([-0.6 - 3 * 1.7], abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_mislead_promise_the_same_for_everything(method):
    scores, liked, _ = cells(500, 3, slope=-1.7)
    low, high = Calibrator.fit(scores, liked, method=method).probability([-5.0, 9.0])
    assert low == pytest.approx(high)
    assert low == pytest.approx(liked.mean(), abs=0.01)


def test_isotonic_is_that_of_scipy_within_platts_limits():
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 25, size=300).astype(float)  # with ties
    liked = rng.random(300) < scores / 30
    levels, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(inverse, weights=liked) / counts
    theirs = optimize.isotonic_regression(shares, weights=counts).x
    low, high = 1 / ((~liked).sum() + 2), (liked.sum() + 1) / (liked.sum() + 2)
    ours = Calibrator.fit(scores, liked)
    np.testing.assert_allclose(ours.probability(levels), np.clip(theirs, low, high), atol=1e-12)
    assert ours.probability([-2.0, 27.0]).tolist() == ours.probability(levels[[0, -1]]).tolist()


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_keep_the_order_and_never_claim_certainty(method):
    scores = np.linspace(0, 1, 50)
    calibrator = Calibrator.fit(scores, scores > 0.5, method=method)
    probability = calibrator.probability(np.linspace(-5, 6, 400))
    assert (np.diff(probability) >= 0).all()
    if method == "isotonic":
        assert probability[0] == pytest.approx(1 / 27)
        assert probability[-1] == pytest.approx(26 / 27)


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_calibrator_is_plain_json_and_comes_back(method, tmp_path):
    calibrator = Calibrator.fit(*cells(500, 4)[:2], method=method)
    path = tmp_path / "calibrator.json"
    calibrator.save(path)
    assert json.loads(path.read_text())["method"] == method
    grid = np.linspace(-9, 9, 50)
    np.testing.assert_array_equal(
        Calibrator.load(path).probability(grid), calibrator.probability(grid)
    )


def test_a_saved_calibrator_still_knows_how_long_histories_are(tmp_path):
    scores, liked, _ = cells(500, 4)
    tilted = Calibrator.fit(scores, liked, method="platt", lengths=np.arange(500) % 40)
    assert tilted.arrays["tilt"] != 0
    tilted.save(tmp_path / "calibrator.json")
    again = Calibrator.load(tmp_path / "calibrator.json")
    assert again.probability(3.0, [1, 9]).tolist() == tilted.probability(3.0, [1, 9]).tolist()


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "model"}'])
def test_a_foreign_file_is_refused(text, tmp_path):
    path = tmp_path / "calibrator.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match="calibrator.json"):
        Calibrator.load(path)


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(ValueError, match="must hold both outcomes; got 3 outcomes, all True"):
        Calibrator.fit([1, 2, 3], [True] * 3)
    with pytest.raises(ValueError, match="contains infinity"):
        Calibrator.fit([1, -np.inf], [True, False])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Calibrator.fit([1, 2, 3], [True, False])
    with pytest.raises(ValueError, match="'isotonic', 'platt'"):
        Calibrator.fit([1, 2], [True, False], method="spline")


@pytest.mark.parametrize("rating", [1.0, 5.0])
def test_where_all_outcomes_are_alike_every_score_has_the_same_chance(rating):
    class Same:
        def score(self, rows):
            return np.tile(np.float32([1, 2, 3]), (rows.shape[0], 1))

    seen, rated = sparse.csr_array((2, 3)), sparse.csr_array([[rating, 0, 0], [rating, 0, 0]])
    fold = Fold(fold_in=seen, targets=rated, users=np.arange(2))
    calibrator = fit_calibrator(Same(), fold, min_value=4.0, method="platt")
    laplace = 3 / 4 if rating == 5 else 1 / 4
    assert calibrator.probability([-9, 0, 9]) == pytest.approx([laplace] * 3)


def test_an_unlisted_item_has_no_probability():
    calibrator = Calibrator.fit([0, 1, 2, 3], [False, True, False, True])
    assert np.isnan(calibrator.probability([-np.inf, 1.0])).tolist() == [True, False]


def test_cells_of_explicit_folds_are_the_held_out_ratings(scorer):
    rated = sparse.csr_array([[2.0, 8.0, 0], [0, 9.0, 1.0]])
    fold = Fold(fold_in=sparse.csr_array((2, 3)), targets=rated, users=np.arange(2))
    model = scorer(np.array([[1.0, 2, 3], [4, 5, 6]]))
    scores, liked = score_cells(model, fold, min_value=7.0)
    assert scores.tolist() == [1, 2, 5, 6]
    assert liked.tolist() == [False, True, True, False]
    assert fit_calibrator(model, fold, min_value=7.0, method="platt").method == "platt"


def test_cells_of_implicit_folds_are_all_that_was_not_shown(scorer):
    fold = Fold(
        fold_in=sparse.csr_array([[1.0, 0, 0]]),
        targets=sparse.csr_array([[0, 0, 1.0]]),
        users=np.array([0]),
    )
    scores, liked = score_cells(scorer(np.array([[7.0, 8, 9]])), fold)
    assert scores.tolist() == [8, 9]
    assert liked.tolist() == [False, True]


def test_few_cells_are_whole_users_at_random(fold, noise, monkeypatch):
    monkeypatch.setattr(calibration, "_MOST_CELLS", 300)
    scores, _ = score_cells(noise, fold)
    assert len(scores) <= 300
    again, _ = score_cells(noise, fold)
    np.testing.assert_array_equal(scores, again)


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_of_likes_know_how_long_the_history_is(method):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 40, size=500)
    shown = np.arange(400) < lengths[:, None]
    scores = rng.normal(size=shown.shape)
    chance = special.expit(scores + np.log1p(lengths)[:, None] - 4)
    likes = (rng.random(shown.shape) < chance) & ~shown
    fold = Fold(fold_in=sparse.csr_array(shown * 1.0), targets=sparse.csr_array(likes * 1.0))

    class Model:
        def score(self, rows):
            return scores[: rows.shape[0]]

    fitted = fit_calibrator(Model(), fold, method=method)
    assert fitted.arrays["tilt"] == pytest.approx([1.0], abs=0.05)
    chances, came = score_cells(Model(), fold, calibrator=fitted)
    for part in (lengths > 20, lengths <= 20):
        part = np.repeat(part, 400 - lengths)
        assert chances[part].mean() == pytest.approx(came[part].mean(), abs=0.005)
    lists = TopK(np.tile(np.int32([398, 399]), (500, 1)), scores[:, 398:].astype("float32"))
    promised, _ = promises(lists, fitted, fold.targets, fold.fold_in)
    again = fitted.probability(lists.scores, lengths[:, None])
    np.testing.assert_allclose(promised, again.ravel())
    with pytest.raises(ValueError, match="`lengths` must be given"):
        promises(lists, fitted, fold.targets)


def test_lengths_count_only_where_outcomes_are_likelier_for_it():
    # Scores that grow with the history and say everything, on a curve that is not logistic.
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 100, size=20_000)
    scores = lengths * rng.random(20_000)
    liked = rng.random(20_000) < np.where(scores > 5, 0.4, 0.02)
    assert "tilt" not in Calibrator.fit(scores, liked, lengths=lengths).arrays


def test_ratings_mean_the_same_whatever_was_rated(scorer):
    rng = np.random.default_rng(0)
    lengths = np.arange(50)
    seen = sparse.csr_array((np.arange(60) < lengths[:, None]) * 1.0)
    scores = rng.normal(size=(50, 60))
    liked = rng.random((50, 60)) < special.expit(scores + 2 * np.log1p(lengths)[:, None] - 5)
    fold = Fold(fold_in=seen, targets=sparse.csr_array(np.where(liked, 9.0, 1.0)))
    for method in METHODS:
        found = fit_calibrator(scorer(scores), fold, min_value=7.0, method=method)
        assert "tilt" not in found.arrays


def test_the_reliability_table_by_hand():
    probability = np.array([0.1, 0.1, 0.3, 0.8, 0.8, 1.0])
    liked = np.array([0, 1, 0, 1, 1, 1])
    table = reliability_table(probability, liked, n_bins=2, true=[0, 0.2, 0.1, 0.9, 0.8, 0.7])
    assert table["n"].tolist() == [3, 3]
    assert table["predicted"].tolist() == pytest.approx([0.5 / 3, 2.6 / 3])
    assert table["observed"].tolist() == pytest.approx([1 / 3, 1.0])
    assert table["true"].tolist() == pytest.approx([0.1, 0.8])
    assert table["observed_low"].tolist() == pytest.approx([0.0615, 0.4385], abs=1e-3)  # Wilson
    error = expected_calibration_error(probability, liked, n_bins=2)
    assert error == pytest.approx(0.5 * (1 / 3 - 0.5 / 3) + 0.5 * (1 - 2.6 / 3))


def test_equal_forecasts_share_a_bin():
    table = reliability_table([0.2] * 50 + [0.6] * 7, [0] * 57, n_bins=10)
    assert table["n"].tolist() == [50, 7]


def test_forecasts_outside_the_unit_interval_are_refused():
    for wrong in ([1.2], [np.nan]):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            brier_score(wrong, [1])


def test_outcomes_of_lists_may_be_the_targets_of_a_fold():
    lists = TopK(np.array([[1, -1], [0, 2]], "int32"), np.array([[2, -np.inf], [1, 0]], "float32"))
    even = Calibrator(method="platt", arrays={"slope": np.zeros(1), "intercept": np.zeros(1)})
    came = np.array([[0.0, 1, 0], [0, 0, 1]])
    for outcomes in (came, sparse.csr_array(came)):
        assert promises(lists, even, outcomes)[1].tolist() == [1, 0, 1]


def test_outcomes_of_a_large_table_are_looked_up_without_a_dense_one():
    wide = sparse.csr_array(([1.0], ([0], [7])), shape=(10**6, 10**6))  # 8 TB as a dense table
    lists = TopK(np.full((10**6, 1), 7, "int32"), np.zeros((10**6, 1), "float32"))
    even = Calibrator(method="platt", arrays={"slope": np.zeros(1), "intercept": np.zeros(1)})
    assert promises(lists, even, wide)[1].sum() == 1
