"""The TensorFlow side of `recsys_lib.training.backend`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_lib.checks import Floats
from recsys_lib.errors import DeviceError
from recsys_lib.training import processes
from recsys_lib.training._keras import keras

if TYPE_CHECKING:
    from recsys_lib.training.passes import Pass

Tensor = Any
Arrays = tuple[Mapping[str, Tensor], ...]
Slots = tuple[NDArray[np.int32], ...]

if processes.n_processes() > 1:
    raise DeviceError(
        f"A job of {processes.n_processes()} processes must train on JAX; Keras runs on "
        "TensorFlow, which it cannot train across processes (keras issue 20585). "
        "Set KERAS_BACKEND=jax."
    )
HAS_GPU = bool(tf.config.list_physical_devices("GPU"))
# Where gathering beats the dense product: see `training.rows.gathers`.
GATHER = (0.008, 0.0) if HAS_GPU else (0.1, 0.0)
# On a CPU only float32 has sparse kernels; without them an epoch of MultVAE took four times longer.
GATHERS_IN_FLOAT32 = not HAS_GPU
# XLA has no sparse kernels; up to here its dense product beats gathering rows.
XLA_DENSE_ITEMS = 4096

# Whether the graph being traced goes to XLA, which has no sparse kernels.
_for_xla: ContextVar[bool] = ContextVar("for_xla", default=False)


@contextlib.contextmanager
def _tracing(jit: bool) -> Iterator[None]:
    token = _for_xla.set(jit)
    try:
        yield
    finally:
        _for_xla.reset(token)


def rows_of(ends: Tensor, slots: Tensor) -> Tensor:
    """Return the row of each slot, given where rows end; for those after the last, its number."""
    if _for_xla.get():
        return tf.searchsorted(ends, slots, side="right")
    # A third of the time of the search.
    n_slots = tf.shape(slots)[0]
    ended = tf.math.unsorted_segment_sum(tf.ones_like(ends), ends, n_slots + 1)
    return tf.cumsum(ended[:n_slots])


def row_sum(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    """Sum `values` in sorted slots within each row; slots of row `n_rows` are left out."""
    if _for_xla.get():
        return tf.math.unsorted_segment_sum(values, rows, n_rows + 1)[:n_rows]
    # A third of the time, but as long as the last row says.
    sums = tf.math.segment_sum(values, rows)
    return tf.ensure_shape(tf.pad(sums, [[0, n_rows]])[:n_rows], (n_rows,))


def dense(rows: Tensor, items: Tensor, values: Tensor, n_rows: int, n_items: Any) -> Tensor:
    """Return a dense (n_rows, n_items) matrix; as `row_sum`."""
    # A quarter of the time of tf.scatter_nd; what has no place is dropped.
    rows, items, width = (tf.cast(one, tf.int64) for one in (rows, items, n_items))
    places = tf.where(rows < n_rows, rows * width + items, -1)
    filled = tf.math.unsorted_segment_sum(values, places, n_rows * width)
    return tf.reshape(filled, (n_rows, n_items))


def sparse_matmul(
    rows: Tensor, items: Tensor, values: Tensor, kernel: Tensor, n_rows: int
) -> Tensor:
    """Return the product of a sparse (n_rows, n_items) matrix in sorted slots with `kernel`."""
    kernel = tf.convert_to_tensor(kernel)
    if _for_xla.get() and kernel.shape[0] <= XLA_DENSE_ITEMS:
        return tf.matmul(dense(rows, items, values, n_rows, kernel.shape[0]), kernel)
    if _for_xla.get() or HAS_GPU or kernel.dtype != tf.float32:
        gathered = tf.gather(kernel, items) * values[:, None]
        return tf.math.unsorted_segment_sum(gathered, rows, n_rows + 1)[:n_rows]
    return _csr_matmul(rows, items, values, kernel, n_rows)


def _csr_matmul(rows: Tensor, items: Tensor, values: Tensor, kernel: Tensor, n_rows: int) -> Tensor:
    """Return the product by kernels that share the rows among cores; no gradient to `values`."""
    # What dropout has set to 0, and the unused slots, cost nothing.
    kept = tf.where(values != 0)[:, 0]
    where = tf.stack([tf.gather(rows, kept), tf.gather(items, kept)], axis=1)
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.cast(where, tf.int64),
        values=tf.gather(values, kept),
        dense_shape=tf.cast(tf.stack([n_rows, tf.shape(kernel)[0]]), tf.int64),
    )

    def product(dense: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        def gradient(upstream: Tensor) -> Tensor:
            # Not transpose_a=True: it adds up what each thread happened to take, so that two runs
            # differ in the last bit, and takes two to seven times as long.
            turned = tf.raw_ops.SparseMatrixTranspose(input=matrix, type=tf.float32)
            return tf.raw_ops.SparseMatrixMatMul(a=turned, b=upstream)

        return tf.raw_ops.SparseMatrixMatMul(a=matrix, b=dense), gradient

    return tf.custom_gradient(product)(kernel)


def entries(matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the entries of `matrix` at pairs of positions."""
    return tf.gather(tf.reshape(matrix, (-1,)), rows * tf.shape(matrix)[1] + columns)


def write_rows(variable: Any, positions: Tensor, rows: Tensor) -> None:
    """Write `rows` into `variable` at `positions`, in place; the last one wins."""
    variable.value.scatter_nd_update(positions[:, None], rows)


def take_rows(variable: Any, positions: Tensor) -> Tensor:
    """Return the rows of `variable` at `positions`."""
    return tf.gather(variable.value, positions)


def positions(wanted: Tensor, *, at_most: int | None) -> Tensor:
    """Return where `wanted` is true, int32."""
    del at_most  # shapes may depend on values here
    return tf.cast(tf.where(wanted)[:, 0], tf.int32)


def scan(
    body: Callable[[Any, Tensor], tuple[Any, list[Tensor]]], carry: Any, n: int
) -> tuple[Any, list[Tensor]]:
    """Run ``body(carry, index) -> (carry, outputs)`` `n` times; return both, outputs stacked."""
    # keras.ops.scan wants outputs of the shape of the carry here.
    kinds = tf.nest.map_structure(lambda one: one.dtype, body(carry, tf.constant(0))[1])
    stores = [tf.TensorArray(kind, size=n) for kind in kinds]

    def run(index: Tensor, carry: Any, stores: list[Any]) -> tuple[Tensor, Any, list[Any]]:
        carry, outputs = body(carry, index)
        pairs = zip(stores, outputs, strict=True)
        return index + 1, carry, [store.write(index, output) for store, output in pairs]

    begin = (tf.constant(0), carry, stores)
    _, carry, stores = tf.while_loop(lambda i, *_: i < n, run, begin, parallel_iterations=1)
    return carry, [store.stack() for store in stores]


def compile_pass(walk: "Pass") -> Callable[..., Floats]:
    """Compile a loop over the steps of a pass into one graph.

    Parameters
    ----------
    walk : Pass
        TensorFlow tracks its state by itself.

    Returns
    -------
    callable
        ``run(arrays, orders, slots, (start, stop), totals) -> totals``: the steps from `start` to
        before `stop`, their terms added to `totals`.
    """
    optimizer, by_row, variables = walk.optimizer, walk.by_row, walk.variables
    watched = [variable.value for variable in variables]
    # Told here, since a graph cannot read the settings of an optimizer.
    descend = _descend_plainly if _is_plain_adam(optimizer) else _descend

    def take_step(arrays: Arrays, users: Tensor, slots: Slots) -> Tensor:
        batch = walk.batch_of(arrays, users, slots)
        if optimizer is None:
            return walk.step(batch)[1]
        tables = {} if by_row is None else by_row.take(batch)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([watched, tables])
            objective, totals = walk.step(batch.with_tables(tables))
        gradients, of_rows = tape.gradient(objective, [watched, tables])
        descend(optimizer, [tf.convert_to_tensor(one) for one in gradients], variables)
        if by_row is not None:
            dense = {table: tf.convert_to_tensor(one) for table, one in of_rows.items()}
            by_row.apply(batch, tables, dense)
        return totals

    def run(
        arrays: Arrays, orders: Tensor, slots: Slots, steps: tuple[Tensor, Tensor], totals: Tensor
    ) -> Tensor:
        def body(index: Tensor, totals: Tensor) -> tuple[Tensor, Tensor]:
            return index + 1, totals + take_step(arrays, orders[index], slots)

        with _tracing(walk.jit):
            begin = (steps[0], tf.ensure_shape(totals, (len(walk.terms), 2)))
            return tf.while_loop(lambda i, _: i < steps[1], body, begin, parallel_iterations=1)[1]

    return _Traced(run, jit=walk.jit)


def compile_function(
    function: Callable[..., Tensor], *, state: Sequence[Any] = ()
) -> Callable[..., NDArray[Any]]:
    """Compile a function of tensors that only reads `state`; it returns NumPy arrays."""
    del state
    return _Traced(function, jit=False)


class _Traced:
    """A function traced once, for arrays of any length; NumPy out."""

    def __init__(self, function: Callable[..., Tensor], *, jit: bool) -> None:
        self._function, self._jit = function, jit
        self._compiled: Any = None

    def __call__(self, *arguments: Any) -> NDArray[Any]:
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if self._compiled is None:
            # A partial has no code object, by which TensorFlow would count the fits of one process
            # as retraces and warn about them.
            self._compiled = tf.function(
                partial(self._function),
                input_signature=tf.nest.map_structure(_any_length, tensors),
                autograph=False,
                jit_compile=self._jit,
            ).get_concrete_function()  # half of a short call would go into looking it up
        return np.array(self._compiled(*tensors))


def _any_length(tensor: Tensor) -> tf.TensorSpec:
    """Describe a tensor with its first dimension free, so that fuller batches do not retrace."""
    shape = [None, *tensor.shape[1:]] if tensor.shape.rank else []
    return tf.TensorSpec(shape, tensor.dtype)


def _descend(optimizer: Any, dense: Sequence[Tensor], variables: Sequence[Any]) -> None:
    """Apply one update."""
    optimizer.apply(dense, variables)


def _descend_plainly(optimizer: Any, dense: Sequence[Tensor], variables: Sequence[Any]) -> None:
    """Apply one update of plain Adam by TensorFlow's single kernel for it.

    The same update as keras.optimizers.Adam (Kingma and Ba 2015, section 2, last paragraph), in one
    pass over memory instead of a dozen.
    """
    optimizer.iterations.assign_add(1)
    n_updates = tf.cast(optimizer.iterations.value, tf.float32)
    slots = zip(variables, optimizer._momentums, optimizer._velocities, dense, strict=True)
    for variable, momentum, velocity, gradient in slots:
        tf.raw_ops.ResourceApplyAdam(
            var=variable.value.handle,
            m=momentum.value.handle,
            v=velocity.value.handle,
            beta1_power=tf.pow(float(optimizer.beta_1), n_updates),
            beta2_power=tf.pow(float(optimizer.beta_2), n_updates),
            lr=optimizer.learning_rate.value,
            beta1=float(optimizer.beta_1),
            beta2=float(optimizer.beta_2),
            epsilon=float(optimizer.epsilon),
            grad=gradient,
        )


def _is_plain_adam(optimizer: Any) -> bool:
    """Say whether nothing is set that the single-kernel update does not have."""
    if type(optimizer) is not keras.optimizers.Adam:
        return False
    plain, own = keras.optimizers.Adam().get_config(), optimizer.get_config()
    free = {"name", "learning_rate", "beta_1", "beta_2", "epsilon"}
    constant_rate = isinstance(optimizer._learning_rate, keras.Variable)
    return constant_rate and all(own[key] == plain[key] for key in plain.keys() - free)


def describe_devices() -> list[str]:
    """Return what TensorFlow sees, such as ``["CPU", "GPU: NVIDIA H100"]``."""
    return ["CPU", *map(_name_of, tf.config.list_physical_devices("GPU"))]


def device_in_use() -> str:
    """Return the device that computes, by its name in `describe_devices`."""
    return next(map(_name_of, tf.config.get_visible_devices("GPU")), "CPU")


def _name_of(device: Any) -> str:
    details = tf.config.experimental.get_device_details(device)
    return f"GPU: {details.get('device_name', device.name)}"


def use_devices(n: int, *, kind: str) -> None:
    """Raise `DeviceError` unless `n` is 1: several devices share a step on JAX only."""
    if n > 1:
        raise DeviceError(
            f"`devices={n}` must have JAX, which divides a step by itself; TensorFlow trains on "
            f"one {kind.upper()} here. Set KERAS_BACKEND=jax, or leave `devices` out."
        )


def shared(tensor: Tensor, *_: str | None) -> Tensor:
    """Return `tensor`: one device holds all of everything."""
    return tensor


def n_devices() -> int:
    """Return among how many devices steps are shared."""
    return 1


def be_deterministic() -> None:
    """Have every operation give the same bits each time; cannot be undone in a process."""
    tf.config.experimental.enable_op_determinism()


def limit_to_cpu() -> None:
    """Hide the GPUs; `RuntimeError` if TensorFlow has started to use them."""
    tf.config.set_visible_devices([], "GPU")


def set_memory_growth() -> None:
    """Take GPU memory as it is needed; `RuntimeError` if TensorFlow has started already."""
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
