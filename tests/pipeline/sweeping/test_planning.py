"""Which steps of which settings are one, told from the text of notebooks."""

from pathlib import Path

import pytest

from recsys_lib.pipeline.chain import Parameter, Step, unwritten
from recsys_lib.pipeline.sweeps import step_keys


def step(name, *cells, **defaults):
    parameters = {
        key: Parameter(key, value, "") for key, value in {"RUN": "lab", **defaults}.items()
    }
    return Step(Path(f"{name}.ipynb"), cells, parameters)


MAKE = step("01_make", 'session.save("facts", {"seed": SEED})', SEED=0)
TRAIN = step("02_train", 'fit(session.read("facts"), EPOCHS); session.save("model", m)', EPOCHS=5)
USE = step("03_use", "with session.writing('list') as f:\n    go(session.read('model'))")
APART = step("04_apart", 'session.find("facts")')
CHAIN = [MAKE, TRAIN, USE, APART]


def differing(chain, **changed):
    before, after = step_keys(chain, {}), step_keys(chain, changed)
    return [name[:2] for name in before if before[name] != after[name]]


@pytest.mark.parametrize(
    ("changed", "numbers"),
    [
        ({"EPOCHS": 6}, ["02", "03"]),
        ({"SEED": 1}, ["01", "02", "03", "04"]),
        ({"EPOCHS": 5}, []),
        ({"RUN": "other"}, []),
    ],
)
def test_a_parameter_changes_what_declares_it_and_what_reads_from_that(changed, numbers):
    assert differing(CHAIN, **changed) == numbers


@pytest.mark.parametrize(
    "cell", ["session.read(name)", "data = load(session)", "f(1, of=session)", 'session.read("x")']
)
def test_what_is_not_read_by_its_name_may_be_any_artifact(cell):
    hidden = step("05_hidden", cell)
    assert differing([*CHAIN, hidden], EPOCHS=6) == ["02", "03", "05"]


def test_what_a_notebook_left_out_writes_is_missed():
    assert [(one.number, name, by.number) for one, name, by in unwritten([USE], CHAIN)] == [
        ("03", "model", "02")
    ]
    assert unwritten([MAKE, TRAIN, USE], CHAIN) == []
    # What is only asked for may be absent.
    assert unwritten([APART], CHAIN) == []
