"""The networks of Mult-DAE and Mult-VAE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.models.networks.losses import gaussian_kl, linear_anneal, mean_over_users
from recsys_lib.models.networks.parts import (
    Decoder,
    Encoder,
    has_entries,
    keep,
    penalty,
    popular_scores,
    reconstruction,
    sample,
    unit_rows,
    weights_of,
)
from recsys_lib.seeding import seed_from
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.rows import Batch
from recsys_lib.training.trainer import Phase

__all__ = ["DenoisingNetwork", "VariationalNetwork"]

Tensor = Any


class _MultinomialNetwork:
    """Encoder, decoder and noise of one Mult-DAE or Mult-VAE."""

    terms: tuple[str, ...] = ("reconstruction",)
    # What the head of the encoder says of each latent dimension.
    numbers_per_dimension = 1

    def __init__(
        self,
        item_bias: NDArray[np.float32],
        *,
        hidden_dims: Sequence[int],
        latent_dim: int,
        dropout: float,
        l2: float,
        learning_rate: float,
        seed: int,
        targets: str = "all",
        likelihood: str = "multinomial",
    ) -> None:
        self.n_items, self.latent_dim = len(item_bias), latent_dim
        self.dropout, self.l2, self.learning_rate = dropout, l2, learning_rate
        self.targets, self.likelihood = targets, likelihood
        units = self.numbers_per_dimension * latent_dim
        self.encoder = Encoder(self.n_items, hidden_dims, units, seed=seed)
        start = popular_scores(item_bias, likelihood)
        self.decoder = Decoder(latent_dim, hidden_dims[::-1], start, seed=seed)
        self.layers = [*self.encoder.layers, *self.decoder.layers]
        self.seeds = keras.random.SeedGenerator(seed_from(seed, "noise"))

    @property
    def state(self) -> list[Any]:
        """Everything that the loss reads or writes."""
        return [self.layers, self.seeds]

    def phases(self) -> list[Phase]:
        """Return the one phase that trains everything."""
        return [
            Phase(
                loss=self.loss,
                terms=self.terms,
                variables=weights_of(self.layers),
                optimizer=keras.optimizers.Adam(self.learning_rate),
            )
        ]

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the objective and its named terms."""
        raise NotImplementedError

    def noisy(self, batch: Batch, kept: Tensor) -> Tensor:
        """Return the unit rows after dropout."""
        return unit_rows(batch) * kept / (1.0 - self.dropout)

    def nll(self, batch: Batch, logits: Tensor, kept: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of what is to be predicted."""
        return reconstruction(batch, logits, kept, self.targets, self.likelihood)


class DenoisingNetwork(_MultinomialNetwork):
    """Mult-DAE: a tanh code, no noise but that on the input."""

    def code(self, batch: Batch, values: Tensor) -> Tensor:
        """Return the code of each row, 0 for an empty one; `values` is what the encoder sees."""
        return ops.tanh(self.encoder(batch, values)) * has_entries(batch)

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the likelihood of the row, given the noisy one."""
        del update
        kept = keep(batch, self.dropout, self.seeds)
        nll = self.nll(batch, self.decoder(self.code(batch, self.noisy(batch, kept))), kept)
        return nll + penalty(self.layers, self.l2), {"reconstruction": nll}

    def score(self, batch: Batch) -> Tensor:
        """Return logits of shape (n_rows, n_items), without noise."""
        return self.decoder(self.code(batch, unit_rows(batch)))


class VariationalNetwork(_MultinomialNetwork):
    """Mult-VAE: a Gaussian code, whose divergence from N(0, 1) is annealed in."""

    terms = ("reconstruction", "kl", "anneal")
    numbers_per_dimension = 2

    def __init__(
        self, *arguments: Any, anneal_cap: float, anneal_steps: int, **others: Any
    ) -> None:
        super().__init__(*arguments, **others)
        self.anneal_cap, self.anneal_steps = anneal_cap, anneal_steps

    def posterior(self, batch: Batch, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the code of each row; 0 and 0 for an empty one."""
        both = self.encoder(batch, values) * has_entries(batch)
        return both[:, : self.latent_dim], both[:, self.latent_dim :]

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the negative evidence bound, its divergence weighted by the annealing."""
        kept = keep(batch, self.dropout, self.seeds)
        mean, log_variance = self.posterior(batch, self.noisy(batch, kept))
        code, _ = sample(mean, log_variance, self.seeds)
        nll = self.nll(batch, self.decoder(code), kept)
        kl = mean_over_users(batch, gaussian_kl(mean, log_variance))
        anneal = linear_anneal(update, n_updates=self.anneal_steps, cap=self.anneal_cap)
        objective = nll + anneal * kl + penalty(self.layers, self.l2)
        return objective, {"reconstruction": nll, "kl": kl, "anneal": anneal}

    def score(self, batch: Batch) -> Tensor:
        """Return logits of shape (n_rows, n_items) at the mean code."""
        return self.decoder(self.posterior(batch, unit_rows(batch))[0])

    def encode(self, batch: Batch) -> Tensor:
        """Return mean and log variance side by side, (n_rows, 2 latent_dim), without noise."""
        return ops.concatenate(self.posterior(batch, unit_rows(batch)), axis=1)
