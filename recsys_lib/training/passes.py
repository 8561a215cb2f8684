"""One compiled pass over the rows: trains with an optimizer, measures without one."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.checks import Floats, Ints
from recsys_lib.training import backend
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.processes import n_processes
from recsys_lib.training.row_adam import RowAdam
from recsys_lib.training.rows import Batch, Rows, bucket, expand

Tensor = Any
#: Named values of one batch: a mean over its users, or a pair (sum, weight).
Terms = Mapping[str, Tensor | tuple[Tensor, Tensor]]
Loss = Callable[[Batch, Tensor], tuple[Tensor, Terms]]

# Most steps in one compiled call, whose terms are summed there in float32.
STEPS_PER_CALL = 256
# Seconds that one call should take: Python does not matter, and Ctrl-C is heard soon.
CALL_S = 0.25


class Pass:
    """A loss over batches of rows, compiled as one loop.

    Parameters
    ----------
    loss : callable
        ``loss(batch, update) -> (objective, terms)``, in `keras.ops`. `update` is the number of
        updates made so far, float32.
    terms : sequence of str
        The names that `loss` returns.
    rows : Rows
        What a batch shows.
    batch_size : int
        Users in one step; the last step is padded (`Batch.present`).
    targets : Rows, optional
        A second matrix with the same users; `Batch.targets` holds their rows of it.
    state : sequence
        Everything that `loss` reads or writes: models, layers, seed generators, variables.
    variables, optimizer
        What is moved, and by whom; without an optimizer the pass only measures.
    narrow, row_optimizer : optional
        ``narrow(batch, update) -> batch`` over a part of the catalog, and what moves the rows of
        these items in the tables of the network.
    updates : keras.Variable, optional
        The counter, int32; incremented once a step where there is an optimizer.
    jit : bool
        Compile with XLA where the backend leaves the choice.

    Attributes
    ----------
    slots : list of int
        Capacity of a batch of each matrix; grows where a batch needs more.
    terms, state, variables, optimizer, row_optimizer, jit
        As given, and `state` flattened to variables: what the backend compiles it by.
    """

    def __init__(
        self,
        loss: Loss,
        terms: Sequence[str],
        rows: Rows,
        *,
        batch_size: int,
        targets: Rows | None = None,
        state: Sequence[Any] = (),
        variables: Sequence[keras.Variable] = (),
        optimizer: keras.optimizers.Optimizer | None = None,
        narrow: Callable[[Batch, Tensor], Batch] | None = None,
        row_optimizer: RowAdam | None = None,
        updates: keras.Variable | None = None,
        jit: bool = False,
    ) -> None:
        self._matrices = [rows] if targets is None else [rows, targets]
        self._loss, self.terms, self._narrow = loss, tuple(terms), narrow
        self.variables, self.optimizer, self.row_optimizer = variables, optimizer, row_optimizer
        counters = [] if updates is None else [updates]
        self.state, self.jit = variables_of([*state, *counters]), jit
        self._batch_size = min(batch_size, rows.n_rows)
        self._updates = updates if optimizer is not None else None
        self.slots = [bucket(matrix.usual_slots(self._batch_size)) for matrix in self._matrices]
        # Steps in the next call. The first one is compiled, which tells nothing of its length.
        # Processes must make the same calls, whatever their seconds.
        self._pace = 1 if n_processes() == 1 else STEPS_PER_CALL
        self._run = backend.compile_pass(self)

    def run(self, order: Ints | None = None) -> dict[str, float]:
        """Walk once over the users in `order` (all, as they stand, by default).

        Returns
        -------
        dict of str to float
            Each term over the whole pass: the weighted mean of its batches.
        """
        rows = self._matrices[0]
        order = np.arange(rows.n_rows) if order is None else order
        orders = self._in_steps(order, rows.n_rows)
        for index, matrix in enumerate(self._matrices):
            self.slots[index] = max(self.slots[index], bucket(matrix.slots_for(orders)))
        slots = tuple(np.arange(size, dtype=np.int32) for size in self.slots)
        arrays = tuple(matrix.arrays for matrix in self._matrices)
        totals = np.zeros((len(self.terms), 2), dtype=np.float64)
        chunk = min(len(orders), STEPS_PER_CALL)
        for start in range(0, len(orders), chunk):
            part = orders[start : start + chunk]
            full = np.pad(part, ((0, chunk - len(part)), (0, 0)), constant_values=rows.n_rows)
            totals += self._sum_of(arrays, full, slots, len(part))
        means = totals[:, 0] / np.where(totals[:, 1] > 0, totals[:, 1], 1.0)
        return dict(zip(self.terms, (float(mean) for mean in means), strict=True))

    def _sum_of(self, arrays: Any, orders: Any, slots: Any, n_steps: int) -> Floats:
        """Return the totals of some steps; into how many calls they are divided changes no bit."""
        totals = np.zeros((len(self.terms), 2), dtype=np.float32)
        start = 0
        while start < n_steps:
            stop = min(start + self._pace, n_steps)
            began = time.perf_counter()
            totals = self._run(arrays, orders, slots, (start, stop), totals)
            seconds = (time.perf_counter() - began) / (stop - start)
            if n_processes() == 1:
                self._pace = min(max(int(CALL_S / max(seconds, 1e-9)), 1), STEPS_PER_CALL)
            start = stop
        return totals

    def _in_steps(self, order: Ints, padding: int) -> NDArray[np.int32]:
        n_steps = -(-len(order) // self._batch_size)
        steps = np.full(n_steps * self._batch_size, padding, dtype=np.int32)
        steps[: len(order)] = order
        return steps.reshape(n_steps, self._batch_size)

    def batch_of(self, arrays: Any, users: Tensor, slots: Any) -> Batch:
        """Return the batch of some users; `arrays` and `slots` have an entry for each matrix."""
        matrices = zip(arrays, slots, self._matrices, strict=True)
        batches = [
            expand(array, users, slot, n_items=matrix.n_items, gather=matrix.gather)
            for array, slot, matrix in matrices
        ]
        batch = batches[0] if len(batches) == 1 else replace(batches[0], targets=batches[1])
        return batch if self._narrow is None else self._narrow(batch, self._update())

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the objective of a batch, and the sum and weight of each of its terms."""
        objective, terms = self._loss(batch, self._update())
        if self._updates is not None:
            self._updates.assign_add(1)
        return objective, self._totals(terms, ops.sum(batch.present))

    def _update(self) -> Tensor:
        return ops.zeros(()) if self._updates is None else ops.cast(self._updates.value, "float32")

    def _totals(self, terms: Terms, n_users: Tensor) -> Tensor:
        pairs = []
        for name in self.terms:
            value = terms[name]
            total, weight = value if isinstance(value, tuple) else (value * n_users, n_users)
            pairs.append(ops.stack([ops.cast(total, "float32"), ops.cast(weight, "float32")]))
        return ops.stack(pairs)


class Measure(Pass):
    """A pass that only reads: ``measure(batch) -> terms``; the rest is as of `Pass`."""

    def __init__(
        self, measure: Callable[[Batch], Terms], *what: Any, batch_size: int = 512, **how: Any
    ) -> None:
        def loss(batch: Batch, _: Tensor) -> tuple[Tensor, Terms]:
            return ops.zeros(()), measure(batch)

        super().__init__(loss, *what, batch_size=batch_size, **how)


def variables_of(parts: Sequence[Any]) -> list[Any]:
    """Flatten models, layers, seed generators, variables and lists of them; each once."""
    found: dict[int, Any] = {}
    for part in parts:
        if isinstance(part, keras.Variable):
            inner = [part]
        elif isinstance(part, keras.random.SeedGenerator):
            inner = [part.state]
        elif isinstance(part, keras.Layer):
            inner = part.variables
        else:
            inner = variables_of(list(part))
        found |= {id(variable): variable for variable in inner}
    return list(found.values())
