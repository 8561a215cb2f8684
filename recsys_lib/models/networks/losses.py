"""Loss terms and their weights as pure functions of tensors, sparse where possible."""

from dataclasses import replace
from typing import Any

from recsys_lib.training._keras import ops
from recsys_lib.training.rows import Batch

__all__ = [
    "gaussian_kl",
    "gaussian_nll",
    "hidden_nll",
    "linear_anneal",
    "logistic_nll",
    "mean_over_users",
    "multinomial_nll",
]

Tensor = Any


def multinomial_nll(batch: Batch, logits: Tensor) -> Tensor:
    """Return the multinomial negative log-likelihood of each row, of shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Its values are the counts, usually 1.
    logits : tensor of shape (n_rows, n_items)

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``n_u * logsumexp(logits) - sum of count * logit``; 0 for an empty row.

    Notes
    -----
    No dense target and no dense log-softmax: one pass over the logits and a gather.

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018, eq. 2.
    """
    logits = ops.cast(logits, "float32")
    picked = batch.row_sum(batch.pick(logits) * batch.values)
    return batch.row_sum(batch.values) * ops.logsumexp(logits, axis=1) - picked


def logistic_nll(batch: Batch, logits: Tensor) -> Tensor:
    """Return the Bernoulli negative log-likelihood over all items, of shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Its values are the answers, 1 for yes; items without an entry are a no.
    logits : tensor of shape (n_rows, n_items)

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``sum log(1 + exp(logit)) - sum of value * logit``, the first over all items.

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018, eq. 4.
    """
    logits = ops.cast(logits, "float32")
    return ops.sum(ops.softplus(logits), axis=1) - batch.row_sum(batch.pick(logits) * batch.values)


def gaussian_nll(batch: Batch, scores: Tensor) -> Tensor:
    """Return half the squared error of each row over all items, of shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Items without an entry count as 0.
    scores : tensor of shape (n_rows, n_items)

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``1/2 sum (value - score)**2``: the negative log-likelihood of normal noise of scale 1, but
        for a constant. No dense target is built.

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018, eq. 3,
       with all confidences 1.
    """
    scores = ops.cast(scores, "float32")
    crossed = batch.row_sum((batch.values - 2.0 * batch.pick(scores)) * batch.values)
    return 0.5 * (ops.sum(ops.square(scores), axis=1) + crossed)


def hidden_nll(batch: Batch, logits: Tensor, shown: Tensor) -> Tensor:
    """Return the multinomial negative log-likelihood of hidden items among those not shown.

    Parameters
    ----------
    batch : Batch
    logits : tensor of shape (n_rows, n_items)
    shown : tensor of shape (n_slots,)
        1 where the encoder sees the slot, else 0.

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``n_u`` times the mean over the hidden items of ``log sum_{j not shown} exp(logit_j) -
        logit_i``; 0 for a row without hidden items. The factor keeps it on the scale of
        `multinomial_nll`.

    Notes
    -----
    This is the question of a recommender: which of the items that the user does not show yet comes
    next? `multinomial_nll` also pays for the items shown, which no list will hold. The squared
    error of the same task has the closed form of EDLAE [1]_.

    References
    ----------
    .. [1] H. Steck, "Autoencoders that don't overfit toward the Identity", NeurIPS 2020.
    """
    seen = shown * batch.used
    # Far below any logit, so that exp() gives 0; not -inf, whose gradient is NaN.
    logits = ops.cast(logits, "float32") - 1e9 * batch.dense(seen)
    hidden = replace(batch, values=batch.values * (1.0 - seen))
    length, n_hidden = batch.row_sum(batch.values), batch.row_sum(hidden.values)
    scale = ops.where(n_hidden > 0, length / ops.maximum(n_hidden, 1e-6), 0.0)
    return scale * multinomial_nll(hidden, logits)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, 1)) of each row, summed over dimensions.

    Parameters
    ----------
    mean, log_variance : tensor of shape (n_rows, latent_dim)

    Returns
    -------
    tensor of shape (n_rows,)

    References
    ----------
    .. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.
    """
    return 0.5 * ops.sum(ops.exp(log_variance) + ops.square(mean) - 1.0 - log_variance, axis=1)


def mean_over_users(batch: Batch, per_row: Tensor) -> Tensor:
    """Average `per_row` of shape (n_rows,) over the users of the batch, padding left out."""
    return ops.sum(per_row * batch.present) / ops.maximum(ops.sum(batch.present), 1.0)


def linear_anneal(update: Any, *, n_updates: int, cap: float) -> Any:
    """Return ``min(cap, update / n_updates)``, the KL weight of Mult-VAE.

    Parameters
    ----------
    update : tensor, float32
        Updates made so far, over all epochs.
    n_updates : int
        Updates until the weight would reach 1; 0 starts at the cap.
    cap : float
        Upper limit, in [0, 1].

    Returns
    -------
    tensor, scalar float32

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
       section 2.2.2.

    Examples
    --------
    >>> [float(linear_anneal(float(t), n_updates=10, cap=0.25)) for t in (0, 2, 9)]
    [0.0, 0.2..., 0.25]
    """
    if n_updates <= 0:
        return ops.convert_to_tensor(float(cap))
    return ops.minimum(ops.convert_to_tensor(update, dtype="float32") / n_updates, cap)
