"""Base of the models that train in epochs: callbacks and checkpoints."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import pandas as pd
from scipy import sparse

from recsys_lib.artifacts import fingerprint_arrays
from recsys_lib.checks import check_is_fitted, check_user_items
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Recommender, check_rows
from recsys_lib.progress import clear, track
from recsys_lib.training import checkpoints
from recsys_lib.training.checkpoints import Checkpoints, Keeper

__all__ = ["EpochRecommender", "OnEpoch"]

#: Receives the history record of the epoch that has just ended.
OnEpoch = Callable[[dict[str, float]], object]

# How long to train: a fit goes on with more of either from where it has come to.
_LENGTH = {"epochs", "patience"}


@dataclass(kw_only=True)
class EpochRecommender(Recommender):
    """Base of the models that train in epochs; subclasses implement the longer `_fit`.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch.
    network_ : object
        The layers, with ``score(batch)``.
    trained_on_ : dict
        What made the seconds of `history_`: ``device``, ``devices``, ``backend``, ``precision``.
    """

    history_: pd.DataFrame = field(init=False, repr=False, compare=False)
    network_: Any = field(init=False, repr=False, compare=False)
    trained_on_: dict[str, str | int] = field(init=False, repr=False, compare=False)

    def fit(
        self,
        user_items: sparse.csr_array,
        *,
        validation: Fold | None = None,
        checkpoint: Checkpoints | Path | str | None = None,
        on_epoch: OnEpoch | Sequence[OnEpoch] | None = None,
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
        on_epoch : callable or sequence of callables, optional
            Each is called after every epoch with its record, a row of `history_` as a dict:
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
        x = check_rows(user_items, validation)
        name, epochs = type(self).__name__, self.config()["epochs"]
        with track(name, epochs, "epochs") as task, contextlib.ExitStack() as stack:
            keeper = self._keeper(x, validation, checkpoint)
            if keeper is not None:
                stack.enter_context(keeper)
            show = partial(task.epoch, users=x.shape[0])
            try:
                self._fit(x, validation, on_epoch=_all_of(show, on_epoch), keeper=keeper)
            except KeyboardInterrupt:
                if keeper is not None:
                    keeper.write()
                reached = f"{name} was stopped after epoch {task.done} of {epochs}"
                # Without the frames of the backend, which fill three screens.
                raise KeyboardInterrupt(f"{reached}. {checkpoints.advice(keeper)}") from None
            from recsys_lib.training.device import in_use

            self.trained_on_ = in_use()
        self.n_items_ = int(x.shape[1])
        return self

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write the fitted model as a folder; as of every model, with what it was trained on."""
        check_is_fitted(self, "n_items_")
        super().save(folder, trained_on=self.trained_on_, **facts)

    @classmethod
    def _load(cls, folder: Path, record: dict[str, Any]) -> Self:
        model = super()._load(folder, record)
        model.trained_on_ = record.get("trained_on", {})
        return model

    def export_keras(self, path: Path | str) -> None:
        """Write what `score` does as a plain Keras model, for programs without this library.

        ``keras.models.load_model(path)``, in safe mode and on any backend, returns a model of
        stock layers: dense rows of shape (n_rows, n_items) in, their scores out.

        Parameters
        ----------
        path : Path or str
            Ends in ``.keras``; an older file is replaced.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        ValueError
            If `path` ends in something else.
        ArtifactError
            If the file cannot be written.

        Notes
        -----
        Equal to `score` but for rounding: to 1e-5 for a model of float32. A dense row has no stored
        zeros: a 0 is an item that the user has not rated. Seen items are scored like all others;
        leaving them out is up to the program. `save` keeps what `models.load` needs, this keeps the
        scores only.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from recsys_lib.models import MultDAE
        >>> from recsys_lib.training import keras
        >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 1]], dtype="float32")
        >>> model = MultDAE(latent_dim=2, epochs=1).fit(likes)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export_keras(f"{folder}/scores.keras")
        ...     plain = keras.models.load_model(f"{folder}/scores.keras")
        >>> bool(np.allclose(plain(likes.toarray()), model.score(likes), atol=1e-5))
        True
        """
        from recsys_lib.training.scoring import export_scores

        check_is_fitted(self, "n_items_")
        export_scores(self.network_.score, self.n_items_, path)

    def _fit(
        self,
        x: sparse.csr_array,
        validation: Fold | None,
        *,
        on_epoch: OnEpoch | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        raise NotImplementedError

    def _keeper(
        self,
        x: sparse.csr_array,
        validation: Fold | None,
        checkpoint: Checkpoints | Path | str | None,
    ) -> Keeper | None:
        """Return what keeps the checkpoints, if there are any."""
        if checkpoint is None and not checkpoints.is_on():
            return None
        identity = self._identity(x, validation)
        if checkpoint is None:
            checkpoint = checkpoints.checkpoints_of({**identity, **self.config()})
        return Keeper(Checkpoints.of(checkpoint), identity)

    def _identity(self, x: sparse.csr_array, validation: Fold | None) -> dict[str, Any]:
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


def _all_of(show: OnEpoch, on_epoch: OnEpoch | Sequence[OnEpoch] | None) -> OnEpoch:
    """Return one callable that calls all."""
    calls = [on_epoch] if callable(on_epoch) else list(on_epoch or ())

    def call_all(record: dict[str, float]) -> None:
        show(record)
        if calls:
            clear()  # they may write to the same terminal
        for call in calls:
            call(record)

    return call_all


def _fingerprint(*matrices: sparse.csr_array) -> str:
    """Return the SHA-256 of matrices as they are read: shapes, positions and float32 values."""
    read = [check_user_items(matrix) for matrix in matrices]
    return fingerprint_arrays(*(part for x in read for part in (x.shape, x)))
