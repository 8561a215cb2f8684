"""How many settings at once, on which machine."""

from recsys_lib.pipeline.sweeps import Capacity


def test_memory_bounds_what_cores_would_allow_and_one_always_runs():
    assert Capacity(None, most=8, free=100e9).now == 8
    assert Capacity(None, most=8, free=4e9, need=2e9).now == 2
    assert Capacity(None, most=8, free=0.1e9).now == 1


def test_what_was_measured_counts_more_than_the_guess_and_less_than_the_user():
    guessed, said, counted = (
        Capacity(workers, need, most=8, free=8e9)
        for workers, need in ((None, 0.0), (None, 4e9), (3, 0.0))
    )
    for one in (guessed, said, counted):
        one.measured(0.8e9)
        one.measured(0.3e9)
    assert [one.now for one in (guessed, said, counted)] == [8, 2, 3]
    guessed.measured(3.8e9)
    assert guessed.now == 2
