"""TensorFlow and JAX compute the same losses, gradients' effects and scores from equal weights."""

import json
import os
import subprocess
import sys

import pytest

# Run once under each backend: weights from NumPy, no dropout, and noise from NumPy, as the two
# random generators draw differently.
PROGRAM = """
import json
import tempfile
import numpy as np
from scipy import sparse
from recsys_lib.training import Rows, Scorer, Trainer
from recsys_lib.training.scoring import export_scores
from recsys_lib.training._keras import keras
from recsys_lib.training.rows import bucket, expand
from recsys_lib.models import ELSA, MultDAE, MultVAE, RecVAE, VASP
from recsys_lib.models.networks import parts
from recsys_lib.models.networks.linear import LinearNetwork
from recsys_lib.models.networks.variational import CompositeNetwork, DenoisingNetwork
from recsys_lib.models.networks.variational import JointNetwork, VariationalNetwork

rng = np.random.default_rng(0)
x = sparse.csr_array((rng.random((12, 9)) < 0.3).astype(np.float32))
x = sparse.csr_array(sparse.vstack([x, sparse.csr_array((1, 9))]).astype(np.float32))
noise = rng.normal(size=(13, 4)).astype(np.float32)
parts.sample = lambda mean, log_variance, _: (
    mean + keras.ops.exp(log_variance / 2) * noise, keras.ops.convert_to_tensor(noise)
)
bias = rng.normal(size=9).astype(np.float32) - 2
plain = {"dropout": 0.0, "l2": 0.001, "learning_rate": 0.01, "seed": 0, "latent_dim": 4}
networks = {
    "MultDAE": DenoisingNetwork(MultDAE(hidden_dims=(6,), **plain), bias),
    "MultVAE": VariationalNetwork(
        MultVAE(hidden_dims=(6,), anneal_cap=0.3, anneal_steps=0, **plain), bias
    ),
    "RecVAE": CompositeNetwork(RecVAE(hidden_dim=6, gamma=0.02, **plain), bias),
    "ELSA": LinearNetwork(ELSA(**plain), bias),
    "ELSA of 4": LinearNetwork(ELSA(outputs=4, **plain), bias),
    "MultDAE of 4": DenoisingNetwork(MultDAE(hidden_dims=(6,), outputs=4, **plain), bias),
    "VASP": JointNetwork(
        VASP(hidden_dim=6, encoder_layers=2, decoder_layers=2, shallow_share=0.55,
             kl_weight=0.1, **plain),
        bias,
    ),
}
found = {"backend": keras.backend.backend()}
for name, network in networks.items():
    for layer in network.layers:
        for weight in layer.weights:
            weight.assign(rng.normal(size=weight.shape).astype(np.float32) / 2)
    if name == "RecVAE":
        n_out = 2 * network.settings.latent_dim
        network.remember(Scorer(network.encode, n_items=9, n_out=n_out, state=network.state)(x))
    for gather in (False, True):
        rows = Rows(x, gather=gather)
        slots = np.arange(bucket(x.nnz), dtype=np.int32)
        users = np.arange(x.shape[0], dtype=np.int32)
        batch = expand(rows.arrays, users, slots, n_items=9, gather=gather)
        key = f"{name}, {'gathered' if gather else 'dense'}"
        phases = network.phases()
        asked = batch if phases[0].narrow is None else phases[0].narrow(batch, 3.0)
        found[key] = [float(phase.loss(asked, 3.0)[0]) for phase in phases]
        found[key + ", scores"] = np.array(network.score(batch)).ravel().tolist()
    with tempfile.TemporaryDirectory() as folder:
        export_scores(network.score, 9, f"{folder}/scores.keras")
        plain = keras.models.load_model(f"{folder}/scores.keras")
    found[f"{name}, exported"] = np.array(plain(x.toarray())).ravel().tolist()
    if "MultDAE" in name:
        trainer = Trainer(network.phases(), state=network.state, batch_size=5, seed=0)
        trainer.fit(Rows(x), epochs=3)
        found[f"{name}, trained"] = [record["reconstruction"] for record in trainer.history]
print(json.dumps(found))
"""


def run(backend: str) -> dict[str, object]:
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers() -> tuple[dict[str, object], dict[str, object]]:
    pytest.importorskip("jax")
    return run("tensorflow"), run("jax")


def test_losses_and_scores_are_equal_to_1e_5_on_both_backends(answers):
    tensorflow, jax = answers
    assert (tensorflow.pop("backend"), jax.pop("backend")) == ("tensorflow", "jax")
    assert tensorflow.keys() == jax.keys()
    for key, value in tensorflow.items():
        assert jax[key] == pytest.approx(value, rel=1e-5, abs=1e-5), key


def test_a_gathered_first_layer_gives_the_losses_of_a_dense_one(answers):
    for found in answers:
        dense = {key: value for key, value in found.items() if ", dense" in key}
        assert len(dense) == 14
        for key, value in dense.items():
            gathered = found[key.replace("dense", "gathered")]
            assert gathered == pytest.approx(value, rel=1e-5, abs=1e-5), key


def test_an_exported_network_scores_as_the_network_itself(answers):
    for found in answers:
        for name in ("MultDAE", "MultVAE", "RecVAE", "VASP"):
            scores = found[f"{name}, dense, scores"]
            assert found[f"{name}, exported"] == pytest.approx(scores, rel=1e-5, abs=1e-5), name
