"""Mult-DAE: a denoising autoencoder with a multinomial likelihood."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_lib.checks import check_is_fitted
from recsys_lib.dataset import Fold
from recsys_lib.models._validation import mean_nll
from recsys_lib.models.neural import (
    Likelihood,
    Network,
    NeuralRecommender,
    check_likelihood,
    check_widths,
)

__all__ = ["MultDAE"]


@dataclass(kw_only=True)
class MultDAE(NeuralRecommender):
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

    def _check(self) -> None:
        super()._check()
        check_widths("hidden_dims", self.hidden_dims)
        check_likelihood(self.likelihood, self.targets)

    @property
    def best_epoch_(self) -> int:
        """The epoch with the best ndcg@100, whose weights are kept; without validation the last."""
        watched = self.history_.get("ndcg@100", self.history_["epoch"])
        return int(self.history_["epoch"][watched.idxmax()])

    @property
    def item_vectors_(self) -> NDArray[np.float32]:
        """The decoder's vector of each item, of shape (n_items, width of the last hidden layer)."""
        check_is_fitted(self, "n_items_")
        return np.asarray(self.network_.layers[-1].kernel, dtype=np.float32).T

    def _measure(self, validation: Fold) -> dict[str, float]:
        measured = super()._measure(validation)
        if self.likelihood == "multinomial":
            measured["validation_nll"] = mean_nll(self._score, validation)
        return measured

    def _network(self, item_bias: NDArray[np.float32]) -> Network:
        from recsys_lib.models.networks.mult import DenoisingNetwork

        return DenoisingNetwork(
            item_bias,
            hidden_dims=tuple(self.hidden_dims),
            latent_dim=self.latent_dim,
            dropout=self.dropout,
            l2=self.l2,
            learning_rate=self.learning_rate,
            seed=self.seed,
            targets=self.targets,
            likelihood=self.likelihood,
        )
