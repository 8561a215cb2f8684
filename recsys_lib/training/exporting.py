"""Export a scoring function as a plain Keras model, by tracing it on symbolic dense rows."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.artifacts import check_replaceable, write_atomic
from recsys_lib.training.quiet import keras, ops

__all__ = ["DenseRows", "export_scores"]

Tensor = Any

_NAME = "scores"


class DenseRows:
    """The part of `training.Batch` that scoring needs, for symbolic dense rows.

    A slot is a cell: `values` and `used` have shape (n_rows, n_items), and a stored 0 cannot be
    told from a missing entry. Networks that score a `Batch` score this as well, which gives the
    graph of a functional model made of stock layers and operations.

    Parameters
    ----------
    values : KerasTensor of shape (None, n_items)
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.used = ops.cast(ops.not_equal(values, 0.0), "float32")

    def row_sum(self, values: Tensor) -> Tensor:
        """Sum within each row; shape (n_rows,)."""
        return ops.sum(values, axis=1)

    def spread(self, per_row: Tensor) -> Tensor:
        """Return `per_row` at each cell, ready to be broadcast."""
        return ops.expand_dims(per_row, 1)

    def at(self, per_item: NDArray[np.float32]) -> Tensor:
        """Return `per_item` at each cell, ready to be broadcast."""
        return ops.convert_to_tensor(per_item[None, :])

    def among(
        self, place: NDArray[np.int32], n_items: int, values: Tensor
    ) -> tuple["DenseRows", Tensor]:
        """Return the rows and the cells of the items whose place is below `n_items`, in order."""
        columns = np.argsort(place, kind="stable")[:n_items]
        return self, ops.take(values, columns, axis=1)

    def project(self, kernel: Tensor, values: Tensor | None = None) -> Tensor:
        """Return (rows of `values`) @ `kernel`, by a layer of its own."""
        weights = np.asarray(ops.cast(kernel, "float32"))
        policy = "float32" if keras.backend.standardize_dtype(kernel.dtype) == "float32" else None
        layer = keras.layers.Dense(weights.shape[1], use_bias=False, dtype=policy)
        layer.build((None, weights.shape[0]))
        layer.kernel.assign(weights)
        return layer(self.values if values is None else values)


def export_scores(score: Callable[[Any], Tensor], n_items: int, path: Path | str) -> None:
    """Write a scoring function as a ``.keras`` file that Keras reads without this library.

    Parameters
    ----------
    score : callable
        ``score(batch) -> tensor (n_rows, n_items)`` in `keras.ops`, without noise.
    n_items : int
    path : Path or str
        Ends in ``.keras``; written atomically. Only another export is replaced.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"`path` must end in .keras, by which Keras knows the format; got {path}.")
    check_replaceable(path, ours=_is_export)
    rows = keras.Input((n_items,), name="user_items")
    scores = ops.cast(score(DenseRows(rows)), "float32")
    with write_atomic(path) as part:
        keras.Model(rows, scores, name=_NAME).save(part)


def _is_export(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return bool(json.loads(archive.read("config.json"))["config"]["name"] == _NAME)
