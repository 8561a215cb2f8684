"""Pins are measured, not guessed."""

import json

import pytest

from recsys_lib.cli import main
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.pins import pin


def test_the_tolerance_is_three_standard_deviations():
    found = pin("x", [10.0, 11.0, 9.0], home=1)
    assert (found.value, found.spread, found.tolerance, found.n) == (11.0, 1.0, 3.1, 3)


def test_a_number_without_spread_may_only_round():
    found = pin("x", [252.0, 252.0, 252.0], home=0)
    assert 0 < found.tolerance < 1e-3


def test_a_number_that_spreads_too_widely_cannot_be_pinned():
    with pytest.raises(ConfigError, match="must be larger than twice its tolerance"):
        pin("x", [0.1, -0.1, 0.2], home=0)


def test_measured_pins_hold_for_the_committed_run_and_catch_a_move(
    project, write, run, monkeypatch, capsys
):
    monkeypatch.chdir(project.root)
    check = "session.check(n=100 + SEED)"
    write("01_count", check)
    assert main(["pins", "--seeds", "3"]) == 0
    entry = json.loads(project.expected.read_text())["01_count"]["n"]
    assert (entry["value"], entry["spread"], entry["n"]) == (100.0, 1.0, 3)
    assert run("lab").failed is None
    write("01_count", "session.check(n=104 + SEED)")
    assert run("lab").failed.failure.kind == "AssertionError"
    # Under another seed the pins don't apply.
    assert run("other", SEED=1).failed is None


def test_notebooks_that_are_not_measured_keep_what_their_pins_hold_for(project, write, monkeypatch):
    monkeypatch.chdir(project.root)
    for name in ("01_count", "02_next"):
        write(name, "session.check(n=100 + SEED)")
    assert main(["pins", "--seeds", "3"]) == 0
    before = json.loads(project.expected.read_text())
    assert before["parameters"] == {"01_count": {"SEED": 0}, "02_next": {"SEED": 0}}
    changed = project.notebooks / "01_count.ipynb"
    changed.write_text(changed.read_text().replace("SEED = 0", "SEED = 1"))
    assert main(["pins", "--seeds", "3", "--only", "02"]) == 0
    assert json.loads(project.expected.read_text()) == before
