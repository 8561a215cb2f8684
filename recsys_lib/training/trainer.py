"""The epoch loop: phases over disjoint variables, one update counter, best weights by a measure."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_lib.seeding import rng_from
from recsys_lib.training import backend
from recsys_lib.training.passes import Loss, Pass
from recsys_lib.training.quiet import keras
from recsys_lib.training.rows import Rows

__all__ = ["Monitor", "Phase", "Trainer"]

Record = dict[str, float]

# XLA takes about a second to compile a small network and then saves 0.3 to 0.4 ms a step.
JIT_STEPS = 3000
JIT_PARAMETERS = 500_000


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What one optimizer minimises, over which variables.

    Attributes
    ----------
    loss : callable
        ``loss(batch, update) -> (objective, terms)`` in `keras.ops`; see `training.passes.Pass`.
    terms : tuple of str
        The names of `terms`, as they appear in the history.
    variables : sequence of keras.Variable
        What the optimizer moves; phases share none.
    optimizer : keras.optimizers.Optimizer
        Its own for each phase, not yet built for other variables.
    passes : int
        Walks over all users in one epoch.
    name : str
        Prefix of the terms in the history, where there are several phases.
    before : callable, optional
        Called on the host at the start of the phase in every epoch, such as copying weights.
    """

    loss: Loss
    terms: tuple[str, ...]
    variables: Sequence[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    passes: int = 1
    name: str = ""
    before: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What is measured after an epoch, and when to stop by it.

    Attributes
    ----------
    measure : callable
        ``measure() -> {name: value}``, on the host, with the weights as they are now. Training
        knows no metric: this is where validation RMSE or ndcg@100 comes from.
    watch : str, optional
        The name that decides on best weights and stopping. None records only.
    goal : {"min", "max"}
        Which way `watch` is better.
    patience : int, optional
        Measurements without a new best before training stops. None never stops early.
    every : int
        Epochs between measurements; the last epoch is always measured.
    """

    measure: Callable[[], Mapping[str, float]]
    watch: str | None = None
    goal: Literal["min", "max"] = "min"
    patience: int | None = None
    every: int = 1


class Trainer:
    """Train phases in epochs, from where they stand.

    Parameters
    ----------
    phases : sequence of Phase
        In the order in which an epoch runs them.
    state : sequence
        Everything that the losses read or write: Keras models and layers, seed generators,
        variables. What is not listed counts as a constant.
    batch_size : int
        Users in one update.
    seed : int
        Of the order of the users; every pass has its own.
    jit : bool, optional
        Compile with XLA. By default where it pays: on a GPU, or for a small network that makes
        many steps.

    Attributes
    ----------
    epoch : int
        Epochs made so far.
    updates : keras.Variable, int32
        Updates made so far, over all phases and epochs.
    history : list of dict
        One record an epoch: ``epoch``, the terms of each phase, what the monitor measured,
        ``seconds``.
    best_epoch : int or None
        The epoch whose weights were kept.

    Notes
    -----
    The weights after `fit` are those of the best epoch where the monitor watches something, else
    those of the last. With the same seed, data and machine, two runs are equal.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        *,
        state: Sequence[Any],
        batch_size: int,
        seed: int,
        jit: bool | None = None,
    ) -> None:
        _check_disjoint(phases)
        self.phases = list(phases)
        self.batch_size, self.seed, self.jit = batch_size, seed, jit
        self.updates = keras.Variable(0, dtype="int32", trainable=False, name="updates")
        self.state = _variables_of([*state, *(phase.variables for phase in phases)])
        self.epoch = 0
        self.best_epoch: int | None = None
        self.history: list[Record] = []
        self._n_passes = 0
        self._best: list[NDArray[Any]] = []
        self._best_value = np.nan
        for phase in self.phases:
            phase.optimizer.build(list(phase.variables))

    def fit(
        self,
        rows: Rows,
        *,
        epochs: int,
        targets: Rows | None = None,
        monitor: Monitor | None = None,
        on_epoch: Callable[[Record], None] | None = None,
    ) -> list[Record]:
        """Train until `epochs` epochs have been made in all.

        Parameters
        ----------
        rows : Rows
            Training users.
        epochs : int
            Where to stop; epochs made before, also before a `restore`, count.
        targets : Rows, optional
            What `Batch.targets` holds; by default a loss uses the batch itself.
        monitor : Monitor, optional
            What to measure, and when to stop.
        on_epoch : callable, optional
            Receives each record, for progress.

        Returns
        -------
        list of dict
            The history.
        """
        passes = [self._compile(phase, rows, targets, epochs) for phase in self.phases]
        while self.epoch < epochs:
            started = time.perf_counter()
            self.epoch += 1
            record: Record = {"epoch": self.epoch, **self._run_epoch(passes, rows.n_rows)}
            stop = False
            if monitor is not None and (self.epoch % monitor.every == 0 or self.epoch == epochs):
                record |= monitor.measure()
                stop = self._judge(monitor, record)
            record["seconds"] = time.perf_counter() - started
            self.history.append(record)
            if on_epoch is not None:
                on_epoch(record)
            if stop:
                break
        self._keep_best()
        return self.history

    def checkpoint(self) -> dict[str, NDArray[Any]]:
        """Return everything that training goes on from, as arrays (the history apart)."""
        arrays = {f"state_{i}": _copy(variable) for i, variable in enumerate(self._everything())}
        arrays |= {f"best_{i}": value for i, value in enumerate(self._best)}
        best_epoch = -1 if self.best_epoch is None else self.best_epoch
        arrays["counters"] = np.array([self.epoch, self._n_passes, best_epoch], dtype=np.int64)
        arrays["best_value"] = np.array(self._best_value)
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up from a `checkpoint` of a trainer with the same phases and state."""
        for index, variable in enumerate(self._everything()):
            variable.assign(arrays[f"state_{index}"])
        self._best = [
            arrays[f"best_{i}"] for i in range(sum(k.startswith("best_") for k in arrays) - 1)
        ]
        epoch, n_passes, best_epoch = (int(value) for value in arrays["counters"])
        self.epoch, self._n_passes = epoch, n_passes
        self.best_epoch = None if best_epoch < 0 else best_epoch
        self._best_value = float(arrays["best_value"])

    def _compile(self, phase: Phase, rows: Rows, targets: Rows | None, epochs: int) -> Pass:
        return Pass(
            phase.loss,
            phase.terms,
            rows,
            targets=targets,
            batch_size=self.batch_size,
            state=self.state,
            variables=list(phase.variables),
            optimizer=phase.optimizer,
            updates=self.updates,
            jit=self._pays_to_jit(phase, rows, epochs) if self.jit is None else self.jit,
        )

    def _pays_to_jit(self, phase: Phase, rows: Rows, epochs: int) -> bool:
        if len(backend.describe_devices()) > 1:
            return True
        n_steps = epochs * phase.passes * -(-rows.n_rows // self.batch_size)
        n_parameters = sum(int(np.prod(variable.shape)) for variable in phase.variables)
        return n_steps >= JIT_STEPS and n_parameters <= JIT_PARAMETERS

    def _run_epoch(self, passes: list[Pass], n_users: int) -> Record:
        record: Record = {}
        for phase, walk in zip(self.phases, passes, strict=True):
            if phase.before is not None:
                phase.before()
            for _ in range(phase.passes):
                self._n_passes += 1
                order = rng_from(self.seed, "order", str(self._n_passes)).permutation(n_users)
                terms = walk.run(order)
            prefix = f"{phase.name}_" if len(self.phases) > 1 else ""
            record |= {f"{prefix}{name}": value for name, value in terms.items()}
        return record

    def _judge(self, monitor: Monitor, record: Record) -> bool:
        """Keep the weights if they are the best so far; say whether it is time to stop."""
        if monitor.watch is None:
            return False
        value = record[monitor.watch]
        sign = 1.0 if monitor.goal == "min" else -1.0
        if self.best_epoch is None or sign * value < sign * self._best_value:
            self.best_epoch, self._best_value = self.epoch, value
            self._best = [_copy(variable) for variable in self.state]
            return False
        stale = (self.epoch - self.best_epoch) // monitor.every
        return monitor.patience is not None and stale >= monitor.patience

    def _keep_best(self) -> None:
        for variable, value in zip(self.state, self._best, strict=False):
            variable.assign(value)

    def _everything(self) -> list[keras.Variable]:
        optimizers = [variable for phase in self.phases for variable in phase.optimizer.variables]
        return [*self.state, self.updates, *optimizers]


def _copy(variable: keras.Variable) -> NDArray[Any]:
    return np.array(keras.ops.convert_to_numpy(variable.value))


def _variables_of(parts: Sequence[Any]) -> list[keras.Variable]:
    """Flatten models, layers, seed generators, variables and lists of them; each once."""
    found: dict[int, keras.Variable] = {}
    for part in parts:
        if isinstance(part, keras.Variable):
            inner = [part]
        elif isinstance(part, keras.random.SeedGenerator):
            inner = [part.state]
        elif isinstance(part, keras.Layer):
            inner = part.variables
        else:
            inner = _variables_of(list(part))
        found |= {id(variable): variable for variable in inner}
    return list(found.values())


def _check_disjoint(phases: Sequence[Phase]) -> None:
    seen: set[int] = set()
    for phase in phases:
        mine = {id(variable) for variable in phase.variables}
        if seen & mine:
            raise ValueError(
                "`phases` must move disjoint variables; "
                f"phase {phase.name!r} shares some with an earlier one. Split them."
            )
        seen |= mine
