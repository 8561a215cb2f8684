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
    import recsys_lib.training.quiet
except KeyboardInterrupt:
    print("stopped when whole:", hasattr(sys.modules.get("keras"), "layers"))
"""


@pytest.mark.slow
def test_an_interrupt_waits_until_keras_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", HALF_LOADED], capture_output=True, text=True)
    assert done.stdout == "stopped when whole: True\n", done.stderr[-2000:]
