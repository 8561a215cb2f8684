"""A question for recommendations: ids, history and profile turned into rows of the matrix."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from recsys_lib.bundle.rules import PERSON, Plan, RuleReader
from recsys_lib.checks import CSR, check_integer
from recsys_lib.coldstart.profile import is_null, tags_of
from recsys_lib.dataset import likes_of
from recsys_lib.errors import DataError
from recsys_lib.naming import find_ids, listed

#: Item ids, or ratings by item id.
History: TypeAlias = Sequence[Any] | Mapping[Any, float] | pd.Series


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """Whom a list is for; what is not known is None.

    Attributes
    ----------
    user : id
    history : sequence, mapping or Series
        Instead of the user's own.
    profile : mapping of column name to value
        Instead of the user's own.
    k : int
        The length of the list.
    plan : Plan
        The rules.
    """

    user: Any = None
    history: History | None = None
    profile: Mapping[str, Any] | None = None
    k: int
    plan: Plan


@dataclass(frozen=True, eq=False)
class People:
    """The people to recommend for, one a row.

    Attributes
    ----------
    used : csr_array of shape (n_rows, n_items)
        Everything they have used, with ratings.
    seen : csr_array of shape (n_rows, n_items)
        The part that the model sees.
    profiles : sequence of mappings of column name to value
    positions : sequence of int or None
        Rows in the dataset, of those who are in it.
    """

    used: CSR
    seen: CSR
    profiles: Sequence[Mapping[str, Any]]
    positions: Sequence[int | None]

    def interests(self, row: int) -> list[Any]:
        """Categories and tags from all columns of a profile; items may share them."""
        known = [value for value in self.profiles[row].values() if not is_null(value)]
        words = [tag for value in known for tag in tags_of(value)]
        return [word for word in words if isinstance(word, str)]


@dataclass(kw_only=True)
class RequestReader(RuleReader):
    """Turns requests into rows of a dataset, and their rules into positions.

    Parameters
    ----------
    dataset : Dataset
    inputs : {"values", "likes"}
        What the model sees: the ratings themselves, or a 1 for each like.
    like : float, optional
        Lowest rating that counts as a like.
    """

    inputs: Literal["values", "likes"]
    like: float | None

    def questions(
        self, people: Iterable[Any], k: int = 10, rules: Mapping[str, Any] | None = None
    ) -> list[Question]:
        """Return what is asked of some people, by id or as a request of their own."""
        shared = self.plan(rules or {})
        questions = []
        for one in [people] if isinstance(people, Mapping) else listed(people):
            asked = {"k": k, **(one if isinstance(one, Mapping) else {"user": one})}
            check_integer("k", asked["k"], minimum=1)
            own = {name: asked.pop(name) for name in [*asked] if name not in PERSON}
            plan = self.plan({**(rules or {}), **own}) if own else shared
            questions.append(Question(**asked, plan=plan))
        return questions

    def people(self, questions: Sequence[Question]) -> People:
        """Return the people of some questions; `DataError` names an unknown id and near ones."""
        known = [one.user for one in questions if one.user is not None]
        found = iter(find_ids(self.dataset.user_ids, known, "user").tolist())
        positions = [None if one.user is None else next(found) for one in questions]
        own = [
            -1 if place is None or one.history is not None else place
            for place, one in zip(positions, questions, strict=True)
        ]
        used = self.dataset.user_items[np.array(own, dtype=np.int64)]
        if -1 in own:
            told = [() if one.history is None else one.history for one in questions]
            rows = [
                self._row(history) if place < 0 else used[[row]]
                for row, (history, place) in enumerate(zip(told, own, strict=True))
            ]
            used = sparse.csr_array(sparse.vstack(rows, format="csr"))
        profiles = list(map(self._profile, questions, positions))
        return People(used, self.seen(used), profiles, positions)

    def _profile(self, question: Question, position: int | None) -> Mapping[str, Any]:
        """Return a profile: as told, or as in the dataset."""
        told = question.profile
        if told is None:
            own = {} if position is None else self._told
            return {name: values[position] for name, values in own.items()}
        told = told.to_dict() if isinstance(told, pd.Series) else told
        self._check_profile(told)
        return told

    @cached_property
    def _told(self) -> dict[str, Any]:
        """The columns of the profiles."""
        users = self.dataset.users
        return {} if users is None else {name: users[name].array for name in users}

    def _check_profile(self, profile: Mapping[str, Any]) -> None:
        if not isinstance(profile, Mapping):
            raise DataError(
                "`profile` must be a mapping of column to value, such as {'role': 'developer'}; "
                f"got {type(profile).__name__}. A row of a table is one: users.loc[id]."
            )
        users = self.dataset.users
        if users is not None and len(users.columns):
            find_ids(users.columns, profile, "profile column")
        elif len(profile) and self.dataset.items is None:
            raise DataError(
                "`profile` needs profiles or a catalog to be compared with; the dataset has "
                "neither. Build the bundle from a dataset with `users` or `items`."
            )

    def _row(self, history: History) -> CSR:
        """Return a history as one row; an item without a rating counts as liked."""
        if isinstance(history, pd.Series):
            history = history.tolist() if self._lists_ids(history) else dict(history.items())
        ids = listed(history)
        items = find_ids(self.dataset.item_ids, ids, "item")
        if isinstance(history, Mapping):
            values = np.array([self.rating(item, history[item]) for item in ids], dtype=np.float32)
        else:
            values = np.full(len(ids), self._liked_value, dtype=np.float32)
        items, first = np.unique(items, return_index=True)
        if isinstance(history, Mapping) and len(items) < len(ids):
            twice = next(place for place in range(len(ids)) if place not in first)
            raise DataError(
                f"`history` must rate each item once; {ids[twice]!r} is rated twice, under ids of "
                "two types. Keep one of them."
            )
        row = (values[first], (np.zeros(len(items), dtype=np.int64), items))
        return sparse.csr_array(row, shape=(1, self.dataset.n_items))

    def _lists_ids(self, history: pd.Series) -> bool:
        """Say whether a Series is a column of ids, which may be numbers, or ratings by id."""
        if history.name == "item_id" or not pd.api.types.is_numeric_dtype(history.dtype):
            return True
        known, places = self.dataset.item_ids, history.index
        counted = isinstance(places, pd.RangeIndex) and not places.isin(known).all()
        return bool(counted and history.isin(known).all())

    def rating(self, item: Any, value: Any) -> float:
        """Return a rating as a number; `DataError` if it is off the scale."""
        low, high = self.dataset.rating_scale or (-np.inf, np.inf)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if not (np.isfinite(number) and low <= number <= high):
            raise DataError(
                f"`history[{item!r}]` must be a finite rating from {low:g} to {high:g}; "
                f"got {value!r}. Correct it, or give a list of item ids."
            )
        return number

    @cached_property
    def _liked_value(self) -> float:
        """The rating of an item that was given without one: the mean of all likes."""
        if self.dataset.rating_scale is None:
            return 1.0
        data = self.dataset.user_items.data
        liked = data[data >= (data.mean() if self.like is None else self.like)]
        return float(liked.mean()) if len(liked) else self.dataset.rating_scale[1]

    def seen(self, used: CSR) -> CSR:
        """Return the part of a row that the model sees."""
        return used if self.inputs == "values" else likes_of(used, self.like)
