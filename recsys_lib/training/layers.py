"""Dense layers whose input is a sparse batch, and networks written as files."""

from pathlib import Path
from typing import Any

from recsys_lib.errors import ArtifactError
from recsys_lib.training.quiet import keras, ops
from recsys_lib.training.rows import Batch

__all__ = ["apply_first", "dense", "load_network", "save_network"]

Tensor = Any


def dense(units: int, activation: str | None, *, seed: int, name: str, **options: Any) -> Any:
    """Return a Dense layer with a seeded Glorot-uniform kernel."""
    kernel = keras.initializers.GlorotUniform(seed)
    settings: dict[str, Any] = {"kernel_initializer": kernel, **options}
    return keras.layers.Dense(units, activation=activation, name=name, **settings)


def apply_first(layer: Any, batch: Batch, values: Tensor | None = None) -> Tensor:
    """Return ``layer(rows)`` without making the rows dense where gathering is cheaper.

    Parameters
    ----------
    layer : keras.layers.Dense
        Built for `n_items` inputs.
    batch : Batch
    values : tensor of shape (n_slots,), optional
        What the slots hold; the stored values by default.

    Returns
    -------
    tensor of shape (n_rows, units)
    """
    dtype = layer.compute_dtype
    product = batch.project(ops.cast(layer.kernel, dtype), values)
    return layer.activation(product + ops.cast(layer.bias, dtype))


def save_network(network: Any, path: Path) -> None:
    """Write a Keras model as a ``.keras`` file."""
    network.save(path)


def load_network(path: Path) -> Any:
    """Read a ``.keras`` file in safe mode: no pickle, no code from the file.

    Raises
    ------
    ArtifactError
        If the file is missing or Keras cannot read it.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} must be a network written by this workbench; {error}. Fit the model again."
        ) from error
