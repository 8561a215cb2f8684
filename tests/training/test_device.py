"""One place reports and configures the device, and one imports Keras without a sound."""

import subprocess
import sys

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
    assert with_gpu == ["growth"]


def test_cpu_hides_the_gpu(with_gpu) -> None:
    assert device.configure("cpu").device == "cpu"
    assert with_gpu == ["cpu only"]


def test_a_backend_that_has_started_is_an_error(with_gpu, monkeypatch) -> None:
    def refuse() -> None:
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(backend, "limit_to_cpu", refuse)
    with pytest.raises(DeviceError, match=r"before anything is computed; .* Restart"):
        device.configure("cpu")


def test_an_unknown_device_or_precision_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"`device` must be one of 'auto', 'cpu', 'gpu'"):
        device.configure("tpu")
    with pytest.raises(ValueError, match=r"`precision` must be one of 'float32'"):
        device.configure("cpu", precision="float16")


def test_precision_reaches_the_networks_built_after_it(on_cpu_only) -> None:
    from recsys_lib.training.quiet import keras

    try:
        device.configure("cpu", precision="mixed_bfloat16")
        assert keras.layers.Dense(2).compute_dtype == "bfloat16"
    finally:
        device.configure("cpu")
    assert keras.layers.Dense(2).compute_dtype == "float32"


def test_importing_keras_and_compiling_write_nothing() -> None:
    code = """
from recsys_lib.training.quiet import keras, ops
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

    from recsys_lib.training.quiet import _silent_descriptor

    def fail() -> None:
        with _silent_descriptor():
            os.write(2, b"the driver is too old\n")
            raise ImportError("no backend")

    with pytest.raises(ImportError) as caught:
        fail()
    assert "the driver is too old" in "".join(caught.value.__notes__)
