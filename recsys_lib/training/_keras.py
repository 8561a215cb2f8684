"""Import Keras: quietly, and with memory growth on GPUs. All imports of Keras go through here.

TensorFlow and XLA write to file descriptor 2 while they load, before any Python setting can reach
them. That noise would end up in notebooks and logs, so the descriptor points elsewhere during the
import, and only then. If the import fails, what was written is part of the error.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator

from recsys_lib.checks import needing

__all__ = ["keras", "ops"]

# Defaults, not orders: what the user has set in the environment stands.
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


@contextlib.contextmanager
def _silent_descriptor() -> Iterator[None]:
    """Send file descriptor 2 to a scratch file for the length of the block."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stderr.flush()
    with tempfile.TemporaryFile() as scratch:
        kept = os.dup(2)
        os.dup2(scratch.fileno(), 2)
        try:
            yield
        except ImportError as error:
            scratch.seek(0)
            error.add_note(scratch.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C until the block is done: half an import cannot be made whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
    if held and callable(before):
        before(held[0], None)


for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
_on_jax = os.environ.get("KERAS_BACKEND") == "jax"
with (
    needing("jax", "The backend of Keras") if _on_jax else contextlib.nullcontext(),
    _silent_descriptor(),
    _uninterrupted(),
):
    import keras
    from keras import ops
