"""Datasets and splits: outside are ids, inside only positions."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib import artifacts, cleaning
from recsys_lib.checks import (
    CSR,
    Integers,
    Ints,
    Mask,
    check_choice,
    check_number,
    check_positions,
    check_rating_scale,
    check_user_items,
)
from recsys_lib.errors import DataError, warn
from recsys_lib.formatting import Shown, percent
from recsys_lib.naming import did_you_mean, listed
from recsys_lib.ranking import entries_of


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

    fold_in: CSR
    targets: CSR
    users: Ints = None  # type: ignore[assignment]  # an array from here on

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

    def take(self, rows: Ints) -> "Fold":
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

    train: CSR
    validation: Fold
    test: Fold
    train_users: Ints
    items: Ints | None = None

    def _facts(self) -> pd.DataFrame:
        """Return what each part holds; see `exploration.split_overview`."""
        rows = {"train": (len(self.train_users), self.train.nnz, 0, "to learn from")}
        uses = {"validation": "to choose by", "test": "to report"}
        for name, use in uses.items():
            fold = getattr(self, name)
            users = int(np.count_nonzero(np.diff(fold.targets.indptr)))
            rows[name] = (users, fold.fold_in.nnz, fold.targets.nnz, use)
        columns = ["users", "shown", "hidden", "use"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("part")

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
        with artifacts.atomic_folder(folder) as part:
            artifacts.write_arrays(part / "split.npz", **arrays)
            artifacts.write_manifest(part, kind="split", **facts)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote; `ArtifactError` if it is damaged or of another kind."""
        artifacts.read_manifest(folder, kind="split")
        arrays = artifacts.read_arrays(Path(folder) / "split.npz")

        def fold(name: str) -> Fold:
            seen, wanted = (csr_from(arrays, f"{name}_{part}") for part in ("fold_in", "targets"))
            return Fold(fold_in=seen, targets=wanted, users=arrays[f"{name}_users"])

        return cls(
            train=csr_from(arrays, "train"),
            validation=fold("validation"),
            test=fold("test"),
            train_users=arrays["train_users"],
            items=arrays.get("items"),
        )


def csr_arrays(name: str, matrix: CSR) -> dict[str, NDArray[Any]]:
    """Return a matrix as arrays to save, whose names begin with `name`."""
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def csr_from(arrays: dict[str, NDArray[Any]], name: str) -> CSR:
    """Return the matrix that `csr_arrays` took apart."""
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_array(parts, shape=tuple(int(size) for size in arrays[f"{name}_shape"]))


def keep_entries(matrix: CSR, keep: Mask) -> CSR:
    """Return `matrix` with the stored entries that are kept; stored zeros and the shape stay.

    Examples
    --------
    >>> keep_entries(sparse.csr_array([[1, 2], [0, 3]]), np.array([True, False, True])).toarray()
    array([[1, 0], [0, 3]])
    """
    before = np.concatenate([[0], np.cumsum(keep)])
    parts = (matrix.data[keep], matrix.indices[keep], before[matrix.indptr])
    return sparse.csr_array(parts, shape=matrix.shape)


def likes_of(user_items: CSR, min_value: float | None = None) -> CSR:
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset(Shown):
    """Users, items and the interactions between them.

    Attributes
    ----------
    user_items : csr_array of shape (n_users, n_items), float32
        Stored entries are observations: ratings, or 1 for an interaction without one.
    user_ids, item_ids : pandas.Index of length n_users, n_items
        The external id of each position.
    users, items : DataFrame or None
        Profiles and catalog, one row per position, indexed by the external id.
    timestamps : ndarray of shape (n_interactions,), int64, or None
        Nanoseconds since 1970 (UTC), in the order of ``user_items.data``.
    rating_scale : tuple of float or None
        Lowest and highest possible rating; None for interactions without ratings.

    Examples
    --------
    >>> frame = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": ["x", "x"], "value": [5, 3]})
    >>> Dataset.from_frame(frame)
    Dataset(2 users x 1 items, 2 interactions, density 100.00 %, ratings 3 to 5)
    """

    user_items: CSR
    user_ids: pd.Index
    item_ids: pd.Index
    users: pd.DataFrame | None = None
    items: pd.DataFrame | None = None
    timestamps: Ints | None = None
    rating_scale: tuple[float, float] | None = None

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        user: str = "user_id",
        item: str = "item_id",
        value: str | None = "value",
        timestamp: str | None = None,
        items: pd.DataFrame | None = None,
        users: pd.DataFrame | None = None,
        rating_scale: tuple[float, float] | None = None,
        duplicates: cleaning.Duplicates = "error",
    ) -> "Dataset":
        """Build a dataset from a table with one interaction per row.

        Parameters
        ----------
        frame : DataFrame, or a table of polars, pyarrow or the like
            The interactions; not modified. Levels of a DataFrame's index are columns, too.
        user, item : str
            Columns of the external ids.
        value : str or None
            Column of ratings or weights; None makes every interaction a 1.
        timestamp : str or None
            Column of times: datetimes, text or numbers, recognized as by `load_dataset`.
        items, users : DataFrame, optional
            Catalog and profiles. The id is the index, or the column named as `item` or `user`.
            The catalog fixes the items: those without interactions become empty columns, and an
            interaction with an item that is not listed is an error. Likewise for users.
        rating_scale : tuple of float, optional
            Lowest and highest possible rating; by default those in the data. If given, a rating
            outside it is an error.
        duplicates : {"error", "last", "mean", "sum"}
            What to do with several rows for one user and item. "last" keeps the latest by
            `timestamp`, or the last row without one. A summed value has no scale.

        Returns
        -------
        Dataset
            Positions follow the catalog and profiles if given, else the sorted ids.

        Raises
        ------
        DataError
            If the table is empty, or a column is missing or there twice; if an id is null, unknown
            or of another kind, a value not finite or off the scale, a time ambiguous or out of
            range, or a pair repeated. Rows are named by their index.
        """
        check_choice("duplicates", duplicates, ("error", "last", "mean", "sum"))
        scale = None if rating_scale is None else check_rating_scale(rating_scale)
        roles = {"user_id": user, "item_id": item, "value": value, "timestamp": timestamp}
        return assemble(
            cleaning.interactions_of(frame, roles, scale, once=duplicates == "error"),
            items=cleaning.indexed_by_id(items, item, "items"),
            users=cleaning.indexed_by_id(users, user, "users"),
            rating_scale=scale,
            duplicates=duplicates,
            names=(user, item),
        )

    @property
    def n_users(self) -> int:
        """Number of users, those without interactions included."""
        return int(self.user_items.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items, those without interactions included."""
        return int(self.user_items.shape[1])

    @property
    def n_interactions(self) -> int:
        """Number of stored user-item pairs."""
        return int(self.user_items.nnz)

    @property
    def density(self) -> float:
        """Share of user-item pairs that are stored, in [0, 1]."""
        return self.n_interactions / max(1, self.n_users * self.n_items)

    def like_threshold(self, wanted: float | None = None) -> float:
        """Return the rating from which on an item counts as liked.

        Parameters
        ----------
        wanted : float, optional
            The threshold, in rating units. None takes the lowest rating in the upper third of the
            scale: 7 of 1 to 10, 4 of 1 to 5.

        Returns
        -------
        float
            1 where the dataset holds likes, not ratings: each of them counts.

        Raises
        ------
        DataError
            If `wanted` lies outside the scale.

        Examples
        --------
        >>> frame = pd.DataFrame({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "value": [1, 4, 5]})
        >>> Dataset.from_frame(frame).like_threshold()
        4.0
        """
        if self.rating_scale is None:
            return 1.0
        low, high = self.rating_scale
        if wanted is None:
            levels = np.unique(self.user_items.data)
            # A hair lower: 2/3 of a scale from 1 to 10 may be 7.000001 in floats.
            return float(levels[levels >= low + 2 / 3 * (high - low) - 1e-6].min(initial=high))
        if not isinstance(wanted, int | float | np.number) or not low < wanted <= high:
            raise DataError(
                f"A like must be a rating above {low:g} and up to {high:g}; got {wanted}. "
                f"Try {self.like_threshold():g}."
            )
        return float(wanted)

    def likes(self, min_value: float | None = None) -> Self:
        """Return the likes: pairs with a value of at least `min_value`, each as a 1.

        Users and items that lose all their pairs stay, as empty rows and columns.

        Parameters
        ----------
        min_value : float, optional
            Lowest rating that counts as a like; by default that of `like_threshold`.

        Returns
        -------
        Dataset
            Without a rating scale.

        Examples
        --------
        >>> frame = pd.DataFrame({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "value": [1, 4, 5]})
        >>> Dataset.from_frame(frame).likes()
        Dataset(3 users x 3 items, 2 interactions, density 22.22 %)
        """
        min_value = self.like_threshold() if min_value is None else min_value
        times, liked = self.timestamps, likes_of(self.user_items, min_value)
        if self.user_items.nnz and not liked.nnz:
            raise DataError(
                "`min_value` must leave a like; the highest value is "
                f"{self.user_items.data.max():g}; got {min_value:g}. Lower it."
            )
        return replace(
            self,
            user_items=liked,
            timestamps=None if times is None else times[self.user_items.data >= min_value],
            rating_scale=None,
        )

    def implicit(self, min_value: float = 4.0) -> Self:
        """Return `likes` of at least `min_value`, which are implicit feedback."""
        return self.likes(min_value)

    def take_users(self, users: Integers) -> Self:
        """Return the dataset of some users, by position; the items stay as they are."""
        rows = check_positions("users", users, self.n_users)
        times = self.timestamps
        if times is not None:
            times = times[entries_of(self.user_items, rows)]
        return replace(
            self,
            user_items=self.user_items[rows],
            user_ids=self.user_ids.take(rows),
            users=None if self.users is None else self.users.iloc[rows],
            timestamps=times,
        )

    def user_positions(self, ids: Iterable[Any]) -> Ints:
        """Return the row of each external user id.

        Parameters
        ----------
        ids : iterable
            A single id needs no list.

        Returns
        -------
        ndarray of shape (len(ids),), int64

        Raises
        ------
        DataError
            If one is unknown; it names the first.
        """
        return cleaning.positions_of(self.user_ids, pd.Series(listed(ids)), "user_id")

    def item_positions(self, ids: Iterable[Any]) -> Ints:
        """Return the column of each external item id; see `user_positions`."""
        return cleaning.positions_of(self.item_ids, pd.Series(listed(ids)), "item_id")

    def to_frame(self) -> pd.DataFrame:
        """Return the interactions as a table: user_id, item_id, value and, if known, timestamp."""
        coo = self.user_items.tocoo()
        ids = {"user_id": self.user_ids.take(coo.row), "item_id": self.item_ids.take(coo.col)}
        frame = pd.DataFrame({**ids, "value": coo.data})
        if self.timestamps is not None:
            frame["timestamp"] = pd.to_datetime(self.timestamps, unit="ns", utc=True)
        return frame

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write the dataset as a folder of Parquet and arrays with a manifest, atomically.

        Parameters
        ----------
        folder : Path or str
            The folder to write. An artifact already there is replaced; anything else is refused.
        **facts
            More for the manifest to record, such as the source.
        """
        with artifacts.atomic_folder(folder) as part:
            arrays = csr_arrays("user_items", self.user_items)
            if self.timestamps is not None:
                arrays["timestamps"] = self.timestamps
            artifacts.write_arrays(part / "interactions.npz", **arrays)
            artifacts.write_table(part / "users.parquet", _id_table(self.user_ids, self.users))
            artifacts.write_table(part / "items.parquet", _id_table(self.item_ids, self.items))
            artifacts.write_manifest(
                part,
                kind="dataset",
                rating_scale=self.rating_scale,
                has_users=self.users is not None,
                has_items=self.items is not None,
                n_users=self.n_users,
                n_items=self.n_items,
                n_interactions=self.n_interactions,
                **facts,
            )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote; `ArtifactError` if it is damaged or of another kind."""
        folder = Path(folder)
        record = artifacts.read_manifest(folder, kind="dataset")
        arrays = artifacts.read_arrays(folder / "interactions.npz")
        users = artifacts.read_table(folder / "users.parquet")
        items = artifacts.read_table(folder / "items.parquet")
        scale = record["rating_scale"]
        return cls(
            user_items=csr_from(arrays, "user_items"),
            user_ids=users.index,
            item_ids=items.index,
            users=users if record["has_users"] else None,
            items=items if record["has_items"] else None,
            timestamps=arrays.get("timestamps"),
            rating_scale=(scale[0], scale[1]) if scale else None,
        )

    def _facts(self) -> dict[str, Any]:
        scale, times = self.rating_scale, None
        if self.timestamps is not None and len(self.timestamps):
            first, last = pd.to_datetime([self.timestamps.min(), self.timestamps.max()])
            times = f"{first.date()} to {last.date()}"
        return {
            "users": self.n_users,
            "items": self.n_items,
            "interactions": self.n_interactions,
            "density": percent(self.density, 2).replace("%", " %"),
            "values": "ratings, {:g} to {:g}".format(*scale) if scale else "likes",
            "times": times,
            "profile columns": None if self.users is None else list(self.users),
            "catalog columns": None if self.items is None else list(self.items),
        }

    def __repr__(self) -> str:
        scale = ", ratings {:g} to {:g}".format(*self.rating_scale) if self.rating_scale else ""
        return (
            f"Dataset({self.n_users:,} users x {self.n_items:,} items, {self.n_interactions:,} "
            f"interactions, density {self._facts()['density']}{scale})"
        )


def assemble(
    frame: pd.DataFrame,
    *,
    items: pd.DataFrame | None = None,
    users: pd.DataFrame | None = None,
    rating_scale: tuple[float, float] | None = None,
    duplicates: cleaning.Duplicates = "error",
    names: tuple[str, str] = ("user_id", "item_id"),
) -> Dataset:
    """Return the dataset of a clean table, and of catalog and profiles by clean ids.

    Parameters
    ----------
    frame : DataFrame
        ``user_id``, ``item_id`` and, where there are such, ``value`` and ``timestamp``.
    items, users, rating_scale, duplicates
        See `Dataset.from_frame`.
    names : tuple of str
        What the columns of ids are called where the table came from, for messages.

    Raises
    ------
    DataError
        If catalog or profiles do not list an id.
    """
    if duplicates == "sum" and "value" not in frame:
        frame = frame.assign(value=1.0)  # pairs are counted
    frame = cleaning.merge_duplicates(frame, duplicates)
    items, users = (
        None if table is None else cleaning.storable(table).rename_axis(None)
        for table in (items, users)
    )
    user_ids = pd.Index(frame["user_id"].unique()).sort_values() if users is None else users.index
    item_ids = pd.Index(frame["item_id"].unique()).sort_values() if items is None else items.index
    rows = cleaning.positions_of(user_ids, frame["user_id"], names[0])
    cols = cleaning.positions_of(item_ids, frame["item_id"], names[1])
    # The conversion sorts by counting, in a quarter of the time of a lexsort; carrying the row
    # numbers through it tells the order, so that values and times follow.
    shape = (len(user_ids), len(item_ids))
    placed = sparse.csr_array((np.arange(len(frame)), (rows, cols)), shape=shape)
    order, rated = placed.data, "value" in frame
    values = frame["value"].to_numpy(np.float32) if rated else np.ones(len(frame), np.float32)
    if rated and rating_scale is None:
        rating_scale = (float(frame["value"].min()), float(frame["value"].max()))
    times = frame["timestamp"].to_numpy("datetime64[ns]") if "timestamp" in frame else None
    return Dataset(
        user_items=sparse.csr_array((values[order], placed.indices, placed.indptr), shape=shape),
        user_ids=user_ids,
        item_ids=item_ids,
        users=users,
        items=items,
        timestamps=None if times is None else times[order].astype(np.int64),
        rating_scale=rating_scale if duplicates != "sum" else None,
    )


def _id_table(ids: pd.Index, frame: pd.DataFrame | None) -> pd.DataFrame:
    return cleaning.storable(frame) if frame is not None else pd.DataFrame(index=ids)


def appended(
    dataset: Dataset,
    interactions: pd.DataFrame | None,
    items: pd.DataFrame | None,
    users: pd.DataFrame | None,
) -> Dataset:
    """Return a dataset with more interactions, items and users; see `Bundle.update`."""
    rated, timed = dataset.rating_scale is not None, dataset.timestamps is not None
    old = dataset.to_frame()
    new = old[:0] if interactions is None else cleaning.as_frame("interactions", interactions)
    wanted = ["user_id", "item_id", *["value"] * rated, *["timestamp"] * timed]
    absent = [column for column in wanted if column not in new]
    if absent:
        raise DataError(
            f"`interactions` must have the columns {', '.join(wanted)}, as the dataset has; "
            f"{absent[0]!r} is missing. Rename or add it."
        )
    if len(new):  # by itself, so that rows are counted in it
        wanted += ["value"] * ("value" in new and not rated)
        roles = {column: column for column in wanted}
        new = cleaning.interactions_of(new, roles, dataset.rating_scale)
        new = new if "value" in new else new.assign(value=1.0)
    catalog = _extended(dataset.items, dataset.item_ids, items, new["item_id"], "item_id")
    profiles = _extended(dataset.users, dataset.user_ids, users, new["user_id"], "user_id")
    grown = Dataset.from_frame(
        pd.concat([old, new], ignore_index=True),
        timestamp="timestamp" if timed else None,
        items=catalog,
        users=profiles,
        duplicates="last",
    )
    return replace(
        grown,
        items=catalog if dataset.items is not None or items is not None else None,
        users=profiles if dataset.users is not None or users is not None else None,
        rating_scale=dataset.rating_scale,
    )


def _extended(
    known: pd.DataFrame | None,
    ids: pd.Index,
    told: pd.DataFrame | None,
    named: pd.Series,
    column: str,
) -> pd.DataFrame:
    """Return the table of the known, the told and, unless a catalog must list them, the named."""
    name = "items" if column == "item_id" else "users"
    table = pd.DataFrame(index=ids) if known is None else known
    if told is not None and len(told):
        told = cleaning.indexed_by_id(told, column, name)
        assert told is not None
        there = told.index.intersection(ids)
        if len(there):
            raise DataError(
                f"`{name}` must list new ids only; {there.tolist()[0]!r} is in the dataset. "
                "Leave it out."
            )
        if known is not None:
            for lost in told.columns.difference(known.columns).astype(str):
                near = did_you_mean(lost, known.columns.astype(str))
                warn(f"`{name}` must have the dataset's columns; {lost!r} is left out.{near}")
            told = told.reindex(columns=known.columns)
        table = pd.concat([table, told])
    if known is None or column == "user_id":
        more = pd.Index(named.unique()).difference(table.index, sort=False)
        table = pd.concat([table, pd.DataFrame(index=more)]) if len(more) else table
    cleaning.positions_of(table.index, named, column)  # an item that no catalog lists is named
    return table
