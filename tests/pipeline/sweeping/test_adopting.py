"""A step is taken over where fingerprints say that it would be made the same, and only there."""

import pytest

from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.freshness import is_fresh
from recsys_lib.pipeline.record import Record
from recsys_lib.pipeline.sweeping.adopting import adopt

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


def take(project, number, seed=1):
    step = next(one for one in load_steps(project) if one.number == number)
    return adopt(project, step, {"RUN": "s/b", "SEED": seed}, "the library", run="s/b", donor="s/a")


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
    assert is_fresh(two, "s/b", step, {"RUN": "s/b", "SEED": 1}, "the library")
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


def test_what_the_step_wrote_before_and_does_not_any_more_goes(project, write, run):
    write("01_make", MAKE, 'session.save("more", [1])')
    run("s/b", SEED=1)
    write("01_make", MAKE)
    run("s/a", SEED=1)
    assert take(project, "01")
    assert not (project.artifacts("s/b") / "more.json").exists()
    assert list(Record.load(project.record("s/b", "01_make")).writes) == ["facts"]
