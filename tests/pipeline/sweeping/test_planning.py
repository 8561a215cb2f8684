"""What rests on what, told from the text of notebooks."""

from pathlib import Path

import pytest

from recsys_lib.pipeline.chain import Parameter, Step, rests_on


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


def test_a_step_rests_on_those_that_write_what_it_reads():
    found = rests_on(CHAIN)
    assert found == {
        "01_make": [],
        "02_train": ["01_make"],
        "03_use": ["02_train"],
        "04_apart": ["01_make"],
    }


@pytest.mark.parametrize(
    "cell", ["session.read(name)", "data = load(session)", "f(1, of=session)", 'session.read("x")']
)
def test_what_is_not_read_by_its_name_may_be_any_artifact(cell):
    hidden = step("05_hidden", cell)
    assert rests_on([*CHAIN, hidden])["05_hidden"] == [one.name for one in CHAIN]


def test_what_a_notebook_has_written_itself_is_not_waited_for():
    own = step("05_own", 'session.save("inbox", [1])', 'session.read("inbox")')
    assert rests_on([*CHAIN, own])["05_own"] == []
