"""What Keras leaves to the backend: compiled passes, gradients, sparse products, devices.

`backend_tensorflow` and `backend_jax` hold the same functions; this module is the one of the two
that Keras runs on. Nothing else in the library names TensorFlow or JAX.
"""

from importlib import import_module
from typing import Any

from recsys_lib.training._keras import keras

NAME: str = keras.backend.backend()
if NAME not in ("tensorflow", "jax"):
    raise ImportError(
        f"Keras must run on 'tensorflow' or 'jax'; it runs on {NAME!r}. Set KERAS_BACKEND."
    )
_module = import_module(f"recsys_lib.training.backend_{NAME}")


def __getattr__(name: str) -> Any:
    return getattr(_module, name)
