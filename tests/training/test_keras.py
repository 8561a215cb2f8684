"""Loading Keras: Ctrl-C in the middle must not leave half of it behind."""

import subprocess
import sys

import pytest

HALF_LOADED = """
import os, signal, sys, threading, time

def interrupt_while_loading():
    while "keras.src" not in sys.modules:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Thread(target=interrupt_while_loading, daemon=True).start()
try:
    import recsys_lib.training._keras
except KeyboardInterrupt:
    print("stopped when whole:", hasattr(sys.modules.get("keras"), "layers"))
"""


@pytest.mark.slow
def test_an_interrupt_waits_until_keras_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", HALF_LOADED], capture_output=True, text=True)
    assert done.stdout == "stopped when whole: True\n", done.stderr[-2000:]


NO_JAX = """
import sys
sys.modules["jax"] = None
from recsys_lib import Autoencoder
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.machine import report
print(dict(report())["backend"])
try:
    from recsys_lib.training import trainer
except ConfigError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_backend_that_is_not_installed_is_one_sentence_with_the_remedy(monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    done = subprocess.run([sys.executable, "-c", NO_JAX], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    doctor, library = done.stdout.splitlines()
    assert doctor.startswith("does not start: The backend of Keras must be installed")
    assert library.endswith("Run pip install 'recsys-lib[jax]'.")
