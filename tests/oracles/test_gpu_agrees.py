"""A GPU and a CPU train alike, on both backends; this runs where a GPU is present."""

import json
import os
import subprocess
import sys

import pytest

from recsys_lib.training import backend

# The noise of the rating autoencoder is a hash, equal everywhere; MultDAE draws none here.
PROGRAM = """
import json, sys
import numpy as np
from scipy import sparse
from recsys_lib.models import Autoencoder, MultDAE
from recsys_lib.training import configure

report = configure(sys.argv[1], deterministic=True)
rng = np.random.default_rng(0)
ratings = rng.integers(1, 6, (400, 80)) * (rng.random((400, 80)) < 0.2)
ratings = sparse.csr_array(ratings.astype(np.float32))
found = {"seen": list(report.seen)}
models = {"Autoencoder": Autoencoder(epochs=3), "MultDAE": MultDAE(dropout=0.0, epochs=3)}
for name, model in models.items():
    history = model.fit(ratings).history_
    found[name] = history.iloc[:, 1].tolist()
    found["device"] = model.trained_on_["device"]
print(json.dumps(found))
"""


def trained_on(device: str, backend_name: str) -> dict:
    environment = {**os.environ, "KERAS_BACKEND": backend_name}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, device], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(len(backend.describe_devices()) == 1, reason="no GPU is seen here")
@pytest.mark.parametrize("backend_name", ["tensorflow", "jax"])
def test_a_gpu_comes_to_the_losses_of_a_cpu(backend_name) -> None:
    pytest.importorskip(backend_name)
    here = trained_on("cpu", backend_name)
    if len(here["seen"]) == 1:
        pytest.skip(f"{backend_name} sees no GPU: its CUDA build is not installed")
    there = trained_on("gpu", backend_name)
    assert (here["device"], there["device"]) == ("CPU", there["seen"][1])
    for name in ("Autoencoder", "MultDAE"):
        # A GPU multiplies float32 in 19 bits (TensorFloat-32), which is good to about 1e-3.
        assert there[name] == pytest.approx(here[name], rel=5e-3), name
