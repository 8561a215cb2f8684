"""A batch of runs: settings held against the luck of seeds and users."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import evaluate
from recsys_lib.pipeline import Batch, Manifest, read_batch, record_run
from recsys_lib.pipeline.manifest import Metric

N_USERS = 300


def report(error, seed, *, luck=0.0, users=0):
    """Return the report of a model whose errors are `error`, and `luck` from its training."""
    rng = np.random.default_rng([seed, int(error * 1e6)])
    wrong = np.random.default_rng(users + 50).normal(size=(N_USERS, 4)) * error
    wrong *= 1 + luck * rng.normal()
    wrong += 0.02 * rng.normal(size=wrong.shape)
    targets = sparse.csr_array(np.full((N_USERS, 4), 5.0))
    seen = sparse.csr_array((N_USERS, 4))
    fold = Fold(fold_in=seen, targets=targets, users=np.arange(N_USERS) + users)
    model = type("Model", (), {"score": lambda self, rows: wrong + 5})()
    return evaluate(model, fold, ["rmse"], name="model")


@pytest.fixture
def batch(project, write):
    """Record a batch: error by setting, under the seeds 0 to 3, and read it."""
    write("01_make")

    def make(errors, *, luck=0.0, own_users=False, seeds=4, **given):
        for size, error in errors.items():
            for seed in range(seeds):
                parameters = {"SIZE": size, "SEED": seed, "EPOCHS": 5}
                with record_run(f"batch/{size}-{seed}", parameters, project=project) as one:
                    users = 1000 * seed if own_users else 0
                    one.report(report(error, seed, luck=luck, users=users))
        return read_batch("batch", "rmse", project=project, **given)

    return make


def test_a_run_of_ones_own_leaves_a_manifest_like_any_other(project, batch):
    found = batch({8: 1.0}, seeds=1)
    manifest = Manifest.load(project.run_folder("batch/8-0"))
    assert (manifest.status, manifest.seeds) == ("done", {"SEED": 0})
    assert manifest.parameters == {"SIZE": 8, "SEED": 0, "EPOCHS": 5}
    assert manifest.metrics["model.rmse"].n_users == N_USERS
    assert found.reports["batch/8-0"].sample("rmse").mean == manifest.metrics["model.rmse"].value
    with pytest.raises(ZeroDivisionError), record_run("own", {}, project=project) as one:
        one.note(n=2)
        raise ZeroDivisionError("no")
    (project.run_folder("lab") / "state").mkdir(parents=True)
    with pytest.raises(ConfigError, match="as 'lab' is"), record_run("lab", {}, project=project):
        pass
    failed = Manifest.load(project.run_folder("own"))
    assert (failed.status, failed.failure["message"]) == ("failed", "no")
    assert failed.metrics == {"n": Metric(2.0)}


def test_runs_are_grouped_by_what_varies_and_seeds_are_repetitions(batch):
    found = batch({8: 1.0, 16: 0.9})
    assert found.varied == ("SIZE",)
    assert found.metric == "model.rmse"
    assert not found.higher_is_better
    assert found.settings.index.tolist() == ["16", "8"], "the best first"
    assert found.runs.loc[found.best_run, "value"] == found.runs["value"].min()
    assert found.settings["seeds"].tolist() == [4, 4]
    row = found.runs.loc["batch/8-2"]
    assert (row["setting"], row["seed"], row["SIZE"]) == ("8", "2", 8)
    its = found.runs.query("setting == '8'")["value"]
    assert found.settings.loc["8", "value"] == pytest.approx(its.mean())
    assert found.settings.loc["8", "seed_sd"] == pytest.approx(its.std(ddof=1))


def test_a_gain_beyond_the_luck_of_seeds_and_users_is_told_from_noise(batch):
    found = batch({8: 1.0, 16: 0.95, 32: 0.951}, luck=0.002)
    behind = found.behind_best
    assert behind.loc["8", "distinguishable"]
    assert 0.03 < behind.loc["8", "low"] < 0.05 < behind.loc["8", "high"] < 0.07
    assert not behind.loc[found.settings.index[1], "distinguishable"]
    assert behind.loc["8", "noise"] == "same users, 4 seeds"
    best, close = found.settings.index[:2]
    assert found.verdict == (
        f"SIZE = {best} came out first. It cannot be told from {close}, but is better than 1 of 2 "
        "others by more than luck."
    )


def test_what_is_less_than_rounding_is_noise_however_sure():
    places = [(setting, str(seed)) for setting in "ab" for seed in range(4)]
    runs = pd.DataFrame(places, columns=["setting", "seed"]).rename_axis("run")
    runs["value"] = np.where(runs["setting"] == "a", 1, 1 - 1e-6) + 1e-9 * np.arange(8)
    runs = runs.assign(se=np.nan, seconds=1.0, memory_mb=1.0)
    found = Batch(metric="x", higher_is_better=True, varied=(), runs=runs, reports={})
    assert found.behind_best["p_value"].item() < 0.001
    assert found.verdict.startswith("Noise: ")


def test_what_one_pair_of_runs_calls_a_gain_several_seeds_call_noise(batch):
    """On the same users the luck of training looks like a gain: the users agree about it."""
    errors = {8: 1.0, 16: 1.0001}
    once = batch(errors, luck=0.02, seeds=1)
    assert once.behind_best["distinguishable"].tolist() == [True]
    assert once.verdict.endswith(
        "With one seed each, this is about these models, not the settings."
    )
    often = batch(errors, luck=0.02)
    assert often.behind_best["distinguishable"].tolist() == [False]
    assert often.verdict.startswith("Noise: ")
    assert "One seed" not in often.verdict


def test_seeds_that_bring_their_own_users_are_paired_seed_by_seed(batch):
    found = batch({8: 1.0, 16: 0.95}, luck=0.002, own_users=True)
    row = found.behind_best.loc["8"]
    assert row["distinguishable"]
    assert row["low"] < 0.05 < row["high"]
    # The spread of the runs themselves, other people each, would have hidden it.
    assert found.settings["seed_sd"].min() > 0.01


def test_false_alarms_are_as_rare_as_promised():
    """Eight settings without a difference, 60 times: the luckiest is not called the best."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        places = [(str(size), str(seed)) for size in range(8) for seed in range(4)]
        runs = pd.DataFrame(places, columns=["setting", "seed"]).rename_axis("run")
        runs = runs.assign(value=rng.normal(size=len(runs)), se=np.nan, seconds=1.0, memory_mb=1.0)
        null = Batch(metric="x", higher_is_better=True, varied=(), runs=runs, reports={})
        assert set(null.behind_best["noise"]) == {"seeds"}
        alarms += null.behind_best["distinguishable"].any()
    assert alarms <= 60 * 0.05


def test_a_report_that_is_refused_leaves_nothing_behind(project, write):
    write("01_make")
    with record_run("own", {}, project=project) as one:
        one.report(report(1.0, 0))
        with pytest.raises(ValueError, match=r"must hold 'model\.rmse' once"):
            one.report(report(0.9, 0))
        one.report()
        assert len(one.reports) == 1


def test_unfinished_runs_are_left_out(project, batch):
    Manifest(run="batch/odd", status="failed").save(project.run_folder("batch/odd"))
    assert len(batch({8: 1.0, 16: 0.9}).runs) == 8


def test_a_metric_that_nobody_can_judge_is_refused(project, write):
    write("01_make")
    with record_run("one", {"SEED": 0}, project=project) as one:
        one.note(rmse=1.0)
    with pytest.raises(ConfigError, match="must be known which way is better"):
        read_batch("one", "rmse", project=project)
    batch = read_batch("one", "rmse", higher_is_better=False, project=project)
    assert batch.verdict == "There is one setting: nothing was compared."
    with pytest.raises(ConfigError, match="'SEED' is given"):
        read_batch("one", "SEED", project=project)
    with pytest.raises(ConfigError, match="A batch must have a run; got none"):
        read_batch([], "rmse", higher_is_better=False, project=project)
