"""The network of ELSA: one unit vector an item, and nothing else."""

from typing import Any

from recsys_lib.checks import Floats
from recsys_lib.models.networks.outputs import OutputNetwork
from recsys_lib.models.networks.parts import dense, has_entries, mean_over_users
from recsys_lib.training._keras import ops
from recsys_lib.training.rows import Batch
from recsys_lib.training.scoring import linear

Tensor = Any

_TINY = 1e-12


class LinearNetwork(OutputNetwork):
    """ELSA: rows times ``A A^T - I``, where the rows of `A` have the length 1."""

    terms = ("error",)

    def __init__(self, settings: Any, item_bias: Floats) -> None:
        super().__init__(settings, item_bias)
        self.item_bias = item_bias
        width, seed = settings.latent_dim, settings.seed
        self.layers = [dense(self.n_items, width, "items", seed=seed, use_bias=False)]

    def tables(self) -> list[Any]:
        """Return the variables with one row an item."""
        return [self.layers[0].kernel]

    def vectors(self, rows: Tensor) -> Tensor:
        """Return the unit vectors of weights of shape (n, latent_dim), float32."""
        rows = ops.convert_to_tensor(rows)
        return rows * ops.rsqrt(ops.sum(ops.square(rows), axis=1, keepdims=True) + _TINY)

    def code(self, batch: Batch, vectors: Tensor, values: Tensor | None = None) -> Tensor:
        """Return the sum of the vectors of each row's items, times `values`."""
        product = batch.project(vectors, values, dtype=self.layers[0].compute_dtype)
        return ops.cast(product, "float32")

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the squared distance of the directions of scores and row, given the noisy row."""
        del update
        shown = batch.values * self.keep(batch)
        vectors = self.vectors(batch.weights(self.layers[0].kernel))
        code = self.code(batch, vectors, shown)
        # |c A' - x|^2 with c = x A, through the small matrix A' A instead of all scores.
        gram = ops.matmul(ops.transpose(vectors), batch.times_weights(vectors))
        through = ops.sum((ops.matmul(code, gram) - 2.0 * code) * code, axis=1)
        squares = through + batch.row_sum(ops.square(shown))
        own = (batch.at_slots(code, vectors) - shown) * batch.used
        length = batch.row_sum(ops.square(batch.values))
        product = batch.row_sum(own * batch.values)
        cosine = product * ops.rsqrt(ops.maximum(squares * length, _TINY))
        error = mean_over_users(batch, (2.0 - 2.0 * cosine) * ops.cast(length > 0, "float32"))
        return error + self.penalty(self.layers, batch), {"error": error}

    def score(self, batch: Batch) -> Tensor:
        """Return scores of shape (n_rows, n_items); popularity for an empty row."""
        vectors = self.vectors(self.layers[0].kernel)
        code = self.code(batch, vectors)
        scores = linear(code, ops.transpose(vectors)) - batch.dense()
        return scores + (1.0 - has_entries(batch)) * self.item_bias
