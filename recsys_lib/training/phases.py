"""The phases of an epoch and its monitor, as plain data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recsys_lib.training.passes import Loss

__all__ = ["Monitor", "Phase", "check_disjoint"]


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
    variables: Sequence[Any]
    optimizer: Any
    passes: int = 1
    name: str = ""
    before: Callable[[], None] | None = None


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
    every : int
        Epochs between measurements; the last epoch is always measured.
    """

    measure: Callable[[], Mapping[str, float]]
    watch: str | None = None
    goal: Literal["min", "max"] = "min"
    patience: int | None = None
    every: int = 1


def check_disjoint(phases: Sequence[Phase]) -> None:
    """Raise `ValueError` where two phases move the same variable."""
    seen: set[int] = set()
    for phase in phases:
        mine = {id(variable) for variable in phase.variables}
        if seen & mine:
            raise ValueError(
                "`phases` must move disjoint variables; "
                f"phase {phase.name!r} shares some with an earlier one. Split them."
            )
        seen |= mine
