"""Scores of sparse rows in blocks of fixed shape, and scoring functions as plain Keras models."""

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.artifacts import check_replaceable, write_atomic
from recsys_lib.checks import CSR, Floats
from recsys_lib.training import backend
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.passes import variables_of
from recsys_lib.training.rows import Batch, bucket, expand, host_arrays

Tensor = Any

# A product of fewer rows takes other kernels, whose rounding differs in the last bit; from 64 rows
# on, TensorFlow and JAX gave equal bits for a row in every block measured.
SMALL_BLOCK, MIDDLE_BLOCK, BLOCK = 64, 256, 512
# Entries that a block has room for at least, by row: JAX compiles anew for each other number.
_ENTRIES = 8
# The name of an exported model, by which it is known for ours.
_EXPORT = "scores"


class Scorer:
    """Score rows of a CSR with a compiled function.

    Parameters
    ----------
    score : callable
        ``score(batch) -> tensor (n_rows, n_out)``, in `keras.ops`, without noise.
    n_items : int
        Columns of the rows.
    n_out : int, optional
        Columns of the result; `n_items` by default. A code is scored as its dimensions.
    state : sequence
        What `score` reads: models, layers, variables.
    gather : bool
        As in `training.Rows`.

    Notes
    -----
    Rows are padded to blocks of 64, 256 or 512 with eight entries each or more, so one row costs as
    much as 64.
    """

    def __init__(
        self,
        score: Callable[[Batch], Tensor],
        *,
        n_items: int,
        n_out: int | None = None,
        state: Sequence[Any] = (),
        gather: bool = False,
    ) -> None:
        self._score, self._state, self._gather = score, variables_of(state), gather
        self._n_items = n_items
        self._n_out = n_items if n_out is None else n_out
        self._compiled: dict[int, Callable[..., NDArray[Any]]] = {}

    def __call__(self, user_items: CSR) -> Floats:
        """Score every row.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32

        Returns
        -------
        ndarray of shape (n_rows, n_out), float32
        """
        n_rows = user_items.shape[0]
        scores = np.empty((n_rows, self._n_out), dtype=np.float32)
        sizes = (SMALL_BLOCK, MIDDLE_BLOCK)
        size = next((one for one in sizes if n_rows <= one), BLOCK)
        for start in range(0, n_rows, size):
            block = user_items[start : start + size]
            scores[start : start + size] = self._score_block(block, size)[: block.shape[0]]
        return scores

    def _score_block(self, block: CSR, size: int) -> NDArray[Any]:
        n_slots = bucket(max(block.nnz, _ENTRIES * size))
        arrays = host_arrays(block, n_rows=size, n_slots=n_slots)
        users = np.arange(size, dtype=np.int32)[None]
        return self._function(size)(arrays, users, np.arange(n_slots, dtype=np.int32))

    def _function(self, size: int) -> Callable[..., NDArray[Any]]:
        if size not in self._compiled:

            def run(arrays: Any, users: Tensor, slots: Tensor) -> Tensor:
                batch = expand(arrays, users[0], slots, n_items=self._n_items, gather=self._gather)
                return self._score(batch)

            self._compiled[size] = backend.compile_function(run, state=self._state)
        return self._compiled[size]


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

    def weights(self, variable: Any) -> Tensor:
        """Return a variable with one row an item."""
        return variable

    def dense(self, values: Tensor | None = None) -> Tensor:
        """Return the rows of `values`, the stored ones by default."""
        return self.values if values is None else values

    def row_sum(self, values: Tensor) -> Tensor:
        """Sum within each row; shape (n_rows,)."""
        return ops.sum(values, axis=1)

    def spread(self, per_row: Tensor) -> Tensor:
        """Return `per_row` at each cell, ready to be broadcast."""
        return ops.expand_dims(per_row, 1)

    def at(self, per_item: Floats) -> Tensor:
        """Return `per_item` at each cell, ready to be broadcast."""
        return ops.convert_to_tensor(per_item[None, :])

    def among(
        self, place: NDArray[np.int32], n_items: int, values: Tensor
    ) -> tuple["DenseRows", Tensor]:
        """Return the rows and the cells of the items whose place is below `n_items`, in order."""
        columns = np.argsort(place, kind="stable")[:n_items]
        return self, ops.take(values, columns, axis=1)

    def project(
        self, kernel: Tensor, values: Tensor | None = None, *, dtype: str = "float32"
    ) -> Tensor:
        """Return (rows of `values`) @ `kernel`, by a layer of its own."""
        return linear(self.values if values is None else values, ops.cast(kernel, dtype))


def linear(code: Tensor, kernel: Tensor, bias: Any = None) -> Tensor:
    """Return ``code @ kernel + bias``; of a symbolic `code`, by a stock layer of its own."""
    if not keras.utils.is_keras_tensor(code):
        product = ops.matmul(code, ops.cast(kernel, code.dtype))
        return product if bias is None else product + ops.cast(bias, code.dtype)
    policy = "float32" if keras.backend.standardize_dtype(kernel.dtype) == "float32" else None
    layer = keras.layers.Dense(kernel.shape[1], use_bias=bias is not None, dtype=policy)
    layer.build((None, kernel.shape[0]))
    layer.kernel.assign(np.asarray(ops.cast(kernel, "float32")))
    if bias is not None:
        layer.bias.assign(bias)
    return layer(code)


def answered(rows: DenseRows, scores: Tensor, answer: Floats) -> Tensor:
    """Return the scores of symbolic rows, and `answer` where a row is empty."""
    known = ops.max(rows.used, axis=1, keepdims=True)
    return known * scores + linear(1 - known, answer[None])


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
        keras.Model(rows, scores, name=_EXPORT).save(part)


def _is_export(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return bool(json.loads(archive.read("config.json"))["config"]["name"] == _EXPORT)
