"""A world: users, labs, their interactions, and the truth behind them."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

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
from recsys_lib.checks import check_choice
from recsys_lib.dataset import Dataset
from recsys_lib.synthesis.calibration import rating_thresholds
from recsys_lib.synthesis.catalog import Catalog, make_catalog
from recsys_lib.synthesis.crowd import BLOCK
from recsys_lib.synthesis.events import EventLog, draw_events, draw_visits
from recsys_lib.synthesis.names import login_names
from recsys_lib.synthesis.profiles import Profiles, all_profiles
from recsys_lib.synthesis.scale import OrdinalProbit
from recsys_lib.synthesis.settings import WorldSettings, settings_from
from recsys_lib.synthesis.tables import (
    RatingLog,
    events_log,
    events_table,
    ratings_log,
    ratings_table,
)
from recsys_lib.synthesis.truth import Truth
from recsys_lib.synthesis.workweek import first_monday

__all__ = ["World", "load_world", "make_world"]

Kind = Literal["ratings", "clicks"]


@dataclass(frozen=True, kw_only=True, repr=False)
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

    def _ids(self) -> tuple[pd.Index, pd.Index, int]:
        return (
            pd.Index(self.users["user_id"]),
            pd.Index(self.items["item_id"]),
            self.settings.year,
        )

    @cached_property
    def ratings(self) -> pd.DataFrame:
        """The ratings, by user and time."""
        return ratings_table(self.rating_log, *self._ids())

    @cached_property
    def event_log(self) -> EventLog:
        """`events` as positions and numbers."""
        settings = self.settings
        return draw_events(settings, make_catalog(settings), _profiles(settings))

    @cached_property
    def events(self) -> pd.DataFrame:
        """The clickstream, by user and time."""
        return events_table(self.event_log, *self._ids())

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
        if kind == "ratings":
            log = self.rating_log
            columns = log.users, log.items, log.value.astype(np.float32), log.seconds
        else:
            columns = _first_events(self.event_log, len(self.items))
        return self._dataset(*columns, self.settings.rating_scale if kind == "ratings" else None)

    def _dataset(
        self,
        rows: NDArray[np.int32],
        cols: NDArray[np.int32],
        values: NDArray[np.float32],
        seconds: NDArray[np.int64],
        scale: tuple[int, int] | None,
    ) -> Dataset:
        order = np.lexsort((cols, rows))
        counts = np.bincount(rows, minlength=len(self.users))
        starts = np.concatenate([[0], np.cumsum(counts)])
        users, items = self.users.set_index("user_id"), self.items.set_index("item_id")
        return Dataset(
            user_items=sparse.csr_array(
                (values[order], cols[order], starts), shape=(len(users), len(items))
            ),
            user_ids=users.index,
            item_ids=items.index,
            users=users,
            items=items,
            timestamps=(first_monday(self.settings.year) + seconds[order]) * 10**9,
            rating_scale=None if scale is None else (float(scale[0]), float(scale[1])),
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
            for name in ("ratings", "events", "users", "items"):
                write_table(part / f"{name}.parquet", getattr(self, name))
            self.truth.save(part / "truth.npz")
            settings = dataclasses.asdict(self.settings)
            write_manifest(part, kind="world", settings=settings, **facts)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote; `ArtifactError` if it is damaged or of another kind."""
        folder = Path(folder)
        read_manifest(folder, kind="world")
        tables = {
            name: read_table(folder / f"{name}.parquet")
            for name in ("ratings", "events", "users", "items")
        }
        truth = Truth.load(folder / "truth.npz")
        ids = (
            pd.Index(tables["users"]["user_id"]),
            pd.Index(tables["items"]["item_id"]),
            truth.settings.year,
        )
        world = cls(
            users=tables["users"],
            items=tables["items"],
            truth=truth,
            rating_log=ratings_log(tables["ratings"], *ids),
        )
        # A cached property is what stands in the instance's dictionary: no need to draw it again.
        world.__dict__["event_log"] = events_log(tables["events"], *ids)
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
    catalog, profiles = make_catalog(settings), _profiles(settings)
    thresholds = rating_thresholds(settings, catalog, profiles)
    probit = OrdinalProbit(thresholds, settings.rating_scale[0], settings.noise_sd)
    people, log = _draw_people(settings, catalog, profiles, probit)
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


def _profiles(settings: WorldSettings) -> Profiles:
    return all_profiles(settings.latent_dim, settings.profile_strength)


def _draw_people(
    settings: WorldSettings, catalog: Catalog, profiles: Profiles, probit: OrdinalProbit
) -> tuple[dict[str, NDArray[Any]], RatingLog]:
    """Draw the users' part of the truth, and their ratings."""
    people: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("tastes", "user_bias", "profile", "n_taken")
    }
    ratings: list[tuple[NDArray[Any], ...]] = []
    for block in range(-(-settings.n_users // BLOCK)):
        crowd, taken, visits = draw_visits(settings, catalog, profiles, block)
        kept = min(BLOCK, settings.n_users - block * BLOCK)
        people["tastes"].append(crowd.tastes[:kept].astype(np.float32))
        people["user_bias"].append(crowd.bias[:kept].astype(np.float32))
        people["profile"].append(crowd.profile[:kept].astype(np.int32))
        people["n_taken"].append(crowd.n_taken[:kept].astype(np.int32))
        inside = slice(0, int(np.searchsorted(taken.rows, kept)))
        ratings.append(
            (
                (block * BLOCK + taken.rows[inside]).astype(np.int32),
                taken.items[inside].astype(np.int32),
                probit.rate(taken.latent[inside]),
                visits.rated[inside],
            )
        )
    log = RatingLog(*(np.concatenate(column) for column in zip(*ratings, strict=True)))
    return {name: np.concatenate(parts) for name, parts in people.items()}, log


def _first_events(
    log: EventLog, n_items: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """Return each user-item pair of the clickstream once, with the time of its first event."""
    pair = log.users.astype(np.int64) * n_items + log.items
    # Events of a user are in time order, and the first occurrence is what unique returns.
    _, first = np.unique(pair, return_index=True)
    ones = np.ones(len(first), np.float32)
    return log.users[first], log.items[first], ones, log.seconds[first]
