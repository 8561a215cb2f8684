"""The contract of a model: hyper-parameters declared once, rows in, scores out."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.artifacts import atomic_folder, read_arrays, write_arrays, write_manifest
from recsys_lib.cards import Shown
from recsys_lib.checks import check_integer, check_is_fitted, check_user_items
from recsys_lib.dataset import Fold
from recsys_lib.errors import ArtifactError
from recsys_lib.progress import track
from recsys_lib.ranking import TopK, top_k

__all__ = ["Recommender", "check_rows"]

Arrays = dict[str, NDArray[Any]]


@dataclass(kw_only=True)
class Recommender(Shown):
    """Base of every model.

    A model scores *rows*, not user ids: users seen in training, unseen users, evaluated, served
    and what-if users all take the same path. Subclasses are keyword-only dataclasses whose fields
    are the hyper-parameters, and implement `_fit`, `_score`, `_arrays` and `_restore`.

    Attributes
    ----------
    n_items_ : int
        Number of item columns the model was fitted on.
    """

    #: "rating": scores are in rating units, so a rating error has a meaning. "rank": order only.
    predicts: ClassVar[Literal["rating", "rank"]] = "rank"

    n_items_: int = field(init=False, repr=False, compare=False)

    def fit(self, user_items: sparse.csr_array, *, validation: Fold | None = None) -> Self:
        """Fit from scratch.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items), float32
            Stored entries are observations. Not modified.
        validation : Fold, optional
            Held-out users or ratings. Models that train in epochs use it for early stopping; others
            ignore it.

        Returns
        -------
        Self

        Raises
        ------
        TypeError, ValueError
            If the matrix or a hyper-parameter is invalid.
        """
        x = check_rows(user_items, validation)
        with track(type(self).__name__):
            self._fit(x, validation)
        self.n_items_ = int(x.shape[1])
        return self

    def score(self, user_items: sparse.csr_array) -> NDArray[np.float32]:
        """Score every item for each row.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32
            What is known of each user; rows may be users never seen in `fit`, or empty.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
            Finite; higher is better. Dense: pass a batch of rows, or use `recommend`.

        Raises
        ------
        NotFittedError
            If the model has not been fitted.
        ValueError
            If the number of columns differs from the one in `fit`.
        """
        check_is_fitted(self, "n_items_")
        x = check_user_items(user_items, n_items=self.n_items_)
        return np.asarray(self._score(x), dtype=np.float32)

    def recommend(
        self,
        user_items: sparse.csr_array,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        batch_size: int = 512,
        seed: int = 0,
    ) -> TopK:
        """Rank the `k` best items for each row; only a batch of rows is ever dense.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32
            What is known of each user.
        k : int
            List length, >= 1; a list with fewer candidates is padded with item -1, score -inf.
        exclude_seen : bool
            Leave out the items stored in the row.
        batch_size : int
            Rows scored at once; the result does not depend on it.
        seed : int
            Orders equal scores.

        Returns
        -------
        TopK
            `items` int32 and `scores` float32, both of shape (n_rows, k).
        """
        check_integer("batch_size", batch_size, minimum=1)
        check_is_fitted(self, "n_items_")
        x = check_user_items(user_items, n_items=self.n_items_)
        items = np.full((x.shape[0], k), -1, dtype=np.int32)
        scores = np.full((x.shape[0], k), -np.inf, dtype=np.float32)
        for rows in _batches(x.shape[0], batch_size):
            seen = x[rows]
            top = top_k(self.score(seen), k, exclude=seen if exclude_seen else None, seed=seed)
            items[rows], scores[rows] = top
        return TopK(items, scores)

    def config(self) -> dict[str, Any]:
        """Return the hyper-parameters by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write the fitted model as a folder of arrays and JSON with a manifest, atomically.

        Parameters
        ----------
        folder : Path or str
            The folder to write. An artifact already there is replaced; anything else is refused.
        **facts
            More for the manifest to record, such as the fingerprint of the training data.
        """
        check_is_fitted(self, "n_items_")
        with atomic_folder(folder) as part:
            write_arrays(part / "arrays.npz", **self._arrays())
            self._save_extra(part)
            write_manifest(
                part,
                kind="model",
                model=type(self).__name__,
                config=self.config(),
                n_items=self.n_items_,
                **facts,
            )

    @classmethod
    def _load(cls, folder: Path, record: dict[str, Any]) -> Self:
        """Rebuild a fitted model from a verified folder."""
        # JSON knows lists only; tuples keep dataclasses comparable.
        config = {k: tuple(v) if isinstance(v, list) else v for k, v in record["config"].items()}
        try:
            model = cls(**config)
        except TypeError as error:
            raise ArtifactError(
                f"{folder} must hold a {cls.__name__} of this version; {error}. Fit it again."
            ) from error
        model.n_items_ = int(record["n_items"])
        model._restore(read_arrays(folder / "arrays.npz"))
        model._load_extra(folder)
        return model

    def _facts(self) -> dict[str, Any]:
        n_items = getattr(self, "n_items_", None)
        fitted = "no" if n_items is None else f"on {n_items:,} items"
        return {"fitted": fitted, **self.config()}

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        """Learn from checked rows; set the learned attributes."""
        raise NotImplementedError

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        """Score checked rows, densely."""
        raise NotImplementedError

    def _arrays(self) -> Arrays:
        """Return what `_restore` needs, as arrays without objects."""
        raise NotImplementedError

    def _restore(self, arrays: Arrays) -> None:
        """Set the learned attributes from `_arrays`."""
        raise NotImplementedError

    def _save_extra(self, folder: Path) -> None:
        """Write files beside the arrays, such as Keras weights."""

    def _load_extra(self, folder: Path) -> None:
        """Read what `_save_extra` wrote."""


def check_rows(user_items: Any, validation: Fold | None) -> sparse.csr_array:
    """Return the training rows as float32 CSR; raise where they, or the fold, cannot be fitted."""
    x = check_user_items(user_items)
    if min(x.shape) == 0:
        raise ValueError(f"`user_items` must have users and items; got shape {x.shape}.")
    if validation is not None:
        check_user_items(validation.fold_in, n_items=x.shape[1], name="validation.fold_in")
        check_user_items(validation.targets, n_items=x.shape[1], name="validation.targets")
    return x


def _batches(n_rows: int, batch_size: int) -> Iterator[slice]:
    for start in range(0, n_rows, batch_size):
        yield slice(start, min(start + batch_size, n_rows))
