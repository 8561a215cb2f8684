"""The epoch loop: phases over disjoint variables, one update counter, best weights by a measure.

And a log of its epochs for TensorBoard, as an `on_epoch` callback.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_lib.checks import Ints, needing
from recsys_lib.seeding import rng_from
from recsys_lib.training import backend
from recsys_lib.training._keras import keras
from recsys_lib.training.checkpoints import Keeper
from recsys_lib.training.passes import Pass, Phase, variables_of
from recsys_lib.training.rows import Rows

Record = dict[str, float]
Weights = list[NDArray[Any]]

# XLA takes about a second to compile a small network and then saves 0.3 to 0.4 ms a step.
JIT_STEPS = 3000
JIT_PARAMETERS = 500_000


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What is measured after an epoch, and when to stop by it.

    Attributes
    ----------
    measure : callable
        ``measure() -> {name: value}``, on the host, with the weights as they would be kept now.
        Training knows no metric: this is where validation RMSE or ndcg@100 comes from.
    watch : str, optional
        The name that decides on best weights and stopping. None records only.
    goal : {"min", "max"}
        Which way `watch` is better.
    patience : int, optional
        Epochs without a new best before training stops. None never stops early.
    """

    measure: Callable[[], Mapping[str, float]]
    watch: str | None = None
    goal: Literal["min", "max"] = "min"
    patience: int | None = None


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
    average : float, optional
        Keep and measure an exponential average of the weights [1]_, one term an epoch, with this
        share for the past. By default, and at 0, the weights themselves.
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

    Averaging steps back from the noise of the last updates, which a constant learning rate never
    settles: with dropout it is worth more than any single regularizer.

    References
    ----------
    .. [1] B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
       Journal on Control and Optimization 30(4), 1992.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        *,
        state: Sequence[Any],
        batch_size: int,
        seed: int,
        average: float | None = None,
        jit: bool | None = None,
    ) -> None:
        self.phases = list(phases)
        self.batch_size, self.seed, self.jit = batch_size, seed, jit
        self.updates = keras.Variable(0, dtype="int32", trainable=False, name="updates")
        self._moving = variables_of([phase.variables for phase in phases])
        self.state = variables_of([*state, self._moving])
        self.epoch = 0
        self.best_epoch: int | None = None
        self.history: list[Record] = []
        self._share = average or 0.0
        self._averaged: Weights = []
        self._n_passes = 0
        self._passes: list[Pass] = []
        self._slots: Ints = np.zeros((0, 0), dtype=np.int64)
        self._best: list[NDArray[Any]] = []
        self._best_value = np.nan
        for phase in self.phases:
            phase.optimizer.build(phase.dense)

    def fit(
        self,
        rows: Rows,
        *,
        epochs: int,
        monitor: Monitor | None = None,
        on_epoch: Callable[[Record], object] | None = None,
        keeper: Keeper | None = None,
    ) -> list[Record]:
        """Train until `epochs` epochs have been made in all.

        Parameters
        ----------
        rows : Rows
            Training users.
        epochs : int
            Where to stop; epochs made before, also before a `restore`, count.
        monitor : Monitor, optional
            What to measure, and when to stop.
        on_epoch : callable, optional
            Receives each record, after the epoch is in the history and on disk.
        keeper : Keeper, optional
            Takes up what it finds on disk, and writes checkpoints.

        Returns
        -------
        list of dict
            The history.
        """
        if keeper is not None:
            keeper.resume(self, epochs=epochs)
        self._passes = [self._compile(phase, rows, epochs) for phase in self.phases]
        for walk, slots in zip(self._passes, self._slots, strict=False):
            walk.slots = [int(size) for size in slots]
        while not self._is_over(epochs, monitor):
            started = time.perf_counter()
            self.epoch += 1
            record: Record = {"epoch": self.epoch, **self._run_epoch(rows.n_rows)}
            if self._share:
                self._average()
            if monitor is not None:
                with self._kept_weights():
                    record |= monitor.measure()
                    self._judge(monitor, record)
            record["seconds"] = time.perf_counter() - started
            self.history.append(record)
            if keeper is not None:
                keeper.epoch_done(self, last=self._is_over(epochs, monitor))
            if on_epoch is not None:
                on_epoch(dict(record))
        self._settle()
        return self.history

    def checkpoint(self) -> dict[str, NDArray[Any]]:
        """Return what training goes on from, as arrays; take it between two epochs of `fit`.

        The history is not part of it: it is a table of its own.
        """
        arrays = _numbered("state", _copy_weights(self._everything()))
        arrays |= _numbered("best", self._best)
        best_epoch = -1 if self.best_epoch is None else self.best_epoch
        arrays |= _numbered("average", self._averaged)
        counters = [self.epoch, self._n_passes, best_epoch]
        arrays["counters"] = np.array(counters, dtype=np.int64)
        arrays["best_value"] = np.array(self._best_value)
        # A pass that has met a fuller batch than usual has more slots, and sums in another order.
        arrays["slots"] = np.array([walk.slots for walk in self._passes], dtype=np.int64)
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up from a `checkpoint` of a trainer with the same phases and state."""
        _assign_weights(self._everything(), _unnumbered("state", arrays))
        self._best = _unnumbered("best", arrays)
        self.epoch, self._n_passes, best_epoch = (int(n) for n in arrays["counters"])
        self.best_epoch = None if best_epoch < 0 else best_epoch
        self._best_value = float(arrays["best_value"])
        self._slots = arrays["slots"]
        self._averaged = _unnumbered("average", arrays)

    def _compile(self, phase: Phase, rows: Rows, epochs: int) -> Pass:
        return Pass(
            phase,
            rows,
            batch_size=self.batch_size,
            state=[*self.state, *self._row_memory()],
            updates=self.updates,
            jit=self._pays_to_jit(phase, rows, epochs) if self.jit is None else self.jit,
        )

    def _pays_to_jit(self, phase: Phase, rows: Rows, epochs: int) -> bool:
        if phase.narrow is not None:
            return False  # how many items a step touches is known in it only
        if len(backend.describe_devices()) > 1:
            return True
        if keras.config.dtype_policy().compute_dtype != "float32":
            return False  # on a CPU XLA has no products in bfloat16; TensorFlow's kernels have
        n_steps = epochs * phase.passes * -(-rows.n_rows // self.batch_size)
        n_parameters = sum(int(np.prod(variable.shape)) for variable in phase.variables)
        return n_steps >= JIT_STEPS and n_parameters <= JIT_PARAMETERS

    def _run_epoch(self, n_users: int) -> Record:
        record: Record = {}
        for phase, walk in zip(self.phases, self._passes, strict=True):
            for _ in range(phase.passes):
                self._n_passes += 1
                order = rng_from(self.seed, "order", str(self._n_passes)).permutation(n_users)
                terms = walk.run(order)
            if phase.by_row is not None:
                phase.by_row.settle()
            prefix = f"{phase.name}_" if len(self.phases) > 1 else ""
            record |= {f"{prefix}{name}": value for name, value in terms.items()}
        return record

    def _average(self) -> None:
        """Take the weights of an epoch into their average, which starts from the first."""
        current = _copy_weights(self._moving)
        pairs = zip(self._averaged or current, current, strict=True)
        self._averaged = [self._share * past + (1.0 - self._share) * now for past, now in pairs]

    @contextlib.contextmanager
    def _kept_weights(self) -> Iterator[None]:
        """Have the weights in place that would be kept if training ended now."""
        if not self._averaged:
            yield
            return
        current = _copy_weights(self._moving)
        _assign_weights(self._moving, self._averaged)
        try:
            yield
        finally:
            _assign_weights(self._moving, current)

    def _judge(self, monitor: Monitor, record: Record) -> None:
        """Keep the weights if they are the best so far."""
        if monitor.watch is None:
            return
        value = record[monitor.watch]
        sign = 1.0 if monitor.goal == "min" else -1.0
        if self.best_epoch is None or sign * value < sign * self._best_value:
            self.best_epoch, self._best_value = self.epoch, value
            self._best = _copy_weights(self.state)

    def _is_over(self, epochs: int, monitor: Monitor | None) -> bool:
        """Say whether all epochs are made, or too many without a new best."""
        if self.epoch >= epochs:
            return True
        if monitor is None or monitor.patience is None or self.best_epoch is None:
            return False
        return self.epoch - self.best_epoch >= monitor.patience

    def _settle(self) -> None:
        """Leave the weights that are kept in the variables."""
        if self._best:
            _assign_weights(self.state, self._best)
        elif self._averaged:
            _assign_weights(self._moving, self._averaged)

    def _everything(self) -> list[Any]:
        optimizers = [variable for phase in self.phases for variable in phase.optimizer.variables]
        return [*self.state, self.updates, *optimizers, *self._row_memory()]

    def _row_memory(self) -> list[Any]:
        return [one for phase in self.phases if phase.by_row for one in phase.by_row.variables]


def _numbered(name: str, values: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{name}_{index}": value for index, value in enumerate(values)}


def _unnumbered(name: str, arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    keys = [key for key in arrays if key.startswith(f"{name}_") and key != "best_value"]
    return [arrays[f"{name}_{index}"] for index in range(len(keys))]


def _copy_weights(variables: Sequence[Any]) -> Weights:
    """Return the values of `variables` as arrays that later updates don't touch."""
    # Not np.array(...): TensorFlow does not know its copy keyword, of which NumPy 2 warns.
    return [np.asarray(variable.value).copy() for variable in variables]


def _assign_weights(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Set each variable to its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class TensorBoardLog:
    """Writes every number of every epoch for TensorBoard; a resumed fit continues the log.

    Parameters
    ----------
    folder : Path or str
        What ``tensorboard --logdir`` is given, or a folder in it for each fit.

    Raises
    ------
    ConfigError
        If tensorboard is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from scipy import sparse
    >>> from recsys_lib.models import MultDAE
    >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 1]], dtype="float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = MultDAE(latent_dim=2, epochs=3).fit(likes, on_epoch=TensorBoardLog(folder))
    """

    def __init__(self, folder: Path | str) -> None:
        with needing("tensorboard", "TensorBoard"):
            from tensorboard.summary import Writer
        self._writer = Writer(str(folder))

    def __call__(self, record: Mapping[str, float]) -> None:
        """Write the numbers of `record`, on disk when this returns."""
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(record["epoch"]))
        self._writer.flush()
