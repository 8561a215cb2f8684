"""Eager batches, so that a loss can be looked at outside of a compiled pass."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., object]:
    from recsys_lib.training.rows import Rows, bucket, expand

    def build(matrix: object, *, gather: bool = False, batch_size: int | None = None) -> object:
        x = sparse.csr_array(matrix).astype(np.float32)
        rows = Rows(x, gather=gather)
        users = np.full(batch_size or x.shape[0], x.shape[0], dtype=np.int32)
        users[: x.shape[0]] = np.arange(x.shape[0])
        slots = np.arange(bucket(x.nnz), dtype=np.int32)
        return expand(rows.arrays, users, slots, n_items=x.shape[1], gather=gather)

    return build


@pytest.fixture(scope="session")
def gradient_of() -> Callable[..., np.ndarray]:
    """``gradient_of(function, array)``: derivative of a scalar tensor, by the backend."""
    from recsys_lib.training import backend

    def by_tensorflow(function, array):
        import tensorflow as tf

        tensor = tf.convert_to_tensor(array)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = function(tensor)
        gradient = tape.gradient(value, tensor)
        return np.zeros_like(array) if gradient is None else tf.convert_to_tensor(gradient).numpy()

    def by_jax(function, array):
        import jax

        return np.asarray(jax.grad(function)(array))

    return by_tensorflow if backend.NAME == "tensorflow" else by_jax
