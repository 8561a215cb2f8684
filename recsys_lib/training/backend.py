"""What Keras leaves to the backend: compiled passes, gradients, sparse products, devices.

`backend_tensorflow` and `backend_jax` hold the same functions; this module picks the pair that
Keras runs on. Nothing else in the library names TensorFlow or JAX.
"""

from importlib import import_module

from recsys_lib.training._keras import keras

__all__ = [
    "GATHER",
    "NAME",
    "be_deterministic",
    "by_user",
    "compile_function",
    "compile_pass",
    "describe_devices",
    "device_in_use",
    "limit_to_cpu",
    "n_devices",
    "positions",
    "scan",
    "set_memory_growth",
    "sparse_matmul",
    "take_rows",
    "to_device",
    "use_devices",
    "write_rows",
]

NAME: str = keras.backend.backend()
if NAME not in ("tensorflow", "jax"):
    raise ImportError(
        f"Keras must run on 'tensorflow' or 'jax'; it runs on {NAME!r}. Set KERAS_BACKEND."
    )
_module = import_module(f"recsys_lib.training.backend_{NAME}")
GATHER: tuple[float, float] = _module.GATHER
be_deterministic = _module.be_deterministic
by_user = _module.by_user
compile_function = _module.compile_function
compile_pass = _module.compile_pass
describe_devices = _module.describe_devices
device_in_use = _module.device_in_use
limit_to_cpu = _module.limit_to_cpu
n_devices = _module.n_devices
positions = _module.positions
scan = _module.scan
set_memory_growth = _module.set_memory_growth
sparse_matmul = _module.sparse_matmul
take_rows = _module.take_rows
to_device = _module.to_device
use_devices = _module.use_devices
write_rows = _module.write_rows
