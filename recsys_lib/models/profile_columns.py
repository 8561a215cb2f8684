"""Profile columns: numbers, categories and tags, each compared and encoded by its kind."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.errors import DataError

__all__ = ["ProfileColumn", "is_null", "is_tags", "plain_text", "prepare_column", "tags_of"]

# A column of names or postal codes says nothing by being equal: with fewer users a value than
# this on average, or more values than that, it is left out of the comparison.
_MIN_USERS_PER_VALUE = 5.0
_MAX_VALUES = 1000
# Each value coded is a number for every user: a column with more values is only compared.
_MAX_CODED = 100
_SEPARATORS = ("|", ";", ", ")


class ProfileColumn(Protocol):
    """The interface of a profile column of any kind."""

    def similarity(self, value: Any) -> NDArray[np.float64]:
        """Return the similarity of each user to a value, in [0, 1]; 0 where it is unknown."""
        ...

    def features(self) -> NDArray[np.float64]:
        """Return the users coded, as deviations from the mean; 0 where a value is unknown."""
        ...

    def encode(self, value: Any) -> NDArray[np.float64]:
        """Return one value coded as `features`; null is the mean, 0."""
        ...


@dataclass(frozen=True)
class _Number:
    name: str
    values: NDArray[np.float64]
    span: float

    def similarity(self, value: Any) -> NDArray[np.float64]:
        near = 1.0 - np.minimum(np.abs(self.values - self._number(value)) / self.span, 1.0)
        return np.nan_to_num(near, nan=0.0)

    def features(self) -> NDArray[np.float64]:
        return np.nan_to_num(self._scaled(self.values), nan=0.0)[:, None]

    def encode(self, value: Any) -> NDArray[np.float64]:
        number = np.nan if is_null(value) else self._number(value)
        # Nobody is farther than the farthest user, so a slip of a digit cannot run away.
        inside = np.clip(number, np.nanmin(self.values), np.nanmax(self.values))
        return np.nan_to_num(self._scaled(np.array([inside])), nan=0.0)

    def _scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((numbers - np.nanmean(self.values)) / np.nanstd(self.values))

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"`profile[{self.name!r}]` must be a number, as in the profiles; got {value!r}."
            ) from error


@dataclass(frozen=True)
class _Category:
    name: str
    codes: NDArray[np.int64]
    levels: pd.Index

    def similarity(self, value: Any) -> NDArray[np.float64]:
        return (self.codes == self._level(value)).astype(np.float64)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.levels))
        return np.asarray(counts / max(counts.sum(), 1), dtype=np.float64)

    def features(self) -> NDArray[np.float64]:
        if len(self.levels) > _MAX_CODED:
            return np.zeros((len(self.codes), 0))
        known = self.codes >= 0
        coded = np.zeros((len(self.codes), len(self.levels)))
        coded[known] = np.eye(len(self.levels))[self.codes[known]] - self._shares
        return coded

    def encode(self, value: Any) -> NDArray[np.float64]:
        if is_null(value) or len(self.levels) > _MAX_CODED:
            return np.zeros(len(self.levels) if len(self.levels) <= _MAX_CODED else 0)
        return np.eye(len(self.levels))[self._level(value)] - self._shares

    def _level(self, value: Any) -> int:
        if not pd.api.types.is_scalar(value) or value not in self.levels:
            raise _unknown(self.name, value, self.levels)
        return int(self.levels.get_loc(value))


@dataclass(frozen=True)
class _Tags:
    name: str
    members: sparse.csr_array
    levels: pd.Index

    def similarity(self, value: Any) -> NDArray[np.float64]:
        query = self._query(value)
        shared = self.members @ query
        either = np.diff(self.members.indptr) + query.sum() - shared
        return np.asarray(shared / np.maximum(either, 1.0), dtype=np.float64)

    @cached_property
    def _positions(self) -> dict[Any, int]:
        return {level: position for position, level in enumerate(self.levels)}

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        known = max(int((np.diff(self.members.indptr) > 0).sum()), 1)
        return np.asarray(self.members.sum(axis=0) / known, dtype=np.float64)

    def features(self) -> NDArray[np.float64]:
        if len(self.levels) > _MAX_CODED:
            return np.zeros((self.members.shape[0], 0))
        coded = self.members.toarray()
        coded[np.diff(self.members.indptr) > 0] -= self._shares
        return coded

    def encode(self, value: Any) -> NDArray[np.float64]:
        if is_null(value) or len(self.levels) > _MAX_CODED:
            return np.zeros(len(self.levels) if len(self.levels) <= _MAX_CODED else 0)
        return self._query(value) - self._shares

    def _query(self, value: Any) -> NDArray[np.float64]:
        tags = list(dict.fromkeys(tags_of(value)))
        unknown = [tag for tag in tags if tag not in self._positions]
        if unknown:
            raise _unknown(self.name, unknown[0], self.levels)
        positions = [self._positions[tag] for tag in tags]
        query = np.zeros(len(self.levels))
        query[positions] = 1.0
        return query


def prepare_column(values: pd.Series, name: str, *, forced: bool) -> ProfileColumn | None:
    """Return a column ready for comparison; None if it carries no information."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        present = numbers[np.isfinite(numbers)]
        span = float(np.ptp(present)) if len(present) else 0.0
        return _Number(name, numbers, span) if span > 0 else None
    if is_tags(values):
        return _prepare_tags(values, name)
    codes, levels = pd.factorize(values)
    few = len(levels) <= min(_MAX_VALUES, max(2.0, len(values) / _MIN_USERS_PER_VALUE))
    if not len(levels) or not (few or forced):
        return None
    # As objects: an index of times would also find a year that is typed as text.
    return _Category(name, codes.astype(np.int64), pd.Index(levels, dtype=object))


def _prepare_tags(values: pd.Series, name: str) -> _Tags | None:
    lists = values.map(lambda one: [] if is_null(one) else tags_of(one))
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


def is_tags(values: pd.Series) -> bool:
    """Return whether a column holds several tags per row: lists, or text with separators."""
    present = values.dropna()
    if present.empty:
        return False
    if present.dtype == object and present.map(lambda one: not pd.api.types.is_scalar(one)).all():
        return True
    if not isinstance(present.dtype, pd.StringDtype):
        return False
    return any(present.str.contains(sign, regex=False).mean() > 0.1 for sign in _SEPARATORS)


def tags_of(value: Any) -> list[Any]:
    """Return the tags of one cell: the elements of a list, or the parts of a text."""
    if not isinstance(value, str):
        tags = [value] if pd.api.types.is_scalar(value) else list(value)
        return [tag for tag in tags if not is_null(tag)]
    sign = next((sign for sign in _SEPARATORS if sign in value), None)
    return [tag.strip() for tag in value.split(sign)] if sign else [value.strip()]


def is_null(value: Any) -> bool:
    """Return whether a value is unknown; a list of tags, even an empty one, is known."""
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def plain_text(value: Any) -> str:
    """Return a value as a person would write it: tags with bars between them."""
    return str(value) if pd.api.types.is_scalar(value) else "|".join(str(one) for one in value)


def _unknown(name: str, value: Any, levels: pd.Index) -> DataError:
    shown = ", ".join(repr(level) for level in levels[:10])
    more = f" and {len(levels) - 10} more" if len(levels) > 10 else ""
    return DataError(
        f"`profile[{name!r}]` must be a value that some user has; got {value!r}. Known: "
        f"{shown}{more}. Leave the column out where it is not known."
    )
