"""Base of the recommenders that train a network in epochs."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.artifacts import fingerprint_arrays, read_table, write_table
from recsys_lib.checks import (
    CSR,
    Floats,
    check_integer,
    check_is_fitted,
    check_nonnegative,
    check_user_items,
)
from recsys_lib.dataset import Fold
from recsys_lib.models.base import RULES, Arrays, Cost, Recommender, Rules
from recsys_lib.progress import clear, track
from recsys_lib.ranking import ndcg_of_lists, negative_log_likelihood, slices, top_k
from recsys_lib.seeding import rng_from
from recsys_lib.training.checkpoints import Checkpoints, Keeper, advice, checkpoints_of, is_on

Likelihood = Literal["multinomial", "logistic", "gaussian"]
#: Receives the history record of the epoch that has just ended.
OnEpoch = Callable[[dict[str, float]], object]
Score = Callable[[CSR], Floats]


def check_outputs(name: str, value: Any) -> None:
    """Raise unless `value` is "all" or a number of items."""
    if value != "all":
        check_integer(name, value, minimum=1)


# How long to train: a fit goes on with more of either from where it has come to.
_LENGTH = {"epochs", "patience"}
_COMPILED = {"network_", "_scorers"}


@dataclass(kw_only=True)
class NeuralRecommender(Recommender):
    """Base of the models that train a network in epochs.

    Subclasses build a network (`_network`). It starts from ``item_bias``, the logarithm of each
    item's share of users, and the best epoch is that with the best ndcg@100 of the validation
    users, unless a subclass says otherwise (`_start`, `_monitor`). With a validation fold, training
    keeps the weights of the epoch that is best there and stops after `patience` epochs without a
    new best; without one it makes `epochs` epochs.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch.
    network_ : Network
        The layers, with ``score(batch)``.
    trained_on_ : dict
        What made the seconds of `history_`: ``device``, ``devices``, ``backend``, ``precision``.
    """

    dropout: float = 0.5
    l2: float = 0.0
    learning_rate: float = 1e-3
    batch_size: int = 500
    epochs: int = 100
    patience: int | None = 20
    average: float | None = None
    seed: int = 0

    history_: pd.DataFrame = field(init=False, repr=False, compare=False)
    network_: Any = field(init=False, repr=False, compare=False)
    trained_on_: dict[str, str | int] = field(init=False, repr=False, compare=False)
    _scorers: dict[str, Any] = field(init=False, repr=False, compare=False)

    _rules: ClassVar[Rules] = {**RULES, "l2": check_nonnegative, "outputs": check_outputs}
    #: What is best on the validation fold: a column of `history_`, and which way it is better.
    _watch: ClassVar[tuple[str, Literal["min", "max"]]] = ("ndcg@100", "max")

    def fit(
        self,
        user_items: CSR,
        *,
        validation: Fold | None = None,
        checkpoint: Checkpoints | Path | str | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Fit from scratch, or resume from the checkpoints of the same fit.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items), float32
            Stored entries are observations. Not modified.
        validation : Fold, optional
            Held-out users or ratings, by which the best weights are kept and training stops.
        checkpoint : Checkpoints, Path or str, optional
            A folder for what training goes on from, or how often to write there as well
            (`training.Checkpoints`). A fit that was killed goes on after the last epoch written and
            ends with the weights of one that was not; a fit that had ended returns at once. All but
            `epochs` and `patience` must be as it was.
        on_epoch : callable, optional
            Called after every epoch with its record, a row of `history_` as a dict:
            ``epoch``, the terms of the objective, what was measured on the validation fold,
            ``seconds``. An exception that it raises leaves `fit`.

        Returns
        -------
        Self

        Raises
        ------
        TypeError, ValueError
            If the matrix or a hyper-parameter is invalid.
        ArtifactError
            If the folder of `checkpoint` belongs to another fit, is in use or cannot be written.
        KeyboardInterrupt
            If it is interrupted; the message says how to go on.
        """
        x = self._checked(user_items, validation)
        name = type(self).__name__
        with track(name, self.epochs, "epochs") as task, contextlib.ExitStack() as stack:
            keeper = self._keeper(x, validation, checkpoint)
            if keeper is not None:
                stack.enter_context(keeper)

            def tell(found: dict[str, float]) -> None:
                record = self._record(found)
                task.epoch(record, users=x.shape[0])
                if on_epoch is not None:
                    clear()  # it may write to the same terminal
                    on_epoch(record)

            try:
                self._fit(x, validation, on_epoch=tell, keeper=keeper)
            except KeyboardInterrupt:
                done = task.done
                if keeper is not None:
                    keeper.write()
                    done = max(done, keeper.epoch)  # kept, and not yet shown
                reached = f"{name} was stopped after epoch {done} of {self.epochs}"
                # Without the frames of the backend, which fill three screens.
                raise KeyboardInterrupt(f"{reached}. {advice(keeper)}") from None
            from recsys_lib.training.device import in_use

            self.trained_on_ = in_use()
        self.n_items_ = int(x.shape[1])
        return self

    @property
    def best_epoch_(self) -> int:
        """The epoch that was best on the validation fold, kept; without validation the last."""
        name, way = self._watch
        history = self.history_.set_index("epoch")
        if name not in history:
            return int(history.index[-1])
        return int(history[name].idxmin() if way == "min" else history[name].idxmax())

    @property
    def item_vectors_(self) -> Floats:
        """The last layer's vector of each item, of shape (n_items, width of that layer's input)."""
        check_is_fitted(self, "n_items_")
        return self._item_vectors()

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write the fitted model as a folder; as of every model, with what it was trained on."""
        check_is_fitted(self, "n_items_")
        super().save(folder, trained_on=self.trained_on_, **facts)

    @classmethod
    def _load(cls, folder: Path, record: dict[str, Any]) -> Self:
        model = super()._load(folder, record)
        model.trained_on_ = record.get("trained_on", {})
        return model

    def _checked(self, user_items: Any, validation: Fold | None) -> CSR:
        x = super()._checked(user_items, validation)
        if validation is not None and sparse.csr_array(validation.targets).nnz == 0:
            raise ValueError(
                f"`validation` must hold targets, which {self._watch[0]} is measured on; it holds "
                "none. Leave it out to train a fixed number of epochs."
            )
        return x

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or another process gets: arrays, for no network can be copied."""
        state = {name: value for name, value in vars(self).items() if name not in _COMPILED}
        return state | ({"arrays": self._arrays()} if hasattr(self, "network_") else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: value for name, value in state.items() if name != "arrays"})
        if "arrays" in state:
            self._restore(state["arrays"])

    def _symbolic(self, rows: Any) -> Any:
        return self.network_.score(rows)

    def _start(self, x: CSR) -> Arrays:
        """Return what the network starts from, as arrays that are saved beside its weights."""
        _check_counts(x)
        return {"item_bias": log_popularity(x)}

    def _network(self, start: Arrays) -> Any:
        """Build a fresh network (`models.networks`)."""
        raise NotImplementedError

    def _monitor(self, x: CSR, validation: Fold | None) -> Any:
        """Return what is measured after an epoch (`training.Monitor`), if anything."""
        from recsys_lib.training.trainer import Monitor

        if validation is None:
            return None
        watch, goal = self._watch
        measure = partial(self._measure, validation)
        return Monitor(measure=measure, watch=watch, goal=goal, patience=self.patience)

    def _measure(self, validation: Fold) -> dict[str, float]:
        """Return what is measured on the validation users after each epoch."""
        return {self._watch[0]: mean_ndcg(self._score, validation)}

    def _settings(self) -> Any:
        """Return the settings for the network: without the network, which would hold itself.

        In numbers of Python, since Keras takes no width of NumPy.
        """
        settings = self.config().items()
        return replace(self, **{name: np.asarray(value).tolist() for name, value in settings})

    def _record(self, record: Mapping[str, float]) -> dict[str, float]:
        """Return the record of an epoch in the names and units of `history_`."""
        return dict(record)

    def _fit(self, x: CSR, validation: Fold | None, **how: Any) -> None:
        trainer = self._begin(x)
        monitor = self._monitor(x, validation)
        trainer.fit(self._rows(x), epochs=self.epochs, monitor=monitor, **how)
        self.history_ = pd.DataFrame([self._record(record) for record in trainer.history])

    def _begin(self, x: CSR) -> Any:
        """Build a fresh network for rows, and return its trainer."""
        from recsys_lib.training.trainer import Trainer

        self._use(self._start(x), density=x.nnz / (x.shape[0] * x.shape[1]))
        self._prepare(x)
        return Trainer(
            self.network_.phases(),
            state=self.network_.state,
            batch_size=self.batch_size,
            seed=self.seed,
            average=self.average,
        )

    def _prepare(self, x: CSR) -> None:
        """Do what a network needs before its first epoch."""

    def _rows(self, x: CSR) -> Any:
        from recsys_lib.training.rows import Rows

        return Rows(x, gather=self._gather)

    def _use(self, start: Arrays, *, density: float) -> None:
        """Build a fresh network for scoring."""
        from recsys_lib.training.rows import gathers

        self._started, self._density, self._scorers = start, density, {}
        self.network_ = self._network(start)
        # By the density of the training rows, so that every block is scored the same way.
        width = int(self.network_.layers[0].kernel.shape[1])
        self._gather = gathers(density, width)

    def _apply(self, name: str, x: CSR, n_out: int | None = None) -> Floats:
        """Return what a function of the network makes of rows; it is compiled once."""
        from recsys_lib.training.scoring import Scorer

        if name not in self._scorers:
            function, n_items = getattr(self.network_, name), self.network_.n_items
            options: dict[str, Any] = {"state": self._weights(), "gather": self._gather}
            self._scorers[name] = Scorer(function, n_items=n_items, n_out=n_out, **options)
        scores: Floats = self._scorers[name](x)
        return scores

    def _score(self, x: CSR) -> Floats:
        return self._apply("score", x)

    def _weights(self) -> list[Any]:
        return [variable for layer in self.network_.layers for variable in layer.weights]

    def _arrays(self) -> Arrays:
        weights = [weight.numpy() for weight in self._weights()]
        named = {f"weight_{index}": weight for index, weight in enumerate(weights)}
        return named | self._started | {"density": np.array(self._density)}

    def _restore(self, arrays: Arrays) -> None:
        weights = {name for name in arrays if name.startswith("weight_")}
        start = {name: arrays[name] for name in arrays.keys() - weights - {"density"}}
        self._use(start, density=float(arrays["density"]))
        self._assign([arrays[f"weight_{index}"] for index in range(len(weights))])

    def _assign(self, weights: Sequence[NDArray[Any]]) -> None:
        """Set the weights of the network."""
        for variable, weight in zip(self._weights(), weights, strict=True):
            variable.assign(weight)

    def _save_extra(self, folder: Path) -> None:
        write_table(folder / "history.parquet", self.history_)

    def _load_extra(self, folder: Path) -> None:
        self.history_ = read_table(folder / "history.parquet")

    def _keeper(
        self, x: CSR, validation: Fold | None, checkpoint: Checkpoints | Path | str | None
    ) -> Keeper | None:
        """Return what keeps the checkpoints, if there are any."""
        if checkpoint is None and not is_on():
            return None
        identity = self._identity(x, validation)
        if checkpoint is None:
            checkpoint = checkpoints_of({**identity, **self.config()})
        return Keeper(Checkpoints.of(checkpoint), identity)

    def _identity(self, x: CSR, validation: Fold | None) -> dict[str, Any]:
        """Return what must be the same for a fit to resume, by name."""
        from recsys_lib.training import backend
        from recsys_lib.training._keras import keras

        settings = {name: value for name, value in self.config().items() if name not in _LENGTH}
        parts = None if validation is None else (validation.fold_in, validation.targets)
        return {
            "model": type(self).__name__,
            "backend": backend.NAME,
            "precision": keras.config.dtype_policy().name,
            "user_items": _fingerprint(x),
            "validation": None if parts is None else _fingerprint(*parts),
            **settings,
        }


@dataclass(kw_only=True)
class LikelihoodRecommender(NeuralRecommender):
    """Base of the models that learn by a likelihood of the row, or of its hidden part."""

    latent_dim: int = 200
    targets: Literal["all", "hidden"] = "all"

    def cost(self, user_items: CSR) -> Cost:
        """Return what the last layer takes, dense in users and items; see `Recommender.cost`."""
        n_users, n_items = user_items.shape
        config = self.config()
        widths = config.get("hidden_dims") or (config.get("hidden_dim", 0),)
        weights = n_items * max(self.latent_dim, *widths) + self._more_weights(n_items)
        passes = config.get("encoder_passes", 1) + config.get("decoder_passes", 0)
        # Weights, gradients and Adam's two moments; of a batch the scores and what becomes of them.
        n_bytes = 16 * weights + 40 * self.batch_size * n_items
        # Once forward and twice backward.
        return Cost(3.0 * self.epochs * passes * n_users * weights, n_bytes)

    def _more_weights(self, n_items: int) -> int:
        """Return how many weights there are beside the last layer."""
        return 0

    def _check(self) -> None:
        super()._check()
        likelihood = self.config().get("likelihood", "multinomial")
        if self.targets == "hidden" and (self.dropout == 0 or likelihood != "multinomial"):
            raise ValueError(
                "`targets` that are 'hidden' must have a dropout > 0 and the multinomial "
                f"likelihood; got {self.dropout} and {likelihood!r}. Try targets='all'."
            )


@dataclass(kw_only=True)
class OutputRecommender(NeuralRecommender):
    """Base of the models that can train on a sample of the items; see `networks.outputs`."""

    latent_dim: int = 200
    outputs: Literal["all"] | int = "all"

    def _item_vectors(self) -> Floats:
        """Return the rows of the decoder's last layer."""
        return np.asarray(self.network_.decoder.vectors(), dtype=np.float32)


class Code(NamedTuple):
    """The encoding of each row: a normal distribution over codes.

    Attributes
    ----------
    mean, log_variance : ndarray of shape (n_rows, latent_dim), float32
        Of independent dimensions.
    """

    mean: Floats
    log_variance: Floats

    def sample(self, n: int = 1, *, seed: int = 0) -> Floats:
        """Draw codes.

        Parameters
        ----------
        n : int
            Draws for each row, >= 1.
        seed : int

        Returns
        -------
        ndarray of shape (n, n_rows, latent_dim), float32

        Examples
        --------
        >>> code = Code(np.zeros((1, 2), "float32"), np.log([[4.0, 1.0]]).astype("float32"))
        >>> code.sample(50_000).std(axis=0).round(1)
        array([[2., 1.]], dtype=float32)
        """
        check_integer("n", n, minimum=1)
        rng = rng_from(seed, "models", "code")
        noise = rng.standard_normal((n, *self.mean.shape), dtype=np.float32)
        return self.mean + np.exp(0.5 * self.log_variance) * noise


@dataclass(kw_only=True)
class VariationalRecommender(OutputRecommender, LikelihoodRecommender):
    """Base of the models whose code is a distribution.

    Scores are those of the mean code: `encode` and `decode` are the two halves of `score`, and
    drawing codes between them shows what the model leaves open about a user. Nothing is drawn
    unless asked for.
    """

    def encode(self, user_items: CSR) -> Code:
        """Return the distribution of each row's code.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32
            As for `score`.

        Returns
        -------
        Code
            Mean and log variance, (n_rows, latent_dim) each; of an empty row 0 and 0, the prior.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        ValueError
            If the number of columns differs from the one in `fit`.

        Examples
        --------
        >>> from recsys_lib.models import MultVAE
        >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 1], [0, 0, 0]], dtype="float32")
        >>> model = MultVAE(hidden_dims=(), latent_dim=2, epochs=1).fit(likes)
        >>> code = model.encode(likes)
        >>> code.mean.shape, bool(code.log_variance[2].any())
        ((3, 2), False)
        >>> bool(np.allclose(model.decode(code.mean), model.score(likes), atol=1e-5))
        True
        """
        x = self._read(user_items)
        both = self._apply("encode", x, 2 * self.latent_dim)
        return Code(both[:, : self.latent_dim], both[:, self.latent_dim :])

    def decode(self, codes: ArrayLike) -> Floats:
        """Return the scores of codes.

        Parameters
        ----------
        codes : array of shape (n_rows, latent_dim)

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
            Logits.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        ValueError
            By Keras, if the codes have another width than the model's.
        """
        check_is_fitted(self, "n_items_")
        codes = np.asarray(codes, dtype=np.float32)
        return np.asarray(self.network_.decoder(codes), dtype=np.float32)


def log_popularity(x: CSR) -> Floats:
    """Return the logarithm of each item's share of users, half a user added to each."""
    counts = np.bincount(x.indices, weights=x.data, minlength=x.shape[1])
    return np.log((counts + 0.5) / (x.shape[0] + 1)).astype(np.float32)


def mean_ndcg(score: Score, fold: Fold, *, k: int = 100, batch_size: int = 512) -> float:
    """Return ndcg@k of `score` over the users of `fold` that have targets.

    Parameters
    ----------
    score : callable
        ``score(user_items) -> ndarray of shape (n_rows, n_items), float32``.
    fold : Fold
        What the model sees of each user, and what it must find.
    k : int
        List length, >= 1.
    batch_size : int
        Rows scored at once.

    Returns
    -------
    float
        In [0, 1]; NaN where no user has a target.

    Examples
    --------
    >>> rows = sparse.csr_array([[1, 0, 0]]), sparse.csr_array([[0, 0, 1]])
    >>> fold = Fold(fold_in=rows[0], targets=rows[1], users=np.array([0]))
    >>> round(mean_ndcg(lambda x: np.array([[9, 2, 1]], dtype="float32"), fold), 4)
    0.6309
    """
    fold_in, targets = sparse.csr_array(fold.fold_in), sparse.csr_array(fold.targets)
    values = []
    for rows in slices(fold_in.shape[0], batch_size):
        seen = fold_in[rows]
        values.append(ndcg_of_lists(top_k(score(seen), k, exclude=seen).items, targets[rows]))
    every = np.concatenate(values) if values else np.empty(0)
    every = every[~np.isnan(every)]
    return float(every.mean()) if len(every) else float("nan")


def mean_nll(score: Score, fold: Fold, *, batch_size: int = 512) -> float:
    """Return the negative log-likelihood of one target, in nats; see `negative_log_likelihood`."""
    fold_in, targets = sparse.csr_array(fold.fold_in), sparse.csr_array(fold.targets)
    total = 0.0
    for rows in slices(fold_in.shape[0], batch_size):
        if targets[rows].nnz:
            mean = negative_log_likelihood(score(fold_in[rows]), fold_in[rows], targets[rows])
            total += mean * targets[rows].nnz
    return total / targets.nnz if targets.nnz else float("nan")


def _fingerprint(*matrices: CSR) -> str:
    """Return the SHA-256 of matrices as they are read: shapes, positions and float32 values."""
    read = [check_user_items(matrix) for matrix in matrices]
    return fingerprint_arrays(*(part for x in read for part in (x.shape, x)))


def _check_counts(x: CSR) -> None:
    if (x.data < 0).any():
        row = int(np.searchsorted(x.indptr, np.flatnonzero(x.data < 0)[0], "right")) - 1
        raise ValueError(
            "`user_items` must hold counts >= 0, as a multinomial likelihood needs; row "
            f"{row} holds a negative value. Use Dataset.implicit() for ratings."
        )
