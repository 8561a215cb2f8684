"""One process on one core beside two on two: seconds of an epoch of Mult-VAE at 20,000 items, JAX.

On an idle machine only: the processes of a job wait for the slowest. A machine with one core, or
without `os.sched_setaffinity`, cannot tell.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from bench_vae import MULT_VAE, random_rows

JOB = ("-m", "recsys_lib.training.processes", "2")
EPOCHS = 4


def seconds(*before: str) -> float:
    command = [sys.executable, *before, __file__]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    lines = [line for line in done.stdout.splitlines() if line.startswith("epoch ")]
    return float(np.median([float(line.split()[1]) for line in lines[1:]]))


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be pinned")
def test_two_processes_beside_one() -> None:
    pytest.importorskip("jax")
    one, two = seconds(), seconds(*JOB)
    print(f"\nMult-VAE, 10 steps of 500 x 20,000: {one:.2f} s on one core, {two:.2f} s by two ")
    print(f"processes on two cores: {one / two:.2f} times as fast (bar 1.6)")


def work() -> None:
    """Train on a core of its own, and tell each epoch's seconds."""
    place = int(os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", 0))
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[place]})
    from recsys_lib.models import MultVAE

    def tell(record: dict[str, float]) -> None:
        print("epoch", record["seconds"], flush=True)

    MultVAE(**MULT_VAE, epochs=EPOCHS).fit(random_rows(), on_epoch=tell)


if __name__ == "__main__":
    work()
