"""From a grid to settings: what it may say, and what it is told when it is wrong."""

import contextlib
import itertools
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.grid import _name as name_of
from recsys_lib.pipeline.grid import axes_of, settings_of
from recsys_lib.pipeline.sweeps import plan
from recsys_lib.yaml_files import read_mapping

PARAMETERS = """RUN = "lab"  # name of the run
SEED = 0  # seed
EPOCHS = 20  # passes
LEARNING_RATE = 0.01  # step
HIDDEN_DIMS = (128, 64)  # units
SOURCE = ""  # path of a table
ITEMS = ""  # path of a catalog"""


@pytest.fixture
def steps(project, write):
    write("01_make", parameters=PARAMETERS)
    write("02_use", parameters='RUN = "lab"  # name\nK = 10  # length')
    return load_steps(project)


def read(steps, tmp_path, text):
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    with contextlib.chdir(tmp_path):
        return settings_of(read_mapping(file, "grid"), steps)


def test_lists_ranges_zips_and_sources_are_multiplied_and_the_rest_is_fixed(steps, tmp_path):
    (tmp_path / "own.csv").touch()
    found = read(
        steps,
        tmp_path,
        """
        SEED: 7
        LEARNING_RATE: {from: 1e-3, to: 0.1, steps: 3, scale: log}
        zip:
          EPOCHS: [10, 20]
          HIDDEN_DIMS: [[64], [128, 64]]
        sources:
          world: {}
          films: {SOURCE: own.csv}
        """,
    )
    assert len(found) == 2 * 2 * 3
    last = found[-1]
    assert last.name == "films_epochs-20_hidden_dims-128x64_learning_rate-0.1"
    assert last.parameters == {
        "SEED": 7,
        "SOURCE": (tmp_path / "own.csv").as_posix(),
        "EPOCHS": 20,
        "HIDDEN_DIMS": (128, 64),
        "LEARNING_RATE": 0.1,
    }
    assert last.varied["source"] == "films"
    assert {one.parameters["LEARNING_RATE"] for one in found} == {0.001, 0.01, 0.1}


def test_a_grid_that_grows_keeps_the_names_of_its_settings(steps):
    few = settings_of({"EPOCHS": [10], "SEED": 1}, steps)
    more = settings_of({"EPOCHS": [10, 20], "SEED": 1}, steps)
    assert few[0] == more[0]


def test_a_mapping_without_a_word_of_a_range_is_one_value():
    fixed, axes = axes_of({"READING": {"decimal": ","}, "EPOCHS": [1, 2]})
    assert (fixed, list(axes)) == ({"READING": {"decimal": ","}}, ["EPOCHS"])


def test_a_grid_without_axes_is_one_setting(steps):
    assert [one.name for one in settings_of({"EPOCHS": 3}, steps)] == ["single"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EPOCHS: [10, ten]", "EPOCHS must be of type int, like 20; got 'ten' (str)"),
        ("EPOCS: [10]", "'EPOCS' must be declared by a notebook that runs; none declares it. Did"),
        ("epochs: [10]", "'epochs' must be declared by a notebook that runs; none declares it. Di"),
        ("HIDDEN_DIMS: [128, 64]", "stand in a list of lists: [[128, 64]]"),
        ("SOURCE: [own.csv]", "SOURCE = 'own.csv' must be the path of a file; nothing is at"),
        ("EPOCHS: []", "EPOCHS must have a list of values, or a range; got []"),
        ("zip: {EPOCHS: []}", "EPOCHS must have a list of values, or a range; got []"),
        ("EPOCHS: [1, 1]", "must differ in more than case; epochs-1 is there twice"),
        ("EPOCHS: {from: 1, to: 5}", "range of EPOCHS must be {from: NUMBER, to: NUMBER, steps: 2"),
        ("EPOCHS: {from: 1, to: 5, step: 2}", "got {'from': 1, 'to': 5, 'step': 2}"),
        ("EPOCHS: {from: 1, to: x, steps: 2}", "to: NUMBER, steps: 2 to 10,000}"),
        ("EPOCHS: {from: 1, to: 5, steps: 1}", "range of EPOCHS must be {from"),
        (
            "EPOCHS: {from: 0, to: 5, steps: 2, scale: log}",
            "above 0 with `scale: log`; got {'from': 0, 'to': 5",
        ),
        (
            "EPOCHS: {from: 1, to: 5, steps: 2, scale: ln}",
            "`scale: log`; got {'from': 1, 'to': 5, 'steps': 2, 'scale': 'ln'}",
        ),
        ("zip: {EPOCHS: [1, 2], SEED: [1]}", "must be of one length; got EPOCHS 2, SEED 1"),
        ("sources: {a: {SEED: 1}, A: {SEED: 2}}", "in more than case; A is there twice"),
        ("zip: {EPOCHS: 1}", "EPOCHS must have a list of values, or a range; got 1"),
        ("EPOCHS: 3\nzip: {EPOCHS: [1]}", "EPOCHS must be set in one place; zip sets it again"),
        ("sources: [own.csv]", "`sources` must be a mapping of labels"),
        ("sources: {films: own.csv}", "labels to mappings of parameters; got {'films': 'own.csv'}"),
        ("ITEMS: [grid.yaml]", "ITEMS must come with SOURCE, which it describes"),
        ("RUN: [a]", "RUN is the name of the run"),
        ("EPOCHS: [1]\nEPOCHS: [2]", "the key 'EPOCHS' stands there twice, again in line 2"),
        ("SEED: {from: 0, to: 99, steps: 100000}", "steps: 2 to 10,000}"),
        (
            "SEED: {from: 0, to: 999, steps: 1000}\nEPOCHS: {from: 1, to: 99, steps: 99}",
            "10,000 settings at most; this one has 99,000",
        ),
        ("EPOCHS: {from: .nan, to: 5, steps: 2}", "got {'from': nan, 'to': 5, 'steps': 2}"),
    ],
)
def test_whatever_is_wrong_is_one_message_with_file_key_and_value(steps, tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        read(steps, tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("number", "only"), [(3, "03"), ("01-03", "01-03"), (8, "08")])
def test_notebooks_are_named_as_yaml_reads_numbers(project, write, number, only):
    for name in ("01_make", "03_use", "08_end"):
        write(name)
    assert plan(project, {"only": number}, "few").only == only


ENDS = st.floats(1e-6, 1e6)


@given(low=ENDS, high=ENDS, steps=st.integers(2, 30), scale=st.sampled_from(["linear", "log"]))
def test_a_range_goes_from_end_to_end_in_equal_steps(low, high, steps, scale):
    if math.isclose(low, high, rel_tol=0.05):
        return
    _, axes = axes_of({"X": {"from": low, "to": high, "steps": steps, "scale": scale}})
    values = [case["X"] for case in axes["X"]]
    assert (values[0], values[-1], len(values)) == (low, high, steps)
    assert values == sorted(values, reverse=low > high)
    measure = math.log if scale == "log" else float
    gaps = [measure(b) - measure(a) for a, b in itertools.pairwise(values)]
    # Values are rounded to four digits.
    slack = 2e-3 * (1 if scale == "log" else max(low, high))
    assert max(gaps) - min(gaps) <= slack


VALUES = {
    "source": st.text(max_size=40).map(str.lower),
    "EPOCHS": st.integers(),
    "L2": st.floats(allow_nan=False, allow_infinity=False),
    "DIMS": st.lists(st.integers(0, 512), max_size=20).map(tuple),
    "USE": st.booleans(),
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries({}, optional=VALUES), max_size=6, unique_by=repr))
def test_names_are_all_different_and_names_of_folders(many):
    project = Project(Path())
    names = [name_of(one) for one in many]
    assert len({name.lower() for name in names}) == len(many)
    for name in names:
        assert project.run_folder(f"sweep/{name}").name == name
        assert len(name) <= 80


def test_paths_of_windows_are_paths():
    assert name_of({"SOURCE": r"C:\data\films.csv"}).startswith("source-films-")


def test_the_grids_of_the_documentation_are_grids(tmp_path):
    project = Project.find(Path(__file__))
    chain = load_steps(project)
    for name in ("ratings.csv", "films.csv"):
        (tmp_path / name).touch()
    text = (project.root / "docs/sweeps.md").read_text()
    grids = [block.partition("```")[0] for block in text.split("```yaml")[1:]]
    counts = [len(read(chain, tmp_path, grid)) for grid in grids]
    assert counts == [18, 6]
