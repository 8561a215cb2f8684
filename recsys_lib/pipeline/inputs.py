"""From the parameters of a notebook to the data they name."""

import contextlib
import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from recsys_lib.checks import Floats, check_choice
from recsys_lib.dataset import Dataset
from recsys_lib.errors import ConfigError, DataError, warn
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.notebook import Session
from recsys_lib.progress import has_front_end
from recsys_lib.sources import load_dataset, validate_interactions
from recsys_lib.sources.columns import find_roles, matches
from recsys_lib.sources.open import open_source
from recsys_lib.sources.options import AUTO, ReadOptions
from recsys_lib.sources.sql import split_url
from recsys_lib.tables import Table

Kind = Literal["ratings", "counts", "likes"]

_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("ITEMS", "USERS"), ""),
    **dict.fromkeys(("USER_COLUMN", "ITEM_COLUMN", "VALUE_COLUMN", "TIMESTAMP_COLUMN"), "auto"),
    "DUPLICATES": "error",
    "FEEDBACK": "auto",
    "COUNT_FROM": 1,
    "READING": {},
}
# What READING may hold: every option of reading that is no parameter by itself.
_OPTIONS = sorted(
    set(inspect.signature(load_dataset).parameters)
    - {"source", "items", "users", "user", "item", "value", "timestamp", "duplicates", "reduce"}
)
# No rating scale in use goes beyond the first; few go beyond the second, and none of these has most
# of its ratings in its lowest tenth.
_HIGHEST_RATING, _HIGHEST_STARS = 100, 20
# A 0 that is so many times as common as the next rating may be the mark of none.
_COMMON = 3


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A table of one's own, and what its values were taken for.

    Attributes
    ----------
    dataset : Dataset
        Ratings (with a rating scale), or likes (without one, every value 1).
    kind : {"ratings", "counts", "likes"}
        What the table held.
    values : ndarray of shape (n_pairs,), float32
        The values as they stand in the table, before counts became likes.
    sentence : str
        What was recognized, and what was made of it.
    """

    dataset: Dataset
    kind: Kind
    values: Floats
    sentence: str


def import_table(session: Session, source: Path | str | None = None, **reading: Any) -> Imported:
    """Import the files that the parameters of a notebook name, and record them as its inputs.

    Parameters
    ----------
    session : Session
        Of a notebook with the parameters ``SOURCE``, ``ITEMS``, ``USERS`` (paths; an empty one is
        left out), ``USER_COLUMN``, ``ITEM_COLUMN``, ``VALUE_COLUMN``, ``TIMESTAMP_COLUMN`` (names;
        ``"auto"`` recognizes them), ``DUPLICATES``, ``FEEDBACK`` (``"ratings"``, ``"counts"``,
        ``"likes"``, or ``"auto"``, which tells them apart), ``COUNT_FROM``, the lowest count that
        is a like, and ``READING``, other options of `sources.load_dataset` by name, such as
        ``{"encoding": "latin-1"}``. ``TIMESTAMP_COLUMN`` or ``VALUE_COLUMN`` is ``"none"`` for a
        table whose times or values are not to be read. What is not declared has its default.
    source : Path, optional
        A table of this run, in the place of ``SOURCE``.
    **reading
        Options of reading besides those of ``READING``; also ``duplicates``.

    Returns
    -------
    Imported

    Raises
    ------
    ConfigError
        If a file is missing, or a parameter has an unknown value.
    DataError
        If a file is not what it should be, or does not hold what ``FEEDBACK`` says.
    """
    given, source, reading = _asked(session, source, reading)
    duplicates = given["DUPLICATES"]
    files = {name: given[name.upper()] for name in ("items", "users")}
    catalogs = {name: session.input(file) for name, file in files.items() if file}
    with _told_in_parameters():
        check_choice("FEEDBACK", given["FEEDBACK"], ("auto", *get_args(Kind)))
        table = open_source(source, ReadOptions(**reading))
        roles = _roles(table, given)
        column, used = roles["value"], find_roles(table, ReadOptions(**roles)).values()
        if duplicates == "error" and (column is None or matches("count", [column])):
            duplicates = "sum"  # a log of uses: who used an item twice did nothing wrong
        dataset = load_dataset(source, duplicates=duplicates, **roles, **catalogs, **reading)
    return _recognized(dataset, column, given, [one for one in table.columns if one not in used])


def import_what_can_be_read(
    session: Session, source: Path | str | None = None, **reading: Any
) -> Imported:
    """Import a table strictly, or else without the rows that cannot be read.

    Parameters
    ----------
    session, source, **reading
        As of `import_table`.

    Returns
    -------
    Imported
        Its sentence says how it was read, what stopped strict reading, and what was dropped.

    Raises
    ------
    DataError
        If the table cannot be read in lenient mode either.
    """
    asked = {**session.record.parameters.get("READING", {}), **reading}.get("mode", "strict")
    with warnings.catch_warnings(record=True, action="always") as told:
        try:
            found = import_table(session, source, **reading)
            does = "takes every row." if asked == "strict" else "takes what can be read."
        except DataError as error:
            told.clear()
            does = f"stops: {error}\n\n**Lenient** reading goes on."
            lenient = {**reading, "mode": "lenient", "duplicates": "last"}
            found = import_table(session, source, **lenient)
    words = [f"**{asked.title()}** reading {does}", *(str(one.message) for one in told)]
    return replace(found, sentence=" ".join([*words, found.sentence]))


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A table before it is read: what is in it, and what is wrong with it.

    Attributes
    ----------
    name : str
        Of the file, or of the table in its database.
    columns : DataFrame
        One row a column: ``column`` and ``used as``, empty for a column that is not read.
    problems : DataFrame
        As of `sources.validate_interactions`.
    sentence : str
        How many problems there are.
    """

    name: str
    columns: pd.DataFrame
    problems: pd.DataFrame
    sentence: str


def inspect_table(session: Session, source: Path | str | None = None, **reading: Any) -> Inspected:
    """Say what the columns of a table are taken for, and list all that is wrong with its rows.

    Parameters
    ----------
    session, source, reading
        As of `import_table`.

    Returns
    -------
    Inspected

    Raises
    ------
    DataError
        If the table cannot be read at all, or has no columns of users and items.
    """
    given, source, reading = _asked(session, source, reading)
    with _told_in_parameters():
        table = open_source(source, ReadOptions(**reading))
        roles = _roles(table, given)
        found = find_roles(table, ReadOptions(**roles))
        known = inspect.signature(validate_interactions).parameters
        options = {name: option for name, option in reading.items() if name in known}
        problems = validate_interactions(source, **roles, **options)
    used = {column: role.removesuffix("_id") for role, column in found.items()}
    columns = pd.DataFrame({"column": table.columns})
    columns["used as"] = columns["column"].map(used).fillna("")
    sentence = _count_of(problems, table.name)
    return Inspected(name=table.name, columns=columns, problems=problems, sentence=sentence)


def _count_of(problems: pd.DataFrame, name: str) -> str:
    if problems.empty:
        return f"Nothing is wrong with {name}: every row can be read as it is."
    errors = int((problems["severity"] == "error").sum())
    kinds = {"error": errors, "oddity that may be meant": len(problems) - errors}
    counted = [f"{n} kind{'s' * (n > 1)} of {kind}" for kind, n in kinds.items() if n]
    return f"{name} has {' and '.join(counted)}:"


def _asked(
    session: Session, source: Path | str | None, reading: dict[str, Any]
) -> tuple[dict[str, Any], Path | str, dict[str, Any]]:
    """Return the parameters, the table that is asked for, and all options of reading it."""
    given = _DEFAULTS | session.record.parameters
    given["DUPLICATES"] = reading.pop("duplicates", given["DUPLICATES"])
    reading = {**given["READING"], **reading}
    unknown = [name for name in reading if name not in _OPTIONS]
    if unknown:
        raise ConfigError(
            f"READING must hold options of reading; {unknown[0]!r} is none."
            f"{did_you_mean(unknown[0], _OPTIONS)} There are: {', '.join(_OPTIONS)}."
        )
    return given, source or _source(session, given["SOURCE"]), reading


def _source(session: Session, source: str) -> Path | str:
    """Return a file, recorded as an input, or the URL of a database."""
    found = session.project.find_source(source)
    if "://" not in found:
        return session.input(found)
    split_url(found)  # it is kept in the record: no passwords
    path = Path(found.partition(":///")[2])
    if path.is_file():
        session.input(path)
    else:
        # Whether a server's table has changed is not known, so the notebook is never skipped.
        session.record.inputs[found] = ""
        session.record.as_committed = False
    return found


def _roles(table: Table, given: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the table by what they are for.

    That of values is one of counts where none has the name of a rating, and None without one.
    """
    value, time = given["VALUE_COLUMN"], given["TIMESTAMP_COLUMN"]
    if value == AUTO:
        ratings, counts = matches("value", table.columns), matches("count", table.columns)
        value = counts[0] if len(counts) == 1 else None
        if ratings:
            value = ratings[0] if len(ratings) == 1 else AUTO
    roles = {"user": given["USER_COLUMN"], "item": given["ITEM_COLUMN"]}
    optional = {"value": value, "timestamp": time}
    return roles | {role: None if name == "none" else name for role, name in optional.items()}


def _recognized(
    dataset: Dataset, column: str | None, given: dict[str, Any], unread: Sequence[str]
) -> Imported:
    """Say what the values are, and make likes of what is not ratings."""
    values = dataset.user_items.data
    constant = bool(len(values)) and values.min() == values.max()
    has_values = dataset.rating_scale is not None or not constant
    kind = given["FEEDBACK"]
    if kind == "auto":
        kind = "likes" if constant else "counts" if _are_counts(dataset, column) else "ratings"
    name = {None: "The number of rows of a pair", AUTO: "The column of values"}.get(column)
    name = name or f"`{column}`"
    if kind == "ratings":
        dataset, sentence = _ratings(dataset, constant, has_values, given)
    elif kind == "counts":
        dataset, sentence = _counts(dataset, name, int(given["COUNT_FROM"]))
    else:
        sentence = f"Each row is a **like**, whatever {name} holds, because FEEDBACK says so."
        if not has_values:
            others = f", if it is one of {', '.join(unread[:8])}" if unread else ""
            sentence = (
                f"The table has no column of ratings (VALUE_COLUMN would name it{others}): it says "
                "who used what, and each row is a **like**."
            )
        elif constant:
            sentence = (
                f"{name} is {values[0]:g} in every row, which says no more than that the item was "
                "used: each row is a **like**."
            )
        dataset = dataset.implicit(-np.inf)
    return Imported(dataset=dataset, kind=kind, values=values, sentence=sentence)


def _are_counts(dataset: Dataset, column: str | None) -> bool:
    """Whether values that differ are counts: by name, or spread as no ratings are."""
    # Sums have no scale, and what has no column was counted.
    if dataset.rating_scale is None or column is None or matches("count", [column]):
        return True
    values = dataset.user_items.data
    if values.min() < 0 or (values != np.round(values)).any():
        return False
    levels, often = np.unique(values, return_counts=True)
    long_tail = levels[-1] > _HIGHEST_STARS and np.median(values) <= levels[-1] / 10
    # Most people buy one, fewer two, fewer still three; of ratings the lowest is not the usual one.
    falling = levels[0] == 1 and often[0] > len(values) / 2 and (np.diff(often[:4]) < 0).all()
    falling = falling and len(levels) > 3 and not matches("value", [column])
    return bool(levels[-1] > _HIGHEST_RATING or long_tail or falling)


def _ratings(
    dataset: Dataset, constant: bool, has_values: bool, given: dict[str, Any]
) -> tuple[Dataset, str]:
    values = dataset.user_items.data
    if constant:
        found = f"every value is {values[0]:g}" if has_values else "it has no column of ratings"
        raise DataError(
            f"{given['SOURCE']} must hold ratings that differ, as FEEDBACK is 'ratings'; {found}. "
            "Name their column with VALUE_COLUMN, or leave FEEDBACK at 'auto'."
        )
    low, high = dataset.rating_scale or (float(values.min()), float(values.max()))
    sentence = f"The table holds **ratings** from {low:g} to {high:g}.{_doubt(values)}"
    return replace(dataset, rating_scale=(low, high)), sentence


def _doubt(values: Floats) -> str:
    """Return a sentence where the lowest value looks like the mark of none, as -1 or 0 often is.

    It does where it stands alone below zero, or is three times as common as the next one.
    """
    found, counts = np.unique(values, return_counts=True)
    if found[0] > 0 or found[1] <= 0 or (found[0] == 0 and counts[0] <= _COMMON * counts[1]):
        return ""
    if len(found) == 2 and found[0] < 0:  # thumbs down and up
        return ""
    said = f" {counts[0] / len(values):.0%} of them are {found[0]:g}: where that means"
    if len(found) == 2:  # as in a matrix of who used what
        return f'{said} *not used*, `FEEDBACK = "counts"` leaves them out.'
    scale = f"[{found[1]:g}, {found[-1]:g}]"
    reading = f'`READING = {{"rating_scale": {scale}, "mode": "lenient"}}`'
    return f"{said} *not rated*, {reading} leaves them out."


def _counts(dataset: Dataset, name: str, count_from: int) -> tuple[Dataset, str]:
    values = dataset.user_items.data
    kept = int((values >= count_from).sum())
    if not kept:
        raise DataError(
            f"A count must reach COUNT_FROM; the highest is {values.max():g}. Lower COUNT_FROM."
        )
    return dataset.implicit(count_from), (
        f"{name} holds **counts** from {values.min():g} to {values.max():,g}. A pair of user and "
        f"item is a **like** from a count of {count_from} on, which {kept:,} of {len(values):,} "
        "pairs reach."
    )


@contextlib.contextmanager
def _told_in_parameters() -> Iterator[None]:
    """Put what is wrong in the terms of the notebook's parameters."""
    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as told:
        try:
            yield
        except (ConfigError, DataError) as error:
            raise type(error)(_in_parameters(str(error))) from error
        except (TypeError, ValueError) as error:
            raise ConfigError(_in_parameters(str(error))) from error
    for one in told:
        if one.category is UserWarning:
            warn(_in_parameters(str(one.message)))
        else:  # not the library's
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _in_parameters(message: str) -> str:
    """Say a remedy in the notebook's parameters; the library names its own arguments."""
    message = re.sub(
        r'\b(user|item|value|timestamp)="\.\.\."',
        lambda found: f"the parameter {found[1].upper()}_COLUMN",
        message,
    )
    for role in ("timestamp", "value"):
        message = message.replace(f"{role}=None", _setting(f"{role.upper()}_COLUMN", '"none"'))
    message = re.sub(
        r'\bduplicates=("\w+")', lambda found: _setting("DUPLICATES", found[1]), message
    )
    message = message.replace("`duplicates`", "DUPLICATES")
    message = message.replace("see validate_interactions(...)", "notebook 10 lists all")
    message = re.sub(rf"`({'|'.join(_OPTIONS)})`", r"READING.\1", message)
    return re.sub(
        rf'\b({"|".join(_OPTIONS)})=("[^"]+"|\[[^]]*\]|[^\s",.)]+)',
        lambda found: _setting(f"READING.{found[1]}", found[2]),
        message,
    )


def _setting(name: str, value: str) -> str:
    """Say how a parameter is set where the reader stands: in its cell, or as a shell takes it."""
    if has_front_end():
        mapping, _, option = name.partition(".")
        return f'`{mapping} = {{"{option}": {value}}}`' if option else f"`{name} = {value}`"
    needs_quotes = re.search(r'[\s\\]|^"\W"$', value)
    return f"{name} {value}" if needs_quotes else f"{name} {value}".replace('"', "")
