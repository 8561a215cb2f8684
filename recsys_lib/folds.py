"""What is held out: folds, and the split into training, validation and test parts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.artifacts import (
    atomic_folder,
    read_arrays,
    read_manifest,
    write_arrays,
    write_manifest,
)
from recsys_lib.cards import Shown
from recsys_lib.checks import check_number, check_user_items
from recsys_lib.errors import ArtifactError


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold(Shown):
    """Held-out data: what the model sees of each user, and what it must find.

    Attributes
    ----------
    fold_in : csr_array of shape (n_rows, n_items), float32
        What the model sees.
    targets : csr_array of shape (n_rows, n_items), float32
        What it must find; shares no entry with `fold_in`.
    users : ndarray of shape (n_rows,), int64
        The row of each user in the dataset; by default 0, 1, ...

    Examples
    --------
    >>> rows = sparse.csr_array([[1.0, 0.0], [0.0, 1.0]])
    >>> Fold(fold_in=rows, targets=rows[::-1]).users
    array([0, 1])
    """

    fold_in: sparse.csr_array
    targets: sparse.csr_array
    users: NDArray[np.int64] = None  # type: ignore[assignment]  # an array from here on

    def __post_init__(self) -> None:
        for name in ("fold_in", "targets"):
            value = getattr(self, name)
            if not isinstance(value, sparse.csr_array) or value.shape != self.fold_in.shape:
                got = f"{type(value).__name__} of shape {np.shape(value)}"
                raise ValueError(
                    "`fold_in` and `targets` must be SciPy CSR arrays of one shape; got "
                    f"{got} as `{name}`. Use scipy.sparse.csr_array(...)."
                )
        users = np.arange(self.n_rows) if self.users is None else np.asarray(self.users)
        if users.shape != (self.n_rows,) or not (users.dtype.kind in "iu" or not users.size):
            raise ValueError(
                f"`users` must be the position of each of the {self.n_rows} rows in the dataset; "
                f"got dtype {users.dtype} of shape {users.shape}. Use dataset.user_positions(ids)."
            )
        object.__setattr__(self, "users", users)

    @property
    def n_rows(self) -> int:
        """Number of held-out users."""
        return int(self.fold_in.shape[0])

    def _facts(self) -> dict[str, Any]:
        return {
            "users": self.n_rows,
            "items": self.fold_in.shape[1],
            "interactions seen": self.fold_in.nnz,
            "interactions to find": self.targets.nnz,
        }

    def __repr__(self) -> str:
        return (
            f"Fold({self.n_rows:,} users x {self.fold_in.shape[1]:,} items, {self.fold_in.nnz:,} "
            f"interactions seen, {self.targets.nnz:,} to find)"
        )

    def take(self, rows: NDArray[np.int64]) -> "Fold":
        """Return the fold of some of its rows, by position."""
        return Fold(fold_in=self.fold_in[rows], targets=self.targets[rows], users=self.users[rows])

    def likes(self, min_value: float | None = None) -> "Fold":
        """Return the users with a like among their targets, with only their likes; see `likes_of`.

        Examples
        --------
        >>> rated = sparse.csr_array([[9.0, 2.0], [3.0, 4.0]])
        >>> Fold(fold_in=sparse.csr_array((2, 2)), targets=rated).likes(7.0).users
        array([0])
        """
        targets = likes_of(self.targets, min_value)
        likes = Fold(fold_in=likes_of(self.fold_in, min_value), targets=targets, users=self.users)
        return likes.take(np.flatnonzero(np.diff(targets.indptr)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Split(Shown):
    """Training data, validation fold and test fold.

    Attributes
    ----------
    train : csr_array of shape (n_train_rows, n_items), float32
    validation, test : Fold
        Validation chooses settings and epochs; the test is used once.
    train_users : ndarray of shape (n_train_rows,), int64
        The row of each training user in the dataset.
    items : ndarray of shape (n_items,), int64, or None
        The column of each item in the dataset, where the split has other columns: the catalog of
        ``strong_generalization(..., seeding="liang2018")``. None: the columns are the dataset's.
    """

    train: sparse.csr_array
    validation: Fold
    test: Fold
    train_users: NDArray[np.int64]
    items: NDArray[np.int64] | None = None

    def _facts(self) -> pd.DataFrame:
        rows = {"train": (self.train.shape[0], self.train.nnz, None)}
        for name, fold in (("validation", self.validation), ("test", self.test)):
            rows[name] = (fold.n_rows, fold.fold_in.nnz, fold.targets.nnz)
        columns = ["users", "interactions seen", "to find"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def __repr__(self) -> str:
        return (
            f"Split({self.train.shape[0]:,} users to train on, {self.validation.n_rows:,} to "
            f"validate, {self.test.n_rows:,} to test, {self.train.shape[1]:,} items)"
        )

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write the split as a folder of arrays with a manifest, atomically."""
        arrays = {**csr_arrays("train", self.train), "train_users": self.train_users}
        if self.items is not None:
            arrays["items"] = self.items
        for name, fold in (("validation", self.validation), ("test", self.test)):
            arrays.update(csr_arrays(f"{name}_fold_in", fold.fold_in))
            arrays.update(csr_arrays(f"{name}_targets", fold.targets))
            arrays[f"{name}_users"] = fold.users
        with atomic_folder(folder) as part:
            write_arrays(part / "split.npz", **arrays)
            write_manifest(part, kind="split", **facts)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote; `ArtifactError` if it is damaged or of another kind."""
        read_manifest(folder, kind="split")
        arrays = read_arrays(Path(folder) / "split.npz")
        validation, test = (
            Fold(
                fold_in=csr_from(arrays, f"{name}_fold_in"),
                targets=csr_from(arrays, f"{name}_targets"),
                users=arrays[f"{name}_users"],
            )
            for name in ("validation", "test")
        )
        return cls(
            train=csr_from(arrays, "train"),
            validation=validation,
            test=test,
            train_users=arrays["train_users"],
            items=arrays.get("items"),
        )


def csr_arrays(name: str, matrix: sparse.csr_array) -> dict[str, NDArray[Any]]:
    """Return a matrix as arrays to save, whose names begin with `name`."""
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def csr_from(arrays: dict[str, NDArray[Any]], name: str) -> sparse.csr_array:
    """Return the matrix that `csr_arrays` took apart."""
    try:
        parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
        shape = tuple(int(size) for size in arrays[f"{name}_shape"])
    except KeyError as error:
        raise ArtifactError(f"The artifact must hold the array {error}; it does not.") from error
    return sparse.csr_array(parts, shape=shape)


def keep_entries(matrix: sparse.csr_array, keep: NDArray[np.bool_]) -> sparse.csr_array:
    """Return `matrix` with the stored entries that are kept; stored zeros and the shape stay.

    Examples
    --------
    >>> keep_entries(sparse.csr_array([[1, 2], [0, 3]]), np.array([True, False, True])).toarray()
    array([[1, 0], [0, 3]])
    """
    before = np.concatenate([[0], np.cumsum(keep)])
    parts = (matrix.data[keep], matrix.indices[keep], before[matrix.indptr])
    return sparse.csr_array(parts, shape=matrix.shape)


def likes_of(user_items: sparse.csr_array, min_value: float | None = None) -> sparse.csr_array:
    """Return the entries that count as likes, each as a 1.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
        Ratings. Not modified.
    min_value : float, optional
        Lowest rating that counts as a like; None takes every stored entry.

    Returns
    -------
    csr_array of shape (n_users, n_items), float32

    Examples
    --------
    >>> likes_of(sparse.csr_array([[7.0, 3.0]]), 7.0).toarray()
    array([[1., 0.]], dtype=float32)
    """
    x = check_user_items(user_items)
    if min_value not in (None, -np.inf):
        check_number("min_value", min_value)
    likes = keep_entries(x, x.data >= (-np.inf if min_value is None else min_value))
    likes.data = np.ones(likes.nnz, dtype=np.float32)
    return likes
