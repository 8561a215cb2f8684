"""Gathering kernel rows beside the dense product, by density and width: seconds as ratios.

The first layer of a network multiplies sparse rows with a kernel, forward and for its gradient.
`training.rows.gathers` says when it gathers the kernel's rows instead of making the rows dense;
its numbers are where the ratios below cross 1::

    KERAS_BACKEND=jax python tests/benchmarks/bench_density.py
"""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import sparse

N_ROWS, N_ITEMS = 1000, 3000
WIDTHS = (32, 128, 600)
DENSITIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def seconds(x: sparse.csr_array, width: int, *, gather: bool) -> float:
    """Return the fastest of some epochs that only multiply."""
    from recsys_lib.training import Phase, Rows, Trainer, keras, ops

    kernel = keras.Variable(np.full((N_ITEMS, width), 0.1, dtype=np.float32))

    def loss(batch, update):
        value = ops.sum(ops.square(batch.project(kernel.value)))
        return value, {"value": value}

    phase = Phase(
        loss=loss, terms=("value",), variables=[kernel], optimizer=keras.optimizers.SGD(1e-9)
    )
    trainer = Trainer([phase], state=[], batch_size=500, seed=0, jit=False)
    times = []

    def note(record):
        times.append(time.perf_counter())

    trainer.fit(Rows(x, gather=gather), epochs=7, on_epoch=note)
    return float(np.diff(times).min())


def table() -> None:
    """Print the ratio of the times, gathered over dense; below 1 gathering wins."""
    from recsys_lib.training import backend
    from recsys_lib.training.rows import gathers

    print(f"\n{backend.NAME}: seconds gathered / dense, by density; * where the rule gathers")
    print("width " + "".join(f"{density:>9.1%}" for density in DENSITIES))
    for width in WIDTHS:
        ratios = []
        for density in DENSITIES:
            x = sparse.random_array(
                (N_ROWS, N_ITEMS), density=density, format="csr", dtype=np.float32, rng=0
            )
            ratio = seconds(x, width, gather=True) / seconds(x, width, gather=False)
            ratios.append(f"{ratio:8.2f}{'*' if gathers(density, width) else ' '}")
        print(f"{width:5} " + "".join(ratios), flush=True)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_gathering_beside_the_dense_product(backend: str) -> None:
    pytest.importorskip(backend)
    environment = {**os.environ, "KERAS_BACKEND": backend}
    assert subprocess.run([sys.executable, __file__], env=environment).returncode == 0


if __name__ == "__main__":
    table()
