"""Base of recommenders with a trained network: fitting, scoring, early stopping, persistence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.artifacts import read_table, write_table
from recsys_lib.checks import (
    check_choice,
    check_fraction,
    check_integer,
    check_nonnegative,
    check_positive,
)
from recsys_lib.dataset import Fold
from recsys_lib.models._validation import mean_ndcg
from recsys_lib.models.base import Arrays
from recsys_lib.models.epochs import EpochRecommender, OnEpoch
from recsys_lib.training.checkpoints import Keeper

__all__ = [
    "Likelihood",
    "Network",
    "NeuralRecommender",
    "check_likelihood",
    "check_widths",
    "log_popularity",
]

WATCH = "ndcg@100"

Likelihood = Literal["multinomial", "logistic", "gaussian"]


class Network(Protocol):
    """Interface of the networks in `recsys_lib.models.networks`."""

    #: Columns of the rows.
    n_items: int
    #: Layers whose weights make the model, in a fixed order.
    layers: list[Any]

    @property
    def state(self) -> list[Any]:
        """Everything that the losses read or write."""

    def phases(self) -> list[Any]:
        """Return the phases of one epoch (`recsys_lib.training.Phase`)."""

    def score(self, batch: Any) -> Any:
        """Return scores of shape (n_rows, n_items), without noise."""


@dataclass(kw_only=True)
class NeuralRecommender(EpochRecommender):
    """Base of the models that learn a network from rows by a likelihood.

    Subclasses implement `_network`. With a validation fold, training keeps the weights of the epoch
    with the best ndcg@100 of the validation users and stops after `patience` epochs without a new
    best; without one it makes `epochs` epochs.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: the terms of the objective, ndcg@100 of the validation users, seconds.
    network_ : Network
        The layers.
    """

    latent_dim: int = 200
    dropout: float = 0.5
    l2: float = 0.0
    learning_rate: float = 1e-3
    batch_size: int = 500
    epochs: int = 100
    patience: int = 20
    targets: Literal["all", "hidden"] = "all"
    average: float | None = None
    seed: int = 0

    def _network(self, item_bias: NDArray[np.float32]) -> Network:
        """Build the network; `item_bias` is the logarithm of each item's share of users."""
        raise NotImplementedError

    def _fit(
        self,
        x: sparse.csr_array,
        validation: Fold | None,
        *,
        on_epoch: OnEpoch | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        from recsys_lib.training.rows import Rows
        from recsys_lib.training.trainer import Trainer

        self._begin(x)
        trainer = Trainer(
            self.network_.phases(),
            state=self.network_.state,
            batch_size=self.batch_size,
            seed=self.seed,
            average=self.average,
        )
        trainer.fit(
            Rows(x, gather=self._gather),
            epochs=self.epochs,
            monitor=self._monitor(validation),
            on_epoch=on_epoch,
            keeper=keeper,
        )
        self.history_ = pd.DataFrame(trainer.history)

    def _begin(self, x: sparse.csr_array) -> None:
        """Check settings and rows, and build a fresh network for them."""
        self._check()
        _check_counts(x)
        self._use(log_popularity(x), density=x.nnz / (x.shape[0] * x.shape[1]))
        self._prepare(x)

    def _check(self) -> None:
        check_fraction("dropout", self.dropout, closed=True)
        check_nonnegative("l2", self.l2)
        check_positive("learning_rate", self.learning_rate)
        check_choice("targets", self.targets, ("all", "hidden"))
        if self.targets == "hidden" and self.dropout == 0:
            raise ValueError(
                "`dropout` must be > 0 with targets='hidden'; got 0, which hides nothing. Try 0.3."
            )
        if self.average is not None:
            check_fraction("average", self.average, closed=True)
        for name in ("latent_dim", "batch_size", "epochs", "patience"):
            check_integer(name, getattr(self, name), minimum=1)

    def _prepare(self, x: sparse.csr_array) -> None:
        """Do what a network needs before its first epoch."""

    def _monitor(self, validation: Fold | None) -> Any:
        from recsys_lib.training.trainer import Monitor

        if validation is None:
            return None
        if sparse.csr_array(validation.targets).nnz == 0:
            raise ValueError(
                "`validation` must hold targets, which ndcg@100 is measured on; it holds none. "
                "Leave it out to train a fixed number of epochs."
            )
        return Monitor(
            measure=lambda: self._measure(validation),
            watch=WATCH,
            goal="max",
            patience=self.patience,
        )

    def _measure(self, validation: Fold) -> dict[str, float]:
        """Return what is measured on the validation users after each epoch."""
        return {WATCH: mean_ndcg(self._score, validation)}

    def _use(self, item_bias: NDArray[np.float32], *, density: float) -> None:
        """Build a fresh network for scoring."""
        from recsys_lib.training import backend
        from recsys_lib.training.scoring import Scorer

        self._item_bias, self._density = item_bias, density
        # By the density of the training rows, so that every block is scored the same way.
        self._gather = density < backend.GATHER_DENSITY
        self.network_ = network = self._network(item_bias)
        self._scorer = Scorer(
            network.score, n_items=network.n_items, state=self._weights(), gather=self._gather
        )

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        return self._scorer(x)

    def _weights(self) -> list[Any]:
        return [variable for layer in self.network_.layers for variable in layer.weights]

    def _arrays(self) -> Arrays:
        weights = [weight.numpy() for weight in self._weights()]
        named = {f"weight_{index}": weight for index, weight in enumerate(weights)}
        return named | {"item_bias": self._item_bias, "density": np.array(self._density)}

    def _restore(self, arrays: Arrays) -> None:
        self._use(arrays["item_bias"], density=float(arrays["density"]))
        for index, weight in enumerate(self._weights()):
            weight.assign(arrays[f"weight_{index}"])

    def _save_extra(self, folder: Path) -> None:
        write_table(folder / "history.parquet", self.history_)

    def _load_extra(self, folder: Path) -> None:
        self.history_ = read_table(folder / "history.parquet")


def log_popularity(x: sparse.csr_array) -> NDArray[np.float32]:
    """Return the logarithm of each item's share of users, half a user added to each."""
    counts = np.bincount(x.indices, weights=x.data, minlength=x.shape[1])
    return np.log((counts + 0.5) / (x.shape[0] + 1)).astype(np.float32)


def check_widths(name: str, widths: Sequence[int], *, least: int = 0) -> None:
    """Raise unless `widths` is a tuple (or list) of at least so many integers >= 1.

    Examples
    --------
    >>> check_widths("hidden_dims", 600)
    Traceback (most recent call last):
    TypeError: `hidden_dims` must be a tuple of layer widths; got 600. Try (600,).
    """
    if not isinstance(widths, tuple | list):
        raise TypeError(f"`{name}` must be a tuple of layer widths; got {widths!r}. Try (600,).")
    if len(widths) < least:
        raise ValueError(f"`{name}` must have a hidden layer; got {widths!r}. Try (600,).")
    for place, width in enumerate(widths):
        check_integer(f"{name}[{place}]", width, minimum=1)


def check_likelihood(likelihood: str, targets: str) -> None:
    """Raise unless the likelihood is known and goes with the targets.

    Examples
    --------
    >>> check_likelihood("logistic", "hidden")
    Traceback (most recent call last):
    ValueError: `likelihood` must be 'multinomial' with targets='hidden'; got 'logistic'. ...
    """
    check_choice("likelihood", likelihood, ("multinomial", "logistic", "gaussian"))
    if targets == "hidden" and likelihood != "multinomial":
        raise ValueError(
            f"`likelihood` must be 'multinomial' with targets='hidden'; got {likelihood!r}. "
            "Try targets='all'."
        )


def _check_counts(x: sparse.csr_array) -> None:
    if (x.data < 0).any():
        row = int(np.searchsorted(x.indptr, np.flatnonzero(x.data < 0)[0], "right")) - 1
        raise ValueError(
            "`user_items` must hold counts >= 0, as a multinomial likelihood needs; row "
            f"{row} holds a negative value. Use Dataset.implicit() for ratings."
        )
