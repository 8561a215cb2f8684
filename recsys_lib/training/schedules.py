"""Schedules of loss weights over updates."""

from typing import Any

from recsys_lib.training.quiet import ops

__all__ = ["linear_anneal"]


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
