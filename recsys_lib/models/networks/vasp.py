"""The network of VASP: a variational path times a shallow linear one, under a focal loss."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.models.networks.parts import (
    DenselyConnected,
    GaussianNetwork,
    dense_layer,
    gaussian_kl,
    mean_over_users,
    sample,
    unit_rows,
)
from recsys_lib.models.networks.rec import DenselyConnectedEncoder
from recsys_lib.training._keras import ops
from recsys_lib.training.rows import Batch

Tensor = Any


def focal_loss(
    batch: Batch,
    log_p: Tensor,
    log_not_p: Tensor,
    alpha: float,
    gamma: float,
    *,
    left_out: Tensor | None = None,
) -> Tensor:
    """Return the focal loss of each row, summed over its items; shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Its entries other than 0 are the positives.
    log_p, log_not_p : tensor of shape (n_rows, n_items)
        Logarithms of the probability that the user used the item, and that not.
    alpha, gamma : float
        Weight of the positives, and how strongly easy cells are played down.
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

    def __init__(self, item_bias: NDArray[np.float32], n_popular: int, *, seed: int) -> None:
        self.n_popular = n_popular
        popular = np.argsort(-item_bias, kind="stable")[:n_popular]
        # Place of each item among the popular ones; the others share the place after the last.
        self.place = np.full(len(item_bias), n_popular, dtype=np.int32)
        self.place[popular] = np.arange(n_popular)
        self.known = self.place < n_popular
        self.layer = dense_layer(n_popular, n_popular, seed=seed, part="shallow", depth=0)
        self.off_diagonal = 1.0 - np.eye(n_popular, dtype=np.float32)

    def kernel(self) -> Tensor:
        """Return the item-item weights without their diagonal."""
        return self.layer.kernel * self.off_diagonal

    def __call__(self, batch: Batch, values: Tensor) -> Tensor:
        """Return log probabilities of shape (n_rows, n_items); 0 where the path is silent."""
        inner, known = batch.among(self.place, self.n_popular, values)
        bias = ops.convert_to_tensor(self.layer.bias)
        logits = inner.project(self.kernel(), known) + bias
        said = ops.pad(ops.log_sigmoid(logits), [(0, 0), (0, 1)])
        return ops.take(said, self.place, axis=1)


class JointNetwork(GaussianNetwork):
    """Variational path and shallow path; an item must score high on both."""

    terms = ("reconstruction", "kl")

    def __init__(self, settings: Any, item_bias: NDArray[np.float32]) -> None:
        super().__init__(settings, len(item_bias))
        self.encoder = DenselyConnectedEncoder(
            settings, self.n_items, depth=settings.encoder_layers
        )
        hidden, seed = [settings.hidden_dim] * settings.decoder_layers, settings.seed
        widths = [settings.latent_dim, *hidden, self.n_items]
        self.deep = DenselyConnected(widths, seed=seed, part="decoder")
        self.shallow = ShallowPath(item_bias, settings.n_popular(self.n_items), seed=seed)
        self.deep.head.bias.assign(_agreeing_bias(item_bias, self.shallow.known))
        self.layers = [*self.encoder.layers, *self.deep.layers, self.shallow.layer]

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return focal loss of the whole row given the noisy one, and weighted divergence."""
        del update
        settings, kept = self.settings, self.keep(batch)
        scaled = kept / (1.0 - settings.dropout)
        mean, log_variance = self.posterior(batch, unit_rows(batch) * scaled)
        code, _ = sample(mean, log_variance, self.seeds)
        log_p, log_not_p = self.log_probabilities(batch, code, batch.values * scaled)
        focal = focal_loss(
            batch,
            log_p,
            log_not_p,
            settings.focal_alpha,
            settings.focal_gamma,
            left_out=kept if settings.targets == "hidden" else None,
        )
        reconstruction = mean_over_users(batch, focal)
        kl = mean_over_users(batch, gaussian_kl(mean, log_variance))
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


def _agreeing_bias(item_bias: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the logits that, times the 1/2 of a shallow path without input, give the shares."""
    share = np.exp(item_bias.astype(np.float64)) * np.where(known, 2.0, 1.0)
    share = np.minimum(share, 0.95)
    return np.log(share / (1.0 - share)).astype(np.float32)
