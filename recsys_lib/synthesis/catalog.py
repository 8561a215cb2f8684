"""The catalog of labs in the space of tastes, and what people see of a lab."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lib.checks import Doubles, Ints
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.settings import WorldSettings

#: What the codes of the tracks stand for.
TRACK_NAMES = {
    "CMP": "cloud management",
    "SDC": "software-defined data center",
    "ISM": "integrated systems",
    "NET": "networking",
    "HBD": "hybrid cloud",
    "SEC": "security",
    "CNA": "cloud-native applications",
    "EUC": "end-user computing",
}

TRACKS = tuple(TRACK_NAMES)

LEVELS = ("introductory", "intermediate", "advanced")

_LEVEL_CUTS = (-0.4, 0.6)

_VARIANTS = (0.30, 0.30, 0.20, 0.12, 0.08)  # share of lab numbers with 1, 2, ... 5 variants
_MINUTES = ((45, 60, 60, 90), (60, 90, 90, 120), (90, 120, 120, 180))  # by level
_DATA = Path(__file__).with_name("data")


def _texts(file: str) -> dict[str, list[str]]:
    """Return the texts under each key of a data file, which has a key, a tab and a text a line."""
    table = pd.read_csv(_DATA / file, sep="\t", names=["key", "text"], quoting=csv.QUOTE_NONE)
    found: dict[str, list[str]] = table.groupby("key", sort=False)["text"].agg(list).to_dict()
    return found


# Topics by track, and forms of a title by level; made up, and no product of anybody.
_TOPICS, _FORMS = _texts("topics.txt"), _texts("title_forms.txt")


def lab_titles(
    tracks: list[str], levels: list[int], numbers: list[int], rng: np.random.Generator
) -> list[str]:
    """Return one distinct title per lab; labs of one number share their topic.

    Parameters
    ----------
    tracks : list of str
        Track of each lab.
    levels : list of int
        Position of each lab's level, 0 to 2.
    numbers : list of int
        Which labs are variants of one another; a number belongs to one track.
    rng : numpy.random.Generator
        Shuffles topics and forms.

    Returns
    -------
    list of str

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> len(set(lab_titles(["NET"] * 3, [0, 0, 2], [1, 1, 2], rng)))
    3
    """
    topic_of: dict[int, str] = {}
    left = {track: list(rng.permutation(topics)) for track, topics in _TOPICS.items()}
    used: dict[str, int] = {}
    titles = []
    for track, level, number in zip(tracks, levels, numbers, strict=True):
        if number not in topic_of:
            if not left[track]:  # more labs than topics: a second edition of the track
                left[track] = list(rng.permutation(_TOPICS[track]))
            topic_of[number] = left[track].pop()
        titles.append(_fresh_title(topic_of[number], level, used, rng))
    return titles


def _fresh_title(topic: str, level: int, used: dict[str, int], rng: np.random.Generator) -> str:
    """Return a title form of this level that is new for the topic, or a numbered part."""
    forms = [form.format(topic) for form in rng.permutation(np.array(_FORMS[LEVELS[level]]))]
    title = min(forms, key=lambda form: used.get(form, 0))
    used[title] = used.get(title, 0) + 1
    return title if used[title] == 1 else f"{title}, Part {used[title]}"


def tracks_in(latent_dim: int) -> Doubles:
    """Return the direction of each track, a unit vector in all dimensions of taste but the last.

    The tracks are the corners of a regular simplex (in fewer dimensions: its shadow), so that no
    two are nearer than any other two and all are about equally frequent.

    Parameters
    ----------
    latent_dim : int
        At least 3.

    Returns
    -------
    ndarray of shape (n_tracks, latent_dim)
        The last column, which is the dimension of levels, is 0.

    Examples
    --------
    >>> corners = tracks_in(8)
    >>> (corners @ corners.T)[0, :3].round(3)
    array([ 1.   , -0.143, -0.143])
    """
    n_tracks, width = len(TRACKS), min(len(TRACKS) - 1, latent_dim - 1)
    # The Fourier basis without its constant: its rows are the corners of a simplex, and any
    # first few of its columns still keep the corners apart.
    turns = 2 * np.pi * np.outer(np.arange(n_tracks), np.arange(1, n_tracks // 2 + 1)) / n_tracks
    waves = np.stack([np.cos(turns), np.sin(turns)], axis=2).reshape(n_tracks, -1)[:, :width]
    waves /= np.linalg.norm(waves, axis=0)
    directions = np.zeros((n_tracks, latent_dim))
    directions[:, :width] = waves / np.linalg.norm(waves, axis=1, keepdims=True)
    return directions


@dataclass(frozen=True)
class Catalog:
    """The labs.

    Attributes
    ----------
    table : DataFrame
        ``item_id, title, track, level, duration_minutes``, one row per lab, sorted by item_id.
    factors : ndarray of shape (n_items, latent_dim)
        Place in taste space, N(0, I).
    bias : ndarray of shape (n_items,)
        How good a lab is beyond taste, N(0, 1).
    log_weight : ndarray of shape (n_items,)
        Logarithm of the Zipf weight: how visible a lab is. Independent of the rest.
    """

    table: pd.DataFrame
    factors: Doubles
    bias: Doubles
    log_weight: Doubles


def make_catalog(settings: WorldSettings) -> Catalog:
    r"""Draw the labs of a world; they depend only on its seed and the lab settings.

    Parameters
    ----------
    settings : WorldSettings

    Returns
    -------
    Catalog

    Examples
    --------
    >>> catalog = make_catalog(WorldSettings(n_items=5, min_ratings=1))
    >>> catalog.table["item_id"].str.fullmatch(r"HOL-\d{4}-\d{2}-[A-Z]{3}-HOL").all()
    np.True_
    """
    seed, n_items = settings.seed, settings.n_items
    factors = rng_from(seed, "items", "factors").standard_normal((n_items, settings.latent_dim))
    bias = rng_from(seed, "items", "bias").standard_normal(n_items)
    rank = 1.0 + rng_from(seed, "items", "popularity").permutation(n_items)
    # The nearest track, and the last dimension of taste cut twice: factors stay exactly Gaussian.
    track = np.asarray(np.argmax(factors @ tracks_in(settings.latent_dim).T, axis=1))
    level = np.asarray(np.searchsorted(_LEVEL_CUTS, factors[:, -1]))
    rng = rng_from(seed, "items", "names")
    number, variant = _numbering(track, factors, rng)
    table = _table(track, level, number, variant, settings.year, rng)
    order = np.argsort(table["item_id"].to_numpy(dtype=str))
    return Catalog(
        table=table.iloc[order].reset_index(drop=True),
        factors=factors[order],
        bias=bias[order],
        log_weight=-settings.popularity_exponent * np.log(rank[order]),
    )


def _numbering(track: Ints, factors: Doubles, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return lab numbers and variants: neighbors in a track are variants of one lab."""
    number, variant = np.zeros(len(track), np.int64), np.zeros(len(track), np.int64)
    slant = rng.standard_normal(factors.shape[1])
    used = 0
    for code in range(len(TRACKS)):
        members = np.flatnonzero(track == code)
        members = members[np.argsort(factors[members] @ slant)]
        while len(members):
            size = 1 + int(rng.choice(len(_VARIANTS), p=_VARIANTS))
            group, members = members[:size], members[size:]
            used += 1
            number[group], variant[group] = used, 1 + np.arange(len(group))
    # Numbers are handed out across tracks in no order, as a catalog grows.
    renamed = np.concatenate([[0], 1 + rng.permutation(used)])
    return renamed[number], variant


def _table(
    track: Ints, level: Ints, number: Ints, variant: Ints, year: int, rng: np.random.Generator
) -> pd.DataFrame:
    order = np.lexsort((variant, number))
    codes = [TRACKS[code] for code in track]
    titles = np.empty(len(track), dtype=object)
    titles[order] = lab_titles(
        [codes[item] for item in order], level[order].tolist(), number[order].tolist(), rng
    )
    # Two digits of the year, then a number within it: 99 labs fill a year's catalog.
    years = year % 100 - (number - 1) // 99 % 3
    within = 1 + (number - 1) % 99 + 100 * ((number - 1) // 297)
    ids = [
        f"HOL-{y % 100:02d}{n:02d}-{v:02d}-{code}-HOL"
        for y, n, v, code in zip(years, within, variant, codes, strict=True)
    ]
    return pd.DataFrame(
        {
            "item_id": ids,
            "title": titles.astype(str),
            "track": codes,
            "level": [LEVELS[step] for step in level],
            "duration_minutes": [int(rng.choice(_MINUTES[step])) for step in level],
        }
    )
