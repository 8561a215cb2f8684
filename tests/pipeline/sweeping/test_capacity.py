"""How many settings at once, on which machine."""

import psutil

from recsys_lib.pipeline.sweeping.capacity import Capacity, free_memory


def test_memory_bounds_what_cores_would_allow_and_one_always_runs():
    assert Capacity(None, most=8, free=100e9).now == 8
    assert Capacity(None, most=8, free=4e9, need=2e9).now == 2
    assert Capacity(None, most=8, free=0.1e9).now == 1


def test_what_was_measured_counts_more_than_the_guess_and_less_than_the_user():
    guessed, said, counted = (
        Capacity(workers, need, most=8, free=8e9)
        for workers, need in ((None, None), (None, 4e9), (3, None))
    )
    for one in (guessed, said, counted):
        one.measured(0.8e9)
        one.measured(0.3e9)
    assert [one.now for one in (guessed, said, counted)] == [8, 2, 3]
    guessed.measured(3.8e9)
    assert guessed.now == 2


def test_the_limit_of_a_container_counts(tmp_path):
    (tmp_path / "memory.max").write_text("3000000000\n")
    (tmp_path / "memory.current").write_text("2500000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500000000\n")
    assert free_memory(tmp_path) == min(1e9, psutil.virtual_memory().available)
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) > 1e9
