"""One place reports and configures the device, and one imports Keras without a sound."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys_lib.errors import DeviceError
from recsys_lib.training import backend, device


@pytest.fixture
def on_cpu_only(monkeypatch) -> None:
    monkeypatch.setattr(backend, "describe_devices", lambda: ["CPU"])


@pytest.fixture
def with_gpu(monkeypatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(backend, "describe_devices", lambda: ["CPU", "GPU: Imaginary 1"])
    monkeypatch.setattr(backend, "limit_to_cpu", lambda: done.append("cpu only"))
    monkeypatch.setattr(backend, "set_memory_growth", lambda: done.append("growth"))
    monkeypatch.setattr(backend, "use_devices", lambda n, kind: done.append(f"{n} {kind}"))
    return done


def test_a_gpu_that_is_not_there_is_an_error_that_says_what_was_seen(on_cpu_only) -> None:
    with pytest.raises(DeviceError, match=r"`device='gpu'` must find a GPU; .* sees CPU only"):
        device.configure("gpu")


def test_auto_says_which_it_took(on_cpu_only) -> None:
    report = device.configure("auto")
    assert report.device == "cpu"
    assert str(report) == f"CPU ('auto' asked for; {backend.NAME} sees CPU; float32)"


def test_auto_takes_a_gpu_and_lets_its_memory_grow(with_gpu) -> None:
    assert device.configure("auto").device == "gpu"
    assert with_gpu == ["growth", "1 gpu"]


def test_cpu_hides_the_gpu(with_gpu) -> None:
    assert device.configure("cpu").device == "cpu"
    assert with_gpu == ["1 cpu", "cpu only", "1 cpu"]


def test_a_backend_that_has_started_is_an_error(with_gpu, monkeypatch) -> None:
    def refuse() -> None:
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(backend, "limit_to_cpu", refuse)
    with pytest.raises(RuntimeError, match="Visible devices cannot be modified"):
        device.configure("cpu")


def test_an_unknown_device_or_precision_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"`device` must be one of 'auto', 'cpu', 'gpu'"):
        device.configure("tpu")
    with pytest.raises(ValueError, match=r"`precision` must be one of 'float32'"):
        device.configure("cpu", precision="float16")


def test_precision_reaches_the_networks_built_after_it(on_cpu_only) -> None:
    from recsys_lib.training._keras import keras

    try:
        device.configure("cpu", precision="mixed_bfloat16")
        assert keras.layers.Dense(2).compute_dtype == "bfloat16"
    finally:
        device.configure("cpu")
    assert keras.layers.Dense(2).compute_dtype == "float32"


def test_importing_keras_and_compiling_write_nothing() -> None:
    code = """
from recsys_lib.training._keras import keras, ops
from recsys_lib.training import Rows, Trainer, Phase
from scipy import sparse
w = keras.Variable([0.0, 0.0])
for jit in (False, True):
    loss = lambda batch, update: (ops.sum(ops.square(w.value)), {"n": ops.sum(batch.used)})
    phase = Phase(loss=loss, terms=("n",), variables=[w], optimizer=keras.optimizers.Adam())
    trainer = Trainer([phase], state=[], batch_size=2, seed=0, jit=jit)
    trainer.fit(Rows(sparse.csr_array([[1.0, 0.0], [0.0, 2.0]])), epochs=1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")


def test_what_an_import_that_fails_has_written_is_part_of_the_error() -> None:
    import os

    from recsys_lib.training._keras import _silent_descriptor

    def fail() -> None:
        with _silent_descriptor():
            os.write(2, b"the driver is too old\n")
            raise ImportError("no backend")

    with pytest.raises(ImportError) as caught:
        fail()
    assert "the driver is too old" in "".join(caught.value.__notes__)


def test_more_gpus_than_there_are_is_an_error_that_says_what_was_seen(with_gpu) -> None:
    with pytest.raises(DeviceError, match=r"`devices=2` must find as many GPUs; .*Imaginary 1"):
        device.configure("auto", devices=2)
    with pytest.raises(ValueError, match="`devices` must be >= 1"):
        device.configure("cpu", devices=0)


def test_a_cpu_that_computes_already_is_not_divided(on_cpu_only, monkeypatch) -> None:
    def refuse(n: int, *, kind: str) -> None:
        raise RuntimeError("Virtual devices cannot be modified after being initialized")

    monkeypatch.setattr(backend, "use_devices", refuse)
    with pytest.raises(RuntimeError, match="Virtual devices cannot"):
        device.configure("cpu", devices=2)


SHARED = """
import sys
import numpy as np
from scipy import sparse
from recsys_lib.models import Autoencoder, MultDAE, MultVAE, RecVAE
from recsys_lib.models.networks import outputs
from recsys_lib.training import backend_jax, configure

report = configure("cpu", devices=int(sys.argv[1]), deterministic=True)
# So that these small weights are divided like large ones, also where columns don't come out even.
backend_jax._LARGE = 30
assert report.devices == int(sys.argv[1]) and report.deterministic
likes = sparse.csr_array((np.random.default_rng(0).random((101, 31)) < 0.2).astype("float32"))
common = {"batch_size": 20, "epochs": 2}
models = {
    "MultDAE": MultDAE(latent_dim=8, dropout=0.0, l2=1e-4, **common),
    "Autoencoder": Autoencoder(hidden_dims=(8,), dropout=0.0, input_dropout=0.0, **common),
    "MultVAE": MultVAE(latent_dim=8, hidden_dims=(16,), **common),
    "RecVAE": RecVAE(latent_dim=8, hidden_dim=16, **common),
    "in chunks": MultVAE(latent_dim=8, hidden_dims=(16,), targets="hidden", **common),
}
found = {}
outputs.CHUNK_CELLS = 200
for name in sys.argv[3:]:
    outputs.DENSE_CELLS = 0 if name == "in chunks" else 1000
    model = models[name].fit(likes * 3 if name == "Autoencoder" else likes)
    assert model.trained_on_["devices"] == report.devices
    found |= {name: model.score(likes), name + " loss": model.history_.iloc[-1, 1]}
np.savez(sys.argv[2], **found)
"""


def trained_on(n_devices: int, path: Path, backend: str, models: list[str]) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SHARED, str(n_devices), path, *models],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    with np.load(path) as found:
        return dict(found)


@pytest.mark.skipif(backend.NAME != "tensorflow", reason="JAX divides a step by itself")
def test_several_devices_on_tensorflow_are_refused_and_the_way_there_is_named() -> None:
    with pytest.raises(DeviceError, match=r"`devices=2` must have JAX.*Set KERAS_BACKEND=jax"):
        device.configure("cpu", devices=2)


@pytest.mark.slow
def test_on_jax_two_devices_come_to_the_end_of_one_draws_included(tmp_path) -> None:
    pytest.importorskip("jax", reason="the extra [jax] is not installed")
    names = ["MultDAE", "Autoencoder", "MultVAE", "RecVAE", "in chunks"]
    one, two = (trained_on(n, tmp_path / f"{n}.npz", "jax", names) for n in (1, 2))
    for name in names:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-5)
    # One device alone would give equal bits.
    assert not any(np.array_equal(two[name], one[name]) for name in ("MultVAE", "in chunks"))
