"""Comparisons: corrected for their number, paired over users, seeds apart, in plain words."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import Report, compare, evaluate, gains_of_steps, holm
from recsys_lib.evaluation.significance import state_verdict
from recsys_lib.evaluation.statistics import Estimate, Sample, bootstrap, percentile_interval


def report(name: str, values: np.ndarray, metric: str = "ndcg@10", **protocol: object) -> Report:
    """A report of given values, one user each with 4 ratings."""
    users = pd.DataFrame({"n_fold_in": 5, "n_targets": 2, "n_rated": 4}, index=range(len(values)))
    return Report(
        name=name,
        values=pd.DataFrame({metric: values}, index=users.index),
        users=users,
        totals={},
        items=np.zeros((len(values), 10), dtype=np.int32),
        protocol={"fold": "f", "min_value": None, "rating_scale": None, **protocol},
        definitions={metric: ""},
    )


def world(n: int, seed: int, *effects: float) -> list[np.ndarray]:
    """Values of models that share the luck of each user and differ by an effect and noise."""
    rng = np.random.default_rng(seed)
    users = rng.beta(1, 3, size=n)
    return [users + effect + rng.normal(0, 0.1, size=n) for effect in effects]


def test_holm_as_in_the_textbook():
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which may not fall below its predecessor.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(holm([0.02, np.nan]), [0.02, np.nan])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_at_least_what_bonferroni_rejects_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(1, len(p_values) * np.array(p_values)) + 1e-12).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()


def test_pairing_sees_what_two_separate_intervals_cannot():
    a, b = world(400, 0, 0.02, 0.0)
    comparison = compare([report("A", a), report("B", b)], n_resamples=2000)
    separate = comparison.scores
    assert separate["low"].iloc[0] < separate["high"].iloc[1]  # the intervals overlap
    row = comparison.table.iloc[0]
    assert row["difference"] == pytest.approx((a - b).mean())
    assert row["se"] == pytest.approx((a - b).std(ddof=1) / 20)
    assert row["effect_size"] == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert row["share_better"] == (a > b).mean()
    assert row["relative"] == pytest.approx((a - b).mean() / b.mean())
    assert row["low"] > 0
    assert row["distinguishable"]


def test_a_single_pair_of_equal_models_is_called_different_at_the_promised_rate():
    # 2,000 pairs at 5 %: the binomial spread of the rate is 0.5 points.
    alarms = 0
    for seed in range(2000):
        a, b = (Sample.of(values) for values in world(60, seed, 0, 0))
        influence = a.influence - b.influence
        alarms += Estimate(a.mean - b.mean, influence, 60, (), np.array([])).p_value < 0.05
    assert 0.03 < alarms / 2000 < 0.07


def test_a_family_of_equal_models_raises_no_more_false_alarms_than_promised():
    # 120 families of four models, six pairs each: at most 6 with any alarm, spread 2.4. Without
    # correction there would be about 24.
    alarms = 0
    for seed in range(120):
        values = world(60, seed, 0, 0, 0, 0)
        reports = [report(name, v) for name, v in zip("ABCD", values, strict=True)]
        alarms += bool(compare(reports, n_resamples=1).table["distinguishable"].any())
    assert alarms <= 14


def test_many_pairs_are_corrected_for():
    values = world(200, 2, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0)
    reports = [report(name, v) for name, v in zip("ABCDEF", values, strict=True)]
    table = compare(reports, n_resamples=1).table
    assert len(table) == 15
    np.testing.assert_allclose(table["p_holm"], holm(table["p_value"]))
    assert (table["p_value"] < 0.05).sum() > table["distinguishable"].sum()


def test_the_spread_of_seeds_widens_the_interval_by_the_formula():
    a, b = world(300, 2, 0.02, 0.0)
    shifts = np.array([-0.03, -0.01, 0.0, 0.01, 0.03])
    several = [report("A", a + shift) for shift in shifts]
    comparison = compare([*several, report("B", b)], n_resamples=500)
    row = comparison.table.iloc[0]
    user = (a - b).std(ddof=1) ** 2 / 300
    seed = shifts.std(ddof=1) ** 2 / 5
    assert row["se"] == pytest.approx(np.sqrt(user + seed))
    assert (row["seeds_a"], row["seeds_b"]) == (5, 1)
    assert comparison.scores.loc[0, "seed_sd"] == pytest.approx(shifts.std(ddof=1))
    lone = compare([report("A", a), report("B", b)], n_resamples=500).table.iloc[0]
    assert row["difference"] == pytest.approx(lone["difference"])
    assert lone["distinguishable"]  # this trained model is better than that one ...
    assert not row["distinguishable"]  # ... which does not make the method better


def test_equal_reports_are_not_distinguishable_and_a_constant_lead_is():
    (a,) = world(50, 3, 0.0)
    same = compare([report("A", a), report("B", a.copy())], n_resamples=50).table.iloc[0]
    assert (same["difference"], same["p_value"], same["distinguishable"]) == (0.0, 1.0, False)
    assert same["share_better"] == 0.5
    ones = compare([report("A", np.ones(50)), report("B", np.zeros(50))], n_resamples=50)
    assert ones.table.loc[0, "p_value"] == 2.0**-49  # all 50 users have one sign


def test_lower_is_better_for_errors_and_the_pooled_error_is_compared():
    rng = np.random.default_rng(6)
    base = rng.gamma(5, 0.2, size=400)
    good, bad = base, base + 0.05 + rng.normal(0, 0.05, size=400)
    comparison = compare([report("bad", bad, "rmse"), report("good", good, "rmse")])
    row = comparison.table.iloc[0]
    assert (row["a"], row["b"]) == ("good", "bad")
    by_hand = np.sqrt((good**2).mean()) - np.sqrt((bad**2).mean())
    assert row["difference"] == pytest.approx(by_hand)
    assert row["high"] < 0
    assert row["share_better"] == (good < bad).mean()
    assert comparison.verdict.startswith(f"good leads bad by {-by_hand:.4f} in rmse, where lower")


def verdict_of(*effects: float, names: str = "ABCD", noise: int = 7) -> str:
    values = world(400, noise, *effects)
    reports = [report(name, v) for name, v in zip(names, values, strict=False)]
    return compare(reports, n_resamples=500).verdict


def test_the_verdict_names_the_leader_the_led_and_the_indistinguishable():
    assert verdict_of(0.1, 0.0).startswith("A leads B by 0.")
    text = verdict_of(0.1, 0.0, 0.1)
    assert "leads B by" in text
    assert text.endswith(("; not distinguishable from C.", "; not distinguishable from A."))
    text = verdict_of(0.3, 0.2, 0.1, 0.0)
    assert text.startswith("A leads B by 0.")
    assert text.endswith("; and C and D by more.")


def test_the_verdict_claims_nothing_where_there_is_nothing():
    text = verdict_of(0.0, 0.0, 0.0)
    assert "is not distinguishable from" in text
    assert "; nor from " in text
    assert "leads" not in text


def test_the_verdict_says_where_no_user_could_have_made_a_difference():
    reports = [report(name, np.array([1.0, 1.0, 0.5])) for name in "ABC"]
    text = compare(reports, n_resamples=50).verdict
    assert text.startswith("Every user has the same ndcg@10 from A, B and C, as where a list holds")


def test_each_metric_has_its_own_pairs_and_verdict():
    a, b = world(50, 8, 0.1, 0.0)
    reports = []
    for name, values in (("A", a), ("B", b)):
        one = report(name, values)
        both = one.values.assign(**{"novelty@10": 5 - values})
        reports.append(
            dataclasses.replace(one, values=both, definitions={"ndcg@10": "", "novelty@10": ""})
        )
    comparison = compare(reports, n_resamples=200)
    assert list(comparison.verdicts) == ["ndcg@10", "novelty@10"]
    assert comparison.verdicts["novelty@10"].startswith("B lies above A")  # no end is better
    assert len(comparison.table) == 2
    assert compare(reports, ["novelty@10"], n_resamples=5).verdict.startswith("B lies above A")


def test_reports_that_were_measured_differently_are_refused():
    a, b = world(20, 9, 0.0, 0.0)
    with pytest.raises(ValueError, match="'A' and 'B' differ in fold"):
        compare([report("A", a), report("B", b, fold="another")])
    with pytest.raises(ValueError, match="differ in min_value"):
        compare([report("A", a), report("B", b, min_value=7.0)])
    with pytest.raises(ValueError, match="differ in users"):
        compare([report("A", a), report("B", b[:-1])])
    with pytest.raises(ValueError, match=r"at least two models; got \['A'\]"):
        compare([report("A", a), report("A", b)])
    with pytest.raises(ConfigError, match="share none"):
        compare([report("A", a), report("B", b, "recall@5")])
    with pytest.raises(ConfigError, match="recall@5"):
        compare([report("A", a), report("B", b)], ["recall@5"])


def test_a_verdict_of_few_users_or_many_pairs_does_not_contradict_its_interval():
    values = np.array([0.401, 0.402, 0.402, 0.48, 0.402, 0.41, 0.401])
    few = [report("A", values), report("B", np.full(7, 0.4))]
    apart = percentile_interval(bootstrap([few[0].sample("ndcg@10")])[:, 0] - 0.4)
    assert apart[0] > 0  # which alone would say that A leads
    row = compare(few).table.iloc[0]
    assert row["low"] < 0 < row["high"]
    assert not row["distinguishable"]
    one = [report(name, values[:1]) for name, values in (("A", np.ones(9)), ("B", np.zeros(9)))]
    assert compare(one).verdict == (
        "A is not distinguishable from B in ndcg@10 (difference 1.0000, too few users for an "
        "interval)."
    )


@pytest.mark.parametrize("values", [[0.43, 0.431, 0.432], [0.43] * 5])
def test_fewer_than_six_users_tell_no_models_apart_however_alike_they_are(values):
    reports = [report("A", np.array(values)), report("B", np.full(len(values), 0.4))]
    row = compare(reports).table.iloc[0]
    assert row["p_value"] == 2.0 ** (1 - len(values))
    assert not row["distinguishable"]
    assert "too few users for an interval" in compare(reports).verdict
    more = [report("A", np.full(6, 0.43)), report("B", np.full(6, 0.4))]
    assert compare(more).table["distinguishable"].all()
    assert compare(more).table["low"].notna().all()


def test_what_the_correction_for_many_pairs_takes_away_is_said():
    scores = pd.DataFrame({"metric": "ndcg@10", "model": list("ABC")})
    pairs = pd.DataFrame({"a": ["A", "A", "B"], "b": ["B", "C", "C"], "difference": 0.02})
    pairs = pairs.assign(low=0.002, high=0.04, distinguishable=False)
    assert (
        "A is not distinguishable from B in ndcg@10 once all 3 pairs are accounted for (diff"
        in (state_verdict(scores, pairs))
    )


@pytest.fixture(scope="module")
def reports(same):
    wanted = sparse.csr_array(np.eye(4)[np.random.default_rng(0).integers(0, 4, 300)])
    fold = Fold(fold_in=sparse.csr_array((300, 4)), targets=wanted, users=np.arange(300))
    counts = {"a": [4, 3, 2, 1], "b": [1, 2, 3, 4], "c": [9, 8, 3, 1]}
    return {name: evaluate(same(c), fold, ["mrr@4"], name="m") for name, c in counts.items()}


def test_a_gain_is_with_the_step_minus_without_it_whichever_is_better(reports):
    table = gains_of_steps(reports, {"b": "a", "a": "b"}, "mrr@4", n_resamples=500)
    there, back = table.loc[("b", "a")], table.loc[("a", "b")]
    assert there["gain"] == pytest.approx(reports["b"]["mrr@4"] - reports["a"]["mrr@4"])
    assert back["gain"] == -there["gain"]
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))
    assert there["low"] < there["gain"] < there["high"]


def test_two_variants_with_the_same_lists_gain_nothing_and_that_is_not_certain(reports):
    row = gains_of_steps(reports, {"c": "a"}, "mrr@4", n_resamples=200).iloc[0]
    assert row["gain"] == 0
    assert not row["certain"]


def test_p_values_are_corrected_for_the_number_of_steps(reports):
    from dataclasses import replace

    one = gains_of_steps(reports, {"b": "a"}, "mrr@4", n_resamples=200)["p_holm"].iloc[0]
    pair = [replace(reports["a"], name="a"), replace(reports["b"], name="b")]
    assert one == pytest.approx(compare(pair, n_resamples=200).table["p_value"][0])
    two = gains_of_steps(reports, {"b": "a", "a": "b"}, "mrr@4", n_resamples=200)["p_holm"]
    assert two.iloc[0] == pytest.approx(min(1.0, 2 * one))
