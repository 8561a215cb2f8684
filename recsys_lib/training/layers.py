"""Networks written as files."""

from pathlib import Path
from typing import Any

from recsys_lib.errors import ArtifactError
from recsys_lib.training._keras import keras

__all__ = ["load_network", "save_network"]


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
