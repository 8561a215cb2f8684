"""The JAX side of `recsys_lib.training.backend`."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
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

# Where gathering beats the dense product: see `training.rows.gathers`.
GATHER = (0.3, 0.5)
GATHERS_IN_FLOAT32 = False

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"

# Arrays of so many numbers are divided among devices; below that, talking takes longer than it
# saves. Measured with two processes on two cores: 2**16 costs RecVAE a third.
_LARGE = 2**19

# The devices that share a step, where there is more than one; of all processes.
_mesh: jax.sharding.Mesh | None = None

if processes.n_processes() > 1:
    # CPUs of several processes add up by Gloo; before JAX has started.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize()
    _mesh = jax.sharding.Mesh(np.array(jax.devices()), ("devices",))


def rows_of(ends: Tensor, slots: Tensor) -> Tensor:
    """Return the row of each slot, given where rows end; for those after the last, its number."""
    return jnp.searchsorted(ends, slots, side="right").astype("int32")


def row_sum(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    """Sum `values` in sorted slots within each row; slots of row `n_rows` are left out."""
    return jax.ops.segment_sum(values, rows, n_rows, indices_are_sorted=True)


def dense(rows: Tensor, items: Tensor, values: Tensor, n_rows: int, n_items: int) -> Tensor:
    """Return a dense (n_rows, n_items) matrix; as `row_sum`."""
    return jnp.zeros((n_rows, n_items), values.dtype).at[rows, items].add(values, mode="drop")


def sparse_matmul(
    rows: Tensor, items: Tensor, values: Tensor, kernel: Tensor, n_rows: int
) -> Tensor:
    """Return the product of a sparse (n_rows, n_items) matrix in sorted slots with `kernel`."""
    return row_sum(jnp.asarray(kernel)[items] * values[:, None], rows, n_rows)


def entries(matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the entries of `matrix` at pairs of positions; each device looks at its columns."""
    return matrix[rows, columns]


def write_rows(variable: Any, positions: Tensor, rows: Tensor) -> None:
    """Write `rows` into `variable` at `positions`; the last one wins, those beyond it are lost."""
    variable.assign(_with_rows(jnp.asarray(variable.value), positions, rows))


@partial(jax.jit, donate_argnums=0)  # type: ignore[untyped-decorator,unused-ignore]
def _with_rows(table: Tensor, positions: Tensor, rows: Tensor) -> Tensor:
    return table.at[positions].set(rows)


def take_rows(variable: Any, positions: Tensor) -> Tensor:
    """Return the rows of `variable` at `positions`; beyond its end, the last one."""
    return jnp.asarray(variable.value).at[positions].get(mode="clip")


def positions(wanted: Tensor, *, at_most: int) -> Tensor:
    """Return where `wanted` is true, int32, padded with its length to `at_most` positions."""
    n = wanted.shape[0]
    return jnp.nonzero(wanted, size=min(at_most, n), fill_value=n)[0].astype("int32")


def scan(
    body: Callable[[Any, Tensor], tuple[Any, list[Tensor]]], carry: Any, n: int
) -> tuple[Any, list[Tensor]]:
    """Run ``body(carry, index) -> (carry, outputs)`` `n` times; return both, outputs stacked."""
    return jax.lax.scan(body, carry, jnp.arange(n))  # type: ignore[no-any-return,unused-ignore]


@dataclass(frozen=True, eq=False)
class _Step:
    """One update, as a function of the values that it reads to those that it leaves."""

    walk: "Pass"
    others: Sequence[Any]

    def scope(self, kept: list[Tensor], values: Sequence[Tensor] = ()) -> keras.StatelessScope:
        moving = zip(self.walk.variables, values, strict=True) if values else ()
        return keras.StatelessScope([*moving, *zip(self.others, kept, strict=True)])

    def current(self, scope: keras.StatelessScope) -> list[Tensor]:
        return [scope.get_current_value(variable) for variable in self.others]

    def objective(
        self, values: list[Tensor], tables: dict[int, Tensor], kept: list[Tensor], batch: Any
    ) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        with self.scope(kept, values) as scope:
            loss, totals = self.walk.step(batch.with_tables(tables))
        return loss, (totals, self.current(scope))

    def __call__(self, carry: tuple[Any, ...], *positions: Any) -> tuple[Any, ...]:
        values, kept, memory, totals = carry
        optimizer, by_row = self.walk.optimizer, self.walk.by_row
        with self.scope(kept):
            batch = self.walk.batch_of(*positions)
            tables = {} if by_row is None else by_row.take(batch)
        if optimizer is None:
            _, (new, kept) = self.objective(values, tables, kept, batch)
            return values, kept, memory, totals + new
        differentiate = jax.value_and_grad(self.objective, argnums=(0, 1), has_aux=True)
        (_, (new, kept)), (gradients, of_rows) = differentiate(values, tables, kept, batch)
        if values:
            values, memory = optimizer.stateless_apply(memory, gradients, values)
        if by_row is not None:
            with self.scope(kept) as scope:
                by_row.apply(batch, tables, of_rows)
            kept = self.current(scope)
        return list(values), kept, list(memory), totals + new


def compile_pass(walk: "Pass") -> Callable[..., Floats]:
    """Compile a loop over steps; as in `backend_tensorflow`, but its state must be complete.

    On several devices each keeps a part of the columns of every large array, and XLA divides the
    program: it is the same step, draws included.
    """
    moving = {id(variable) for variable in walk.variables}
    others = [variable for variable in walk.state if id(variable) not in moving]
    slots_of = [] if walk.optimizer is None else walk.optimizer.variables
    take_step = _Step(walk, others)

    @partial(jax.jit, out_shardings=_alike())  # type: ignore[untyped-decorator,unused-ignore]
    def run(
        held: tuple[Any, ...],
        arrays: Arrays,
        orders: Tensor,
        slots: Tensor,
        steps: tuple[Tensor, Tensor],
        totals: Tensor,
    ) -> tuple[Any, ...]:
        def body(index: Tensor, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            return _divided(take_step(carry, arrays, orders[index], slots))

        return jax.lax.fori_loop(*steps, body, _divided((*held, totals)))

    groups = (list(walk.variables), others, slots_of)

    def call(
        arrays: Arrays,
        orders: NDArray[np.int32],
        slots: Slots,
        steps: tuple[int, int],
        totals: Floats,
    ) -> Floats:
        held = tuple([variable.value for variable in group] for group in groups)
        *values, totals = _together(run, (held, arrays), orders, slots, steps, totals)
        moved = [] if walk.optimizer is None else zip(groups, values, strict=True)
        for group, new in moved:
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return np.array(totals)

    return call


def _together(run: Callable[..., Any], held: tuple[Any, ...], *arguments: Any) -> Any:
    """Call `run` with all devices of the job; what they hold alike goes in and comes out."""
    if _mesh is None:
        return run(*held, *arguments)

    def of_job(value: Any) -> Tensor:
        return jax.make_array_from_callback(np.shape(value), _alike(), lambda _: value)

    try:
        with jax.set_mesh(_mesh):
            found = jax.block_until_ready(run(*jax.tree.map(of_job, held), *arguments))
    except (RuntimeError, ValueError) as error:
        if "Gloo" not in str(error):
            raise
        raise DeviceError(processes.lost(error)) from None
    return jax.tree.map(lambda value: value.addressable_data(0), found)


def _alike() -> NamedSharding | None:
    """Return the sharding of what all devices hold alike; None where there is one."""
    return None if _mesh is None else NamedSharding(_mesh, PartitionSpec())


def _divided(values: Any) -> Any:
    """Have each device keep its part of the columns of large arrays, and all of others."""

    def part(value: Tensor) -> Tensor:
        columns = [*[None] * (value.ndim - 1), "devices"] if value.size >= _LARGE else []
        return shared(value, *columns)

    return jax.tree.map(part, values)


def shared(tensor: Tensor, *axes: str | None) -> Tensor:
    """Have every device hold all of `tensor`, or its part along `axes`, in a step they share."""
    if jax.sharding.get_abstract_mesh().empty:
        return tensor  # scores are computed by each process on its own
    return jax.lax.with_sharding_constraint(tensor, PartitionSpec(*axes))


def compile_function(
    function: Callable[..., Tensor], *, state: Sequence[Any] = ()
) -> Callable[..., NDArray[Any]]:
    """Compile a function of tensors that only reads `state`; it returns NumPy arrays."""

    @jax.jit  # type: ignore[untyped-decorator,unused-ignore]
    def run(values: list[Tensor], *arguments: Any) -> Tensor:
        with keras.StatelessScope(state_mapping=list(zip(state, values, strict=True))):
            return function(*arguments)

    return lambda *arguments: np.array(run([variable.value for variable in state], *arguments))


def describe_devices() -> list[str]:
    """Return what JAX sees, such as ``["CPU", "GPU: NVIDIA H100"]``."""
    return ["CPU", *(_name_of(device) for device in jax.devices() if device.platform != "cpu")]


def device_in_use() -> str:
    """Return the device that computes, by its name in `describe_devices`."""
    return _name_of(jax.config.jax_default_device or jax.devices()[0])


def _name_of(device: Any) -> str:
    return "CPU" if device.platform == "cpu" else f"GPU: {device.device_kind}"


def use_devices(n: int, *, kind: str) -> None:
    """Share steps among `n` devices of a kind from now on; a CPU is divided into `n`.

    `RuntimeError` if a CPU would have to be divided after JAX has started.
    """
    global _mesh
    if processes.n_processes() > 1:
        return  # all devices of the job
    if n > 1 and kind == "cpu" and jax.config.jax_num_cpu_devices < n:
        jax.config.update("jax_num_cpu_devices", n)
    _mesh = jax.sharding.Mesh(np.array(jax.devices(kind)[:n]), ("devices",)) if n > 1 else None


def n_devices() -> int:
    """Return among how many devices steps are shared."""
    return 1 if _mesh is None else int(_mesh.size)


def be_deterministic() -> None:
    """Have every operation give the same bits each time; before JAX has started."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if _DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = " ".join([*flags, _DETERMINISTIC])


def limit_to_cpu() -> None:
    """Make the CPU the default device."""
    jax.config.update("jax_default_device", jax.local_devices(backend="cpu")[0])


def set_memory_growth() -> None:
    """Do nothing: the environment set before the import of JAX turns preallocation off."""
