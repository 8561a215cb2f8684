"""One compiled pass over the rows: trains with an optimizer, measures without one."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What one optimizer minimizes, over which variables.

    Attributes
    ----------
    loss : callable
        ``loss(batch, update) -> (objective, terms)`` in `keras.ops`; see `training.passes.Pass`.
    terms : tuple of str
        The names of `terms`, as they appear in the history.
    variables : sequence of keras.Variable
        What the optimizer moves; phases share none.
    optimizer : keras.optimizers.Optimizer, optional
        Its own for each phase, not yet built for other variables. Without one, a pass measures.
    passes : int
        Walks over all users in one epoch.
    name : str
        Prefix of the terms in the history, where there are several phases.
    tables : sequence of keras.Variable
        Those of `variables` with one row an item of which an update moves only the rows that it
        touches (`RowAdam`); the optimizer is an Adam then.
    narrow : callable, optional
        ``narrow(batch, update) -> batch``, the batch over the items that an update touches.
    """

    loss: Loss
    terms: tuple[str, ...]
    variables: Sequence[Any] = ()
    optimizer: Any = None
    passes: int = 1
    name: str = ""
    tables: Sequence[Any] = ()
    narrow: Callable[[Batch, Any], Batch] | None = None

    @property
    def dense(self) -> list[Any]:
        """The variables that an update moves as a whole."""
        tables = {id(table) for table in self.tables}
        return [variable for variable in self.variables if id(variable) not in tables]

    @cached_property
    def by_row(self) -> RowAdam | None:
        """What moves rows of `tables`, where there are any."""
        return RowAdam(self.tables, self.optimizer) if self.tables else None


class Pass:
    """A loss over batches of rows, compiled as one loop.

    Parameters
    ----------
    phase : Phase
    rows : Rows
        What a batch shows.
    batch_size : int
        Users in one step; the last step is padded (`Batch.present`).
    targets : Rows, optional
        A second matrix with the same users; `Batch.targets` holds their rows of it.
    state : sequence
        Everything that the loss reads or writes: models, layers, seed generators, variables.
    updates : keras.Variable, optional
        The counter, int32; incremented once a step where there is an optimizer.
    jit : bool
        Compile with XLA where the backend leaves the choice.

    Attributes
    ----------
    slots : list of int
        Capacity of a batch of each matrix; grows where a batch needs more.
    terms, state, variables, optimizer, by_row, jit
        As given, and `state` flattened to variables: what the backend compiles it by.
    """

    def __init__(
        self,
        phase: Phase,
        rows: Rows,
        *,
        batch_size: int = 512,
        targets: Rows | None = None,
        state: Sequence[Any] = (),
        updates: keras.Variable | None = None,
        jit: bool = False,
    ) -> None:
        self._matrices = [rows] if targets is None else [rows, targets]
        self._phase, self.terms = phase, tuple(phase.terms)
        self.variables, self.optimizer, self.by_row = phase.dense, phase.optimizer, phase.by_row
        counters = [] if updates is None else [updates]
        self.state, self.jit = variables_of([*state, *counters]), jit
        self._batch_size = min(batch_size, rows.n_rows)
        self._updates = updates if phase.optimizer is not None else None
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
        narrow = self._phase.narrow
        return batch if narrow is None else narrow(batch, self._update())

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the objective of a batch, and the sum and weight of each of its terms."""
        objective, terms = self._phase.loss(batch, self._update())
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
        self, measure: Callable[[Batch], Terms], terms: Sequence[str], rows: Rows, **how: Any
    ) -> None:
        def loss(batch: Batch, _: Tensor) -> tuple[Tensor, Terms]:
            return ops.zeros(()), measure(batch)

        super().__init__(Phase(loss=loss, terms=tuple(terms)), rows, **how)


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
