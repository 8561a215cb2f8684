"""VASP: the product of a variational autoencoder and a shallow linear one."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_lib.checks import check_fraction, check_memory
from recsys_lib.models.base import Arrays
from recsys_lib.models.neural import Floats, LikelihoodRecommender


@dataclass(kw_only=True)
class VASP(LikelihoodRecommender):
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
    patience : int
        Epochs without a new best ndcg@100 of the validation users before training stops, >= 1.
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
        from recsys_lib.models.networks.vasp import JointNetwork

        n_popular = self.n_popular(len(start["item_bias"]))
        check_memory(
            5 * 4 * n_popular**2,
            f"The shallow path of VASP among {n_popular} items",
            "Lower `shallow_share`.",
        )
        return JointNetwork(self._settings(), start["item_bias"])
