"""Profiles: numbers, categories and tags, compared by Gower's coefficient and coded as numbers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse

from recsys_lib.checks import CSR, Doubles, Ints, Mask
from recsys_lib.errors import DataError

# A column of names or postal codes says nothing by being equal: with fewer users a value than
# this on average, or more values than that, it is left out of the comparison.
_MIN_USERS_PER_VALUE = 5.0
_MAX_VALUES = 1000
# Each value coded is a number for every user: a column with more values is only compared.
_MAX_CODED = 100
_SEPARATORS = ("|", ";", ", ")
# What users share: the columns in which they are on average at least this similar.
_SHARED = 0.75
# Similarities kept for each column, in numbers.
_KEPT_NUMBERS = 2**20


# Each kind of column knows the `similarity` of each user to a value, in [0, 1], 0 where it is
# unknown; the users coded as deviations from the mean, 0 where a value is unknown (`features`); and
# one value coded like that (`encode`).


@dataclass(frozen=True)
class _Number:
    name: str
    values: Doubles
    span: float

    def similarity(self, value: Any) -> Doubles:
        near = 1.0 - np.minimum(np.abs(self.values - self._number(value)) / self.span, 1.0)
        return np.nan_to_num(near, nan=0.0)

    def features(self) -> Doubles:
        return np.nan_to_num(self._scaled(self.values), nan=0.0)[:, None]

    def encode(self, value: Any) -> Doubles:
        number = np.nan if is_null(value) else self._number(value)
        # Nobody is farther than the farthest user, so a slip of a digit cannot run away.
        inside = np.clip(number, np.nanmin(self.values), np.nanmax(self.values))
        return np.nan_to_num(self._scaled(np.array([inside])), nan=0.0)

    def _scaled(self, numbers: Doubles) -> Doubles:
        return np.asarray((numbers - np.nanmean(self.values)) / np.nanstd(self.values))

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"`profile[{self.name!r}]` must be a number, as in the profiles; got {value!r}."
            ) from error


@dataclass(frozen=True)
class _Labels:
    """A category, of which each user has one at most, or a set of tags."""

    name: str
    members: CSR
    levels: pd.Index
    labels_of: Callable[[Any], list[Any]]

    def similarity(self, value: Any) -> Doubles:
        labels = self._known_labels(value)
        similar = self._kept.get(labels)
        if similar is None:
            query = self._query(labels)
            shared = self.members @ query
            either = np.diff(self.members.indptr) + query.sum() - shared
            similar = np.asarray(shared / np.maximum(either, 1.0), dtype=np.float64)
            if len(self._kept) * len(similar) >= _KEPT_NUMBERS:
                self._kept.clear()
            self._kept[labels] = similar
        return similar

    @cached_property
    def _kept(self) -> dict[tuple[Any, ...], Doubles]:
        """The similarities to values that were asked for: roles are few, and shared by many."""
        return {}

    @cached_property
    def _known(self) -> Mask:
        return np.asarray(np.diff(self.members.indptr) > 0)

    @cached_property
    def _shares(self) -> Doubles:
        return np.asarray(self.members.sum(axis=0) / max(int(self._known.sum()), 1))

    @property
    def _n_coded(self) -> int:
        return len(self.levels) if len(self.levels) <= _MAX_CODED else 0

    def features(self) -> Doubles:
        if not self._n_coded:
            return np.zeros((self.members.shape[0], 0))
        coded: Doubles = self.members.toarray()
        coded[self._known] -= self._shares
        return coded

    def encode(self, value: Any) -> Doubles:
        if is_null(value) or not self._n_coded:
            return np.zeros(self._n_coded)
        return self._query(self._known_labels(value)) - self._shares

    def _known_labels(self, value: Any) -> tuple[Any, ...]:
        labels = tuple(self.labels_of(value))
        for label in labels:
            if not pd.api.types.is_scalar(label) or label not in self.levels:
                raise self._unknown(label)
        return labels

    def _query(self, labels: tuple[Any, ...]) -> Doubles:
        query = np.zeros(len(self.levels))
        query[[self.levels.get_loc(label) for label in labels]] = 1.0
        return query

    def _unknown(self, value: Any) -> DataError:
        shown = ", ".join(repr(level) for level in self.levels[:10])
        more = f" and {len(self.levels) - 10} more" if len(self.levels) > 10 else ""
        return DataError(
            f"`profile[{self.name!r}]` must be a value that some user has; got {value!r}. Known: "
            f"{shown}{more}. Leave the column out where it is not known."
        )


@dataclass(frozen=True)
class ProfileSpace:
    """The profiles of users, ready for similarity queries.

    The similarity is the mean over the columns of a similarity in [0, 1] for each [1]_: of numbers
    one minus the difference over the range, of categories whether they are equal, of sets of tags
    the shared ones over all of either (Jaccard). A column unknown on either side adds nothing, so
    that half a profile has a similarity of at most one half.

    Attributes
    ----------
    n_users : int
    columns : dict
        The columns compared, by name.

    References
    ----------
    .. [1] J. C. Gower, "A general coefficient of similarity and some of its properties",
       Biometrics 27(4), 1971. Differs: there the mean is over the columns known on both sides.

    Examples
    --------
    >>> users = pd.DataFrame({"role": ["ops", "dev"], "years": [2, 10], "tags": ["a|b", "b"]})
    >>> ProfileSpace.of(users).similarity({"role": "ops", "years": 6, "tags": ["b"]}).round(2)
    array([0.67, 0.5 ])
    """

    n_users: int
    columns: dict[str, _Number | _Labels]

    @classmethod
    def of(cls, users: pd.DataFrame) -> Self | None:
        """Prepare the columns of a table of profiles, but those that nearly identify the user.

        Parameters
        ----------
        users : DataFrame of n_users rows
            Numbers; text or categories; tags as lists or as text with ``|``, ``;`` or ``, ``.

        Returns
        -------
        ProfileSpace or None
            None where no column can be compared.
        """
        prepared = {str(name): _prepare(users[name], str(name)) for name in users.columns}
        columns = {name: column for name, column in prepared.items() if column is not None}
        return cls(len(users), columns) if columns else None

    def similarity(self, profile: Mapping[str, Any]) -> Doubles:
        """Return the similarity of each user to one profile.

        Parameters
        ----------
        profile : mapping of column name to value
            Columns that are not compared are ignored.

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
        for name, column in self.columns.items():
            value = profile.get(name)
            if not is_null(value):
                total += column.similarity(value)
        return np.asarray(total / len(self.columns), dtype=np.float64)

    def features(self) -> Doubles:
        """Return the profiles as numbers: deviations from the mean, 0 where a value is unknown.

        Returns
        -------
        ndarray of shape (n_users, n_features), float64
            Numbers in standard deviations; an indicator for each category and tag, less its share.
        """
        return np.hstack([column.features() for column in self.columns.values()])

    def encode(self, profile: Mapping[str, Any]) -> Doubles:
        """Return one profile as `features` has them.

        Parameters
        ----------
        profile : mapping of column name to value

        Returns
        -------
        ndarray of shape (n_features,), float64

        Raises
        ------
        DataError
            As of `similarity`.
        """
        coded = [column.encode(profile.get(name)) for name, column in self.columns.items()]
        return np.concatenate(coded)

    def shared(self, profile: Mapping[str, Any], users: Ints) -> str:
        """Describe what most of some users share with a profile: ``"role=ops, years=6"``.

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
        for name, column in self.columns.items():
            value = profile.get(name)
            if not is_null(value) and column.similarity(value)[users].mean() >= _SHARED:
                said.append(f"{name}={_plain_text(value)}")
        return ", ".join(said)


def _prepare(values: pd.Series, name: str) -> _Number | _Labels | None:
    """Return a column ready for comparison; None if it carries no information."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        present = numbers[np.isfinite(numbers)]
        span = float(np.ptp(present)) if len(present) else 0.0
        return _Number(name, numbers, span) if span > 0 else None
    labels_of = tags_of
    if not is_tags(values):
        if values.nunique() > min(_MAX_VALUES, max(2.0, len(values) / _MIN_USERS_PER_VALUE)):
            return None
        labels_of = only_label
    members, levels = label_matrix(values, labels_of)
    return _Labels(name, members, levels, labels_of) if len(levels) else None


def label_matrix(
    values: Iterable[Any], labels_of: Callable[[Any], list[Any]]
) -> tuple[CSR, pd.Index]:
    """Return which value has which label, as ones, and the labels as they first appear."""
    lists = [[] if is_null(value) else labels_of(value) for value in values]
    codes, levels = pd.factorize(pd.Series(list(chain.from_iterable(lists)), dtype=object))
    rows = np.repeat(np.arange(len(lists)), [len(labels) for labels in lists])
    shape = (len(lists), len(levels))
    members = sparse.csr_array((np.ones(len(codes)), (rows, codes)), shape=shape)
    members.sum_duplicates()
    members.data[:] = 1.0
    # As objects: an index of times would also find a year that is typed as text.
    return members, pd.Index(levels, dtype=object)


def only_label(value: Any) -> list[Any]:
    """Return the label of a cell that is one as a whole."""
    return [value]


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


def _plain_text(value: Any) -> str:
    """Return a value as a person would write it: tags with bars between them."""
    return str(value) if pd.api.types.is_scalar(value) else "|".join(str(one) for one in value)
