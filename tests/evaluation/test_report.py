"""Reports: numbers, intervals, files."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.evaluation import Report, evaluate

METRICS = ("ndcg@10", "recall@5", "coverage@5", "gini@5", "novelty@5")


@pytest.fixture
def report(fold, noise) -> Report:
    return evaluate(noise, fold, METRICS, name="noise")


def test_the_table_has_a_row_per_metric_in_the_order_asked(report):
    table = report.table(n_resamples=200)
    assert table["metric"].tolist() == list(METRICS)
    assert set(table["model"]) == {"noise"}
    values = table.set_index("metric")
    for metric in METRICS:
        assert values.loc[metric, "value"] == pytest.approx(report[metric])
    users = report.values["ndcg@10"]
    assert values.loc["ndcg@10", "se"] == pytest.approx(users.std(ddof=1) / np.sqrt(len(users)))
    assert values.loc["ndcg@10", "low"] < report["ndcg@10"] < values.loc["ndcg@10", "high"]


def test_metrics_of_all_lists_together_have_no_interval(report):
    table = report.table(n_resamples=50).set_index("metric")
    assert table.loc[["coverage@5", "gini@5"], ["se", "low", "high"]].isna().all(axis=None)


def test_a_saved_report_comes_back_whole(report, tmp_path):
    report.save(tmp_path / "report")
    again = Report.load(tmp_path / "report")
    pd.testing.assert_frame_equal(again.values, report.values)
    pd.testing.assert_frame_equal(again.users, report.users)
    np.testing.assert_array_equal(again.items, report.items)
    assert again.metrics == report.metrics
    assert again.protocol == report.protocol
    assert again.definitions == report.definitions
    pd.testing.assert_frame_equal(again.table(), report.table())
    assert not list((tmp_path / "report").glob("*.pkl"))


def test_a_damaged_report_is_refused(report, tmp_path):
    report.save(tmp_path / "report")
    (tmp_path / "report" / "lists.npz").write_bytes(b"half")
    with pytest.raises(ArtifactError, match="lists.npz"):
        Report.load(tmp_path / "report")


def test_a_report_says_how_it_was_measured(report, fold):
    assert report.definitions["recall@5"].endswith("hits / min(k, |targets|).")
    assert "whole catalog" in report.protocol["ranking"]
    assert report.protocol["n_users"] + report.protocol["n_users_without_targets"] == fold.n_rows
    assert report.protocol["fold"].startswith("sha256:")


def test_what_was_not_measured_is_asked_for_in_vain(report):
    with pytest.raises(ConfigError, match="per-user metrics of report 'noise': ndcg@10"):
        report["mrr@10"]
    with pytest.raises(ConfigError, match="coverage@5"):
        report.sample("coverage@5")


def test_a_report_of_rating_errors_only_has_no_lists(tmp_path, scorer, make_fold):
    fold = make_fold(10, 6)
    report = evaluate(scorer(np.ones((10, 6))), fold, ["mae"])
    assert report.items.shape[1] == 0
    report.save(tmp_path / "report")
    assert Report.load(tmp_path / "report")["mae"] == report["mae"] == 0.0
