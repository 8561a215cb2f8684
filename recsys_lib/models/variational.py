"""The variational family: MultDAE and MultVAE, RecVAE, and VASP; autoencoders of likes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_lib.checks import CSR, Floats, check_fraction, check_memory
from recsys_lib.dataset import Fold
from recsys_lib.models import neural
from recsys_lib.models.base import Arrays


@dataclass(kw_only=True)
class MultDAE(neural.OutputRecommender, neural.LikelihoodRecommender):
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
    patience : int, optional
        Epochs without a new best ndcg@100 of the validation users before training stops, >= 1; None
        makes all epochs.
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
    .. [2] H. Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020.

    Examples
    --------
    >>> from scipy import sparse
    >>> likes = sparse.csr_array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 8, dtype="float32")
    >>> model = MultDAE(latent_dim=4, learning_rate=0.05, epochs=30).fit(likes)
    >>> model.recommend(sparse.csr_array([[1, 1, 0, 0, 0, 0]]), k=1).items
    array([[2]], dtype=int32)
    """

    hidden_dims: tuple[int, ...] = ()
    likelihood: neural.Likelihood = "multinomial"

    def _measure(self, validation: Fold) -> dict[str, float]:
        measured = super()._measure(validation)
        if self.likelihood == "multinomial":
            measured["validation_nll"] = neural.mean_nll(self._score, validation)
        return measured

    def _network(self, start: Arrays) -> Any:
        from recsys_lib.models.networks.variational import DenoisingNetwork

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

    Returns
    -------
    int

    Examples
    --------
    >>> annealing_steps(0.2, n_users=1000, batch_size=200, epochs=4)
    100
    """
    updates = epochs * math.ceil(n_users / batch_size)
    return round(updates / cap) if cap > 0 else 0


@dataclass(kw_only=True)
class MultVAE(neural.VariationalRecommender):
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
    patience : int, optional
        Epochs without a new best ndcg@100 of the validation users before training stops, >= 1; None
        makes all epochs.
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
    .. [2] H. Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020.

    Examples
    --------
    >>> from scipy import sparse
    >>> likes = sparse.csr_array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 8, dtype="float32")
    >>> model = MultVAE(hidden_dims=(8,), latent_dim=2, learning_rate=0.02, epochs=60).fit(likes)
    >>> model.recommend(sparse.csr_array([[1, 1, 0, 0, 0, 0]]), k=1).items
    array([[2]], dtype=int32)
    """

    hidden_dims: tuple[int, ...] = (600,)
    likelihood: neural.Likelihood = "multinomial"
    anneal_cap: float = 0.2
    anneal_steps: int = 20_000

    def _network(self, start: Arrays) -> Any:
        from recsys_lib.models.networks.variational import VariationalNetwork

        return VariationalNetwork(self._settings(), start["item_bias"])


@dataclass(kw_only=True)
class RecVAE(neural.VariationalRecommender):
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
    patience : int, optional
        Epochs without a new best ndcg@100 of the validation users before training stops, >= 1; None
        makes all epochs.
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
    .. [2] H. Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020.

    Examples
    --------
    >>> from scipy import sparse
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
        from recsys_lib.models.networks.variational import CompositeNetwork

        return CompositeNetwork(self._settings(), start["item_bias"])

    def _prepare(self, x: CSR) -> None:
        self.network_.remember(self._apply("encode", x, 2 * self.latent_dim))


@dataclass(kw_only=True)
class VASP(neural.LikelihoodRecommender):
    r"""Product of a deep variational path and a shallow item-item path under a focal loss [1]_.

    .. math:: p_{ui} = \sigma(g_i(z_u))\; \sigma\Big(\sum_{j \ne i} \tilde x_{uj} B_{ji} + b_i\Big)
    .. math:: \mathcal{L} = -\sum_{i \in u} \alpha (1 - p_{ui})^{\gamma} \log p_{ui}
       - \sum_{i \notin u} (1 - \alpha)\, p_{ui}^{\gamma} \log(1 - p_{ui})
       + w\, KL(q(z_u | x_u) \| N(0, 1))

    The shallow path has the form of EASE: item to item, with a diagonal of 0, so that an item
    cannot predict itself. Scores are :math:`\log p`.

    Parameters
    ----------
    hidden_dim : int
        Width of the densely connected layers of encoder and decoder, >= 1.
    latent_dim : int
        Dimensions of the code, >= 1.
    encoder_layers, decoder_layers : int
        Densely connected layers on either side of the code, >= 1.
    shallow_share : float
        Share of the catalog, its most popular items, that the shallow path knows; in (0, 1].
        It holds ``(shallow_share n_items)^2`` weights.
    kl_weight : float
        Weight :math:`w` of the divergence, which is summed over dimensions, >= 0.
    focal_alpha : float
        Weight :math:`\alpha` of the items of the row, in (0, 1).
    focal_gamma : float
        How strongly cells that are predicted well are played down, >= 0; 0 is cross-entropy.
    dropout : float
        Share of a row that neither path sees in training, in [0, 1).
    l2 : float
        Penalty of the squared norm of the kernels, >= 0.
    learning_rate : float
        Of Adam, positive.
    batch_size : int
        Users in one update, >= 1.
    epochs : int
        Upper limit with a validation fold, else the number of epochs, >= 1.
    patience : int, optional
        Epochs without a new best ndcg@100 of the validation users before training stops, >= 1; None
        makes all epochs.
    targets : {"all", "hidden"}
        What the encoder's noisy view of a row must predict: the whole row, or only the items that
        the noise has hidden; items that are shown then don't count.
    average : float, optional
        Share of the past in a running average of the weights over epochs, in [0, 1); the average
        is what is measured, kept and scored with. None keeps the weights of one epoch.
    seed : int
        Of the weights, the noise and the order of the users.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: ``epoch, reconstruction`` (the focal loss), ``kl``, with a validation fold
        ``ndcg@100``, and ``seconds``.
    network_ : JointNetwork
        The layers; ``network_.shallow.kernel()`` is :math:`B`.

    Raises
    ------
    MemoryError
        Before anything is allocated, if the shallow path does not fit.

    Notes
    -----
    An epoch costs O(n_users n_items hidden_dim + n_users (shallow_share n_items)^2).

    Differs from [1]_: sizes for a CPU (the authors' are 4096 hidden, 2048 latent, 7 and 5 layers);
    one sigmoid head on the variational path instead of the product of two; noise is dropout
    instead of random splits of a row into input and target; Adam at one rate instead of NAdam at
    three; the shallow path has a bias and is silent (a factor of 1) about items it does not know.
    The default of `kl_weight` is the mean over 200 dimensions that the authors' code takes.

    References
    ----------
    .. [1] V. Vančura, P. Kordík, "Deep Variational Autoencoder with Shallow Parallel Path for
       Top-N Recommendation (VASP)", ICANN 2021. https://arxiv.org/abs/2102.05774
    .. [2] T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 5.

    Examples
    --------
    >>> from scipy import sparse
    >>> likes = sparse.csr_array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 8, dtype="float32")
    >>> model = VASP(hidden_dim=8, latent_dim=2, learning_rate=0.02, epochs=60).fit(likes)
    >>> model.recommend(sparse.csr_array([[1, 1, 0, 0, 0, 0]]), k=1).items
    array([[2]], dtype=int32)
    """

    learning_rate: float = 5e-4
    hidden_dim: int = 600
    encoder_layers: int = 5
    decoder_layers: int = 2
    shallow_share: float = 0.33
    kl_weight: float = 0.005
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0

    def _check(self) -> None:
        super()._check()
        if self.shallow_share != 1:
            check_fraction("shallow_share", self.shallow_share)

    def n_popular(self, n_items: int) -> int:
        """Return how many items of a catalog the shallow path knows."""
        return max(1, math.ceil(self.shallow_share * n_items))

    def _more_weights(self, n_items: int) -> int:
        return self.n_popular(n_items) ** 2

    def _item_vectors(self) -> Floats:
        """Return the vectors of the deep path."""
        return np.asarray(self.network_.deep.head.kernel, dtype=np.float32).T

    def _network(self, start: Arrays) -> Any:
        from recsys_lib.models.networks.variational import JointNetwork

        n_popular = self.n_popular(len(start["item_bias"]))
        check_memory(
            5 * 4 * n_popular**2,
            f"The shallow path of VASP among {n_popular} items",
            "Lower `shallow_share`.",
        )
        return JointNetwork(self._settings(), start["item_bias"])
