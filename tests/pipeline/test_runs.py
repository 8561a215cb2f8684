"""Runs side by side: listed, filtered, sorted, compared, exported."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.cli import main
from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import evaluate
from recsys_lib.pipeline import Manifest, compare_runs, list_runs, notebook
from recsys_lib.pipeline.manifest import Metric, RunLog
from recsys_lib.pipeline.pins import Pin, write_pins
from recsys_lib.pipeline.runs import find_runs, listing, table_of
from recsys_lib.pipeline.store import Outcome

N_USERS = 200


class Guess:
    """Ratings of the truth, with an error for everybody and one for each user."""

    def __init__(self, seed: int, better_by: float = 0.0) -> None:
        self.seed, self.better_by = seed, better_by

    def score(self, user_items):
        shared = np.random.default_rng(12_345).normal(size=(N_USERS, 3))
        own = np.random.default_rng(self.seed).normal(size=(N_USERS, 3))
        return (1 - self.better_by) * shared + 0.02 * own


def report(guess, truth=0.0, name="guess"):
    targets = sparse.csr_array(np.full((N_USERS, 3), 5.0))
    seen = sparse.csr_array((N_USERS, 3))
    fold = Fold(fold_in=seen, targets=targets, users=np.arange(N_USERS) + int(truth))
    shifted = type("Shifted", (), {"score": lambda _, rows: guess.score(rows) + 5})()
    return evaluate(shifted, fold, ["rmse"], name=name)


@pytest.fixture
def keep(project, write):
    """Leave a run as notebooks do, without a kernel."""
    write("01_make", parameters='RUN = "lab"  # name\nSEED = 0  # seed\nEPOCHS = 5  # passes')
    pin = Pin(value=1.0, tolerance=0.3, spread=0.1, n=5, measured="seeds 0 to 4")
    write_pins(project.expected, {"01_make": {"rmse": pin}})

    def keep_run(name, *reports, epochs=5, **checks):
        values = {"RUN": name, "SEED": 0, "EPOCHS": epochs}
        project.run_folder(name).mkdir(parents=True)
        with RunLog(project, name, "the library") as log:
            log.begin("01_make")
            session = notebook.start("01_make", values, project=project)
            session.record.as_committed = False
            session.report(*reports)
            session.check(**checks)
            session.record.done = True
            session.note()
            log.ended(Outcome(session.record, "ran", project.run_folder(name) / "01_make.ipynb"))
        return name

    return keep_run


@pytest.fixture
def sweep(keep, project):
    keep("sweep/five", epochs=5, rmse=1.2)
    keep("sweep/ten", epochs=10, rmse=0.85)
    keep("alone", epochs=20, rmse=1.3)
    return project


def test_runs_are_rows_with_parameters_and_metrics_as_columns(sweep):
    table = list_runs(project=sweep)
    assert table.index.tolist() == ["alone", "sweep/five", "sweep/ten"]
    assert table["EPOCHS"].tolist() == [20, 5, 10]
    assert table["01.rmse"].tolist() == [1.3, 1.2, 0.85]
    assert (table["status"] == "done").all()
    assert table["begun"].dt.tz is not None


@pytest.mark.parametrize(
    ("names", "where", "runs"),
    [
        ("sweep", (), ["sweep/five", "sweep/ten"]),
        ("*/t*", (), ["sweep/ten"]),
        (["alone", "sweep/ten"], (), ["alone", "sweep/ten"]),
        ((), "EPOCHS>=10", ["alone", "sweep/ten"]),
        ((), ["EPOCHS > 5", "`01.rmse`<1.2"], ["sweep/ten"]),
        ((), "run == 'alone'", ["alone"]),
        ((), "status != 'done'", []),
        ((), "begun.dt.year > 2001", ["alone", "sweep/five", "sweep/ten"]),
        ("sweep", "EPOCHS == 20", []),
        ((), "run == 'sweep/ten' or EPOCHS == 20", ["alone", "sweep/ten"]),
        ((), "EPOCHS in [5, 20] and `01.rmse` < 1.25", ["sweep/five"]),
    ],
)
def test_runs_are_chosen_by_name_and_condition(sweep, names, where, runs):
    assert list_runs(names, where=where, project=sweep).index.tolist() == runs


def test_a_list_is_text_and_a_missing_value_is_like_no_other(project):
    for name, dims in (("a", [8, 4]), ("b", [8]), ("c", None)):
        Manifest(run=name, status="done", parameters={"DIMS": dims} if dims else {}).save(
            project.run_folder(name)
        )
    assert list_runs(where="DIMS == '[8, 4]'", project=project).index.tolist() == ["a"]
    assert list_runs(where="DIMS != '[8, 4]'", project=project).index.tolist() == ["b", "c"]


def test_a_metric_is_sorted_from_its_best_end_and_runs_without_it_come_last(sweep, keep):
    Manifest(
        run="gain", status="done", metrics={"01.ndcg": Metric(0.2, higher_is_better=True)}
    ).save(sweep.run_folder("gain"))
    Manifest(
        run="more", status="done", metrics={"01.ndcg": Metric(0.3, higher_is_better=True)}
    ).save(sweep.run_folder("more"))
    assert list_runs(sort="ndcg", project=sweep).index.tolist()[:2] == ["more", "gain"]
    assert list_runs(sort="01.rmse", project=sweep).index[0] == "sweep/ten"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": "swep"}, "Did you mean 'sweep'"),
        ({"names": "alone/x"}, "named 'alone/x' must have left a manifest"),
        ({"names": "none"}, "There are: alone, sweep."),
        (
            {"where": "EPOCH > 3"},
            "'EPOCH > 3' is none: name 'EPOCH' is .* Did you mean 'EPOCHS'",
        ),
        ({"where": "EPOCHS"}, "must be an expression of DataFrame.query"),
        ({"where": "EPOCHS in ["}, "'EPOCHS in \\[' is none"),
        ({"where": "status=done"}, "such as .*'status == \"done\"'"),
        ({"sort": "rms"}, "Did you mean 'rmse'"),
    ],
)
def test_what_is_not_there_is_named_with_the_near_name(sweep, arguments, message):
    with pytest.raises(ConfigError, match=message):
        list_runs(**arguments, project=sweep)


def test_a_name_of_several_columns_asks_which(keep, project):
    keep("a", report(Guess(1)), rmse=1.0)
    with pytest.raises(ConfigError, match=r"2 are called so: 01\.guess\.rmse, 01\.rmse"):
        list_runs(sort="rmse", project=project)


def test_a_damaged_manifest_is_left_out_with_a_word(sweep, monkeypatch, capsys):
    (sweep.run_folder("alone") / "manifest.json").write_text("{")
    with pytest.warns(UserWarning, match=r"alone/manifest\.json must be the manifest of a run"):
        assert len(list_runs(project=sweep)) == 2
    monkeypatch.chdir(sweep.root)
    assert main(["runs"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("Left out: ")
    assert said.err.count("\n") == 1
    assert "sweep/ten" in said.out


def test_on_the_same_users_a_small_but_steady_gain_is_more_than_noise(keep, project):
    keep("a", report(Guess(1)))
    keep("b", report(Guess(2, better_by=0.02)))
    keep("c", report(Guess(3, better_by=0.02), truth=1))
    row = compare_runs("a", "b", project=project).metrics.loc["01.guess.rmse"]
    assert (row["noise"], row["verdict"]) == ("same users", "better")
    assert row["low"] < row["change"] < row["high"] < 0
    assert compare_runs("b", "a", project=project).metrics["verdict"].tolist() == ["worse"]
    # The same gain on other people: their luck is larger than the gain.
    row = compare_runs("a", "c", project=project).metrics.loc["01.guess.rmse"]
    assert (row["noise"], row["verdict"]) == ("other users", "within noise")


def test_the_luck_of_training_alone_is_within_noise(keep, project):
    keep("a", report(Guess(1)))
    keep("b", report(Guess(2)))
    found = compare_runs("a", "b", project=project)
    assert found.metrics["verdict"].tolist() == ["within noise"]
    assert len(found.differences) == 0
    assert found.summary == (
        "What differed: nothing that is recorded. From a to b, 1 metric: 1 within noise."
    )


def test_a_false_alarm_is_as_rare_as_it_says(keep, project):
    """Of 40 metrics without a difference, corrected for their number, none may be called real."""
    names = [f"m{i}" for i in range(40)]
    keep("a", *(report(Guess(i), name=name) for i, name in enumerate(names)))
    keep("b", *(report(Guess(3000 + i), name=name) for i, name in enumerate(names)))
    assert set(compare_runs("a", "b", project=project).metrics["verdict"]) == {"within noise"}


def test_a_number_without_users_is_held_against_its_spread_over_seeds(keep, project):
    keep("a", rmse=1.0, other=1.0)
    keep("b", rmse=1.35, other=1.0, epochs=9)
    keep("c", rmse=2.0, other=1.5)
    near = compare_runs("a", "b", project=project)
    assert near.metrics.loc["01.rmse", ["noise", "verdict"]].tolist() == ["seeds", "within noise"]
    assert near.metrics.loc["01.other", "verdict"] == "same"
    assert near.differences.to_numpy().tolist() == [["parameter", "EPOCHS", 5, 9]]
    far = compare_runs("a", "c", project=project)
    assert far.metrics["verdict"].tolist() == ["unknown", "moved"]


def test_a_difference_below_what_is_printed_is_none_however_sure(keep, project):
    shift = type(
        "Shift", (Guess,), {"score": lambda self, rows: Guess.score(self, rows) * 1.000005}
    )
    keep("a", report(Guess(1)))
    keep("b", report(shift(1)))
    row = compare_runs("a", "b", project=project).metrics.loc["01.guess.rmse"]
    assert row["change"] != 0
    assert row["verdict"] == "same"


def test_a_difference_within_the_tolerance_of_its_pin_is_none(keep, project):
    keep("a", rmse=1.0)
    keep("b", rmse=1.29)
    keep("c", rmse=1.31)
    verdicts = [compare_runs("a", b, project=project).metrics["verdict"].item() for b in "bc"]
    assert verdicts == ["same", "within noise"]


def test_what_went_in_is_compared_part_by_part(project):
    old = Manifest(
        run="a",
        status="done",
        parameters={"EPOCHS": 5},
        data={"inputs": {"/own.csv": "sha256:1"}, "dataset": "sha256:2"},
        code={"commit": "abc", "dirty": False, "library": "x"},
        versions={"numpy": "2.1"},
        machine={"cores": 2},
        device=["cpu tensorflow float32"],
    )
    new = replace(
        old,
        run="b",
        data={"inputs": {"/own.csv": "sha256:9"}, "dataset": "sha256:2"},
        code={**old.code, "dirty": True},
        versions={"numpy": "2.2", "jax": "0.6"},
        device=["gpu jax float32"],
    )
    for one in (old, new):
        one.save(project.run_folder(one.run))
    found = compare_runs("a", "b", project=project).differences
    assert found[["kind", "name"]].to_numpy().tolist() == [
        ["data", "/own.csv"],
        ["code", "dirty"],
        ["version", "jax"],
        ["version", "numpy"],
        ["machine", "device"],
    ]


def test_a_notebook_that_one_run_lacks_stands_for_its_parameters(project):
    def manifest(run, **books):
        notebooks = {name: {"source": f"sha256:{run}", "parameters": {}} for name in books}
        parameters = {name: value for one in books.values() for name, value in one.items()}
        whole = Manifest(run=run, status="done", notebooks=notebooks, parameters=parameters)
        whole.save(project.run_folder(run))

    shared = {"SEED": 0, "LIKE_FROM": None}  # None is a value, too
    manifest("whole", **{"01_make": shared, "02_fit": {"EPOCHS": 5, "L2": 1.0}})
    manifest("part", **{"01_make": {"SEED": 1, "LIKE_FROM": 5}})
    found = compare_runs("whole", "part", project=project)
    rows = found.differences[["kind", "name"]].agg(" ".join, axis=1).tolist()
    assert rows == ["notebook 02_fit", "parameter LIKE_FROM", "parameter SEED", "code 01_make"]


def test_the_command_line_lists_and_compares(sweep, monkeypatch, capsys):
    def said(*words):
        assert main(["runs", *words]) == 0
        return capsys.readouterr().out

    monkeypatch.chdir(sweep.root)
    lines = said("sweep", "--sort", "rmse", "--columns", "EPOCHS,rmse").splitlines()
    assert [line.split()[-2:] for line in lines[1:]] == [["10", "0.85"], ["5", "1.2"]]
    assert said("--where", "EPOCHS == 20").splitlines()[1].startswith("alone ")
    text = said("compare", "sweep/five", "sweep/ten")
    assert "parameter EPOCHS" in " ".join(text.split())
    assert "within noise" in text
    assert main(["runs", "compare", "alone", "aloen"]) == 2
    assert "Did you mean 'alone'" in capsys.readouterr().err


def test_a_line_shows_what_was_varied_and_what_came_out_before_anything_else(keep, project):
    keep("a", epochs=5, rmse=1.0)
    keep("b", epochs=9, rmse=2.0)
    found = find_runs(project)
    run, *head = listing(table_of(found)).splitlines()[0].split()
    assert run == "run"
    assert head == ["status", "begun", "seconds", "memory_mb", "EPOCHS", "01.rmse"], "no SEED"
    narrow = listing(table_of(found), width=60)
    assert "01.rmse" not in narrow
    assert narrow.endswith("more columns: --columns NAMES")
