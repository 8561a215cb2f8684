"""The JAX side of `recsys_lib.training.backend`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from recsys_lib.training.quiet import keras

Tensor = Any
Arrays = tuple[Mapping[str, Tensor], ...]
Slots = tuple[NDArray[np.int32], ...]

# Share of stored entries below which gathering beats the dense product.
GATHER_DENSITY = 0.008


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
    state: Sequence[Any] = (),
    variables: Sequence[Any] = (),
    optimizer: Any = None,
    jit: bool = False,
) -> Callable[[Arrays, NDArray[np.int32], Slots, int], NDArray[np.float32]]:
    """Compile a loop over steps; as in `backend_tensorflow`, but `state` must be complete."""
    del jit  # JAX always compiles with XLA
    moving = {id(variable) for variable in variables}
    others = [variable for variable in state if id(variable) not in moving]
    slots_of = [] if optimizer is None else optimizer.variables

    def objective(
        values: list[Tensor], kept: list[Tensor], arrays: Arrays, users: Tensor, slots: Tensor
    ) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        mapping = [*zip(variables, values, strict=True), *zip(others, kept, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            loss, totals = step(arrays, users, slots)
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
        held: tuple[Any, ...], arrays: Arrays, orders: Tensor, slots: Tensor, n_steps: Tensor
    ) -> tuple[Any, ...]:
        def body(index: Tensor, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            return take_step(carry, arrays, orders[index], slots)

        return jax.lax.fori_loop(0, n_steps, body, (*held, jnp.zeros((n_terms, 2))))

    groups = (list(variables), others, slots_of)

    def call(
        arrays: Arrays, orders: NDArray[np.int32], slots: Slots, n_steps: int
    ) -> NDArray[np.float32]:
        held = tuple([variable.value for variable in group] for group in groups)
        *values, totals = run(held, arrays, orders, slots, n_steps)
        if optimizer is None:
            return np.array(totals)
        for group, new in zip(groups, values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return np.array(totals)

    return call


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
    devices = jax.devices()
    return ["CPU", *(f"GPU: {d.device_kind}" for d in devices if d.platform != "cpu")]


def limit_to_cpu() -> None:
    """Make the CPU the default device."""
    jax.config.update("jax_default_device", jax.devices("cpu")[0])


def set_memory_growth() -> None:
    """Do nothing: the environment set before the import of JAX turns preallocation off."""
