"""Weights on the host: flattening, copies, and their running average over epochs."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.training.quiet import keras

__all__ = ["RunningAverage", "assign_weights", "copy_weights", "variables_of"]

Weights = list[NDArray[Any]]


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


def copy_weights(variables: Sequence[Any]) -> Weights:
    """Return the values of `variables` as arrays that later updates don't touch."""
    # Not np.array(...): TensorFlow does not know its copy keyword, of which NumPy 2 warns.
    return [np.asarray(variable.value).copy() for variable in variables]


def assign_weights(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Set each variable to its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class RunningAverage:
    """An exponential average of weights, one term an epoch.

    Averaging steps back from the noise of the last updates, which a constant learning rate never
    settles: with dropout it is worth more than any single regularizer.

    Parameters
    ----------
    variables : sequence of keras.Variable
        What is averaged.
    share : float
        Weight of the past, in [0, 1). The average starts from the weights after the first epoch.

    References
    ----------
    .. [1] B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
       Journal on Control and Optimization 30(4), 1992.
    """

    def __init__(self, variables: Sequence[Any], share: float) -> None:
        self.variables, self.share = list(variables), share
        self.values: Weights = []

    def update(self) -> None:
        """Take in the weights as they are now."""
        current = copy_weights(self.variables)
        if not self.values:
            self.values = current
        self.values = [
            self.share * past + (1.0 - self.share) * value
            for past, value in zip(self.values, current, strict=True)
        ]

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the place of the weights for the length of the block."""
        current = copy_weights(self.variables)
        assign_weights(self.variables, self.values)
        try:
            yield
        finally:
            assign_weights(self.variables, current)
