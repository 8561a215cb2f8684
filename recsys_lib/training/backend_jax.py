"""The JAX side of `recsys_lib.training.backend`."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from recsys_lib.training._keras import keras

Tensor = Any
Arrays = tuple[Mapping[str, Tensor], ...]
Slots = tuple[NDArray[np.int32], ...]

# Where gathering beats the dense product: see `training.rows.gathers`.
GATHER = (0.3, 0.5)

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"

# The devices that share a step, where there is more than one.
_mesh: jax.sharding.Mesh | None = None


def to_device(array: NDArray[Any]) -> Tensor:
    """Return `array` as a device array."""
    return jnp.asarray(array)


def sparse_matmul(
    rows: Tensor, items: Tensor, values: Tensor, kernel: Tensor, n_rows: int
) -> Tensor:
    """Return the product of a sparse (n_rows, n_items) matrix in sorted slots with `kernel`."""
    gathered = jnp.asarray(kernel)[items] * values[:, None]
    return jax.ops.segment_sum(gathered, rows, n_rows, indices_are_sorted=True)


def write_rows(variable: Any, positions: Tensor, rows: Tensor) -> None:
    """Write `rows` into `variable` at `positions`; the last one wins."""
    variable.assign(jnp.asarray(variable.value).at[positions].set(rows))


def compile_pass(
    step: Callable[[Arrays, Tensor, Tensor], tuple[Tensor, Tensor]],
    *,
    n_terms: int,
    count: Callable[[], None],
    state: Sequence[Any] = (),
    variables: Sequence[Any] = (),
    optimizer: Any = None,
    jit: bool = False,
) -> Callable[..., NDArray[np.float32]]:
    """Compile a loop over steps; as in `backend_tensorflow`, but `state` must be complete.

    On several devices the users of a step are sharded and XLA divides the program: it is the same
    step, draws included.
    """
    del jit, n_terms  # JAX always compiles with XLA, and knows shapes
    moving = {id(variable) for variable in variables}
    others = [variable for variable in state if id(variable) not in moving]
    slots_of = [] if optimizer is None else optimizer.variables

    def objective(
        values: list[Tensor], kept: list[Tensor], arrays: Arrays, users: Tensor, slots: Tensor
    ) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        mapping = [*zip(variables, values, strict=True), *zip(others, kept, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            loss, totals = step(arrays, users, slots)
            count()
        return loss, (totals, [scope.get_current_value(variable) for variable in others])

    def take_step(carry: tuple[Any, ...], *batch: Any) -> tuple[Any, ...]:
        values, kept, memory, totals = carry
        if optimizer is None:
            _, (new, kept) = objective(values, kept, *batch)
            return values, kept, memory, totals + new
        differentiate = jax.value_and_grad(objective, has_aux=True)
        (_, (new, kept)), gradients = differentiate(values, kept, *batch)
        values, memory = optimizer.stateless_apply(memory, gradients, values)
        return list(values), kept, list(memory), totals + new

    @jax.jit  # type: ignore[untyped-decorator,unused-ignore]
    def run(
        held: tuple[Any, ...],
        arrays: Arrays,
        orders: Tensor,
        slots: Tensor,
        steps: tuple[Tensor, Tensor],
        totals: Tensor,
    ) -> tuple[Any, ...]:
        def body(index: Tensor, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            return take_step(carry, arrays, orders[index], slots)

        return jax.lax.fori_loop(*steps, body, (*held, totals))

    groups = (list(variables), others, slots_of)

    def call(
        arrays: Arrays,
        orders: NDArray[np.int32],
        slots: Slots,
        steps: tuple[int, int],
        totals: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        held = tuple([variable.value for variable in group] for group in groups)
        *values, totals = run(held, arrays, _shared(orders), slots, steps, totals)
        if optimizer is None:
            return np.array(totals)
        for group, new in zip(groups, values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return np.array(totals)

    return call


def _shared(orders: NDArray[np.int32]) -> Tensor:
    """Return the users of each step, each device's on it."""
    if _mesh is None:
        return orders
    by_user = jax.sharding.PartitionSpec(None, "users")
    return jax.device_put(orders, jax.sharding.NamedSharding(_mesh, by_user))


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
    device = jax.config.jax_default_device or jax.devices()[0]
    return "CPU" if device.platform == "cpu" else _name_of(device)


def _name_of(device: Any) -> str:
    return f"GPU: {device.device_kind}"


def use_devices(n: int, *, kind: str) -> None:
    """Share steps among `n` devices of a kind from now on; a CPU is divided into `n`.

    `RuntimeError` if a CPU would have to be divided after JAX has started.
    """
    global _mesh
    if n > 1 and kind == "cpu" and jax.config.jax_num_cpu_devices < n:
        jax.config.update("jax_num_cpu_devices", n)
    chosen = np.array(jax.devices(kind)[:n]) if n > 1 else None
    _mesh = None if chosen is None else jax.sharding.Mesh(chosen, ("users",))


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
    jax.config.update("jax_default_device", jax.devices("cpu")[0])


def set_memory_growth() -> None:
    """Do nothing: the environment set before the import of JAX turns preallocation off."""
