"""How many settings at once, on this machine."""

import pytest

from recsys_lib.pipeline import sweeps
from recsys_lib.pipeline.grid import Setting
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.sweeps import Engine, Sweep, _Driver


@pytest.fixture
def make(tmp_path):
    """A sweep of three settings."""

    def make_sweep(**options):
        settings = tuple(Setting(name, {}, {}) for name in "abc")
        return Sweep(Project(tmp_path), "grid", {}, None, settings, **options)

    return make_sweep


def test_memory_bounds_what_cores_would_allow_and_one_always_runs(make):
    assert make().fitting(100e9, most=8) == 8
    assert make().fitting(4e9, most=8) == 2
    assert make().fitting(0.1e9, most=8) == 1


def test_what_was_measured_counts_more_than_the_guess(make):
    sweep = make()
    assert sweep.fitting(8e9, most=8) == 5
    sweep.settings[0].peak_memory, sweep.settings[1].peak_memory = 0.8e9, 0.3e9
    assert sweep.fitting(8e9, most=8) == 8
    sweep.settings[2].peak_memory = 3.8e9
    assert sweep.fitting(8e9, most=8) == 2


@pytest.mark.parametrize("given", [{"workers": 3}, {"scheduler": "tcp://host:8786"}])
def test_a_number_that_is_given_is_not_bounded_by_memory(make, given, monkeypatch):
    monkeypatch.setattr(sweeps, "available_memory", lambda: 1e9)
    assert _Driver(make(**given), Engine(None, 3), None)._at_once() == 3
    assert _Driver(make(), Engine(None, 3), None)._at_once() == 1
