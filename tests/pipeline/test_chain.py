"""Parameters and selection, settled before anything runs."""

import pytest

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import (
    Parameter,
    check_value,
    load_steps,
    parse_text,
    resolve,
    select,
)
from recsys_lib.yaml_files import read_mapping

MORE = """RUN = "lab"  # name of the run
EPOCHS = 20  # passes
HIDDEN_DIMS = (128, 64)  # units
SOURCE = ""  # path of a table
READING = {}  # options of reading
LIKE_FROM = None  # lowest rating liked"""


@pytest.fixture
def steps(project, write):
    write("01_make")
    write("02_train", parameters=MORE)
    return load_steps(project)


def test_a_misspelled_parameter_is_answered_with_the_near_one(steps):
    with pytest.raises(ConfigError, match=r"'EPOCH' must be declared.*Did you mean 'EPOCHS'"):
        resolve(steps, texts={"EPOCH": "3"})


def test_the_run_is_named_by_its_own_option(steps):
    with pytest.raises(ConfigError, match="give it with --name"):
        resolve(steps, texts={"RUN": "x"})


def test_a_password_would_be_written_into_the_notebook_and_is_refused(steps):
    with pytest.raises(ConfigError, match="must hold no password") as told:
        resolve(steps, texts={"SOURCE": "postgresql://ann:pa55@host/db"})
    assert "pa55" not in str(told.value)
    url = "postgresql://ann@host/db"
    assert resolve(steps, texts={"SOURCE": url}) == {"SOURCE": url}


def test_the_command_line_wins_over_the_file(steps):
    assert resolve(steps, values={"EPOCHS": 1, "SEED": 2}, texts={"EPOCHS": "3"}) == {
        "EPOCHS": 3,
        "SEED": 2,
    }


def test_a_path_begins_where_the_user_stands_and_must_exist(steps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").touch()
    found = resolve(steps, texts={"SOURCE": "own.csv"})
    assert found == {"SOURCE": (tmp_path / "own.csv").as_posix()}
    url = f"sqlite:///{tmp_path}/own.csv"
    assert resolve(steps, texts={"SOURCE": "sqlite:///own.csv"}) == {"SOURCE": url}
    with pytest.raises(ConfigError, match=r"SOURCE = 'other.csv' must be the path of a file"):
        resolve(steps, texts={"SOURCE": "other.csv"})


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (1, "12", 12),
        (0.1, "1e-3", 0.001),
        (0.1, "1", 1.0),
        (True, "false", False),
        (True, "True", True),
        ("nle", "12", "12"),
        ("nle", "true", "true"),
        ((128, 64), "[256, 32]", (256, 32)),
        ((128, 64), "(256,)", (256,)),
        ([0.1], "[1, 0.5]", [1.0, 0.5]),
        (None, "7", 7),
        (None, "null", None),
    ],
)
def test_text_takes_the_type_of_the_literal(default, text, value):
    found = parse_text(Parameter("X", default, ""), text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("default", "text"),
    [(1, "1.5"), (1, "true"), (1, "many"), (0.1, "nan"), (0.1, "no"), (True, "1"), (True, "maybe"),
     ((128, 64), "128"), ((128, 64), "[a, b]"), ((1,), "[1.5]"), ([0.1], "0.1"), (1, ""), (1, "[")],
)  # fmt: skip
def test_another_type_is_refused_with_the_literal_as_example(default, text):
    with pytest.raises(ConfigError) as caught:
        parse_text(Parameter("X", default, ""), text)
    assert f"Parameter X must be of type {type(default).__name__}, like {default!r}; got" in str(
        caught.value
    )


def test_a_number_in_a_file_is_not_taken_for_text():
    with pytest.raises(ConfigError, match="USER must be of type str, like 'nle'; got 12"):
        check_value(Parameter("USER", "nle", ""), 12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be readable"),
        ("- 1", "it holds list"),
        ("a: [", "must be YAML"),
        ("1: 2", "`NAME: value`"),
    ],
)
def test_a_parameter_file_is_a_mapping(tmp_path, content, message):
    file = tmp_path / "best.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_mapping(file, "parameter file")


def test_derived_values_do_not_belong_in_the_parameters_cell(project, write):
    write("01_make", parameters='RUN = "lab"  # name\nTWICE = 2 * RUN')
    with pytest.raises(ConfigError, match=r"line 2 is 'TWICE = 2 \* RUN'"):
        load_steps(project)


@pytest.mark.parametrize(
    ("only", "first", "names"),
    [
        ("2", None, ["02"]),
        ("01-02", None, ["01", "02"]),
        ("01,2", "02", ["02"]),
        (None, "2", ["02"]),
    ],
)
def test_notebooks_are_chosen_by_number(steps, only, first, names):
    assert [step.number for step in select(steps, only=only, first=first)] == names


@pytest.mark.parametrize(
    ("only", "first"), [("03", None), ("02-01", None), ("x", None), (None, "9"), ("01", "02")]
)
def test_a_choice_of_nothing_is_an_error(steps, only, first):
    with pytest.raises(ConfigError, match=r"--only|--from"):
        select(steps, only=only, first=first)


def test_the_project_is_found_from_any_folder_in_it(project, write):
    write("01_make")
    inner = project.root / "tests" / "notebooks"
    inner.mkdir(parents=True)
    assert Project.find(inner) == Project.find(project.notebooks) == project


def test_two_notebooks_with_one_number_are_an_error(project, write):
    write("01_make")
    write("01_again")
    with pytest.raises(ConfigError, match="01 is there twice"):
        load_steps(project)


def test_a_damaged_notebook_is_named(project, write):
    write("01_make").write_text('{"cells": [')
    with pytest.raises(ConfigError, match="01_make.ipynb must be a notebook"):
        load_steps(project)


def test_a_dotted_name_is_one_entry_of_a_mapping(steps):
    values = {"READING": {"mode": "lenient"}}
    texts = {"READING.delimiter": r"\t", "READING.columns": "[who, what]"}
    reading = resolve(steps, values=values, texts=texts)["READING"]
    assert reading == {"mode": "lenient", "delimiter": "\t", "columns": ["who", "what"]}


@pytest.mark.parametrize(("text", "value"), [("none", None), ("", None), ("4", 4), ("3.5", 3.5)])
def test_a_parameter_without_a_value_takes_a_number_and_none_again(steps, text, value):
    assert resolve(steps, texts={"LIKE_FROM": text})["LIKE_FROM"] == value


@pytest.mark.parametrize("place", [".", "notebooks", "data/raw", "uploads/of/mine"])
def test_a_table_uploaded_anywhere_in_the_project_is_found(steps, project, place):
    file = project.root / place / "own.csv"
    for folder in (file.parent, project.root / "runs/x", project.root / ".hidden"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "own.csv").touch()
    assert resolve(steps, texts={"SOURCE": "own.csv"}) == {"SOURCE": file.as_posix()}


def test_where_a_table_was_looked_for_is_told_and_two_are_not_one(steps, project):
    with pytest.raises(ConfigError, match=rf"nothing is at .*{project.root}/notebooks, .*data/raw"):
        project.find_input("own.csv")
    for place in ("a", "b"):
        (project.root / place).mkdir()
        (project.root / place / "own.csv").touch()
    with pytest.raises(ConfigError, match=r"the project has 2: a/own.csv, b/own.csv"):
        project.find_input("own.csv")


@pytest.mark.parametrize(
    ("name", "near"), [("my grid (1)", "my-grid-1"), ("a/b/c", "a-b-c"), ("..", "own")]
)
def test_a_name_that_no_run_may_have_is_answered_with_one_that_it_may(project, name, near):
    with pytest.raises(ConfigError, match=f"Try '{near}'"):
        project.run_folder(name)
    assert project.run_folder(near).name == near
