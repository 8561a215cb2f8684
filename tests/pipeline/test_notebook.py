"""What a notebook calls, without a kernel."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from recsys_lib import Dataset
from recsys_lib.errors import ArtifactError, ConfigError, DataError
from recsys_lib.pipeline import notebook
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.pins import Pin, parameters_of, write_pins

DEFAULTS = {"RUN": "lab", "SEED": 0}
PIN = Pin(value=1.5, tolerance=0.1, spread=0.03, n=5, measured="seeds 0 to 4")


@pytest.fixture
def chain(project, write):
    write("01_make")
    write("02_use")
    write_pins(project.expected, {"01_make": {"rmse": PIN}, "02_use": {"rmse": PIN}})
    return project


def begin(project, name, **values):
    return notebook.start(name, DEFAULTS | values, project=project)


def test_the_parameters_are_a_table_with_their_units(chain):
    table = begin(chain, "01_make", SEED=3).parameters
    assert table.loc["SEED"].tolist() == [3, "seed of every random stream"]


def test_pins_do_not_apply_to_a_notebook_that_was_changed_and_saved(chain):
    pins = {"01_make": {"rmse": PIN}}
    write_pins(chain.expected, pins, parameters_of(load_steps(chain)))
    with pytest.raises(AssertionError, match="`rmse` must be within"):
        begin(chain, "01_make").check(rmse=9.0)
    path = chain.notebooks / "01_make.ipynb"
    path.write_text(path.read_text().replace("SEED = 0", "SEED = 7"))
    said = begin(chain, "01_make", SEED=7).check(rmse=9.0)
    assert said == "rmse = 9: not pinned for these parameters (SEED = 7 in 01)"


def test_an_artifact_is_read_by_the_name_it_was_saved_under(chain):
    begin(chain, "01_make").save("scores", pd.DataFrame({"a": [1, 2]}))
    path = begin(chain, "02_use").read("scores")
    assert path == chain.root / "runs/lab/artifacts/scores.parquet"
    assert pd.read_parquet(path)["a"].tolist() == [1, 2]


def test_an_artifact_that_changed_since_it_was_written_is_refused(chain):
    path = begin(chain, "01_make").save("facts", {"a": 1})
    path.write_text('{"a": 2}')
    with pytest.raises(ArtifactError, match="must be what 01_make wrote in run 'lab'"):
        begin(chain, "02_use").read("facts")


def test_an_artifact_of_another_run_is_refused(chain):
    begin(chain, "01_make", RUN="other").save("facts", {"a": 1})
    (chain.root / "runs/lab/artifacts").mkdir(parents=True)
    foreign = chain.root / "runs/other/artifacts/facts.json"
    foreign.rename(chain.root / "runs/lab/artifacts/facts.json")
    with pytest.raises(ArtifactError, match="must have been written in run 'lab'"):
        begin(chain, "02_use").read("facts")


def test_an_unknown_artifact_is_answered_with_the_near_name(chain):
    begin(chain, "01_make").save("facts", {"a": 1})
    with pytest.raises(ArtifactError, match="Did you mean 'facts'"):
        begin(chain, "02_use").read("fact")


def test_what_a_run_need_not_have_is_found_or_missing_never_taken_from_an_earlier_run(chain):
    begin(chain, "01_make").save("world", {"truth": 1})
    assert begin(chain, "02_use").find("world") == chain.artifacts("lab") / "world.json"
    begin(chain, "01_make")  # begun again, and this time it writes no world
    assert begin(chain, "02_use").find("world") is None


def test_a_failed_write_leaves_nothing_and_is_not_recorded(chain):
    session = begin(chain, "01_make")
    with pytest.raises(ZeroDivisionError), session.writing("model") as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert list(chain.artifacts("lab").iterdir()) == []
    assert session.record.writes == {}


def test_the_same_figure_is_the_same_bytes(chain):
    session = begin(chain, "01_make")
    contents = []
    for _ in range(2):
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        session.figure(figure, "01_line")
        plt.close(figure)
        contents.append((chain.root / "runs/lab/figures/01_line.png").read_bytes())
    assert contents[0] == contents[1]
    assert b"Matplotlib" not in contents[0]


def test_the_figures_of_the_default_run_stand_at_the_top(chain):
    figure, _ = plt.subplots()
    begin(chain, "01_make", RUN="default").figure(figure, "01_empty")
    plt.close(figure)
    assert (chain.root / "figures/01_empty.png").exists()


def test_a_number_within_its_tolerance_is_shown_beside_its_pin(chain):
    table = begin(chain, "01_make").check(rmse=1.55)
    assert table.loc["rmse"].tolist() == [1.55, 1.5, 0.1]


@pytest.mark.parametrize("moved", [1.39, 1.61, float("nan"), float("inf"), -1.5])
def test_a_number_that_moved_fails_the_notebook(chain, moved):
    with pytest.raises(AssertionError, match="`rmse` must be within 0.1 of 1.5"):
        begin(chain, "01_make").check(rmse=moved)


def test_a_number_without_a_pin_fails_the_notebook(chain):
    with pytest.raises(AssertionError, match="`mae` must be pinned"):
        begin(chain, "01_make").check(mae=1.0)


def test_other_parameters_are_not_held_against_the_pins(chain):
    said = begin(chain, "01_make", SEED=1).check(rmse=9.0)
    assert said == "rmse = 9: not pinned for these parameters (SEED = 1 in 01)"


def test_data_made_by_other_parameters_is_not_held_against_the_pins(chain):
    begin(chain, "01_make", SEED=1).save("facts", {"a": 1})
    session = begin(chain, "02_use")
    session.read("facts")
    assert "not pinned" in session.check(rmse=9.0)


def test_a_file_from_outside_lifts_the_pins_and_is_recorded(chain):
    (chain.root / "own.csv").write_text("user,item\n")
    session = begin(chain, "01_make")
    assert session.input("own.csv") == chain.root / "own.csv"
    assert "not pinned" in session.check(rmse=9.0)
    record = json.loads(chain.record("lab", "01_make").read_text())
    assert list(record["inputs"]) == [(chain.root / "own.csv").as_posix()]


def test_a_parameter_of_another_type_is_refused_in_the_notebook_too(chain):
    with pytest.raises(ConfigError, match="SEED must be of type int, like 0; got '1'"):
        begin(chain, "01_make", SEED="1")


def test_a_notebook_that_is_not_there_is_answered_with_the_near_name(chain):
    with pytest.raises(ConfigError, match="Did you mean '01_make'"):
        begin(chain, "01_maek")


@pytest.mark.parametrize("name", ["", "../up", "a/../b", "/a", "a/", "a/b/c", ".hidden", "a/.b"])
def test_a_run_cannot_leave_its_folder(chain, name):
    with pytest.raises(ConfigError, match="name of a run"):
        begin(chain, "01_make", RUN=name)


@pytest.mark.parametrize("name", ["lab/artifacts", "lab/state", "lab/figures", "lab/manifest.json"])
def test_a_setting_of_a_sweep_cannot_take_the_place_of_what_a_run_keeps(chain, name):
    with pytest.raises(ConfigError, match="must not be called artifacts"):
        begin(chain, "01_make", RUN=name)


def test_a_user_is_picked_by_name_and_the_first_one_by_none(chain):
    session = begin(chain, "01_make")
    table = pd.DataFrame({"user_id": ["nle", "kro"], "item_id": ["a", "b"], "value": [1.0, 2.0]})
    dataset = Dataset.from_frame(table)
    assert session.pick_user(dataset, "kro") == "kro"
    assert session.pick_user(dataset, "") == dataset.user_ids[0]
    with pytest.raises(DataError, match=r"got 'nlee'\. Near: 'nle'"):
        session.pick_user(dataset, "nlee")


def test_nobody_is_picked_who_has_used_everything_unless_all_have(chain):
    session = begin(chain, "01_make")
    table = pd.DataFrame({"user_id": ["all", "all", "one"], "item_id": ["a", "b", "a"]})
    dataset = Dataset.from_frame(table.assign(value=1.0))
    assert session.pick_user(dataset, "") == "one"
    assert session.pick_user(dataset, "all") == "all"
    assert session.pick_user(dataset.take_users([0]), "") == "all"


def test_what_is_not_pinned_is_shown_as_a_sentence(chain):
    said = begin(chain, "01_make", SEED=1).check(rmse=9.0)
    assert said._repr_markdown_() == repr(said) == str(said)


@pytest.fixture
def long_chain(project, write):
    write("01_make", 'session.save("dataset", [SEED])', 'session.save("apart", [1])')
    write("02_split", 'session.read("dataset")', 'session.save("split", [1])')
    write("03_train", 'session.read("split")', 'session.save("autoencoder", [1])')
    write("04_use", 'session.read("dataset")', 'session.read("autoencoder")')

    def do(number, *, seed=0, reads=(), finds=(), writes=()):
        name = next(path.stem for path in project.chain() if path.name.startswith(number))
        session = begin(project, name, SEED=seed)
        seen = [session.read(one) for one in reads] + [session.find(one) for one in finds]
        for one in writes:
            session.save(one, [seed, name, *(path.read_text() for path in seen if path)])
        return session

    do("01", writes=["dataset", "apart"])
    do("02", reads=["dataset"], finds=["world"], writes=["split"])
    do("03", reads=["split"], writes=["autoencoder"])
    return do


def test_a_stale_artifact_is_refused_with_the_notebooks_to_run_again(long_chain):
    do = long_chain
    do("04", reads=["dataset", "autoencoder"])
    do("01", seed=1, writes=["dataset", "apart"])
    with pytest.raises(ArtifactError, match=r"`split` was made from another `dataset`. Run 02 ag"):
        do("03", reads=["split"])
    do("03")  # what 03 wrote is gone; what it would read is still the split of before
    with pytest.raises(ArtifactError, match=r"Run 03_train first"):
        do("04", reads=["autoencoder"])


def test_what_is_stale_at_two_removes_is_found_too(long_chain):
    do = long_chain
    do("01", seed=1, writes=["dataset", "apart"])
    with pytest.raises(ArtifactError, match=r"`autoencoder` was made from .*Run 02 and 03 again"):
        do("04", reads=["dataset", "autoencoder"])
    # By hand, in the order that is asked for.
    do("02", reads=["dataset"], finds=["world"], writes=["split"])
    with pytest.raises(ArtifactError, match=r"`autoencoder` was made from another `split`. Run 03"):
        do("04", reads=["dataset", "autoencoder"])
    do("03", reads=["split"], writes=["autoencoder"])
    do("04", reads=["dataset", "autoencoder"])


def test_the_same_bytes_again_are_not_stale_and_what_was_absent_may_appear(long_chain):
    do = long_chain
    do("01", writes=["dataset", "apart"])
    do("04", reads=["dataset", "autoencoder"])
    do("01", writes=["dataset", "apart", "world"])
    with pytest.raises(ArtifactError, match=r"another `world`. Run 02 and 03 again"):
        do("04", reads=["autoencoder"])


def test_a_file_from_outside_that_changed_makes_stale_and_one_moved_away_does_not(chain):
    own = chain.root / "own.csv"
    own.write_text("1")
    session = begin(chain, "01_make")
    session.save("facts", [session.input("own.csv").read_text()])
    begin(chain, "02_use").read("facts")
    own.write_text("2")
    with pytest.raises(ArtifactError, match=r"`facts` was made from another `own.csv`. Run 01"):
        begin(chain, "02_use").read("facts")
    own.unlink()
    begin(chain, "02_use").read("facts")


def test_parameters_changed_upstream_are_told_in_the_table_and_in_the_check(long_chain):
    long_chain("01", seed=1, writes=["dataset"])
    session = long_chain("04", reads=["dataset"])
    assert session.parameters.loc["SEED in 01", "value"] == 1
    assert session.check(rmse=1.0).endswith("not pinned for these parameters (SEED = 1 in 01)")
    assert "SEED in 01" not in long_chain("04", seed=1).parameters.index, "it is the same here"


def test_a_missing_artifact_names_the_notebook_that_writes_it(long_chain, project):
    with pytest.raises(ArtifactError, match=r"it holds none\. Run 01_make first"):
        begin(project, "04_use", RUN="fresh").read("dataset")
