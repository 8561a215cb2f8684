"""The rating autoencoder: predicts the ratings of a row from the part it sees."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.artifacts import read_table, write_table
from recsys_lib.checks import (
    check_choice,
    check_fraction,
    check_integer,
    check_is_fitted,
    check_nonnegative,
    check_positive,
    check_rating_scale,
    check_ratings,
    check_user_items,
)
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays
from recsys_lib.models.bias import fit_biases
from recsys_lib.models.epochs import EpochRecommender, OnEpoch
from recsys_lib.models.neural import check_widths
from recsys_lib.seeding import rng_from
from recsys_lib.training.checkpoints import Keeper

__all__ = ["Autoencoder"]

NETWORK_FILE = "network.keras"
# Training users whose reconstruction error is measured after each epoch; all of them would take as
# long as half an epoch of training.
RECONSTRUCTED = 2000
# More than for biases alone: a rarely rated item's bias knows the very rating that is hidden.
ITEM_DAMPING = 10.0


@dataclass(kw_only=True)
class Autoencoder(EpochRecommender):
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
    averaging : float
        Share of the past in the running average over epochs of the weights that are measured and
        kept, in [0, 1); 0 takes the weights as they are.
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
        ``network_.network`` is the Keras model.

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
    averaging: float = 0.9
    seed: int = 0

    best_epoch_: int = field(init=False, repr=False, compare=False)

    @property
    def predicts(self) -> str:  # type: ignore[override]
        """``"rating"`` if trained on stored ratings, ``"rank"`` if trained on all cells."""
        return "rating" if self.loss_on == "observed" else "rank"

    @property
    def item_vectors_(self) -> NDArray[np.float32]:
        """The decoder's vector of each item, of shape (n_items, hidden_dims[0])."""
        check_is_fitted(self, "n_items_")
        tail = self.network_.network.get_layer("tail")
        return np.array(tail.get_layer("ratings_out").kernel.numpy()).T

    def encode(self, user_items: sparse.csr_array) -> NDArray[np.float32]:
        """Return the code of each row.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32

        Returns
        -------
        ndarray of shape (n_rows, hidden_dims[-1]), float32
        """
        from recsys_lib.training.scoring import Scorer

        check_is_fitted(self, "n_items_")
        x = check_user_items(user_items, n_items=self.n_items_)
        network = self.network_
        encode = Scorer(
            network.encode,
            n_items=self.n_items_,
            n_out=self.hidden_dims[-1],
            state=network.network.variables,
        )
        return encode(x)

    def _fit(
        self,
        x: sparse.csr_array,
        validation: Fold | None,
        *,
        on_epoch: OnEpoch | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        from recsys_lib.training.rows import Rows

        self._check(x)
        rows = Rows(x)
        trainer = self._trainer(x)
        report = None if on_epoch is None else lambda mse: on_epoch(_in_rating_units(mse))
        trainer.fit(
            rows,
            epochs=self.epochs,
            monitor=self._monitor(x, validation),
            on_epoch=report,
            keeper=keeper,
        )
        self.history_ = pd.DataFrame([_in_rating_units(record) for record in trainer.history])
        self.best_epoch_ = trainer.best_epoch or trainer.epoch

    def _trainer(self, x: sparse.csr_array) -> Any:
        """Build the network and its trainer."""
        from recsys_lib.models.networks.rating import build
        from recsys_lib.training.trainer import Phase, Trainer

        network = build(x.shape[1], self.hidden_dims, activation=self.activation, seed=self.seed)
        self._use(network, self._base_arrays(x))
        phase = Phase(
            loss=self.network_.loss,
            terms=("error",),
            variables=network.trainable_variables,
            optimizer=_optimizer(self.optimizer, self.learning_rate),
        )
        return Trainer(
            [phase],
            state=self.network_.state,
            batch_size=self.batch_size,
            seed=self.seed,
            average=self.averaging,
        )

    def _monitor(self, x: sparse.csr_array, validation: Fold | None) -> Any:
        from recsys_lib.training.passes import Measure
        from recsys_lib.training.rows import Rows
        from recsys_lib.training.trainer import Monitor

        state, sample = self.network_.state, x
        if x.shape[0] > RECONSTRUCTED:
            rng = rng_from(self.seed, "reconstruction")
            sample = x[np.sort(rng.choice(x.shape[0], RECONSTRUCTED, replace=False))]
        passes = {
            "reconstruction": Measure(self.network_.measure, ["error"], Rows(sample), state=state)
        }
        if validation is not None:
            targets = sparse.csr_array(validation.targets)
            if targets.nnz == 0:
                raise ValueError(
                    "`validation` must hold target ratings; it holds none. "
                    "Leave it out to train a fixed number of epochs."
                )
            passes["validation"] = Measure(
                self.network_.measure,
                ["error"],
                Rows(sparse.csr_array(validation.fold_in)),
                targets=Rows(targets),
                state=state,
            )
        return Monitor(
            measure=lambda: {name: walk.run()["error"] for name, walk in passes.items()},
            watch=None if validation is None else "validation",
            patience=self.patience,
        )

    def _base_arrays(self, x: sparse.csr_array) -> Arrays:
        """Return the baseline predictions that the network corrects, as arrays."""
        if self.loss_on == "all":
            highest = float(x.data.max())
            means = np.bincount(x.indices, x.data, x.shape[1]) / x.shape[0]
            numbers = [0.0, np.inf, 0.0, highest, highest, 1e-4]
            return {"base_items": means.astype(np.float32), "base_numbers": np.array(numbers)}
        lo, hi = _opened(self.rating_scale or (float(x.data.min()), float(x.data.max())))
        items, mean, damping = np.zeros(x.shape[1]), float(x.data.mean()), np.inf
        if self.base == "biases":
            biases = fit_biases(x, item_damping=ITEM_DAMPING)
            items, mean, damping = biases.items, biases.mean, biases.user_damping
        numbers = [mean, damping, lo, hi, float(x.data.std()) or 1.0, 0.02]
        return {"base_items": items.astype(np.float32), "base_numbers": np.array(numbers)}

    def _use(self, network: Any, arrays: Arrays) -> None:
        """Use `network` for scoring."""
        from recsys_lib.models.networks.rating import Base, Noise, RatingNetwork
        from recsys_lib.training.scoring import Scorer

        mean, damping, lo, hi, spread, margin = (float(n) for n in arrays["base_numbers"])
        self._base = arrays
        self.network_ = RatingNetwork(
            network,
            Base(mean, arrays["base_items"], damping, (lo, hi), spread, margin),
            noise=Noise(self.input_dropout, self.shown_weight, self.dropout),
            all_cells=self.loss_on == "all",
            l2=self.l2,
            n_encoder=len(self.hidden_dims),
            seed=self.seed,
        )
        self._scorer = Scorer(
            self.network_.score, n_items=len(arrays["base_items"]), state=network.variables
        )

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        return self._scorer(x)

    def _arrays(self) -> Arrays:
        return {**self._base, "best_epoch": np.array(self.best_epoch_)}

    def _restore(self, arrays: Arrays) -> None:
        self._base = {name: arrays[name] for name in ("base_items", "base_numbers")}
        self.best_epoch_ = int(arrays["best_epoch"])

    def _save_extra(self, folder: Path) -> None:
        from recsys_lib.training.layers import save_network

        save_network(self.network_.network, folder / NETWORK_FILE)
        write_table(folder / "history.parquet", self.history_)

    def _load_extra(self, folder: Path) -> None:
        from recsys_lib.training.layers import load_network

        self._use(load_network(folder / NETWORK_FILE), self._base)
        self.history_ = read_table(folder / "history.parquet")

    def _check(self, x: sparse.csr_array) -> None:
        check_widths("hidden_dims", self.hidden_dims, least=1)
        check_choice("loss_on", self.loss_on, ("observed", "all"))
        check_choice("base", self.base, ("biases", "mean"))
        for name in ("input_dropout", "dropout", "averaging"):
            check_fraction(name, getattr(self, name), closed=True)
        for name in ("shown_weight", "l2"):
            check_nonnegative(name, getattr(self, name))
        check_positive("learning_rate", self.learning_rate)
        for name in ("batch_size", "epochs"):
            check_integer(name, getattr(self, name), minimum=1)
        if self.patience is not None:
            check_integer("patience", self.patience, minimum=1)
        _check_names(self.activation, self.optimizer)
        check_ratings(x)
        _check_scale(x, self.rating_scale if self.loss_on == "observed" else (0.0, np.inf))


def _optimizer(name: str, learning_rate: float) -> Any:
    """Return the Keras optimizer called `name`."""
    from recsys_lib.training._keras import keras

    config = {"class_name": name, "config": {"learning_rate": learning_rate}}
    return keras.optimizers.get(config)


def _check_names(activation: str, optimizer: str) -> None:
    """Raise `ValueError` where Keras does not know a name."""
    from recsys_lib.training._keras import keras

    known = {
        "activation": (activation, keras.activations.get),
        "optimizer": (optimizer, keras.optimizers.get),
    }
    for argument, (name, find) in known.items():
        example = "tanh" if argument == "activation" else "adam"
        try:
            found = isinstance(name, str) and find(name) is not None
        except ValueError:
            found = False
        if not found:
            raise ValueError(
                f"`{argument}` must be the name of a Keras {argument}; got {name!r}. "
                f"Try {example!r}."
            )


def _opened(scale: tuple[float, float]) -> tuple[float, float]:
    """Return the scale, with half a unit on both sides where its ends are equal."""
    lo, hi = scale
    return (lo, hi) if lo < hi else (lo - 0.5, hi + 0.5)


def _check_scale(x: sparse.csr_array, scale: tuple[float, float] | None) -> None:
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


def _in_rating_units(record: dict[str, float]) -> dict[str, float]:
    """Turn the mean squared errors of an epoch into named root mean squared errors."""
    names = {"error": "train_rmse"}
    names |= {name: f"{name}_rmse" for name in ("reconstruction", "validation")}
    return {
        names.get(name, name): float(np.sqrt(value)) if name in names else value
        for name, value in record.items()
    }
