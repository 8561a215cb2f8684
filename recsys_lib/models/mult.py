"""Mult-DAE and Mult-VAE: autoencoders of likes with a multinomial likelihood."""

import math
from dataclasses import dataclass
from typing import Any

from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays
from recsys_lib.models.neural import (
    Likelihood,
    LikelihoodRecommender,
    OutputRecommender,
    VariationalRecommender,
    mean_nll,
)


@dataclass(kw_only=True)
class MultDAE(OutputRecommender, LikelihoodRecommender):
    r"""Denoising autoencoder: predicts the whole row from a part of it [1]_.

    .. math:: z = \tanh(f(\mathrm{dropout}(x / \|x\|_2))), \quad
       \mathcal{L} = n_u \log \sum_j e^{g_j(z)} - \sum_{i \in u} x_i\, g_i(z)
       + \lambda \|W\|_2^2

    Parameters
    ----------
    hidden_dims : tuple of int
        Widths of the tanh layers before the code; the decoder mirrors them. May be empty.
    latent_dim : int
        Width of the code, >= 1.
    dropout : float
        Share of a row that the encoder does not see in training, in [0, 1).
    l2 : float
        Penalty :math:`\lambda` of the kernels, >= 0.
    learning_rate : float
        Of Adam, positive.
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
    likelihood : {"multinomial", "logistic", "gaussian"}
        What the scores mean: shares of one row (they compete with one another), a yes or no for
        each item, or the entry itself under squared error. [1]_ compares the three; the last two
        go with ``targets="all"``.
    average : float, optional
        Share of the past in a running average of the weights over epochs, in [0, 1); the average
        is what is measured, kept and scored with. None keeps the weights of one epoch.
    seed : int
        Of the weights, the noise and the order of the users.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: ``epoch, reconstruction``, with a validation fold ``ndcg@100`` and, of
        the multinomial likelihood, ``validation_nll``, and ``seconds``. ``reconstruction`` is the
        mean negative log-likelihood of a row, ``validation_nll`` that of one target among the
        items not shown, both in nats.
    network_ : DenoisingNetwork
        The layers.

    Notes
    -----
    An epoch costs O(n_users n_items latent_dim), nearly all of it in the last layer; only a batch
    of logits is ever dense. An empty row has the code 0.

    Differs from [1]_: the bias of the last layer starts at log popularity instead of near 0, which
    is where it would otherwise spend its first epochs going; biases are not penalized.

    ``targets="hidden"`` differs from [1]_: a recommender is asked what comes next among the items
    that the user does not show yet, and is never asked to repeat what it is shown. It is to the
    multinomial likelihood what EDLAE [2]_ is to the squared error: no capacity is spent on the
    identity.

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for Collaborative
       Filtering", WWW 2018, section 2.3 and eq. 2. https://arxiv.org/abs/1802.05814
    .. [2] H. Steck, "Autoencoders that don't overfit toward the Identity", NeurIPS 2020.

    Examples
    --------
    >>> from scipy import sparse
    >>> likes = sparse.csr_array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 8, dtype="float32")
    >>> model = MultDAE(latent_dim=4, learning_rate=0.05, epochs=30).fit(likes)
    >>> model.recommend(sparse.csr_array([[1, 1, 0, 0, 0, 0]]), k=1).items
    array([[2]], dtype=int32)
    """

    hidden_dims: tuple[int, ...] = ()
    likelihood: Likelihood = "multinomial"

    def _measure(self, validation: Fold) -> dict[str, float]:
        measured = super()._measure(validation)
        if self.likelihood == "multinomial":
            measured["validation_nll"] = mean_nll(self._score, validation)
        return measured

    def _network(self, start: Arrays) -> Any:
        from recsys_lib.models.networks.mult import DenoisingNetwork

        return DenoisingNetwork(self._settings(), start["item_bias"])


def annealing_steps(cap: float, *, n_users: int, batch_size: int, epochs: int) -> int:
    """Return the `anneal_steps` with which the divergence has its weight `cap` after `epochs`.

    The weight grows with the updates, not with the epochs: a number of updates that suits
    millions of users never ends on thousands.

    Parameters
    ----------
    cap : float
        The `anneal_cap`; 0 needs no steps.
    n_users, batch_size, epochs : int
        Of the training.

    Examples
    --------
    >>> annealing_steps(0.2, n_users=1000, batch_size=200, epochs=4)
    100
    """
    updates = epochs * math.ceil(n_users / batch_size)
    return round(updates / cap) if cap > 0 else 0


@dataclass(kw_only=True)
class MultVAE(VariationalRecommender):
    r"""Variational autoencoder with a multinomial likelihood and an annealed divergence [1]_.

    .. math:: (\mu, \log\sigma^2) = f(\mathrm{dropout}(x / \|x\|_2)), \quad
       z = \mu + \sigma \epsilon, \quad \epsilon \sim N(0, 1)
    .. math:: \mathcal{L} = n_u \log \sum_j e^{g_j(z)} - \sum_{i \in u} x_i\, g_i(z)
       + \beta_t\, \tfrac12 \sum_k (\mu_k^2 + \sigma_k^2 - \log\sigma_k^2 - 1), \quad
       \beta_t = \min(\mathrm{cap}, t / T)

    :math:`t` counts updates, not epochs. Scores are the logits at :math:`z = \mu`.

    Parameters
    ----------
    hidden_dims : tuple of int
        Widths of the tanh layers before the code; the decoder mirrors them. May be empty.
    latent_dim : int
        Dimensions of the code, >= 1.
    anneal_cap : float
        Largest weight of the divergence, >= 0; 1 would be the evidence bound.
    anneal_steps : int
        The updates :math:`T` in which the weight would grow to 1, >= 0; 0 starts at the cap.
    dropout : float
        Share of a row that the encoder does not see in training, in [0, 1).
    l2 : float
        Penalty of the squared norm of the kernels, >= 0.
    learning_rate : float
        Of Adam, positive.
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
    likelihood : {"multinomial", "logistic", "gaussian"}
        What the scores mean: shares of one row (they compete with one another), a yes or no for
        each item, or the entry itself under squared error. [1]_ compares the three; the last two
        go with ``targets="all"``.
    average : float, optional
        Share of the past in a running average of the weights over epochs, in [0, 1); the average
        is what is measured, kept and scored with. None keeps the weights of one epoch.
    seed : int
        Of the weights, the noise and the order of the users.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: ``epoch, reconstruction, kl, anneal``, with a validation fold
        ``ndcg@100``, and ``seconds``. ``reconstruction`` and ``kl`` are means over users in nats,
        ``anneal`` is the mean weight of the epoch.
    network_ : VariationalNetwork
        The layers; `encode` and `decode` run its halves.

    Notes
    -----
    An epoch costs O(n_users n_items width) for the last layer and as much for the first where rows
    are dense; only a batch of logits is ever dense. An empty row has the code 0.

    Differs from [1]_: the bias of the last layer starts at log popularity instead of near 0; other
    biases start at 0 instead of a normal draw of scale 0.001.

    ``targets="hidden"`` differs from [1]_: a recommender is asked what comes next among the items
    that the user does not show yet, and is never asked to repeat what it is shown. It is to the
    multinomial likelihood what EDLAE [2]_ is to the squared error: no capacity is spent on the
    identity.

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for Collaborative
       Filtering", WWW 2018, eq. 2, 5 and section 2.2.2. https://arxiv.org/abs/1802.05814
    .. [2] H. Steck, "Autoencoders that don't overfit toward the Identity", NeurIPS 2020.

    Examples
    --------
    >>> from scipy import sparse
    >>> likes = sparse.csr_array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 8, dtype="float32")
    >>> model = MultVAE(hidden_dims=(8,), latent_dim=2, learning_rate=0.02, epochs=60).fit(likes)
    >>> model.recommend(sparse.csr_array([[1, 1, 0, 0, 0, 0]]), k=1).items
    array([[2]], dtype=int32)
    """

    hidden_dims: tuple[int, ...] = (600,)
    likelihood: Likelihood = "multinomial"
    anneal_cap: float = 0.2
    anneal_steps: int = 20_000

    def _network(self, start: Arrays) -> Any:
        from recsys_lib.models.networks.mult import VariationalNetwork

        return VariationalNetwork(self._settings(), start["item_bias"])
