"""The network of the rating autoencoder: rows of ratings in, expected ratings out.

Importing this module starts Keras; the model imports it where it builds a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.models.networks.parts import dense, keep_mask, uniform
from recsys_lib.seeding import seed_from
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.rows import Batch

__all__ = ["Base", "Noise", "RatingNetwork", "build"]

Tensor = Any

# Inputs are divided by sqrt(1 + n / 20): the sum of 1000 ratings would saturate the first layer,
# and that of 5 should not be blown up.
HISTORY = 20.0


@dataclass(frozen=True)
class Base:
    """What is expected of a rating before the network has looked at the row.

    Attributes
    ----------
    mean : float
        In units of the ratings, like all below.
    items : ndarray of shape (n_items,), float32
        How much above the mean an item is rated.
    user_damping : float
        Imagined ratings at the base in each row; infinity leaves the user bias out.
    scale : tuple of two float
        What the output can reach.
    spread : float
        The unit of the input.
    margin : float
        Share of the scale that the start keeps from its ends, where the sigmoid has no slope.
    """

    mean: float
    items: NDArray[np.float32]
    user_damping: float
    scale: tuple[float, float]
    spread: float
    margin: float


@dataclass(frozen=True)
class Noise:
    """What training hides.

    Attributes
    ----------
    hidden_share : float
        Share of the entries of a row that the encoder does not see.
    shown_weight : float
        Weight of the error on an entry that it does see; 1 on the others.
    dropout : float
        Share of each hidden layer that is dropped.
    """

    hidden_share: float
    shown_weight: float
    dropout: float


class RatingNetwork:
    """The loss, the measures and the scores around a network that `build` made.

    Parameters
    ----------
    network : keras.Model
        From `build`, or read from a file.
    base : Base
    noise : Noise
    all_cells : bool
        Whether the loss is about all cells, with 0 where nothing is stored, or about the ratings.
    l2 : float
        Penalty of the kernels.
    n_encoder : int
        Layers of the encoder.
    seed : int
        Of what is hidden and dropped.
    """

    def __init__(
        self,
        network: Any,
        base: Base,
        *,
        noise: Noise,
        all_cells: bool,
        l2: float,
        n_encoder: int,
        seed: int,
    ) -> None:
        self.network, self.base, self.noise = network, base, noise
        self.all_cells, self.l2, self.n_encoder = all_cells, l2, n_encoder
        self._seeds = {name: seed_from(seed, name) for name in ("hidden entries", "dropout")}
        self._first = network.get_layer("deviations_in")
        self._mask = network.get_layer("mask_in")
        self._tail = network.get_layer("tail").layers

    @property
    def state(self) -> list[Any]:
        """Everything that the loss reads or writes."""
        return [self.network]

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the objective, as a share of the squared scale, and the squared error in it."""
        n_slots = ops.shape(batch.used)[0]
        draws = uniform((n_slots,), seed=self._seeds["hidden entries"], update=update)
        shown = batch.used * ops.cast(draws >= self.noise.hidden_share, "float32")
        change, user = self._run(batch, shown, self._kept_units(batch, update))
        if self.all_cells:
            error, weight = _error_of_all_cells(batch, self._everywhere(change, user))
        else:
            weights = batch.used - (1.0 - self.noise.shown_weight) * shown
            error, weight = self._error_at(batch, change, user, weights), ops.sum(weights)
        span = self.base.scale[1] - self.base.scale[0]
        objective = error / ops.maximum(weight, 1.0) / span**2 + self.penalty()
        return objective, {"error": (error, weight)}

    def penalty(self) -> Tensor:
        """Return l2 times the squared norm of the kernels."""
        if self.l2 == 0:
            return ops.zeros(())
        kernels = [weight for weight in self.network.trainable_variables if len(weight.shape) == 2]
        return self.l2 * sum(ops.sum(ops.square(kernel)) for kernel in kernels)

    def score(self, batch: Batch) -> Tensor:
        """Return expected ratings of shape (n_rows, n_items), without noise."""
        return self._everywhere(*self._run(batch, batch.used))

    def encode(self, batch: Batch) -> Tensor:
        """Return the code of each row, of shape (n_rows, hidden_dims[-1]), without noise."""
        code, _ = self._enter(batch, batch.used)
        for layer in self._tail:
            code = layer(code)
            if layer.name == f"active_{self.n_encoder - 1}":
                break
        return ops.cast(code, "float32")

    def measure(self, batch: Batch) -> dict[str, Any]:
        """Measure the squared error on the targets, or, in a pass without any, on the row."""
        change, user = self._run(batch, batch.used)
        asked = batch if batch.targets is None else batch.targets
        if not self.all_cells:
            error = self._error_at(asked, change, user, asked.used)
            return {"error": (error, ops.sum(asked.used))}
        ratings = self._everywhere(change, user)
        error, weight = _error_of_all_cells(asked, ratings)
        if batch.targets is not None:  # what the model was shown is no prediction
            error -= ops.sum(batch.used * ops.square(batch.pick(ratings)))
            weight -= ops.sum(batch.used)
        return {"error": (error, weight)}

    def _run(
        self, batch: Batch, shown: Tensor, kept: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the change of every logit, and the user bias, from what is `shown`."""
        change, user = self._enter(batch, shown)
        place = 0
        for layer in self._tail:
            change = layer(change)
            if kept is not None and layer.name.startswith("active_"):
                change = change * ops.cast(kept[place], change.dtype)
                place += 1
        # Of a row that shows nothing the base is all that can be said.
        known = ops.cast(batch.row_sum(shown) > 0, "float32")
        return ops.cast(change, "float32") * known[:, None], user

    def _everywhere(self, change: Tensor, user: Tensor) -> Tensor:
        """Return the rating of every cell."""
        return self._refine(self.base.mean + user[:, None] + self._items()[None, :], change)

    def _error_at(self, asked: Batch, change: Tensor, user: Tensor, weights: Tensor) -> Tensor:
        """Return the squared error at the slots of `asked`, and look at no other cell."""
        expected = self.base.mean + asked.spread(user) + asked.at(self.base.items)
        ratings = self._refine(expected, asked.pick(change))
        return ops.sum(weights * ops.square(ratings - asked.values))

    def _refine(self, expected: Tensor, change: Tensor) -> Tensor:
        """Move the expected ratings by `change` on the scale of logits."""
        lo, hi = self.base.scale
        start = ops.clip((expected - lo) / (hi - lo), self.base.margin, 1.0 - self.base.margin)
        return lo + (hi - lo) * ops.sigmoid(ops.log(start / (1.0 - start)) + change)

    def _items(self) -> Tensor:
        return ops.convert_to_tensor(self.base.items)

    def _kept_units(self, batch: Batch, update: Tensor) -> list[Tensor] | None:
        """Draw dropout masks for the hidden layers, all at once."""
        if self.noise.dropout == 0:
            return None
        widths = [layer.output.shape[-1] for layer in self._tail if layer.name.startswith("active")]
        shape, seed = (batch.n_rows, sum(widths)), self._seeds["dropout"]
        mask = keep_mask(shape, self.noise.dropout, seed=seed, update=update)
        ends = np.cumsum(widths)
        parts = zip(ends - widths, ends, strict=True)
        return [mask[:, start:end] for start, end in parts]

    def _enter(self, batch: Batch, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Return what enters the first activation, and the bias of each user."""
        rest = (batch.values - self.base.mean - batch.at(self.base.items)) * shown
        n_shown = batch.row_sum(shown)
        user = batch.row_sum(rest) / ops.maximum(n_shown + self.base.user_damping, 1e-12)
        deviations = (rest - batch.spread(user) * shown) / self.base.spread
        shrink = batch.spread(ops.rsqrt(1.0 + n_shown / HISTORY))
        dtype = self._first.compute_dtype
        values = batch.project(ops.cast(self._first.kernel, dtype), deviations * shrink)
        mask = batch.project(ops.cast(self._mask.kernel, dtype), shown * shrink)
        return values + mask + ops.cast(self._first.bias, dtype), user


def build(n_items: int, hidden_dims: Sequence[int], *, activation: str, seed: int) -> Any:
    """Return the functional model (deviations, mask) -> change of the logits.

    Parameters
    ----------
    n_items : int
    hidden_dims : sequence of int
        Widths of the encoder; the decoder mirrors them.
    activation : str
        Of every hidden layer.
    seed : int

    Returns
    -------
    keras.Model
    """

    def linear(name: str, units: int, **options: Any) -> Any:
        return dense(units, None, seed=seed_from(seed, name), name=name, **options)

    widths = [*hidden_dims, *reversed(hidden_dims[:-1])]
    parts: list[Any] = []
    for place, width in enumerate(widths):
        if place > 0:
            parts.append(linear(f"hidden_{place}", width))
        parts.append(keras.layers.Activation(activation, name=f"active_{place}"))
    # Small weights let training start from the base.
    small = keras.initializers.RandomNormal(stddev=0.01, seed=seed_from(seed, "ratings_out"))
    parts.append(linear("ratings_out", n_items, kernel_initializer=small))
    tail = keras.Sequential([keras.Input((widths[0],)), *parts], name="tail")
    inputs = [keras.Input((n_items,), name=name) for name in ("deviations", "mask")]
    entered = [
        linear("deviations_in", widths[0])(inputs[0]),
        linear("mask_in", widths[0], use_bias=False)(inputs[1]),
    ]
    return keras.Model(inputs, tail(keras.layers.Add(name="both")(entered)), name="autoencoder")


def _error_of_all_cells(batch: Batch, ratings: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared error against dense rows, and the number of cells, without dense rows."""
    everywhere = ops.sum(ops.square(ratings) * batch.present[:, None])
    # (y - r)^2 - y^2 at what is stored.
    stored = batch.values * (batch.values - 2.0 * batch.pick(ratings)) * batch.used
    return everywhere + ops.sum(stored), ops.sum(batch.present) * batch.n_items
