"""What has been made is made once: taken over where it would be made the same, and only there."""

import contextlib
import gc
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recsys_lib.pipeline import Manifest, store
from recsys_lib.pipeline.chain import declared, load_steps
from recsys_lib.pipeline.pins import Pin, write_pins
from recsys_lib.pipeline.progress import ProgressLines
from recsys_lib.pipeline.runner import run_chain
from recsys_lib.pipeline.store import Conditions, Library, Record, Store

from .conftest import Quiet

MAKE = 'session.save("facts", {"seed": SEED})'
FOLDER = """
with session.writing("model") as folder:
    (folder / "weights").write_text("w" * 100)
session.read("facts");
"""


@pytest.fixture
def two(project, write, run):
    """A finished run `s/a` and a run `s/b` that has its first step."""
    write("01_make", MAKE)
    write("02_fit", FOLDER)
    run("s/a", SEED=1)
    run("s/b", SEED=1, only="01")
    return project


def statuses(result):
    return [f"{one.name[:2]} {one.status}" for one in result.outcomes]


def take(project, number, seed=1):
    step = next(one for one in load_steps(project) if one.number == number)
    return Store(project, "s/b", Library(), {"SEED": seed}).adopt(step, "s/a")


def test_only_what_would_be_made_the_same_is_taken_over(two, run, monkeypatch):
    weights = two.artifacts("s/a") / "model/weights"
    assert not take(two, "02", seed=2)
    text = weights.read_text()
    weights.write_text("changed")
    assert not take(two, "02")
    assert not (two.artifacts("s/b") / "model").exists()
    weights.write_text(text)

    assert take(two, "02")
    step = load_steps(two)[1]
    assert Store(two, "s/b", Library(), {"SEED": 1}).is_fresh(step)
    assert (two.artifacts("s/b") / "model/weights").samefile(weights)
    assert (two.run_folder("s/b") / "02_fit.ipynb").exists()
    assert not [path for path in two.run_folder("s/b").rglob("*") if ".part" in path.name]

    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr("os.link", refuse)
        assert take(two, "02")
    assert not (two.artifacts("s/b") / "model/weights").samefile(weights)
    assert (two.artifacts("s/b") / "model/weights").read_text() == text

    # With other facts at hand, the step would not make the same.
    run("s/b", SEED=2, only="01")
    assert not take(two, "02")


def test_a_donor_that_changes_meanwhile_is_not_believed(two, run, monkeypatch):
    def change(source, target):
        text = Path(source).read_text()
        Path(target).write_text(text.replace("w" * 100, "changed"))

    with monkeypatch.context() as patch:
        patch.setattr("recsys_lib.pipeline.store._link", change)
        assert not take(two, "02")
    assert statuses(run("s/b", SEED=1)) == ["01 skipped", "02 skipped"]
    assert (two.artifacts("s/b") / "model/weights").read_text() == "w" * 100


def test_what_the_step_wrote_before_and_does_not_any_more_goes(project, write, run):
    write("01_make", MAKE, 'session.save("more", [1])')
    run("s/b", SEED=1)
    write("01_make", MAKE)
    run("s/a", SEED=1)
    assert take(project, "01")
    assert not (project.artifacts("s/b") / "more.json").exists()
    assert list(Record.find(project.record("s/b", "01_make")).writes) == ["facts"]


def test_any_run_takes_over_what_any_other_has_made(two, run, monkeypatch):
    other = run("other", SEED=1)
    assert statuses(other) == ["01 skipped", "02 skipped"]
    record = Record.find(two.record("other", "02_fit"))
    assert record.run == record.parameters["RUN"] == "other"
    assert record.changed == {"01.SEED": 1, "02.SEED": 1}
    # Another value, another backend, or somebody who wants it: then it is made.
    assert statuses(run("more", SEED=2)) == ["01 ran", "02 ran"]
    assert statuses(run("more", SEED=2, force=True)) == ["01 ran", "02 ran"]
    monkeypatch.setenv("KERAS_BACKEND", "another")
    assert statuses(run("backend", SEED=1)) == ["01 ran", "02 ran"]


def test_a_notebook_that_uses_the_name_of_its_run_is_made_in_each(project, write, run):
    write("01_make", 'session.save("command", {"is": f"recsys recommend --run {RUN}"})')
    assert statuses(run("one")) == statuses(run("other")) == ["01 ran"]
    assert statuses(run("one")) == ["01 skipped"]


def test_the_manifest_and_the_terminal_say_what_was_taken_over(two, run):
    run("other", SEED=2)
    other = run("other", SEED=1)
    assert [one.donor for one in other.outcomes] == ["s/a", "s/a"]
    manifests = [Manifest.load(two.run_folder(name)) for name in ("s/a", "other")]
    assert manifests[0].artifacts == manifests[1].artifacts
    assert manifests[1].parameters == {"SEED": 1}
    said = io.StringIO()
    lines = ProgressLines(said, ["01_make"])
    lines.end(other.outcomes[0])
    assert "taken from s/a" in said.getvalue()


def test_what_a_run_has_that_is_gone_or_changed_is_made(two, run):
    (two.artifacts("s/a") / "facts.json").write_text("{}")
    (two.artifacts("s/b") / "facts.json").unlink()
    assert statuses(run("other", SEED=1)) == ["01 ran", "02 skipped"]


def test_a_number_is_taken_over_only_where_it_was_held_against_its_pin(project, write, run):
    write("01_make", "session.check(n=SEED)")
    assert statuses(run("pins-0")) == ["01 ran"]
    assert statuses(run()) == ["01 failed"], "it has no pin"
    write_pins(project.expected, {"01_make": {"n": Pin(0.0, 0.1, 0.05, 5, "by hand")}})
    assert statuses(run()) == ["01 ran"]
    assert statuses(run("other")) == ["01 skipped"]
    assert statuses(run("pins-0", force=True)) == ["01 ran"]
    assert statuses(run("pins-1")) == ["01 skipped"]


def test_what_a_neighbor_is_making_is_left_until_nothing_else_is_to_be_done(project, write):
    write("01_make", MAKE)
    write("02_apart", 'session.save("apart", [1])')
    write("03_use", 'session.read("facts");')
    write("04_own", 'session.save("own", [1])')
    steps = load_steps(project)
    neighbor = Store(project, "s/a", Library())
    made, waited = [], []

    class Waiting(threading.Event):
        def wait(self, timeout=None):
            waited.append(list(made))
            held.close()
            return False

    class Diary(Quiet):
        def end(self, outcome):
            made.append(outcome.name[:2])

    with contextlib.ExitStack() as held:
        key = neighbor._key(steps[0])
        assert held.enter_context(neighbor._holding(key))
        beside = Conditions(token="now", stop=Waiting())
        run_chain(project, steps, {}, Diary(), name="s/b", conditions=beside)
    assert made == ["02", "04", "01", "03"]
    assert waited == [["02", "04"]]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small library that can be edited."""
    root = tmp_path / "recsys_lib"
    (root / "models").mkdir(parents=True)
    (root / "__init__.py").write_text('"""The library."""\n')
    (root / "models/ease.py").write_text(
        '"""EASE."""\n\n\ndef fit():\n    """Fit."""\n    return 1'
    )
    (root / "models/als.py").write_text("def fit():\n    return 2\n")
    monkeypatch.setattr("recsys_lib.__file__", str(root / "__init__.py"))
    return root


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("ease", '"""Other words."""\n\ndef fit():\n    return 1  # as before\n', True),
        ("ease", 'def fit():\n    """Fit."""\n    return 3\n', False),
        ("als", "def fit():\n    return 4\n", True),
    ],
    ids=["words", "code", "code that was not loaded"],
)
def test_only_code_that_was_loaded_counts(library, file, text, same):
    modules = ["recsys_lib", "recsys_lib.models.ease"]
    at_first = Library()
    before = at_first.fingerprint(modules), at_first.fingerprint()
    (library / "models" / f"{file}.py").write_text(text)
    after = Library()
    assert (after.fingerprint(modules) == before[0]) is same
    assert after.fingerprint() != before[1]
    assert at_first.fingerprint(modules) == before[0], "a run keeps to what it began with"


def test_a_kernel_says_which_code_it_has_loaded(project, write, monkeypatch):
    write("01_make", "1", "from recsys_lib.models import ease")
    monkeypatch.chdir(project.root)
    steps = load_steps(project)

    run_chain(project, steps, {}, Quiet(), name="default")
    record = Record.find(project.record("default", "01_make"))
    assert {"recsys_lib.pipeline.notebook", "recsys_lib.models.ease"} <= set(record.modules)
    assert "recsys_lib.pipeline.runner" not in record.modules
    assert record.library == Library().fingerprint(record.modules)
    assert Store(project, "default", Library()).is_fresh(steps[0])


def test_modules_and_parameters_are_read_by_several_threads_at_once():
    """Notebooks at once: the parser of Python 3.11 fails where trees of threads mix."""
    text = f"x = [{'(1, [2, 3]), ' * 300}]"
    cell = {"metadata": {"tags": ["parameters"]}, "source": text}

    def read(number):
        if number % 2:
            return store._code.__wrapped__(text.encode())
        return repr(declared({"cells": [cell]}, "01_make"))

    before = gc.get_threshold()
    gc.callbacks.append(pause := lambda *_: time.sleep(0))
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(read, range(40)))) == 2
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(pause)
