"""Pinned numbers that can fail: none with a tolerance that lets everything through."""

from pathlib import Path

import pytest

from recsys_lib.artifacts import read_json
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.pins import Pin, parameters_of, pinned_parameters

PROJECT = Project.find(Path(__file__))
PINS = [
    (book, name, Pin(**entry))
    for book, its in (read_json(PROJECT.expected) if PROJECT.expected.exists() else {}).items()
    if book != "parameters"
    for name, entry in its.items()
]
each_pin = pytest.mark.parametrize(
    ("book", "name", "pin"), PINS, ids=[f"{book}-{name}" for book, name, _ in PINS]
)


@each_pin
def test_a_tolerance_is_less_than_half_of_the_value(book, name, pin):
    assert 0 <= pin.tolerance < abs(pin.value) / 2


@each_pin
def test_a_tolerance_follows_from_the_measured_spread(book, name, pin):
    assert pin.n >= 3
    assert pin.tolerance <= 6 * pin.spread + 1e-5 * abs(pin.value)
    assert pin.measured


@each_pin
def test_a_pin_belongs_to_a_number_that_its_notebook_checks(book, name, pin):
    source = (PROJECT.notebooks / f"{book}.ipynb").read_text(encoding="utf-8")
    assert f"{name}=" in source or f'\\"{name}\\"' in source


def test_pins_hold_for_the_parameters_that_are_committed():
    chain = load_steps(PROJECT)
    found = {step.name: pinned_parameters(PROJECT.expected, step.name) for step in chain}
    assert found == parameters_of(chain), "run `make pins`"


def test_every_notebook_stands_by_a_number():
    assert {book for book, _, _ in PINS} == {path.stem for path in PROJECT.chain()}
