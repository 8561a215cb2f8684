"""The rules of a question: what may be listed, what comes first, and how varied a list is."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.checks import CSR, Doubles, Floats, Ints, Mask
from recsys_lib.coldstart.content import TEXT
from recsys_lib.coldstart.profile import is_tags, label_matrix, only_label, tags_of
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.naming import did_you_mean, find_id, find_ids
from recsys_lib.ranking import ranking_keys, top_k

#: What an item must be, by column of the catalog.
Where: TypeAlias = Mapping[str, Any]
#: Of some items by position: how like each is to each of them, up to 1.
Likeness: TypeAlias = Callable[[NDArray[np.int32]], Floats]

# A varied list is chosen from the best items, so many times its length and at least so many.
_REACH, _LEAST = 5, 50
_SIGNS = ("min", "max", "not")
#: What a question has besides its rules.
PERSON = ("user", "history", "profile", "k")


class Rules(TypedDict, total=False):
    """What a shop asks of a list. The same words in Python, YAML, JSON and on the command line.

    Attributes
    ----------
    exclude, never : iterable of item ids
        Not listed: by this question, and by the shop.
    only : iterable of item ids, optional
        Nothing else is listed.
    where : mapping of column name to condition, optional
        All must hold. A condition is a value, a list of values of which one must hold, or a mapping
        with ``min``, ``max`` (numbers and times, both included) and ``not`` (a value or a list). Of
        a column of tags the value is one of the tags. An item whose value is unknown meets no
        condition but ``not``.
    available : iterable of item ids, or str, optional
        What can be had: ids, or the name of a column of true and false.
    limit_per : mapping of column name to int, optional
        How many items with the same value, or the same tag, a list may hold. Items without a value
        are not limited.
    promote : iterable of item ids
        Listed first, in this order, if every other rule lets them: a promotion does not lift a
        filter.
    diversity : float
        In [0, 1]. 0 lists the best; above, an item is held back as it resembles those before it.
    """

    exclude: Iterable[Any] | None
    never: Iterable[Any] | None
    only: Iterable[Any] | None
    where: Where | None
    available: Iterable[Any] | str | None
    limit_per: Mapping[str, int] | None
    promote: Iterable[Any] | None
    diversity: float | None


@dataclass(frozen=True, eq=False)
class Plan:
    """Rules in positions of the catalog.

    Attributes
    ----------
    allowed : ndarray of shape (n_items,), bool
    promoted : ndarray of int64
        Those of them that come first, in order.
    limits : sequence of (csr_array of shape (n_items, n_values), int)
        Which item has which value, and how many of a value may be listed.
    diversity : float
    """

    allowed: Mask
    promoted: Ints
    limits: tuple[tuple[CSR, int], ...] = ()
    diversity: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether the best items that are allowed make the list."""
        return not (len(self.promoted) or self.limits or self.diversity)

    def pick(self, order: NDArray[np.floating], k: int, likeness: Likeness) -> NDArray[np.int32]:
        r"""Return a list: promoted items, then one after the other what is worth most.

        That is the best one that the limits leave; with diversity, of five times as many items as
        are listed what maximizes marginal relevance [1]_, :math:`(1 - d) r_i - d \max_j s_{ij}`
        over the items j listed before it, with their order r scaled to [0, 1].

        Parameters
        ----------
        order : ndarray of shape (n_items,)
            Higher is better; -inf for what may not be listed.
        k : int
            Length of the list.
        likeness : callable

        Returns
        -------
        ndarray of int32
            Up to `k` positions.

        References
        ----------
        .. [1] J. Carbonell, J. Goldstein, "The Use of MMR, Diversity-Based Reranking for
           Reordering Documents and Producing Summaries", SIGIR 1998, section 2.
        """
        if not self.diversity:
            return self._ranked(order, k)
        pool = self._ranked(order, max(_REACH * k, _LEAST))
        return pool[self._varied(pool, order[pool].astype(np.float64), k, likeness)]

    def _ranked(self, order: NDArray[np.floating], n: int) -> NDArray[np.int32]:
        """Return promoted items, and then the best of those that the limits leave, n in all."""
        first = self.promoted[order[self.promoted] > -np.inf].astype(np.int32)
        if self.limits:
            return self._limited(order, first, n)
        best = top_k(order[None, :], min(n, len(order))).items[0]
        return np.concatenate([first, best[(best >= 0) & ~np.isin(best, first)]])[:n]

    def _limited(
        self, order: NDArray[np.floating], first: NDArray[np.int32], n: int
    ) -> NDArray[np.int32]:
        """Return one after the other the best item of a value that is not used up."""
        keys = ranking_keys(order, 0)
        columns = [(matrix, matrix.tocsc(), np.zeros(matrix.shape[1])) for matrix, _ in self.limits]
        waiting, chosen = first.tolist(), list[int]()
        while len(chosen) < n and (waiting or keys.any()):
            item = waiting.pop(0) if waiting else int(np.argmax(keys))
            if not keys[item]:  # promoted, but its value is used up
                continue
            chosen.append(item)
            keys[item] = 0
            for (rows, items_of, counts), (_, limit) in zip(columns, self.limits, strict=True):
                own = rows.indices[rows.indptr[item] : rows.indptr[item + 1]]
                counts[own] += 1
                for value in own[counts[own] >= limit]:
                    keys[items_of.indices[slice(*items_of.indptr[value : value + 2])]] = 0
        return np.array(chosen, dtype=np.int32)

    def _varied(
        self, pool: NDArray[np.int32], order: Doubles, k: int, likeness: Likeness
    ) -> list[int]:
        """Return places of the pool in the order of the list; promoted items come first."""
        n_first = np.count_nonzero(np.isin(pool, self.promoted))
        rest = order[n_first:]
        low, span = (rest.min(), np.ptp(rest) or 1.0) if len(rest) else (0.0, 1.0)
        worth = (1 - self.diversity) * (order - low) / span
        worth[:n_first] = 2 * np.arange(n_first, 0, -1)  # likeness takes no more than 1 of it
        alike, nearest = likeness(pool), np.zeros(len(pool))
        chosen: list[int] = []
        while len(chosen) < min(k, len(pool)):
            place = int(np.argmax(worth - nearest))
            chosen.append(place)
            worth[place] = -np.inf
            nearest = np.maximum(nearest, self.diversity * alike[place])
        return chosen


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of the catalog, ready for questions."""

    name: str
    cells: pd.Series

    @cached_property
    def ordered(self) -> pd.Series | None:
        """The cells as numbers or times; None of text."""
        if not is_ordered(self.cells):
            return None
        if pd.api.types.is_datetime64_any_dtype(self.cells.dtype):
            return pd.to_datetime(self.cells, utc=True)
        return pd.Series(self.cells.to_numpy(np.float64, na_value=np.nan))

    @cached_property
    def labels(self) -> tuple[CSR, pd.Index]:
        """Which item has which value or tag, and the values."""
        cells = self.cells.astype(object) if self.ordered is None else self.ordered
        several = self.ordered is None and self.name not in TEXT and is_tags(self.cells)
        try:
            return label_matrix(cells.tolist(), tags_of if several else only_label)
        except TypeError as error:
            raise DataError(
                f"A rule must be on a column of text, numbers or times; {self.name!r} holds "
                f"others, and {error}. Name another column."
            ) from error

    def having(self, wanted: Iterable[Any]) -> Mask:
        """Return which items have one of some values."""
        matrix, levels = self.labels
        if self.ordered is not None:
            wanted = [self._on_scale(one) for one in wanted]
        elif levels.inferred_type == "boolean":  # which a file may have had as text
            wanted = [{"true": True, "false": False}.get(str(one).lower(), one) for one in wanted]
        asked = np.zeros(len(levels))
        asked[find_ids(levels, wanted, f"value of `where[{self.name!r}]`")] = 1
        return np.asarray(matrix @ asked > 0)

    def between(self, low: Any, high: Any) -> Mask:
        """Return which items are in a range, of which an end may be None."""
        if self.ordered is None:
            raise DataError(
                f"`where[{self.name!r}]` must be a value, a list of values, or `not`; got min or "
                "max, which are for columns of numbers and times. Name the values."
            )
        found = self.ordered.notna()
        if low is not None:
            found &= self.ordered >= self._on_scale(low)
        if high is not None:
            found &= self.ordered <= self._on_scale(high)
        return found.to_numpy()

    def _on_scale(self, value: Any) -> Any:
        """Return what was asked for as a number or a time."""
        times = pd.api.types.is_datetime64_any_dtype(self.cells.dtype)
        try:
            # As text, since a number would be nanoseconds: a year is one, seconds are none.
            number = pd.to_datetime(pd.Timestamp(str(value)), utc=True) if times else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or pd.isna(number):
            kind = "a time, such as 2024-01-31" if times else "a number"
            raise DataError(f"`where[{self.name!r}]` must be {kind}; got {value!r:.80}.")
        return number


@dataclass(kw_only=True)
class RuleReader:
    """Turns rules into positions of a dataset.

    Parameters
    ----------
    dataset : Dataset
    """

    dataset: Dataset
    _columns: dict[str, _Column] = field(default_factory=dict, init=False, repr=False)

    def plan(self, asked: Mapping[str, Any]) -> Plan:
        """Return rules, by name as in `Rules`, as positions.

        Raises
        ------
        DataError
            If a rule, an id, a column or a value is unknown; near names are proposed.
        """
        _check(asked)
        ids, had = self.dataset.item_ids, asked.get("available")
        allowed = self._among(asked.get("only"))
        allowed &= self._flagged(had) if isinstance(had, str) else self._among(had)
        for name, condition in (asked.get("where") or {}).items():
            allowed &= self._holds(name, condition)
        for rule in ("exclude", "never"):
            allowed[find_ids(ids, asked.get(rule, ()), "item")] = False
        limits = (asked.get("limit_per") or {}).items()
        return Plan(
            allowed=allowed,
            promoted=pd.unique(find_ids(ids, asked.get("promote", ()), "item")),
            limits=tuple((self.column(name).labels[0], _limit(name, n)) for name, n in limits),
            diversity=float(asked.get("diversity") or 0),
        )

    def column(self, name: str) -> _Column:
        """Return a column of the catalog, ready for questions."""
        if name not in self._columns:
            items = self.dataset.items
            if items is None:
                raise DataError(
                    "Rules on columns need a catalog; the dataset has none. Build the bundle from "
                    "a dataset with `items`, or name the items."
                )
            find_id(items.columns, name, "column of the catalog")
            self._columns[name] = _Column(name, _dated(items[name]))
        return self._columns[name]

    def _among(self, ids: Any) -> Mask:
        """Return which items have one of some ids; of None, all."""
        mask = np.full(self.dataset.n_items, ids is None)
        mask[find_ids(self.dataset.item_ids, ids, "item")] = True
        return mask

    def _flagged(self, available: str) -> Mask:
        """Return which items are true in a column."""
        matrix, levels = self.column(available).labels
        others = [level for level in levels if level not in (0, 1)]
        if others:
            raise DataError(
                f"`available` must be ids, or name a column of true and false; {available!r} holds "
                f"{others[0]!r:.80}. Use `where`, or give ids."
            )
        return np.asarray(matrix @ np.array([float(level) for level in levels]) > 0)

    def _holds(self, name: str, condition: Any) -> Mask:
        """Return which items meet a condition."""
        column = self.column(name)
        if not isinstance(condition, Mapping):
            return column.having(_listed(condition))
        odd = [sign for sign in condition if sign not in _SIGNS]
        if odd or not condition:
            near = did_you_mean(str(odd[0]), _SIGNS) if odd else ""
            raise DataError(
                f"`where[{name!r}]` must be a value, a list, or a mapping with "
                f"{', '.join(_SIGNS)}; got {dict(condition)!r:.80}.{near}"
            )
        mask = np.ones(self.dataset.n_items, dtype=bool)
        if "not" in condition:
            mask &= ~column.having(_listed(condition["not"]))
        if "min" in condition or "max" in condition:
            mask &= column.between(condition.get("min"), condition.get("max"))
        return mask


def _check(asked: Mapping[str, Any]) -> None:
    for name in asked:
        if name not in Rules.__annotations__:
            near = did_you_mean(str(name), [*Rules.__annotations__, *PERSON])
            raise DataError(
                f"A rule must be one of {', '.join(Rules.__annotations__)}; got {name!r:.80}.{near}"
            )
    number = asked.get("diversity") or 0
    if not (isinstance(number, int | float | np.number) and 0 <= number <= 1):
        raise DataError(f"`diversity` must be a number from 0 to 1; got {number!r}. Try 0.3.")


def _dated(cells: pd.Series) -> pd.Series:
    """Return dates that a CSV has as text, such as 2024-01-31, as times; anything else as it is."""
    texts = cells.dropna().astype(str)
    if texts.empty or not texts.str.match(r"\d{4}-\d\d-\d\d").all():
        return cells
    times = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
    return times if times.notna().sum() == len(texts) else cells


def is_ordered(values: pd.Series) -> bool:
    """Whether these are numbers or times, of which one asks for a range."""
    kind, api = values.dtype, pd.api.types
    numbers = api.is_numeric_dtype(kind) and not api.is_bool_dtype(kind)
    return bool(numbers or api.is_datetime64_any_dtype(kind))


def _listed(wanted: Any) -> list[Any]:
    """Return the values of a condition, be it one or several."""
    return list(wanted) if pd.api.types.is_list_like(wanted) else [wanted]


def _limit(name: str, number: Any) -> int:
    if not isinstance(number, int | np.integer) or number < 1:
        raise DataError(
            f"`limit_per[{name!r}]` must be a whole number >= 1; got {number!r:.80}. Try 3."
        )
    return int(number)
