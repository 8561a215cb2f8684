"""Adam for tables of which a step moves a few rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys_lib.training import backend
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.rows import Batch

Tensor = Any

_BLOCK = 2**16  # rows that are brought up to date at once


class RowAdam:
    """Adam that reads and writes only the rows of the items that a batch touches.

    Parameters
    ----------
    tables : sequence of keras.Variable
        With one row an item.
    like : keras.optimizers.Adam
        Whose learning rate and decays it takes.

    Attributes
    ----------
    variables : list of keras.Variable
        The number of updates, that of the last one of each item, and both moments of every entry.

    Notes
    -----
    A row without a gradient moves on under Adam [1]_ by what its first moment still holds, and both
    moments decay. A row that is touched again first makes up for the updates that it has missed, a
    geometric series, so that it is where Adam would have it. `settle` does so for all rows. The
    gradient of a row that was drawn counts with the inverse of its chance; its square with that
    only once, so that both moments are on average those of a step that looks at all items. Differs
    from [1]_: the missed updates all take the bias correction of the present one, which matters in
    the first hundred.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, section 2.
    """

    def __init__(self, tables: Sequence[Any], like: Any) -> None:
        self.tables, self._like = list(tables), like
        self._learning_rate = float(like.learning_rate)
        self._n_items = int(self.tables[0].shape[0])
        self._count, self._last = _memory((), "int32"), _memory((self._n_items,), "int32")
        self._moments = [[_memory(table.shape) for table in self.tables] for _ in range(2)]
        self.variables = [self._count, self._last, *self._moments[0], *self._moments[1]]

    def take(self, batch: Batch) -> dict[int, Tensor]:
        """Return the rows of every table that `batch` touches, as `Touched.tables`."""
        return self._up_to_date(batch.part.items)

    def apply(
        self, batch: Batch, rows: Mapping[int, Tensor], gradients: Mapping[int, Tensor]
    ) -> None:
        """Move `rows`, as `take` gave them, against their gradients."""
        late = self._late(batch.part.items) + 1.0
        self._count.assign_add(1)
        weights = ops.maximum(batch.part.weights, 1.0)
        self._move(batch.part.items, rows, late, gradients, weights)

    def settle(self) -> None:
        """Bring all rows up to date; between two updates."""
        for start in range(0, self._n_items, _BLOCK):
            items = np.arange(start, min(start + _BLOCK, self._n_items), dtype=np.int32)
            self._move(items, self._up_to_date(items), self._late(items), {})

    def _late(self, items: Tensor) -> Tensor:
        """Return how many updates each item has missed."""
        return ops.cast(self._count.value - backend.take_rows(self._last, items), "float32")

    def _rate(self) -> Tensor:
        n = ops.cast(ops.maximum(self._count.value, 1), "float32")
        corrected = ops.sqrt(1.0 - self._like.beta_2**n) / (1.0 - self._like.beta_1**n)
        return self._learning_rate * corrected

    def _up_to_date(self, items: Tensor) -> dict[int, Tensor]:
        ratio = self._like.beta_1 / self._like.beta_2**0.5
        missed = self._rate() * ratio * (1.0 - ratio ** self._late(items)) / (1.0 - ratio)
        rows = {}
        for table, first, second in zip(self.tables, *self._moments, strict=True):
            step = self._direction(*(backend.take_rows(one, items) for one in (first, second)))
            rows[id(table)] = backend.take_rows(table, items) - _each(missed, table) * step
        return rows

    def _move(
        self,
        items: Tensor,
        rows: Mapping[int, Tensor],
        late: Tensor,
        gradients: Mapping[int, Any],
        weights: Tensor | None = None,
    ) -> None:
        """Write rows that are up to date, with their moments; moved, where there are gradients."""
        beta_1, beta_2 = self._like.beta_1, self._like.beta_2
        for table, first, second in zip(self.tables, *self._moments, strict=True):
            mean = backend.take_rows(first, items) * _each(beta_1**late, table)
            square = backend.take_rows(second, items) * _each(beta_2**late, table)
            row = rows[id(table)]
            if gradients:
                gradient = gradients[id(table)]
                mean += (1.0 - beta_1) * gradient
                # Of a gradient w g with the chance 1 / w, the mean of (w g)^2 / w is g^2.
                square += (1.0 - beta_2) * ops.square(gradient) / _each(weights, table)
                row = row - self._rate() * self._direction(mean, square)
            for variable, values in ((first, mean), (second, square), (table, row)):
                backend.write_rows(variable, items, values)
        backend.write_rows(self._last, items, ops.zeros_like(items) + self._count.value)

    def _direction(self, mean: Tensor, square: Tensor) -> Tensor:
        return mean / (ops.sqrt(square) + self._like.epsilon)


def _memory(shape: tuple[int, ...], dtype: str = "float32") -> Any:
    return keras.Variable("zeros", shape=shape, dtype=dtype, trainable=False, name="row_memory")


def _each(values: Tensor, table: Any) -> Tensor:
    """Return a number for each row, ready to be multiplied with rows of `table`."""
    return ops.reshape(values, (-1,) + (1,) * (len(table.shape) - 1))
