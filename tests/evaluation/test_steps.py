"""An ablation read step by step."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import compare, evaluate, gains_of_steps


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


def test_a_variant_without_a_report_is_named(reports):
    with pytest.raises(ConfigError, match="'d' has none. Known: a, b, c"):
        gains_of_steps(reports, {"a": "d"}, "mrr@4")
