"""The network of the rating autoencoder: rows of ratings in, expected ratings out.

Importing this module starts Keras; the model imports it where it builds a network.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from recsys_lib.checks import Floats
from recsys_lib.models.networks.parts import Network, dense, keep_mask, uniform
from recsys_lib.seeding import seed_from
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.rows import Batch

Tensor = Any

# Inputs are divided by sqrt(1 + n / 20): the sum of 1000 ratings would saturate the first layer,
# and that of 5 should not be blown up.
HISTORY = 20.0


class Base(NamedTuple):
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
    items: Floats
    user_damping: float
    scale: tuple[float, float]
    spread: float
    margin: float


class RatingNetwork(Network):
    """The layers ``n_items - hidden_dims - reversed - n_items``, their loss, measure and scores.

    Parameters
    ----------
    settings : Autoencoder
    base : Base
    """

    terms = ("error",)

    def __init__(self, settings: Any, base: Base) -> None:
        super().__init__(settings, len(base.items))
        self.base, self.all_cells = base, settings.loss_on == "all"
        self.activation = keras.activations.get(settings.activation)
        names = ("hidden entries", "dropout")
        self._seeds = {name: seed_from(settings.seed, name) for name in names}
        encoder = tuple(settings.hidden_dims)
        #: Of the hidden layers.
        self.widths = [*encoder, *reversed(encoder[:-1])]
        n_items, first = self.n_items, self.widths[0]
        linear = partial(dense, seed=settings.seed)
        self.deviations_in = linear(n_items, first, "deviations_in")
        self.mask_in = linear(n_items, first, "mask_in", use_bias=False)
        pairs = enumerate(zip(self.widths[:-1], self.widths[1:], strict=True), start=1)
        hidden = [linear(*widths, f"hidden_{place}") for place, widths in pairs]
        # Small weights let training start from the base.
        seed = seed_from(settings.seed, "ratings_out")
        small = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        last = linear(self.widths[-1], n_items, "ratings_out", kernel_initializer=small)
        self.later = [*hidden, last]
        self.layers = [self.deviations_in, self.mask_in, *self.later]

    def optimizer(self) -> Any:
        """Return a fresh optimizer of the kind that the settings name."""
        config = {"learning_rate": self.settings.learning_rate}
        return keras.optimizers.get({"class_name": self.settings.optimizer, "config": config})

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the objective, as a share of the squared scale, and the squared error in it."""
        n_slots = ops.shape(batch.used)[0]
        draws = uniform((n_slots,), seed=self._seeds["hidden entries"], update=update)
        shown = batch.used * ops.cast(draws >= self.settings.input_dropout, "float32")
        change, user = self._run(batch, shown, self._kept_units(batch, update))
        if self.all_cells:
            error, weight = _error_of_all_cells(batch, self._everywhere(change, user))
        else:
            weights = batch.used - (1.0 - self.settings.shown_weight) * shown
            error, weight = self._error_at(batch, change, user, weights), ops.sum(weights)
        span = self.base.scale[1] - self.base.scale[0]
        objective = error / ops.maximum(weight, 1.0) / span**2 + self.penalty(self.layers, batch)
        return objective, {"error": (error, weight)}

    def score(self, batch: Batch) -> Tensor:
        """Return expected ratings of shape (n_rows, n_items), without noise."""
        return self._everywhere(*self._run(batch, batch.used))

    def encode(self, batch: Batch) -> Tensor:
        """Return the code of each row, of shape (n_rows, hidden_dims[-1]), without noise."""
        code, _ = self._enter(batch, batch.used)
        code = self.activation(code)
        for layer in self.later[: len(self.settings.hidden_dims) - 1]:
            code = self.activation(layer(code))
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
        for place, layer in enumerate(self.later):
            change = self.activation(change)
            if kept is not None:
                change = change * ops.cast(kept[place], change.dtype)
            change = layer(change)
        # Of a row that shows nothing the base is all that can be said.
        known = ops.cast(batch.row_sum(shown) > 0, "float32")
        return ops.cast(change, "float32") * known[:, None], user

    def _everywhere(self, change: Tensor, user: Tensor) -> Tensor:
        """Return the rating of every cell."""
        items = ops.convert_to_tensor(self.base.items)
        return self._refine(self.base.mean + user[:, None] + items[None, :], change)

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

    def _kept_units(self, batch: Batch, update: Tensor) -> list[Tensor] | None:
        """Draw dropout masks for the hidden layers, all at once."""
        rate = self.settings.dropout
        if rate == 0:
            return None
        shape = (batch.n_rows, sum(self.widths))
        mask = keep_mask(shape, rate, seed=self._seeds["dropout"], update=update)
        ends = np.cumsum(self.widths)
        parts = zip(ends - self.widths, ends, strict=True)
        return [mask[:, start:end] for start, end in parts]

    def _enter(self, batch: Batch, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Return what enters the first activation, and the bias of each user."""
        rest = (batch.values - self.base.mean - batch.at(self.base.items)) * shown
        n_shown = batch.row_sum(shown)
        user = batch.row_sum(rest) / ops.maximum(n_shown + self.base.user_damping, 1e-12)
        deviations = (rest - batch.spread(user) * shown) / self.base.spread
        shrink = batch.spread(ops.rsqrt(1.0 + n_shown / HISTORY))
        dtype = self.deviations_in.compute_dtype
        values = batch.project(self.deviations_in.kernel, deviations * shrink, dtype=dtype)
        mask = batch.project(self.mask_in.kernel, shown * shrink, dtype=dtype)
        return values + mask + ops.cast(self.deviations_in.bias, dtype), user


def _error_of_all_cells(batch: Batch, ratings: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared error against dense rows, and the number of cells, without dense rows."""
    everywhere = ops.sum(ops.square(ratings) * batch.present[:, None])
    # (y - r)^2 - y^2 at what is stored.
    stored = batch.values * (batch.values - 2.0 * batch.pick(ratings)) * batch.used
    return everywhere + ops.sum(stored), ops.sum(batch.present) * batch.n_items
