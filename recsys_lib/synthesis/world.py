"""A world: users, labs, their interactions, and the truth behind them."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.artifacts import (
    atomic_folder,
    read_manifest,
    read_table,
    write_manifest,
    write_table,
)
from recsys_lib.cards import Shown
from recsys_lib.checks import check_choice, check_memory
from recsys_lib.dataset import Dataset
from recsys_lib.synthesis.crowd import BLOCK, Blueprint, login_names
from recsys_lib.synthesis.events import EVENTS, EventLog, draw_events, draw_visits, first_monday
from recsys_lib.synthesis.scale import OrdinalProbit, rating_thresholds
from recsys_lib.synthesis.settings import WorldSettings, settings_from
from recsys_lib.synthesis.truth import Truth


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
    seconds: NDArray[np.int64]

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

    def dates(self, seconds: NDArray[np.int64]) -> pd.DatetimeIndex:
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
        with atomic_folder(folder) as part:
            for name in _TABLES:
                write_table(part / f"{name}.parquet", getattr(self, name))
            self.truth.save(part / "truth.npz")
            settings = dataclasses.asdict(self.settings)
            write_manifest(part, kind="world", settings=settings, **facts)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote; `ArtifactError` if it is damaged or of another kind."""
        folder = Path(folder)
        read_manifest(folder, kind="world")
        tables = {name: read_table(folder / f"{name}.parquet") for name in _TABLES}
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
