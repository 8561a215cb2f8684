"""How many settings at once, on this machine."""

import pytest

from recsys_lib.pipeline.grid import Setting
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.sweeps import Engine, Sweep, _Driver


@pytest.fixture
def make(tmp_path):
    """A sweep of three settings for which a user has said how much memory one takes, or not."""

    def make_sweep(memory=None, **options):
        settings = tuple(Setting(name, {}, {}) for name in "abc")
        return Sweep(Project(tmp_path), "grid", {}, None, settings, memory=memory, **options)

    return make_sweep


def test_memory_bounds_what_cores_would_allow_and_one_always_runs(make):
    assert make().fitting(100e9, most=8) == 8
    assert make(2e9).fitting(4e9, most=8) == 2
    assert make().fitting(0.1e9, most=8) == 1


def test_what_was_measured_counts_more_than_the_guess_and_less_than_the_user(make):
    guessed, said = make(), make(4e9)
    assert guessed.fitting(8e9, most=8) == 5
    for one in (guessed, said):
        one.settings[0].peak_memory, one.settings[1].peak_memory = 0.8e9, 0.3e9
    assert [one.fitting(8e9, most=8) for one in (guessed, said)] == [8, 2]
    guessed.settings[2].peak_memory = 3.8e9
    assert guessed.fitting(8e9, most=8) == 2


@pytest.mark.parametrize("given", [{"workers": 3}, {"scheduler": "tcp://host:8786"}])
def test_a_number_that_is_given_is_not_bounded_by_memory(make, given):
    assert _Driver(make(1e15, **given), Engine(None, 3), None)._at_once() == 3
    assert _Driver(make(1e15), Engine(None, 3), None)._at_once() == 1
