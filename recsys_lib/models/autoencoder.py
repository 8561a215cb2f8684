"""The rating autoencoder: predicts the ratings of a row from the part it sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse

from recsys_lib.checks import CSR, Floats, check_rating_scale, check_ratings
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Rules, check_widths
from recsys_lib.models.baselines import fit_biases
from recsys_lib.models.neural import NeuralRecommender
from recsys_lib.renamed import renamed
from recsys_lib.seeding import rng_from

# Training users whose reconstruction error is measured after each epoch; all of them would take as
# long as half an epoch of training.
RECONSTRUCTED = 2000
# More than for biases alone: a rarely rated item's bias knows the very rating that is hidden.
ITEM_DAMPING = 10.0


@renamed(averaging="average")
@dataclass(kw_only=True)
class Autoencoder(NeuralRecommender):
    r"""Denoising autoencoder of rating rows, with a sigmoid output scaled to the ratings [1]_.

    .. math:: \hat r_{ui} = lo + (hi - lo)\,
       \sigma\!\left(\mathrm{logit}\frac{\mu + b_u + b_i - lo}{hi - lo} + f_i(x_u, m_u)\right)

    :math:`x_u` are the deviations of the row from :math:`\mu + b_u + b_i` and :math:`m_u` its mask;
    :math:`f` is the network ``n_items - hidden_dims - reversed - n_items``, which starts near 0, so
    training starts from the biases and improves on them. In every step a part of each row is
    hidden [2]_ and predicted from the rest, which is what the model is asked for later; the
    :math:`b_u` is always that of the part that is shown.

    Parameters
    ----------
    hidden_dims : tuple of int
        Widths of the encoder, at least one; the decoder mirrors them.
    activation : str
        Of the hidden layers, by its Keras name.
    loss_on : {"observed", "all"}
        Mean squared error over the stored ratings, or over all cells with 0 where nothing is
        stored. The second learns who uses what, weighted by the rating, and its scores are an
        order, not ratings.
    base : {"biases", "mean"}
        What the network refines: the biases, or only the mean rating. Unused for "all" cells.
    rating_scale : tuple of two float, optional
        Lowest and highest rating; by default those in the training data.
    input_dropout : float
        Share of each row that is hidden in a step, in [0, 1).
    shown_weight : float
        Weight of the error on the entries that are not hidden, >= 0; 1 on the hidden ones.
    dropout : float
        Share of each hidden layer that is dropped in a step, in [0, 1).
    l2 : float
        Penalty of the squared norm of the kernels, >= 0, against the error in shares of the scale.
    optimizer : str
        Name of a Keras optimizer, such as "adam", "rmsprop" or "sgd".
    learning_rate : float
        Positive.
    batch_size : int
        Users in one update, >= 1.
    epochs : int
        Upper limit with a validation fold, else the number of epochs, >= 1.
    patience : int, optional
        Epochs without a new best validation error before training stops, >= 1. By default it
        makes all epochs; the best weights are kept in any case.
    average : float, optional
        Share of the past in the running average over epochs of the weights that are measured and
        kept, in [0, 1); None, or 0, takes the weights as they are.
    seed : int
        Of the weights, of what is hidden and dropped, and of the order of the users.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch. ``train_rmse``: as trained, with noise, the average over the epoch;
        ``reconstruction_rmse``: on the ratings of (at most 2,000) training users, all shown, after
        the epoch;
        ``validation_rmse``: on the held-out targets, where a fold was given; ``seconds``. Errors
        are in units of the ratings.
    best_epoch_ : int
        The epoch whose weights were kept.
    network_ : RatingNetwork
        The layers.

    Notes
    -----
    An epoch costs about 6 n_users P flops for P weights, all in one compiled call; memory is
    12 bytes a rating and the weights. An empty row gets :math:`\mu + b_i`, the (damped) item means.

    Differs from [1]_: deviations instead of ratings go in, a mask says what 0 means, and training
    hides a part of the row.

    References
    ----------
    .. [1] S. Sedhain, A. K. Menon, S. Sanner, L. Xie, "AutoRec: Autoencoders Meet Collaborative
       Filtering", WWW 2015, eq. 2 (the user-based model).
    .. [2] P. Vincent et al., "Extracting and Composing Robust Features with Denoising
       Autoencoders", ICML 2008, section 2.3.

    Examples
    --------
    >>> ratings = sparse.csr_array([[5, 1, 0, 5], [1, 5, 1, 0], [5, 0, 5, 5], [1, 5, 1, 1]])
    >>> model = Autoencoder(hidden_dims=(8,), epochs=30, learning_rate=0.02).fit(ratings)
    >>> scores = model.score(ratings[[0]])
    >>> scores.shape, bool(1 <= scores.min() and scores.max() <= 5)
    ((1, 4), True)
    """

    hidden_dims: tuple[int, ...] = (128, 64)
    activation: str = "tanh"
    loss_on: Literal["observed", "all"] = "observed"
    base: Literal["biases", "mean"] = "biases"
    rating_scale: tuple[float, float] | None = None
    input_dropout: float = 0.5
    shown_weight: float = 0.2
    dropout: float = 0.5
    l2: float = 3e-6
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    batch_size: int = 64
    epochs: int = 50
    patience: int | None = None
    average: float | None = 0.9

    _rules: ClassVar[Rules] = {
        **NeuralRecommender._rules,
        "hidden_dims": partial(check_widths, least=1),
    }
    _watch = ("validation_rmse", "min")

    @property
    def predicts(self) -> str:  # type: ignore[override]
        """``"rating"`` if trained on stored ratings, ``"rank"`` if trained on all cells."""
        return "rating" if self.loss_on == "observed" else "rank"

    def _item_vectors(self) -> Floats:
        """Return the decoder's vector of each item, of shape (n_items, hidden_dims[0])."""
        return np.asarray(self.network_.layers[-1].kernel, dtype=np.float32).T

    def encode(self, user_items: CSR) -> Floats:
        """Return the code of each row.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32

        Returns
        -------
        ndarray of shape (n_rows, hidden_dims[-1]), float32
        """
        x = self._read(user_items)
        return self._apply("encode", x, self.hidden_dims[-1])

    def _monitor(self, x: CSR, validation: Fold | None) -> Any:
        from recsys_lib.training.passes import Measure
        from recsys_lib.training.trainer import Monitor

        sample = x
        if x.shape[0] > RECONSTRUCTED:
            rng = rng_from(self.seed, "reconstruction")
            sample = x[np.sort(rng.choice(x.shape[0], RECONSTRUCTED, replace=False))]
        error = partial(Measure, self.network_.measure, ["error"], state=self.network_.state)
        passes = {"reconstruction": error(self._rows(sample))}
        if validation is not None:
            shown = self._rows(sparse.csr_array(validation.fold_in))
            targets = self._rows(sparse.csr_array(validation.targets))
            passes["validation"] = error(shown, targets=targets)
        return Monitor(
            measure=lambda: {name: walk.run()["error"] for name, walk in passes.items()},
            watch=None if validation is None else "validation",
            patience=self.patience,
        )

    def _start(self, x: CSR) -> Arrays:
        """Return the baseline predictions that the network corrects, as arrays."""
        _check_scale(x, self.rating_scale if self.loss_on == "observed" else (0.0, np.inf))
        if self.loss_on == "all":
            highest = float(x.data.max())
            means = np.bincount(x.indices, x.data, x.shape[1]) / x.shape[0]
            numbers = [0.0, np.inf, 0.0, highest, highest, 1e-4]
            return {"base_items": means.astype(np.float32), "base_numbers": np.array(numbers)}
        given = (x.data.min(), x.data.max()) if self.rating_scale is None else self.rating_scale
        lo, hi = check_rating_scale(given)
        if lo == hi:  # half a unit on both sides
            lo, hi = lo - 0.5, hi + 0.5
        items, mean, damping = np.zeros(x.shape[1]), float(x.data.mean()), np.inf
        if self.base == "biases":
            biases = fit_biases(x, item_damping=ITEM_DAMPING)
            items, mean, damping = biases.items, biases.mean, biases.user_damping
        numbers = [mean, damping, lo, hi, float(x.data.std()) or 1.0, 0.02]
        return {"base_items": items.astype(np.float32), "base_numbers": np.array(numbers)}

    def _network(self, start: Arrays) -> Any:
        from recsys_lib.models.networks.rating import Base, RatingNetwork

        mean, damping, lo, hi, spread, margin = (float(n) for n in start["base_numbers"])
        base = Base(mean, start["base_items"], damping, (lo, hi), spread, margin)
        return RatingNetwork(self._settings(), base)

    def _record(self, record: Mapping[str, float]) -> dict[str, float]:
        """Turn the mean squared errors of an epoch into named root mean squared errors."""
        names = {"error": "train_rmse"}
        names |= {name: f"{name}_rmse" for name in ("reconstruction", "validation")}
        return {
            names.get(name, name): float(np.sqrt(value)) if name in names else value
            for name, value in record.items()
        }

    def _checked(self, user_items: Any, validation: Fold | None) -> CSR:
        x = super()._checked(user_items, validation)
        check_ratings(x)
        return x


def _check_scale(x: CSR, scale: tuple[float, float] | None) -> None:
    """Raise `ValueError` if the scale is missing or a rating lies outside it."""
    if scale is None:
        return
    low, high = check_rating_scale(scale)
    outside = np.flatnonzero((x.data < low) | (x.data > high))
    if len(outside):
        row = int(np.searchsorted(x.indptr, outside[0], side="right")) - 1
        raise ValueError(
            f"`user_items` must hold ratings from {low:g} to {high:g}; row {row} holds "
            f"{x.data[outside[0]]:g}. Repair the data, or widen `rating_scale`."
        )
