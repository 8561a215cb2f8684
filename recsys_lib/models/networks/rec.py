"""The network of RecVAE: a dense-connected encoder, a linear decoder, a composite prior."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.models.networks.outputs import OutputNetwork
from recsys_lib.models.networks.parts import (
    Decoder,
    DenselyConnected,
    GaussianNetwork,
    apply_first,
    mean_over_users,
    sample,
    weights_of,
)
from recsys_lib.training import backend
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.rows import Batch
from recsys_lib.training.scoring import Scorer
from recsys_lib.training.trainer import Phase

Tensor = Any

WIDE_LOG_VARIANCE = 10.0


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the log density of N(mean, exp(log_variance)) at `z`, entry by entry."""
    scaled = ops.square(z - mean) / ops.exp(log_variance)
    return -0.5 * (math.log(2 * math.pi) + log_variance + scaled)


def log_composite_prior(
    z: Tensor, old_mean: Tensor, old_log_variance: Tensor, weights: Sequence[float]
) -> Tensor:
    """Return the log density of the composite prior at `z`, entry by entry.

    Parameters
    ----------
    z, old_mean, old_log_variance : tensor of shape (n_rows, latent_dim)
    weights : sequence of three float
        Shares of N(0, 1), of the old posterior and of the wide N(0, e^10); a share may be 0.
    """
    zero = ops.zeros_like(z)
    parts = [
        log_normal(z, zero, zero),
        log_normal(z, old_mean, old_log_variance),
        log_normal(z, zero, zero + WIDE_LOG_VARIANCE),
    ]
    shares = [
        part + math.log(weight) for part, weight in zip(parts, weights, strict=True) if weight > 0
    ]
    return ops.logsumexp(ops.stack(shares), axis=0)


def sampled_divergence(log_p: Tensor, noise: Tensor, log_variance: Tensor) -> Tensor:
    """Return ``log q(z|x) - log p(z|x)`` at one sample of each row, summed over dimensions.

    Parameters
    ----------
    log_p : tensor of shape (n_rows, latent_dim)
        The prior at ``z = mean + exp(log_variance / 2) * noise``.
    noise, log_variance : tensor of shape (n_rows, latent_dim)

    Returns
    -------
    tensor of shape (n_rows,)
        Its mean over the noise is the divergence; one draw may be negative.
    """
    log_q = -0.5 * (math.log(2 * math.pi) + log_variance + ops.square(noise))
    return ops.sum(log_q - log_p, axis=1)


class DenselyConnectedEncoder(DenselyConnected):
    """Rows to mean and log variance."""

    def __init__(self, settings: Any, n_items: int, *, depth: int = 5) -> None:
        widths = [n_items, *[settings.hidden_dim] * depth, 2 * settings.latent_dim]
        super().__init__(widths, seed=settings.seed, part="encoder")

    def __call__(self, batch: Batch, values: Tensor) -> Tensor:
        """Return mean and log variance side by side, (n_rows, 2 latent_dim)."""
        return self.after(apply_first(self.hidden[0], batch, values))


class CompositeNetwork(OutputNetwork, GaussianNetwork):
    """RecVAE: encoder and decoder move in turns; the prior remembers the encoder before."""

    def __init__(self, settings: Any, item_bias: NDArray[np.float32]) -> None:
        super().__init__(settings, item_bias)
        self.encoder = DenselyConnectedEncoder(settings, self.n_items)
        by_item = self.n_drawn is not None
        self.decoder = Decoder(
            settings.latent_dim, (), item_bias, seed=settings.seed, by_item=by_item
        )
        self.layers = [*self.encoder.layers, *self.decoder.layers]
        self.old: Any = None

    @property
    def state(self) -> list[Any]:
        """Everything that the losses read or write."""
        return [self.layers, self.seeds, *([] if self.old is None else [self.old])]

    def remember(self, user_items: sparse.csr_array, *, gather: bool = False) -> None:
        """Keep what the encoder says now of each training user, as the old encoder's answer."""
        encode = Scorer(
            self.encode,
            n_items=self.n_items,
            n_out=2 * self.settings.latent_dim,
            state=weights_of(self.layers),
            gather=gather,
        )
        # One row more than there are users: the one of the padding in the last batch.
        start = np.pad(encode(user_items), ((0, 1), (0, 0)))
        self.old = keras.Variable(start, trainable=False, name="old")

    def phases(self) -> list[Phase]:
        """Return the encoder's and the decoder's phase, each with its own optimizer."""
        both, one = ("reconstruction", "kl"), ("reconstruction",)
        halves = [
            ("encoder", self.encoder_loss, both, self.encoder, self.settings.encoder_passes),
            ("decoder", self.decoder_loss, one, self.decoder, self.settings.decoder_passes),
        ]
        return [
            self.phase(loss, terms, half.layers, name=name, passes=passes)
            for name, loss, terms, half, passes in halves
        ]

    def encoder_loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return likelihood and weighted divergence from the prior, with noise on the input."""
        del update
        kept = self.keep(batch)
        mean, log_variance = self.posterior(batch, self.noisy(batch, kept))
        z, noise = sample(mean, log_variance, self.seeds)
        nll = self.nll(batch, z, kept)
        log_p = log_composite_prior(z, *self.remembered(batch), self.settings.prior_weights)
        kl = sampled_divergence(log_p, noise, log_variance)
        weighted = mean_over_users(batch, self.settings.gamma * batch.row_sum(batch.values) * kl)
        terms = {"reconstruction": nll, "kl": mean_over_users(batch, kl)}
        return nll + weighted + self.penalty(self.encoder.layers, batch), terms

    def remembered(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the old encoder, a constant of the objective."""
        both = ops.stop_gradient(ops.take(self.old, batch.users, axis=0))
        latent_dim = self.settings.latent_dim
        return both[:, :latent_dim], both[:, latent_dim:]

    def decoder_loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the likelihood without noise on the input, and remember what the encoder says.

        During this phase the encoder is exactly what the prior will call the old one, and it runs
        on every user without dropout: its answers are kept, so that no second encoder is needed.
        """
        del update
        mean, log_variance = self.posterior(batch)
        backend.write_rows(self.old, batch.users, ops.concatenate([mean, log_variance], axis=1))
        kept = ops.ones_like(batch.used)
        if self.settings.targets == "hidden":
            kept = self.keep(batch)
            mean, log_variance = self.posterior(batch, self.noisy(batch, kept))
        z, _ = sample(ops.stop_gradient(mean), ops.stop_gradient(log_variance), self.seeds)
        nll = self.nll(batch, z, kept)
        return nll + self.penalty(self.decoder.layers, batch), {"reconstruction": nll}
