"""A world: users, labs, their interactions, and the truth behind them.

Also a world as files, flawed as in practice, and a shop of any size whose truth nobody asks for.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib import artifacts
from recsys_lib.checks import CSR, Ints, check_choice, check_integer, check_memory
from recsys_lib.dataset import Dataset
from recsys_lib.formatting import Shown
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.crowd import BLOCK, Blueprint, login_names
from recsys_lib.synthesis.events import EVENTS, EventLog, draw_events, draw_visits, first_monday
from recsys_lib.synthesis.settings import WorldSettings, settings_from
from recsys_lib.synthesis.truth import OrdinalProbit, Truth, rating_thresholds


@dataclass(frozen=True, eq=False)
class RatingLog:
    """Ratings as columns of equal length, by user and time.

    Attributes
    ----------
    users, items : ndarray of int32
        Positions.
    value : ndarray of int8
        On the scale of the world.
    seconds : ndarray of int64
        Since the first Monday of the year.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    value: NDArray[np.int8]
    seconds: Ints

    def __len__(self) -> int:
        return len(self.users)


Kind = Literal["ratings", "clicks"]

_TABLES = ("ratings", "events", "users", "items")
_PEOPLE = {"tastes": np.float32, "user_bias": np.float32, "profile": np.int32, "n_taken": np.int32}


class _Axes(NamedTuple):
    """What turns positions and seconds into ids and dates, and back."""

    users: pd.Index
    items: pd.Index
    year: int

    @classmethod
    def of(cls, users: pd.DataFrame, items: pd.DataFrame, settings: WorldSettings) -> Self:
        return cls(pd.Index(users["user_id"]), pd.Index(items["item_id"]), settings.year)

    def dates(self, seconds: Ints) -> pd.DatetimeIndex:
        stamps = (first_monday(self.year) + seconds).astype("datetime64[s]")
        return pd.DatetimeIndex(stamps.astype("datetime64[ns]"), tz="UTC")

    def pairs(self, log: "RatingLog | EventLog") -> dict[str, pd.Index]:
        return {"user_id": self.users.take(log.users), "item_id": self.items.take(log.items)}

    def places(self, table: pd.DataFrame) -> dict[str, NDArray[Any]]:
        stamps = table["timestamp"].dt.tz_convert(None).to_numpy("datetime64[s]")
        return {
            "users": self.users.get_indexer(table["user_id"]).astype(np.int32),
            "items": self.items.get_indexer(table["item_id"]).astype(np.int32),
            "seconds": stamps.astype(np.int64) - first_monday(self.year),
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class World(Shown):
    """Data with a known truth.

    Attributes
    ----------
    users : DataFrame
        ``user_id, role, interests, experience``; the first is the demo user, ``nle``.
    items : DataFrame
        ``item_id, title, track, level, duration_minutes``.
    ratings : DataFrame
        ``user_id, item_id, value, timestamp`` of every lab taken, by user and time.
    events : DataFrame
        ``user_id, item_id, event, session_id, timestamp, dwell_seconds``, by user and time; drawn
        when first asked for.
    truth : Truth
        What no model may see.
    rating_log : RatingLog
        `ratings` as positions and numbers.

    Examples
    --------
    >>> world = make_world(n_users=100, n_items=40)
    >>> world
    World(100 users x 40 items, 1,473 ratings, rho2 0.6, seed 0)
    >>> world.dataset("ratings")
    Dataset(100 users x 40 items, 1,473 interactions, density 36.83 %, ratings 1 to 10)
    """

    users: pd.DataFrame
    items: pd.DataFrame
    truth: Truth
    rating_log: RatingLog

    @property
    def settings(self) -> WorldSettings:
        """The settings it was made with."""
        return self.truth.settings

    @cached_property
    def _axes(self) -> _Axes:
        return _Axes.of(self.users, self.items, self.settings)

    @cached_property
    def ratings(self) -> pd.DataFrame:
        """The ratings, by user and time."""
        log = self.rating_log
        rest = {"value": log.value.astype(np.int64), "timestamp": self._axes.dates(log.seconds)}
        return pd.DataFrame(self._axes.pairs(log) | rest)

    @cached_property
    def event_log(self) -> EventLog:
        """`events` as positions and numbers."""
        return draw_events(Blueprint.of(self.settings))

    @cached_property
    def events(self) -> pd.DataFrame:
        """The clickstream, by user and time."""
        log = self.event_log
        rest = {
            "event": pd.Index(EVENTS).take(log.kind),
            "session_id": log.session,
            "timestamp": self._axes.dates(log.seconds),
            "dwell_seconds": log.dwell,
        }
        return pd.DataFrame(self._axes.pairs(log) | rest)

    def dataset(self, kind: Kind = "ratings") -> Dataset:
        """Return one of the two views of the world.

        Parameters
        ----------
        kind : {"ratings", "clicks"}
            "ratings": what people said of the labs they took. "clicks": which labs they had
            anything to do with, each as a 1 with the time of the first event; it contains the
            pairs of the ratings.

        Returns
        -------
        Dataset
            With profiles and catalog.
        """
        check_choice("kind", kind, ("ratings", "clicks"))
        log = self.rating_log if kind == "ratings" else self.event_log
        if isinstance(log, RatingLog):
            low, high = self.settings.rating_scale
            scale, kept = (float(low), float(high)), np.arange(len(log))
            values = log.value.astype(np.float32)
        else:
            # Events of a user are in time order, and the first occurrence is what unique returns.
            pair = log.users.astype(np.int64) * len(self.items) + log.items
            scale, kept = None, np.unique(pair, return_index=True)[1]
            values = np.ones(len(log), np.float32)
        kept = kept[np.lexsort((log.items[kept], log.users[kept]))]
        users, items = self.users.set_index("user_id"), self.items.set_index("item_id")
        counts = np.bincount(log.users[kept], minlength=len(users))
        starts = np.concatenate([[0], np.cumsum(counts)])
        return Dataset(
            user_items=sparse.csr_array(
                (values[kept], log.items[kept], starts), shape=(len(users), len(items))
            ),
            user_ids=users.index,
            item_ids=items.index,
            users=users,
            items=items,
            timestamps=(first_monday(self.settings.year) + log.seconds[kept]) * 10**9,
            rating_scale=scale,
        )

    def learnable(self) -> dict[str, float]:
        """Return how much of the ratings can be learned, in rating units.

        Returns
        -------
        dict
            ``mean`` and ``sd`` of the ratings; ``sd of the true ratings``, what these pairs are
            expected to give; ``lowest possible RMSE``, which remains for those who know that.
            The squares of the last two add up to about the square of ``sd``.
        """
        log, truth = self.rating_log, self.truth
        expected = truth.probit.expected(truth.signal_of_pairs(log.users, log.items))
        return {
            "mean": float(log.value.mean()),
            "sd": float(log.value.std()),
            "sd of the true ratings": float(expected.std()),
            "lowest possible RMSE": truth.irreducible_rmse(self.dataset("ratings").user_items),
        }

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write the world as a folder with a manifest, atomically; the truth is its own file.

        Parameters
        ----------
        folder : Path or str
            The folder to write: ``ratings.parquet``, ``events.parquet``, ``users.parquet``,
            ``items.parquet`` and ``truth.npz``. An artifact already there is replaced; anything
            else is refused.
        **facts
            What else the manifest should record.
        """
        with artifacts.atomic_folder(folder) as part:
            for name in _TABLES:
                artifacts.write_table(part / f"{name}.parquet", getattr(self, name))
            self.truth.save(part / "truth.npz")
            settings = dataclasses.asdict(self.settings)
            artifacts.write_manifest(part, kind="world", settings=settings, **facts)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote; `ArtifactError` if it is damaged or of another kind."""
        folder = Path(folder)
        artifacts.read_manifest(folder, kind="world")
        tables = {name: artifacts.read_table(folder / f"{name}.parquet") for name in _TABLES}
        ratings, events = tables.pop("ratings"), tables.pop("events")
        truth = Truth.load(folder / "truth.npz")
        axes = _Axes.of(tables["users"], tables["items"], truth.settings)
        log = RatingLog(value=ratings["value"].to_numpy(np.int8), **axes.places(ratings))
        world = cls(**tables, truth=truth, rating_log=log)
        # A cached property is what stands in the instance's dictionary: no need to draw it again.
        world.__dict__["event_log"] = EventLog(
            kind=pd.Index(EVENTS).get_indexer(events["event"]).astype(np.int8),
            session=events["session_id"].to_numpy(np.int64),
            dwell=events["dwell_seconds"].to_numpy(np.int32),
            **axes.places(events),
        )
        return world

    def _facts(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "users": len(self.users),
            "items": len(self.items),
            "ratings": len(self.rating_log),
            "rating scale": "{:g} to {:g}".format(*settings.rating_scale),
            "share of variance that is signal": settings.rho2,
            "seed": settings.seed,
        }

    def __repr__(self) -> str:
        return (
            f"World({len(self.users):,} users x {len(self.items):,} items, "
            f"{len(self.rating_log):,} ratings, rho2 {self.settings.rho2:g}, "
            f"seed {self.settings.seed})"
        )


def load_world(folder: Path | str | None) -> World | None:
    """Return the world saved in a folder; None, as on one's own data, has none."""
    return None if folder is None else World.load(folder)


def make_world(preset: str = "default", *, seed: int = 0, **changes: Any) -> World:
    """Draw a world.

    Parameters
    ----------
    preset : {"default", "null", "mission"}
        "default": 5,235 users, 252 labs, about 20 ratings each, 60 % of their variance true
        signal. "null": the same with nothing to learn but popularity. "mission": the sparsity of
        the project's first data set, 29,843 events.
    seed : int
        Of every random stream.
    **changes
        Any attribute of `WorldSettings`: ``n_users``, ``n_items``, ``rho2``, ``selection``, ...

    Returns
    -------
    World
        With the same seed and settings, a world with more users holds the same first ones: names,
        profiles, tastes, ratings and events.

    Raises
    ------
    ConfigError
        If the preset or a setting is unknown.
    TypeError, ValueError
        If a setting has the wrong type or is out of its range.
    MemoryError
        If there is no room for a block of people, 41 kB for each item.

    Notes
    -----
    About 20 microseconds and at most 1.5 kB per user with 20 ratings among 252 labs; people are
    drawn in blocks, so nothing of the size users x items is ever held. The table of ratings takes
    as much again, and so do events, each when it is first asked for.

    References
    ----------
    .. [1] P. McCullagh, "Regression Models for Ordinal Data", JRSS B 42 (1980), section 2 (the
       ratings).
    .. [2] W. Kool, H. van Hoof, M. Welling, "Stochastic Beams and Where to Find Them", ICML 2019,
       eq. 5-7 (what is taken).

    Examples
    --------
    >>> world = make_world(n_users=3, seed=1)
    >>> world.users["user_id"][0]
    'nle'
    >>> list(world.ratings.columns)
    ['user_id', 'item_id', 'value', 'timestamp']
    """
    settings = settings_from(preset, seed=seed, **changes)
    size, remedy = 40 * BLOCK * settings.n_items, "`make_shop` draws likes of a shop of any size."
    check_memory(size, f"A world of {settings.n_items} items", remedy)
    plan = Blueprint.of(settings)
    catalog, profiles, thresholds = plan.catalog, plan.profiles, rating_thresholds(plan)
    probit = OrdinalProbit(thresholds, settings.rating_scale[0], settings.noise_sd)
    people, log = _draw_people(plan, probit)
    users = pd.DataFrame({"user_id": login_names(settings.n_users, settings.seed).astype(str)})
    users = users.join(profiles.table.iloc[people["profile"]].reset_index(drop=True))
    truth = Truth(
        settings=settings,
        item_factors=catalog.factors,
        item_bias=catalog.bias,
        log_weight=catalog.log_weight,
        thresholds=thresholds,
        profile_means=profiles.means,
        profile_share=profiles.share,
        **people,
    )
    return World(users=users, items=catalog.table, truth=truth, rating_log=log)


def _draw_people(
    plan: Blueprint, probit: OrdinalProbit
) -> tuple[dict[str, NDArray[Any]], RatingLog]:
    """Draw the users' part of the truth, and their ratings."""
    people, ratings = [], []
    for block in range(plan.n_blocks):
        crowd, visits = draw_visits(plan, block)
        kept = plan.in_world(block)
        of_user = crowd.tastes, crowd.bias, crowd.profile, crowd.n_taken
        people.append([column[:kept] for column in of_user])
        taken = slice(0, int(np.searchsorted(crowd.rows, kept)))
        users = (block * BLOCK + crowd.rows[taken]).astype(np.int32)
        items, value = crowd.items[taken].astype(np.int32), probit.rate(crowd.latent[taken])
        ratings.append((users, items, value, visits.rated[taken]))
    log = RatingLog(*(np.concatenate(parts) for parts in zip(*ratings, strict=True)))
    columns = zip(_PEOPLE.items(), zip(*people, strict=True), strict=True)
    return {name: np.concatenate(parts).astype(kind) for (name, kind), parts in columns}, log


_LEAST_RATINGS = 20


def write_files(world: World, folder: Path | str, *, seed: int = 0) -> pd.DataFrame:
    """Write a world as four typical data sources.

    Parameters
    ----------
    world : World
        With at least 20 ratings.
    folder : Path or str
        An existing folder that holds none of these files yet.
    seed : int
        Of the rows that are spoiled.

    Returns
    -------
    DataFrame
        What was written: ``file``, ``table``, ``rows``.

    Raises
    ------
    ArtifactError
        If one of the files is already there.

    Notes
    -----
    ``ratings.csv`` has ``login, lab, stars, ts``; ``dirty.csv`` is the same with one row each of
    what goes wrong: a word for a number, a rating off the scale, none at all, nobody, a pair twice,
    a login in capitals, a date that does not exist, a time with its zone. ``labs.duckdb``, where
    DuckDB is installed, has the tables ``ratings``, ``labs`` and ``people``. ``events`` holds the
    clickstream as a Hive-metastore lake does, one folder ``month=...`` for each month.

    Examples
    --------
    >>> import tempfile
    >>> from recsys_lib.synthesis import make_world
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_files(make_world(n_users=50, n_items=20), folder)
    >>> written["file"].tolist()
    ['ratings.csv', 'dirty.csv', 'labs.duckdb', 'labs.duckdb', 'labs.duckdb', 'events']
    """
    folder = Path(folder)
    names = {"user_id": "login", "item_id": "lab", "value": "stars", "timestamp": "ts"}
    ratings = world.ratings.rename(columns=names)
    check_integer("world.ratings", len(ratings), minimum=_LEAST_RATINGS)
    for name in ("ratings.csv", "dirty.csv", "labs.duckdb", "events"):
        artifacts.check_replaceable(folder / name)
    dirty = _spoiled(ratings, seed)
    ratings.to_csv(folder / "ratings.csv", index=False)
    dirty.to_csv(folder / "dirty.csv", index=False)
    events = world.events
    month = events["timestamp"].dt.strftime("%Y-%m")
    events.assign(month=month).to_parquet(folder / "events", partition_cols=["month"])
    data = world.dataset("ratings")
    assert data.items is not None
    assert data.users is not None
    tables = {"ratings": ratings, "labs": data.items, "people": data.users}
    written = [("ratings.csv", "", len(ratings)), ("dirty.csv", "", len(dirty))]
    written += _write_database(folder / "labs.duckdb", tables)
    written.append(("events", "", len(events)))
    return pd.DataFrame(written, columns=["file", "table", "rows"])


def _spoiled(ratings: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the table as text, with one row for each common defect."""
    rows = rng_from(seed, "synthesis", "spoiled").permutation(len(ratings))[:7]
    dirty = ratings.astype({"login": str, "lab": str, "stars": str})
    dirty["ts"] = ratings["ts"].dt.strftime("%Y-%m-%d %H:%M:%S")
    changes: list[tuple[str, Any]] = [
        ("stars", "good"),
        ("stars", "77"),
        ("stars", None),
        ("login", None),
        ("login", dirty["login"].iloc[rows[4]].upper()),
        ("ts", "2020-13-45 10:00:00"),
        ("ts", f"{ratings['ts'].iloc[rows[6]].isoformat()[:19]}+02:00"),
    ]
    for row, (column, value) in zip(rows, changes, strict=True):
        dirty.iloc[row, dirty.columns.get_loc(column)] = value
    return pd.concat([dirty, dirty.iloc[[rows[6]]]], ignore_index=True)


def _write_database(file: Path, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, int]]:
    """Write the tables into a DuckDB file; return what was written (nothing without DuckDB)."""
    try:
        import duckdb
    except ImportError:
        return []
    import pyarrow as pa

    with duckdb.connect(str(file)) as database:
        for name, table in tables.items():
            plain = table.reset_index() if table.index.name else table
            database.register("source", pa.Table.from_pandas(plain, preserve_index=False))
            database.execute(f"CREATE TABLE {name} AS SELECT * FROM source")
            database.unregister("source")
    return [(file.name, name, len(table)) for name, table in tables.items()]


_TASTES = 3  # of a person
_PER_TASTE = 250  # items of one taste
_STRAY = 0.1  # share of likes that follow no taste


def make_shop(n_users: int, n_items: int, n_events: int, *, seed: int = 0) -> CSR:
    """Draw likes of people with three tastes each, long-tailed in people and in items.

    Parameters
    ----------
    n_users, n_items, n_events : int
        At least 1. Events of one person with one item count once, so there are fewer likes.
    seed : int

    Returns
    -------
    csr_array of shape (n_users, n_items), float32
        A 1 for each like; the order of the items says nothing.

    Notes
    -----
    An event belongs to one of the tastes of its person, of which there is one for each 250 items;
    within a taste, and for one event in ten among all items, popularity falls as 1 / rank. Time and
    memory grow with the events: a second and 50 MB for each million.

    Examples
    --------
    >>> likes = make_shop(100, 1_000, 2_000)
    >>> likes.shape, 1_000 < likes.nnz < 2_000
    ((100, 1000), True)
    """
    for name, value in (("n_users", n_users), ("n_items", n_items), ("n_events", n_events)):
        check_integer(name, value, minimum=1)
    check_memory(50 * (n_events + n_users), f"A shop of {n_items:,} items", "Draw fewer.")
    rng = rng_from(seed, "shop")
    activity = rng.lognormal(0, 1, n_users)
    users = rng.choice(n_users, n_events, p=activity / activity.sum()).astype(np.int32)
    n_tastes = max(n_items // _PER_TASTE, 1)
    tastes = rng.integers(n_tastes, size=(n_users, _TASTES), dtype=np.int32)
    taste = tastes[users, rng.integers(_TASTES, size=n_events)]
    items = taste * (n_items // n_tastes) + _ranks(rng, n_items // n_tastes, n_events)
    stray = np.flatnonzero(rng.random(n_events, dtype=np.float32) < _STRAY)
    items[stray] = _ranks(rng, n_items, len(stray))
    names = rng.permutation(n_items).astype(np.int32)
    likes = sparse.csr_array(
        (np.ones(n_events, dtype=np.float32), (users, names[items])), shape=(n_users, n_items)
    )
    likes.data[:] = 1
    return likes


def _ranks(rng: np.random.Generator, n: int, size: int) -> NDArray[np.int32]:
    """Ranks below n, drawn with a probability that falls as 1 / rank."""
    return np.asarray((n + 1) ** rng.random(size), dtype=np.int32) - 1
