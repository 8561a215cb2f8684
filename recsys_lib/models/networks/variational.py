"""The networks of the variational family: of MultDAE and MultVAE, of RecVAE, and of VASP."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys_lib.checks import Floats, Mask
from recsys_lib.models.networks import parts
from recsys_lib.models.networks.outputs import OutputNetwork
from recsys_lib.training import backend
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.passes import Phase
from recsys_lib.training.rows import Batch

Tensor = Any

WIDE_LOG_VARIANCE = 10.0


class DenoisingNetwork(OutputNetwork):
    """Mult-DAE: a tanh code, no noise but that on the input."""

    # What the head of the encoder says of each latent dimension.
    numbers_per_dimension = 1

    def __init__(self, settings: Any, item_bias: Floats) -> None:
        super().__init__(settings, item_bias)
        dims, by_item = tuple(settings.hidden_dims), self.n_drawn is not None
        units = self.numbers_per_dimension * settings.latent_dim
        self.encoder = parts.Encoder(self.n_items, dims, units, seed=settings.seed)
        start = parts.popular_scores(item_bias, settings.likelihood)
        self.decoder = parts.Decoder(settings, dims[::-1], start, by_item=by_item)
        self.layers = [*self.encoder.layers, *self.decoder.layers]

    def code(self, batch: Batch, values: Tensor) -> Tensor:
        """Return the code of each row, 0 for an empty one; `values` is what the encoder sees."""
        return ops.tanh(self.encoder(batch, values)) * parts.has_entries(batch)

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the likelihood of the row, given the noisy one."""
        del update
        kept = self.keep(batch)
        nll = self.nll(batch, self.code(batch, self.noisy(batch, kept)), kept)
        return nll + self.penalty(self.layers, batch), {"reconstruction": nll}

    def score(self, batch: Batch) -> Tensor:
        """Return logits of shape (n_rows, n_items), without noise."""
        return self.decoder(self.code(batch, parts.unit_rows(batch)))


class VariationalNetwork(parts.GaussianNetwork, DenoisingNetwork):
    """Mult-VAE: a Gaussian code, whose divergence from N(0, 1) is annealed in."""

    terms = ("reconstruction", "kl", "anneal")
    numbers_per_dimension = 2

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the negative evidence bound, its divergence weighted by the annealing."""
        kept = self.keep(batch)
        mean, log_variance = self.posterior(batch, self.noisy(batch, kept))
        code, _ = parts.sample(mean, log_variance, self.seeds)
        nll = self.nll(batch, code, kept)
        kl = parts.mean_over_users(batch, parts.gaussian_kl(mean, log_variance))
        steps, cap = self.settings.anneal_steps, self.settings.anneal_cap
        anneal = parts.linear_anneal(update, n_updates=steps, cap=cap)
        objective = nll + anneal * kl + self.penalty(self.layers, batch)
        return objective, {"reconstruction": nll, "kl": kl, "anneal": anneal}


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
    densities = [
        log_normal(z, zero, zero),
        log_normal(z, old_mean, old_log_variance),
        log_normal(z, zero, zero + WIDE_LOG_VARIANCE),
    ]
    shares = [
        part + math.log(weight)
        for part, weight in zip(densities, weights, strict=True)
        if weight > 0
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


class DenselyConnectedEncoder(parts.DenselyConnected):
    """Rows to mean and log variance."""

    def __init__(self, settings: Any, n_items: int, *, depth: int = 5) -> None:
        widths = [n_items, *[settings.hidden_dim] * depth, 2 * settings.latent_dim]
        super().__init__(widths, seed=settings.seed, part="encoder")

    def __call__(self, batch: Batch, values: Tensor) -> Tensor:
        """Return mean and log variance side by side, (n_rows, 2 latent_dim)."""
        return self.after(parts.apply_first(self.hidden[0], batch, values))


class CompositeNetwork(OutputNetwork, parts.GaussianNetwork):
    """RecVAE: encoder and decoder move in turns; the prior remembers the encoder before."""

    def __init__(self, settings: Any, item_bias: Floats) -> None:
        super().__init__(settings, item_bias)
        self.encoder = DenselyConnectedEncoder(settings, self.n_items)
        self.decoder = parts.Decoder(settings, (), item_bias, by_item=self.n_drawn is not None)
        self.layers = [*self.encoder.layers, *self.decoder.layers]
        self.old: Any = None

    @property
    def state(self) -> list[Any]:
        """Everything that the losses read or write."""
        return [self.layers, self.seeds, *([] if self.old is None else [self.old])]

    def remember(self, codes: Floats) -> None:
        """Keep what the encoder says now of each training user, as the old encoder's answer."""
        # One row more than there are users: the one of the padding in the last batch.
        start = np.pad(codes, ((0, 1), (0, 0)))
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
        z, noise = parts.sample(mean, log_variance, self.seeds)
        nll = self.nll(batch, z, kept)
        log_p = log_composite_prior(z, *self.remembered(batch), self.settings.prior_weights)
        kl = sampled_divergence(log_p, noise, log_variance)
        weighted = parts.mean_over_users(
            batch, self.settings.gamma * batch.row_sum(batch.values) * kl
        )
        terms = {"reconstruction": nll, "kl": parts.mean_over_users(batch, kl)}
        return nll + weighted + self.penalty(self.encoder.layers, batch), terms

    def remembered(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the old encoder, a constant of the objective."""
        both = ops.stop_gradient(backend.take_rows(self.old, batch.users))
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
        z, _ = parts.sample(ops.stop_gradient(mean), ops.stop_gradient(log_variance), self.seeds)
        nll = self.nll(batch, z, kept)
        return nll + self.penalty(self.decoder.layers, batch), {"reconstruction": nll}


def focal_loss(
    batch: Batch, log_p: Tensor, log_not_p: Tensor, settings: Any, left_out: Tensor | None = None
) -> Tensor:
    """Return the focal loss of each row, summed over its items; shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Its entries other than 0 are the positives.
    log_p, log_not_p : tensor of shape (n_rows, n_items)
        Logarithms of the probability that the user used the item, and that not.
    settings : VASP
        ``focal_alpha``, the weight of the positives, and ``focal_gamma``, how strongly easy cells
        are played down.
    left_out : tensor of shape (n_slots,), optional
        1 for entries that don't count, neither as positives nor as negatives.

    Notes
    -----
    Every cell is first taken as a negative; the slots then correct the positives, so no dense
    target is built.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 5.
    """
    alpha, gamma = settings.focal_alpha, settings.focal_gamma
    negative = _focal(log_not_p, log_p, 1.0 - alpha, gamma)
    at_p, at_not_p = batch.pick(log_p), batch.pick(log_not_p)
    taken = _focal(at_not_p, at_p, 1.0 - alpha, gamma)
    due = _focal(at_p, at_not_p, alpha, gamma)
    if left_out is not None:
        due = due * (1.0 - left_out)
    positive = batch.used * ops.cast(batch.values != 0, "float32")
    return ops.sum(negative, axis=1) + batch.row_sum((due - taken) * positive)


def _focal(log_right: Tensor, log_wrong: Tensor, weight: float, gamma: float) -> Tensor:
    return -weight * ops.exp(gamma * log_wrong) * log_right


class ShallowPath:
    """Rows times an item-item kernel whose diagonal counts as 0, among the most popular items."""

    def __init__(self, item_bias: Floats, n_popular: int, *, seed: int) -> None:
        self.n_popular = n_popular
        popular = np.argsort(-item_bias, kind="stable")[:n_popular]
        # Place of each item among the popular ones; the others share the place after the last.
        self.place = np.full(len(item_bias), n_popular, dtype=np.int32)
        self.place[popular] = np.arange(n_popular)
        self.known = self.place < n_popular
        self.layer = parts.dense(n_popular, n_popular, "shallow", "0", seed=seed)

    def kernel(self) -> Tensor:
        """Return the item-item weights without their diagonal."""
        diagonal = np.tile(np.arange(self.n_popular)[:, None], 2)
        # Written over: a mask of ones would be as large as the weights, and a part of the program.
        return ops.scatter_update(self.layer.kernel, diagonal, ops.zeros(self.n_popular))

    def __call__(self, batch: Batch, values: Tensor) -> Tensor:
        """Return log probabilities of shape (n_rows, n_items); 0 where the path is silent."""
        inner, known = batch.among(self.place, self.n_popular, values)
        bias = ops.convert_to_tensor(self.layer.bias)
        logits = inner.project(self.kernel(), known) + bias
        said = ops.pad(ops.log_sigmoid(logits), [(0, 0), (0, 1)])
        return ops.take(said, self.place, axis=1)


class JointNetwork(parts.GaussianNetwork):
    """Variational path and shallow path; an item must score high on both."""

    terms = ("reconstruction", "kl")

    def __init__(self, settings: Any, item_bias: Floats) -> None:
        super().__init__(settings, len(item_bias))
        self.encoder = DenselyConnectedEncoder(
            settings, self.n_items, depth=settings.encoder_layers
        )
        hidden, seed = [settings.hidden_dim] * settings.decoder_layers, settings.seed
        widths = [settings.latent_dim, *hidden, self.n_items]
        self.deep = parts.DenselyConnected(widths, seed=seed, part="decoder")
        self.shallow = ShallowPath(item_bias, settings.n_popular(self.n_items), seed=seed)
        self.deep.head.bias.assign(_agreeing_bias(item_bias, self.shallow.known))
        self.layers = [*self.encoder.layers, *self.deep.layers, self.shallow.layer]

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return focal loss of the whole row given the noisy one, and weighted divergence."""
        del update
        settings, kept = self.settings, self.keep(batch)
        scaled = kept / (1.0 - settings.dropout)
        mean, log_variance = self.posterior(batch, parts.unit_rows(batch) * scaled)
        code, _ = parts.sample(mean, log_variance, self.seeds)
        log_p, log_not_p = self.log_probabilities(batch, code, batch.values * scaled)
        left_out = kept if settings.targets == "hidden" else None
        focal = focal_loss(batch, log_p, log_not_p, settings, left_out)
        reconstruction = parts.mean_over_users(batch, focal)
        kl = parts.mean_over_users(batch, parts.gaussian_kl(mean, log_variance))
        objective = reconstruction + settings.kl_weight * kl + self.penalty(self.layers, batch)
        return objective, {"reconstruction": reconstruction, "kl": kl}

    def log_probabilities(
        self, batch: Batch, code: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return log p and log (1 - p) of shape (n_rows, n_items), p the product of both paths."""
        deep = self.deep.after(self.deep.hidden[0](code))
        shallow = self.shallow(batch, values)
        # 1 - ab = (1 - a) + a (1 - b), each term positive: no difference of near-equal numbers.
        log_deep = ops.log_sigmoid(deep)
        log_not_shallow = ops.log(-ops.expm1(ops.minimum(shallow, -1e-7)))
        log_not = ops.logaddexp(ops.log_sigmoid(-deep), log_deep + log_not_shallow)
        return log_deep + shallow, log_not

    def score(self, batch: Batch) -> Tensor:
        """Return log p of shape (n_rows, n_items) at the mean code."""
        return self.log_probabilities(batch, self.posterior(batch)[0], batch.values)[0]


def _agreeing_bias(item_bias: Floats, known: Mask) -> Floats:
    """Return the logits that, times the 1/2 of a shallow path without input, give the shares."""
    share = np.exp(item_bias.astype(np.float64)) * np.where(known, 2.0, 1.0)
    share = np.minimum(share, 0.95)
    return np.log(share / (1.0 - share)).astype(np.float32)
