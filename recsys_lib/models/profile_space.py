"""Similarity of profiles: Gower's coefficient over columns of mixed kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.models.profile_columns import ProfileColumn, is_null, plain_text, prepare_column

__all__ = ["ProfileSpace"]

_SHARED = 0.75


@dataclass(frozen=True)
class ProfileSpace:
    """The profiles of users, ready for similarity queries.

    The similarity is the mean over the columns of a similarity in [0, 1] for each [1]_: of numbers
    one minus the difference over the range, of categories whether they are equal, of sets of tags
    the shared ones over all of either (Jaccard). A column unknown on either side adds nothing, so
    that half a profile has a similarity of at most one half.

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
    _parts: tuple[ProfileColumn, ...]

    @classmethod
    def of(cls, users: pd.DataFrame, columns: Sequence[str] | None = None) -> Self:
        """Prepare the columns of a table of profiles.

        Parameters
        ----------
        users : DataFrame of n_users rows
            Numbers; text or categories; tags as lists or as text with ``|``, ``;`` or ``, ``.
        columns : sequence of str, optional
            Which to compare; by default all but those that nearly identify the user.

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
        parts = {
            name: prepare_column(users[name], name, forced=columns is not None) for name in names
        }
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
        for name, part in zip(self.columns, self._parts, strict=True):
            value = profile.get(name)
            if not is_null(value):
                total += part.similarity(value)
        return np.asarray(total / len(self.columns), dtype=np.float64)

    def features(self) -> NDArray[np.float64]:
        """Return the profiles as numbers: deviations from the mean, 0 where a value is unknown.

        Returns
        -------
        ndarray of shape (n_users, n_features), float64
            Numbers in standard deviations; an indicator for each category and tag, less its share.
        """
        return np.hstack([part.features() for part in self._parts])

    def encode(self, profile: Mapping[str, Any]) -> NDArray[np.float64]:
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
        values = [profile.get(name) for name in self.columns]
        pairs = zip(self._parts, values, strict=True)
        return np.concatenate([part.encode(value) for part, value in pairs])

    def shared(self, profile: Mapping[str, Any], users: NDArray[np.int64]) -> str:
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
        for name, part in zip(self.columns, self._parts, strict=True):
            value = profile.get(name)
            if not is_null(value) and part.similarity(value)[users].mean() >= _SHARED:
                said.append(f"{name}={plain_text(value)}")
        return ", ".join(said)
