"""A world: users, labs, their interactions, and the truth behind them.

Also a world as files, flawed as in practice, and a shop of any size whose truth nobody asks for.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib import artifacts
from recsys_lib.checks import CSR, Ints, check_choice, check_integer, check_memory
from recsys_lib.dataset import Dataset, assemble
from recsys_lib.formatting import Shown
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.crowd import BLOCK, Blueprint, login_names
from recsys_lib.synthesis.events import EVENTS, dates_of, draw_events, draw_visits
from recsys_lib.synthesis.settings import WorldSettings, settings_from
from recsys_lib.synthesis.truth import OrdinalProbit, Truth, rating_thresholds

Kind = Literal["ratings", "clicks"]

_TABLES = ("ratings", "events", "users", "items")
_PEOPLE = {"tastes": np.float32, "user_bias": np.float32, "profile": np.int32, "n_taken": np.int32}


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
    ratings: pd.DataFrame
    truth: Truth

    @property
    def settings(self) -> WorldSettings:
        """The settings it was made with."""
        return self.truth.settings

    def positions(self, table: pd.DataFrame) -> tuple[Ints, Ints]:
        """Return the positions of user and item of each row of `ratings` or `events`."""
        users, items = pd.Index(self.users["user_id"]), pd.Index(self.items["item_id"])
        return users.get_indexer(table["user_id"]), items.get_indexer(table["item_id"])

    @cached_property
    def events(self) -> pd.DataFrame:
        """The clickstream, by user and time."""
        users, items, kind, session, seconds, dwell = draw_events(Blueprint.of(self.settings))
        return pd.DataFrame(
            {
                "user_id": pd.Index(self.users["user_id"]).take(users),
                "item_id": pd.Index(self.items["item_id"]).take(items),
                "event": pd.Index(EVENTS).take(kind),
                "session_id": session,
                "timestamp": dates_of(seconds, self.settings.year),
                "dwell_seconds": dwell,
            }
        )

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
        users, items = self.users.set_index("user_id"), self.items.set_index("item_id")
        if kind == "ratings":
            low, high = map(float, self.settings.rating_scale)
            found = assemble(self.ratings, items=items, users=users, rating_scale=(low, high))
        else:
            # Events of a user are in time order.
            pairs = self.events[["user_id", "item_id", "timestamp"]]
            first = pairs.drop_duplicates(["user_id", "item_id"])
            found = assemble(first, items=items, users=users)
        named = {"user_ids": users.index, "item_ids": items.index, "users": users, "items": items}
        return dataclasses.replace(found, **named)

    def learnable(self) -> dict[str, float]:
        """Return how much of the ratings can be learned, in rating units.

        Returns
        -------
        dict
            ``mean`` and ``sd`` of the ratings; ``sd of the true ratings``, what these pairs are
            expected to give; ``lowest possible RMSE``, which remains for those who know that.
            The squares of the last two add up to about the square of ``sd``.
        """
        values, truth = self.ratings["value"].to_numpy(), self.truth
        expected = truth.probit.expected(truth.signal_of_pairs(*self.positions(self.ratings)))
        return {
            "mean": float(values.mean()),
            "sd": float(values.std()),
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
        events = tables.pop("events")
        world = cls(**tables, truth=Truth.load(folder / "truth.npz"))
        # A cached property is what stands in the instance's dictionary: no need to draw it again.
        world.__dict__["events"] = events
        return world

    def _facts(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "users": len(self.users),
            "items": len(self.items),
            "ratings": len(self.ratings),
            "rating scale": "{:g} to {:g}".format(*settings.rating_scale),
            "share of variance that is signal": settings.rho2,
            "seed": settings.seed,
        }

    def __repr__(self) -> str:
        return (
            f"World({len(self.users):,} users x {len(self.items):,} items, "
            f"{len(self.ratings):,} ratings, rho2 {self.settings.rho2:g}, "
            f"seed {self.settings.seed})"
        )


def load_world(folder: Path | str | None) -> World | None:
    """Return the world saved in a folder; None, as on one's own data, has none.

    Parameters
    ----------
    folder : Path, str or None
        As ``session.find("world")`` returns it.

    Returns
    -------
    World or None

    Raises
    ------
    ArtifactError
        If the folder is missing, damaged, or holds something else.
    """
    return None if folder is None else World.load(folder)


def make_world(preset: str = "default", *, seed: int = 0, **changes: Any) -> World:
    """Draw a world.

    Parameters
    ----------
    preset : {"default", "null", "mission"}
        "default": 5,235 users, 252 labs, about 20 ratings each, 60 % of their variance true
        signal. "null": the same with nothing to learn but popularity. "mission": the density of
        the project's first dataset, 29,843 events.
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
    drawn in blocks, so nothing of the size users x items is ever held. Events take as much again
    when they are first asked for.

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
    people, (rows, columns, value, seconds) = _draw_people(plan, probit)
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
    ratings = pd.DataFrame(
        {
            "user_id": pd.Index(users["user_id"]).take(rows),
            "item_id": pd.Index(catalog.table["item_id"]).take(columns),
            "value": value.astype(np.int64),
            "timestamp": dates_of(seconds, settings.year),
        }
    )
    return World(users=users, items=catalog.table, ratings=ratings, truth=truth)


def _draw_people(
    plan: Blueprint, probit: OrdinalProbit
) -> tuple[dict[str, NDArray[Any]], list[NDArray[Any]]]:
    """Draw the users' part of the truth, and their ratings: user, item, value and seconds."""
    people, ratings = [], []
    for block in range(plan.n_blocks):
        crowd, visits = draw_visits(plan, block)
        kept = plan.in_world(block)
        of_user = crowd.tastes, crowd.bias, crowd.profile, crowd.n_taken
        people.append([column[:kept] for column in of_user])
        taken = slice(0, int(np.searchsorted(crowd.rows, kept)))
        users, value = block * BLOCK + crowd.rows[taken], probit.rate(crowd.latent[taken])
        ratings.append((users, crowd.items[taken], value, visits.rated[taken]))
    log = [np.concatenate(parts) for parts in zip(*ratings, strict=True)]
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
