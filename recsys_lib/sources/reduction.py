"""Turn events into interactions, by the engine that holds them, and ratings into likes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from recsys_lib.checks import check_choice, check_integer, check_positive
from recsys_lib.errors import DataError

_DAY = 86_400.0
_HEX = 16**8


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """A rule that makes one value of the events of a user and an item, and selects both.

    Every event gets a weight, the product of the terms below that are given; the weights of a pair
    of user and item are combined into its value, the confidence of implicit feedback [1]_:

        weights[event] * value * min(dwell, dwell_cap) / dwell_cap * 2 ** (-age / half_life)

    Parameters
    ----------
    weights : mapping of str to float, optional
        Weight of each kind of event; other kinds are left out. By default each event counts 1.
    dwell_cap : float, optional
        In seconds, > 0: an event counts in proportion to the time spent, up to this cap.
    half_life : float, optional
        In days, > 0: an event of this age counts half.
    now : timestamp, optional
        The time from which age is measured; by default the latest time in the events.
    combine : {"sum", "last", "max", "mean"}
        How the values of a pair become one: "sum" for events, "last" for ratings that were changed.
    where : str, optional
        A predicate in SQL over the columns of the table: which rows are read at all.
    min_user_items, min_item_users : int
        Users with fewer items and items with fewer users are left out, repeatedly until none
        remains (the k-core).
    sample : float
        Share of users in (0, 1], chosen by a hash of the id: the same users each time, on every
        engine (except Impala, which has its own hash).
    seed : int
        Seed of the sample.
    event, dwell : str
        Columns; by default recognized by their names.

    Notes
    -----
    The same expression runs on DuckDB (also over DataFrames and Parquet), PostgreSQL, Trino, Impala
    and Spark, through Ibis. Only the columns with a role are read, and only the pairs that remain
    leave the engine.

    References
    ----------
    .. [1] Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
       ICDM 2008, section 4: confidence that grows with what was observed.

    Examples
    --------
    Ann looked at *x* ninety days before the last event, and then completed it after a minute of
    the two that count in full: 1 * 2 ** -1 + 4 * 60 / 120 = 2.5. Her first look had its full time.

    >>> events = pd.DataFrame({
    ...     "user": ["ann", "ann", "bob"], "item": ["x", "x", "x"],
    ...     "event": ["view", "complete", "hover"], "dwell": [500.0, 60.0, 1.0],
    ...     "time": pd.to_datetime(["2024-01-01", "2024-03-31", "2024-03-31"]),
    ... })
    >>> from recsys_lib.sources import read_interactions
    >>> rule = Reduction(weights={"view": 1, "complete": 4}, dwell_cap=120, half_life=90)
    >>> read_interactions(events, reduce=rule)[["user_id", "item_id", "value"]]
      user_id item_id  value
    0     ann       x    2.5
    """

    weights: Mapping[str, float] | None = None
    dwell_cap: float | None = None
    half_life: float | None = None
    now: pd.Timestamp | str | None = None
    combine: Literal["sum", "last", "max", "mean"] = "sum"
    where: str | None = None
    min_user_items: int = 1
    min_item_users: int = 1
    sample: float = 1.0
    seed: int = 0
    event: str = "auto"
    dwell: str = "auto"

    def __post_init__(self) -> None:
        check_choice("combine", self.combine, ("sum", "last", "max", "mean"))
        check_integer("min_user_items", self.min_user_items, minimum=1)
        check_integer("min_item_users", self.min_item_users, minimum=1)
        check_integer("seed", self.seed)
        for name, value in (("dwell_cap", self.dwell_cap), ("half_life", self.half_life)):
            if value is not None:
                check_positive(name, value)
        if not 0 < self.sample <= 1:
            raise ValueError(f"`sample` must be a share, 0 < share <= 1; got {self.sample!r}.")

    def pairs(self, events: Any, engine: str) -> Any:
        """Return the expression of one row a pair, before the k-core.

        Parameters
        ----------
        events : ibis Table
            With ``user_id``, ``item_id`` and, where they have a role, ``value``, ``event``,
            ``dwell`` and ``timestamp``, already restricted by `where`.
        engine : str
            Name of the backend, such as ``"duckdb"``.

        Returns
        -------
        ibis Table
            ``user_id, item_id, value`` and, where there are times, ``timestamp``: the latest.
        """
        if self.sample < 1:
            events = events.filter(self._sampled(events.user_id, engine))
        if self.weights is not None:
            events = events.filter(events.event.isin(list(self.weights)))
        latest = self._latest(events) if self.half_life is not None else 0.0
        events = events.mutate(value=self._weight(events, latest))
        if self.combine == "last":
            value = events.value.argmax(events.timestamp)
        else:
            value = getattr(events.value, self.combine)()
        times = {"timestamp": events.timestamp.max()} if "timestamp" in events.columns else {}
        return events.group_by(["user_id", "item_id"]).aggregate(value=value, **times)

    def core(self, pairs: Any) -> Any:
        """Return the pairs whose user and item occur often enough in `pairs`: one round."""
        # Counts joined back, for a window over all pairs would sort them; an inner join on ids that
        # occur once, for a second semi-join comes out in a dialect that PostgreSQL does not speak.
        names = list(pairs.columns)
        for key, least in (("user_id", self.min_user_items), ("item_id", self.min_item_users)):
            if least > 1:
                counts = pairs.group_by(key).aggregate(n=pairs.count())
                often = counts.filter(counts.n >= least).select(key)
                pairs = pairs.inner_join(often, key).select(names)
        return pairs

    @property
    def needs(self) -> set[str]:
        """The roles that columns must have for this rule, beside those of user and item."""
        terms = {"event": self.weights, "dwell": self.dwell_cap, "timestamp": self.half_life}
        needed = {role for role, term in terms.items() if term is not None}
        return needed | {"timestamp"} if self.combine == "last" else needed

    def _weight(self, events: Any, latest: float) -> Any:
        import ibis

        weight = ibis.literal(1.0)
        if "value" in events.columns:
            weight = weight * events.value.cast("float64")
        if self.weights is not None:
            cases = [(events.event == kind, float(one)) for kind, one in self.weights.items()]
            weight = weight * ibis.cases(*cases, else_=0.0)
        if self.dwell_cap is not None:
            cap = float(self.dwell_cap)
            spent = events.dwell.cast("float64")
            # Not LEAST: it takes a null for the cap.
            weight = weight * ibis.cases((spent > cap, cap), else_=spent) / cap
        if self.half_life is not None:
            age = ibis.literal(latest) - seconds_of(events.timestamp)
            weight = weight * (age * (-math.log(2) / (self.half_life * _DAY))).exp()
        # A sum silently skips nulls; NaN stays, and is refused when the table is checked.
        return ibis.coalesce(weight, float("nan"))

    def _latest(self, events: Any) -> float:
        """Return the time from which age is measured, in seconds since 1970."""
        if self.now is not None:
            return float(pd.to_datetime(self.now, utc=True).timestamp())
        latest = seconds_of(events.timestamp).max().execute()
        return 0.0 if pd.isna(latest) else float(latest)

    def _sampled(self, user: Any, engine: str) -> Any:
        import ibis

        name = ibis.literal(f"{self.seed}:") + user.cast("string")
        if engine == "impala":
            return name.hash().abs() % 1_000_000 < round(self.sample * 1_000_000)
        limit = min(round(self.sample * _HEX), _HEX - 1)
        return _md5(name, engine).substr(0, 8) < f"{limit:08x}"


def seconds_of(times: Any) -> Any:
    """Return a column of times, dates or seconds since 1970 as float seconds."""
    if times.type().is_numeric():
        return times.cast("float64")
    return times.cast("timestamp").epoch_seconds().cast("float64")


def _md5(text: Any, engine: str) -> Any:
    """Return MD5 in lower-case hexadecimal: the one hash that the engines share."""
    import ibis
    import ibis.expr.datatypes as dt

    def builtin(name: str, argument: Any, takes: Any, gives: Any) -> Any:
        call = ibis.udf.scalar.builtin(name=name, signature=((takes,), gives))
        return call(lambda value: value)(argument)

    if engine == "trino":
        digest = builtin(
            "md5", builtin("to_utf8", text, dt.string, dt.binary), dt.binary, dt.binary
        )
        return builtin("to_hex", digest, dt.binary, dt.string).lower()
    return builtin("md5", text, dt.string, dt.string)


def to_likes(
    interactions: pd.DataFrame, min_value: float | Literal["user mean"] = 4.0
) -> pd.DataFrame:
    """Keep the interactions that are likes, each with the value 1.

    For events rather than ratings see `Reduction`, which turns weights, dwell time and half-life
    into a confidence.

    Parameters
    ----------
    interactions : DataFrame
        With ``user_id`` and ``value``, as `read_interactions` returns it. Not modified.
    min_value : float or "user mean"
        Lowest rating that is a like; or each user's own mean, since people who never give more than
        three stars like something too. A user whose ratings are all equal then likes everything.

    Returns
    -------
    DataFrame
        In the same order, with a RangeIndex.

    Raises
    ------
    DataError
        If there is no value, or nothing is a like.

    Examples
    --------
    Three stars are the most that *b* ever gives:

    >>> frame = pd.DataFrame(
    ...     {"user_id": [*"aabb"], "item_id": [*"xyxy"], "value": [5, 4, 3, 1]}
    ... )
    >>> to_likes(frame, 4)[["user_id", "item_id"]].to_numpy().tolist()
    [['a', 'x'], ['a', 'y']]
    >>> to_likes(frame, "user mean")[["user_id", "item_id"]].to_numpy().tolist()
    [['a', 'x'], ['b', 'x']]
    """
    if "value" not in interactions:
        raise DataError(
            f"`interactions` must have a column 'value'; it has {list(interactions.columns)}. "
            "Interactions without ratings are likes already."
        )
    value = interactions["value"]
    limit = min_value
    if min_value == "user mean":
        limit = value.groupby(interactions["user_id"]).transform("mean")
    likes = interactions[value >= limit].assign(value=1.0).reset_index(drop=True)
    if likes.empty:
        raise DataError(
            f"At least one rating must be {min_value!r} or more; the highest is {value.max():g}. "
            "Lower `min_value`."
        )
    return likes
