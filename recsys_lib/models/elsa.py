"""ELSA: a linear autoencoder of low rank, for catalogs that are too large for EASE."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.checks import CSR, Floats
from recsys_lib.models.base import Arrays, Recommender
from recsys_lib.models.baselines import blocks_of_factors
from recsys_lib.models.neural import OutputRecommender
from recsys_lib.ranking import Block

_BLOCK = 2**16  # rows


@dataclass(kw_only=True)
class ELSA(OutputRecommender):
    r"""Linear autoencoder with one unit vector an item, trained in epochs [1]_.

    .. math:: \hat x = x\,(A A^\top - I), \quad \|A_i\|_2 = 1, \qquad
       \mathcal{L} = \left\| \frac{x}{\|x\|_2} - \frac{\hat x}{\|\hat x\|_2} \right\|_2^2

    The form of EASE with `latent_dim` numbers an item instead of one for each pair: the diagonal
    of :math:`A A^\top - I` is 0, so that no item predicts itself.

    Parameters
    ----------
    latent_dim : int
        Length of the vectors, >= 1.
    outputs : "all" or int
        Items over which the length of a row's scores is taken in training: all, or those of the
        batch and so many others, drawn anew for every update and weighted.
    dropout : float
        Share of a row that is not shown in training, in [0, 1). The diagonal of 0 does by itself
        what noise does for other autoencoders.
    l2 : float
        Penalty of the squared norm of the vectors before they are scaled to 1, >= 0: only keeps
        later steps from becoming smaller.
    learning_rate : float
        Of Adam, positive.
    batch_size : int
        Users in one update, >= 1.
    epochs : int
        Upper limit with a validation fold, else the number of epochs, >= 1.
    patience : int, optional
        Epochs without a new best ndcg@100 of the validation users before training stops, >= 1; None
        makes all epochs.
    average : float, optional
        Share of the past in a running average of the weights over epochs, in [0, 1); the average
        is what is measured, kept and scored with. None keeps the weights of one epoch.
    seed : int
        Of the weights, the noise, the outputs and the order of the users.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: ``epoch, error``, with a validation fold ``ndcg@100``, and ``seconds``.
    network_ : LinearNetwork
        The vectors.
    item_vectors_ : ndarray of shape (n_items, latent_dim), float32
        The unit vector of each item.

    Notes
    -----
    An update costs O(n_items latent_dim^2) with all outputs, through :math:`A^\top A`: the scores
    of a batch are never made. With a number of outputs it reads and moves only the vectors of the
    batch's items and of those drawn, so that an epoch grows with the events. The weights,
    the unit vectors made of them and Adam's memory take 16 n_items latent_dim bytes. An empty row
    is answered by popularity.

    Differs from [1]_: scores below 0 are not cut to 0 in the loss (ndcg@100 on MovieLens 1M is .496
    instead of .482).

    References
    ----------
    .. [1] V. Vančura, R. Alves, P. Kasalický, P. Kordík, "Scalable Linear Shallow Autoencoder for
       Collaborative Filtering", RecSys 2022, section 3. https://doi.org/10.1145/3523227.3551482

    Examples
    --------
    >>> from scipy import sparse
    >>> likes = sparse.csr_array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]] * 8, dtype="float32")
    >>> model = ELSA(latent_dim=4, epochs=30).fit(likes)
    >>> model.recommend(sparse.csr_array([[1, 1, 0, 0, 0, 0]]), k=1).items
    array([[2]], dtype=int32)
    """

    latent_dim: int = 256
    dropout: float = 0.0
    learning_rate: float = 1e-2

    def _item_vectors(self) -> Floats:
        """Return the unit vectors; those of now, while the network is being trained."""
        return self._unit_vectors() if self._vectors is None else self._vectors

    def _unit_vectors(self) -> Floats:
        from recsys_lib.training import backend

        kernel = self.network_.layers[0].kernel
        vectors = np.empty(tuple(kernel.shape), dtype=np.float32)
        # By blocks: of a million items they are a gigabyte, and so is each thing on the way.
        for start in range(0, len(vectors), _BLOCK):
            items = np.arange(start, min(start + _BLOCK, len(vectors)), dtype=np.int32)
            rows = backend.take_rows(kernel, items)
            vectors[start : start + _BLOCK] = np.asarray(self.network_.vectors(rows))
        return vectors

    def _use(self, start: Arrays, *, density: float) -> None:
        super()._use(start, density=density)
        self._vectors: Floats | None = None

    def _fit(self, *data: Any, **how: Any) -> None:
        super()._fit(*data, **how)
        self._vectors = self._unit_vectors()

    def _assign(self, weights: Sequence[NDArray[Any]]) -> None:
        super()._assign(weights)
        self._vectors = self._unit_vectors()

    _score = Recommender._score  # not by the network

    def _blocks(self, x: CSR) -> Block:
        vectors = self._item_vectors()
        through = blocks_of_factors(x @ vectors, vectors, x, self._started["item_bias"])
        return lambda items: through(items) - x[:, items].toarray()

    def _network(self, start: Any) -> Any:
        from recsys_lib.models.networks.linear import LinearNetwork

        return LinearNetwork(self._settings(), start["item_bias"])
