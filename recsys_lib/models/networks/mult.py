"""The networks of Mult-DAE and Mult-VAE."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.models.networks.outputs import OutputNetwork
from recsys_lib.models.networks.parts import (
    Decoder,
    Encoder,
    GaussianNetwork,
    gaussian_kl,
    has_entries,
    linear_anneal,
    mean_over_users,
    popular_scores,
    sample,
    unit_rows,
)
from recsys_lib.training._keras import ops
from recsys_lib.training.rows import Batch

Tensor = Any


class DenoisingNetwork(OutputNetwork):
    """Mult-DAE: a tanh code, no noise but that on the input."""

    # What the head of the encoder says of each latent dimension.
    numbers_per_dimension = 1

    def __init__(self, settings: Any, item_bias: NDArray[np.float32]) -> None:
        super().__init__(settings, item_bias)
        dims, seed = tuple(settings.hidden_dims), settings.seed
        units = self.numbers_per_dimension * settings.latent_dim
        self.encoder = Encoder(self.n_items, dims, units, seed=seed)
        start = popular_scores(item_bias, settings.likelihood)
        by_item = self.n_drawn is not None
        self.decoder = Decoder(settings.latent_dim, dims[::-1], start, seed=seed, by_item=by_item)
        self.layers = [*self.encoder.layers, *self.decoder.layers]

    def code(self, batch: Batch, values: Tensor) -> Tensor:
        """Return the code of each row, 0 for an empty one; `values` is what the encoder sees."""
        return ops.tanh(self.encoder(batch, values)) * has_entries(batch)

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the likelihood of the row, given the noisy one."""
        del update
        kept = self.keep(batch)
        nll = self.nll(batch, self.code(batch, self.noisy(batch, kept)), kept)
        return nll + self.penalty(self.layers, batch), {"reconstruction": nll}

    def score(self, batch: Batch) -> Tensor:
        """Return logits of shape (n_rows, n_items), without noise."""
        return self.decoder(self.code(batch, unit_rows(batch)))


class VariationalNetwork(GaussianNetwork, DenoisingNetwork):
    """Mult-VAE: a Gaussian code, whose divergence from N(0, 1) is annealed in."""

    terms = ("reconstruction", "kl", "anneal")
    numbers_per_dimension = 2

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the negative evidence bound, its divergence weighted by the annealing."""
        kept = self.keep(batch)
        mean, log_variance = self.posterior(batch, self.noisy(batch, kept))
        code, _ = sample(mean, log_variance, self.seeds)
        nll = self.nll(batch, code, kept)
        kl = mean_over_users(batch, gaussian_kl(mean, log_variance))
        steps, cap = self.settings.anneal_steps, self.settings.anneal_cap
        anneal = linear_anneal(update, n_updates=steps, cap=cap)
        objective = nll + anneal * kl + self.penalty(self.layers, batch)
        return objective, {"reconstruction": nll, "kl": kl, "anneal": anneal}
