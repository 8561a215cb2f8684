"""Two real processes train as one; one that dies ends the job, and the job goes on afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("program.py")


def run(*arguments: object, backend: str = "jax") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(str(part) for part in arguments)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)


def test_two_processes_come_to_the_end_of_one_also_when_one_was_killed(tmp_path) -> None:
    pytest.importorskip("jax", reason="the extra [jax] is not installed")
    job = ("-m", "recsys_lib.training.processes", 2, PROGRAM, tmp_path / "two.npz")
    killed = run(*job, tmp_path / "kept", "dies")
    assert killed.returncode == 1
    assert "Process 2 of 2 ended with signal SIGKILL, and the job with it" in killed.stderr
    assert "Run it again: a fit with `checkpoint` goes on" in killed.stderr
    assert not (tmp_path / "two.npz").exists()
    reached = max(int(path.name[-6:]) for path in tmp_path.glob("kept/ELSA_all/epoch_*"))
    assert 2 <= reached < 6
    again = run(*job, tmp_path / "kept")
    assert again.returncode == 0, again.stderr[-2000:]
    alone = run(PROGRAM, tmp_path / "one.npz", tmp_path / "other")
    assert alone.returncode == 0, alone.stderr[-2000:]
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert set(one.files) == set(two.files)
        for name in one.files:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_tensorflow_refuses_to_train_across_processes(monkeypatch) -> None:
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    done = run("-c", "import recsys_lib.training.backend", backend="tensorflow")
    assert done.returncode != 0
    assert "A job of 2 processes must train on JAX; Keras runs on TensorFlow" in done.stderr
    assert "keras issue 20585" in done.stderr
