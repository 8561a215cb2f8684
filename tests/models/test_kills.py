"""Killed at twenty random moments and taken up each time, a fit ends as one that nobody touched."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLING = Path(__file__).with_name("killing.py")


@pytest.mark.slow
def test_a_fit_killed_at_twenty_moments_ends_with_the_same_bits(tmp_path) -> None:
    command = [sys.executable, KILLING, "MultVAE", tmp_path, "20", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 20
    # Some kills must have come in the middle of writing, and most lives must have made epochs.
    assert 1 <= found["while_writing"] < 20
    assert found["resumed"] >= 10
    assert found["epochs_lost"] == 0
    assert found["epochs_before_the_last_life"] < 250
    assert found["same"], f"the end differs from that of an uninterrupted fit: {found}"
