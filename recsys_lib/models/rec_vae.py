"""RecVAE: a variational autoencoder with a composite prior that includes the old encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy import sparse

from recsys_lib.models.base import Arrays
from recsys_lib.models.neural import VariationalRecommender


@dataclass(kw_only=True)
class RecVAE(VariationalRecommender):
    r"""Composite prior, divergence weighted by the length of the row, alternating updates [1]_.

    .. math:: \mathcal{L} = n_u \log \sum_j e^{g_j(z)} - \sum_{i \in u} x_i\, g_i(z)
       + \gamma\, n_u \sum_k \left[\log q(z_k | x) - \log p(z_k | x)\right]
    .. math:: p(z_k | x) = w_1 N(0, 1) + w_2 N(\mu^{old}_k(x), \sigma^{old}_k(x)^2)
       + w_3 N(0, e^{10})

    The divergence is estimated with the one sample that is decoded. An epoch walks `encoder_passes`
    times over the users to move the encoder, with noise on the input, then remembers the encoder
    as the old one, and walks `decoder_passes` times to move the decoder, without noise on the
    input. Each half has its own Adam.

    Parameters
    ----------
    hidden_dim : int
        Width of the five densely connected layers of the encoder, >= 1. The decoder is linear.
    latent_dim : int
        Dimensions of the code, >= 1.
    gamma : float
        Weight of the divergence for each item of a row, >= 0.
    prior_weights : tuple of three float
        Shares :math:`w` of the standard normal, of the old encoder and of the wide normal; >= 0,
        their sum is 1.
    encoder_passes, decoder_passes : int
        Walks over the users in one epoch, >= 1.
    dropout : float
        Share of a row that the encoder does not see while it moves, in [0, 1).
    l2 : float
        Penalty of the squared norm of the kernels that move, >= 0.
    learning_rate : float
        Of both optimizers, positive.
    batch_size : int
        Users in one update, >= 1.
    epochs : int
        Upper limit with a validation fold, else the number of epochs, >= 1.
    patience : int
        Epochs without a new best ndcg@100 of the validation users before training stops, >= 1.
    targets : {"all", "hidden"}
        What the encoder's noisy view of a row must predict: the whole row, as in [1]_, or only the
        items that the noise has hidden, in competition with the items that are not shown.
    outputs : "all" or int
        Items that a row is compared with in training: all, or those of the batch and so many
        others, drawn anew and weighted. Scores are of all items in any case.
    average : float, optional
        Share of the past in a running average of the weights over epochs, in [0, 1); the average
        is what is measured, kept and scored with. None keeps the weights of one epoch.
    seed : int
        Of the weights, the noise and the order of the users.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: ``epoch, encoder_reconstruction, encoder_kl, decoder_reconstruction``,
        with a validation fold ``ndcg@100``, and ``seconds``.
    network_ : CompositeNetwork
        The layers; ``network_.encoder`` and ``network_.decoder`` are the halves.

    Notes
    -----
    An epoch costs ``encoder_passes + decoder_passes`` times an epoch of Mult-VAE with half a
    backward pass each, and keeps 8 n_users latent_dim bytes: what the old encoder says of each
    training user. It says the same in every pass until the next copy, and it says it during the
    decoder's passes, where it runs without noise anyway; a second encoder is never run.

    Differs from the code of [1]_: before the first epoch the old encoder is the encoder itself,
    not another random draw; the bias of the decoder starts at log popularity; weights start
    Glorot-uniform. An empty row has the code 0 where the code of [1]_ divides by 0.

    ``targets="hidden"`` differs from [1]_: a recommender is asked what comes next among the items
    that the user does not show yet, and is never asked to repeat what it is shown. It is to the
    multinomial likelihood what EDLAE [2]_ is to the squared error: no capacity is spent on the
    identity. The decoder's passes then have the noise of the encoder's.

    References
    ----------
    .. [1] I. Shenbin, A. Alekseev, E. Tutubalina, V. Malykh, S. Nikolenko, "RecVAE: A New
       Variational Autoencoder for Top-N Recommendations with Implicit Feedback", WSDM 2020,
       sections 3.2 to 3.5. https://arxiv.org/abs/1912.11160
    .. [2] H. Steck, "Autoencoders that don't overfit toward the Identity", NeurIPS 2020.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 8, dtype="float32")
    >>> model = RecVAE(hidden_dim=8, latent_dim=2, learning_rate=0.02, epochs=30).fit(likes)
    >>> model.recommend(sparse.csr_array([[1, 1, 0, 0, 0, 0]]), k=1).items
    array([[2]], dtype=int32)
    """

    learning_rate: float = 5e-4
    hidden_dim: int = 600
    gamma: float = 0.005
    prior_weights: tuple[float, float, float] = (0.15, 0.75, 0.10)
    encoder_passes: int = 3
    decoder_passes: int = 1

    def _check(self) -> None:
        super()._check()
        weights = tuple(self.prior_weights) if isinstance(self.prior_weights, Sequence) else ()
        if len(weights) != 3 or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
            raise ValueError(
                "`prior_weights` must be three shares >= 0 with the sum 1; "
                f"got {self.prior_weights!r}. Try (0.15, 0.75, 0.1)."
            )

    def _network(self, start: Arrays) -> Any:
        from recsys_lib.models.networks.rec import CompositeNetwork

        return CompositeNetwork(self._settings(), start["item_bias"])

    def _prepare(self, x: sparse.csr_array) -> None:
        self.network_.remember(x, gather=self._gather)
