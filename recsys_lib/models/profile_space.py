"""Profiles that can be compared: Gower's similarity over columns of mixed kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.errors import DataError

__all__ = ["ProfileSpace"]

# A column of names or postal codes says nothing by being equal: with fewer users a value than
# this on average, or more values than that, it is left out of the comparison.
_MIN_USERS_PER_VALUE = 5.0
_MAX_VALUES = 1000
_SHARED = 0.75
_SEPARATORS = ("|", ";", ", ")


class _Column(Protocol):
    def similarity(self, value: Any) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class ProfileSpace:
    """Users' profiles, ready to be compared with one.

    The similarity is the mean over the columns of a similarity in [0, 1] for each [1]_: of numbers
    one minus the difference over the range, of categories whether they are equal, of sets of tags
    the shared ones over all of either (Jaccard). A column unknown on either side adds nothing, so
    that half a profile is at most half near to anybody.

    Attributes
    ----------
    columns : tuple of str
        The columns compared.
    n_users : int

    References
    ----------
    .. [1] J. C. Gower, "A general coefficient of similarity and some of its properties",
       Biometrics 27(4), 1971, section 3.

    Examples
    --------
    >>> users = pd.DataFrame({"role": ["ops", "dev"], "years": [2, 10], "tags": ["a|b", "b"]})
    >>> ProfileSpace.of(users).similarity({"role": "ops", "years": 6, "tags": ["b"]}).round(2)
    array([0.67, 0.5 ])
    """

    columns: tuple[str, ...]
    n_users: int
    _parts: tuple[_Column, ...]

    @classmethod
    def of(cls, users: pd.DataFrame, columns: Sequence[str] | None = None) -> Self:
        """Prepare the columns of a table of profiles.

        Parameters
        ----------
        users : DataFrame of n_users rows
            Numbers; text or categories; tags as lists or as text with ``|``, ``;`` or ``, ``.
        columns : sequence of str, optional
            Which to compare; by default all but those that nearly name the user.

        Returns
        -------
        ProfileSpace

        Raises
        ------
        ValueError
            If a column is unknown, or none can be compared.
        """
        absent = [column for column in columns or () if column not in users.columns]
        if absent:
            raise ValueError(
                f"`columns` must be among those of the profiles, {list(users.columns)}; got "
                f"{absent}. Name some of these."
            )
        names = [str(column) for column in (users.columns if columns is None else columns)]
        parts = {name: _prepare(users[name], name, forced=columns is not None) for name in names}
        kept = {name: part for name, part in parts.items() if part is not None}
        if not kept:
            raise ValueError(
                f"`users` must have a column that can be compared; {list(users.columns)} are empty "
                "or nearly name the user. Name columns with `columns`."
            )
        return cls(columns=tuple(kept), n_users=len(users), _parts=tuple(kept.values()))

    def similarity(self, profile: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return the similarity of each user to one profile.

        Parameters
        ----------
        profile : mapping of column name to value
            Other columns than those compared are passed over.

        Returns
        -------
        ndarray of shape (n_users,), float64
            In [0, 1].

        Raises
        ------
        DataError
            If a value is of the wrong kind, or a category that no user has.
        """
        total = np.zeros(self.n_users)
        for name, part in zip(self.columns, self._parts, strict=True):
            value = profile.get(name)
            if not _is_null(value):
                total += part.similarity(value)
        return np.asarray(total / len(self.columns), dtype=np.float64)

    def shared(self, profile: Mapping[str, Any], users: NDArray[np.int64]) -> str:
        """Say what most of some users have in common with a profile: ``"role=ops, years=6"``.

        Parameters
        ----------
        profile : mapping of column name to value
        users : ndarray of int64
            Positions.

        Returns
        -------
        str
            The columns in which these users are on average at least three quarters similar.
        """
        said = []
        for name, part in zip(self.columns, self._parts, strict=True):
            value = profile.get(name)
            if not _is_null(value) and part.similarity(value)[users].mean() >= _SHARED:
                said.append(f"{name}={_plain(value)}")
        return ", ".join(said)


@dataclass(frozen=True)
class _Number:
    name: str
    values: NDArray[np.float64]
    span: float

    def similarity(self, value: Any) -> NDArray[np.float64]:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"`profile[{self.name!r}]` must be a number, as in the profiles; got {value!r}."
            ) from error
        near = 1.0 - np.minimum(np.abs(self.values - number) / self.span, 1.0)
        return np.nan_to_num(near, nan=0.0)


@dataclass(frozen=True)
class _Category:
    name: str
    codes: NDArray[np.int64]
    levels: pd.Index

    def similarity(self, value: Any) -> NDArray[np.float64]:
        if not pd.api.types.is_scalar(value) or value not in self.levels:
            raise _unknown(self.name, value, self.levels)
        return (self.codes == self.levels.get_loc(value)).astype(np.float64)


@dataclass(frozen=True)
class _Tags:
    name: str
    members: sparse.csr_array
    levels: pd.Index

    def similarity(self, value: Any) -> NDArray[np.float64]:
        tags = pd.unique(pd.Series(_tags_of(value), dtype=object))
        positions = self.levels.get_indexer(pd.Index(tags, dtype=object))
        if len(tags) and (positions < 0).any():
            raise _unknown(self.name, tags[int(np.argmin(positions))], self.levels)
        query = np.zeros(len(self.levels))
        query[positions] = 1.0
        shared = self.members @ query
        either = np.diff(self.members.indptr) + len(tags) - shared
        return np.asarray(shared / np.maximum(either, 1.0), dtype=np.float64)


def _prepare(values: pd.Series, name: str, *, forced: bool) -> _Column | None:
    """Return a column ready to be compared, None where it tells nothing."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        present = numbers[np.isfinite(numbers)]
        span = float(np.ptp(present)) if len(present) else 0.0
        return _Number(name, numbers, span) if span > 0 else None
    if _is_tags(values):
        return _prepare_tags(values, name)
    codes, levels = pd.factorize(values)
    few = len(levels) <= min(_MAX_VALUES, max(2.0, len(values) / _MIN_USERS_PER_VALUE))
    if not len(levels) or not (few or forced):
        return None
    return _Category(name, codes.astype(np.int64), pd.Index(levels))


def _prepare_tags(values: pd.Series, name: str) -> _Tags | None:
    lists = values.map(lambda one: [] if _is_null(one) else _tags_of(one))
    codes, levels = pd.factorize(lists.explode().dropna())
    if not len(levels):
        return None
    rows = np.repeat(np.arange(len(values)), lists.map(len).to_numpy())
    members = sparse.csr_array(
        (np.ones(len(codes)), (rows, codes)), shape=(len(values), len(levels))
    )
    members.sum_duplicates()
    members.data[:] = 1.0
    return _Tags(name, members, pd.Index(levels, dtype=object))


def _is_tags(values: pd.Series) -> bool:
    """Say whether a column holds several tags a row: lists, or text with separators."""
    present = values.dropna()
    if present.empty:
        return False
    if present.dtype == object and present.map(lambda one: not pd.api.types.is_scalar(one)).all():
        return True
    if not isinstance(present.dtype, pd.StringDtype):
        return False
    return any(present.str.contains(sign, regex=False).mean() > 0.1 for sign in _SEPARATORS)


def _tags_of(value: Any) -> list[Any]:
    if not isinstance(value, str):
        tags = [value] if pd.api.types.is_scalar(value) else list(value)
        return [tag for tag in tags if not _is_null(tag)]
    sign = next((sign for sign in _SEPARATORS if sign in value), None)
    return [tag.strip() for tag in value.split(sign)] if sign else [value.strip()]


def _is_null(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _plain(value: Any) -> str:
    return str(value) if pd.api.types.is_scalar(value) else "|".join(str(one) for one in value)


def _unknown(name: str, value: Any, levels: pd.Index) -> DataError:
    shown = ", ".join(repr(level) for level in levels[:10])
    more = f" and {len(levels) - 10} more" if len(levels) > 10 else ""
    return DataError(
        f"`profile[{name!r}]` must be a value that some user has; got {value!r}. Known: "
        f"{shown}{more}. Leave the column out where it is not known."
    )
