"""Clean tables: ids, values and times of interactions, catalogs and profiles by id."""

import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from os import PathLike
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lib.errors import DataError
from recsys_lib.tables import (
    Cleaned,
    Column,
    FrameTable,
    Mode,
    Problem,
    Table,
    check_names,
    settle,
    shown,
    to_float,
)
from recsys_lib.times import clean_times

#: What becomes of rows that repeat a pair of user and item; "keep" is for tables, not for matrices.
Duplicates = Literal["keep", "error", "last", "mean", "sum"]

_INT64 = np.iinfo(np.int64)
_INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
_RECBOLE_TYPES = (":token", ":float", ":token_seq", ":float_seq")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_PAIR = ["user_id", "item_id"]


def interactions_of(
    frame: Any,
    columns: Mapping[str, str | None],
    scale: tuple[float, float] | None = None,
    *,
    once: bool = False,
) -> pd.DataFrame:
    """Return the columns of a DataFrame by their roles, clean; `DataError` names what is not.

    Parameters
    ----------
    frame : DataFrame, or a table that exports Arrow
        Levels of its index are columns where they play a role.
    columns : mapping of str to str or None
        The column of ``user_id``, ``item_id``, ``value`` and ``timestamp``; None where there is
        none.
    scale : tuple of float, optional
        See `clean_columns`.
    once : bool
        Whether a pair of user and item may occur once only.
    """
    frame = as_frame("frame", frame)
    needed = [name for name in columns.values() if name is not None and name not in frame]
    levels = [name for name in needed if name in frame.index.names]
    table = FrameTable(frame.reset_index(levels) if levels else frame)
    # There is no table without users or items; None is a column that is not there.
    roles = {role: str(one) for role, one in columns.items() if one is not None or role in _PAIR}
    check_roles({role.removesuffix("_id"): one for role, one in roles.items()}, table.name)
    clean, problems = clean_columns(table.rows(list(roles.values())), roles, table, scale=scale)
    return settle(clean, problems + find_duplicates(clean, table) * once, table)


def clean_columns(
    raw: pd.DataFrame,
    roles: Mapping[str, str],
    table: Table,
    *,
    scale: tuple[float, float] | None = None,
    decimal: str = ".",
    date_format: str | None = None,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the columns that play a role clean, and all that is wrong with them.

    Parameters
    ----------
    raw : DataFrame
        What was read of the table.
    roles : mapping of str to str
        The column of ``user_id``, ``item_id`` and so on.
    table : Table
    scale : tuple of float, optional
        Lowest and highest value.
    decimal, date_format
        See `sources.ReadOptions`.

    Returns
    -------
    DataFrame
        With all rows, also those with a problem.
    list of Problem
    """
    clean: dict[str, pd.Series] = {}
    problems = repeated_headers(raw, roles, table.name)
    for role, name in roles.items():
        column = Column.of(raw[name], name, table.name)
        if role in ("user_id", "item_id"):
            clean[role], found = clean_ids(column)
        elif role == "timestamp":
            clean[role], found = clean_times(column, date_format)
        elif role == "event":
            clean[role], found = column.cells.astype("str"), []
        else:
            clean[role], found = clean_numbers(column, scale if role == "value" else None, decimal)
        problems += found
    return pd.DataFrame(clean), problems


def find_duplicates(frame: pd.DataFrame, table: Table, *, warning: bool = False) -> list[Problem]:
    """Return the problem of rows that repeat an earlier pair of user and item."""
    again = frame.duplicated(_PAIR).to_numpy()
    user, item = (frame[column].iloc[[int(again.argmax())]].item() for column in _PAIR)
    return Column.of(frame["user_id"], "user_id, item_id", table.name).problem(
        "repeated pair",
        again,
        f"{table.name} must have each pair of user and item once",
        'Choose what repeated pairs mean: duplicates="last", "mean" or "sum".',
        f"user {user!r} and item {item!r} again",
        warning=warning,
    )


def merge_duplicates(table: pd.DataFrame, duplicates: Duplicates) -> pd.DataFrame:
    """Return one row a pair, with its latest time, in the order in which the pairs first appear.

    Its value is the latest, the mean or the sum; other policies return the table as it is.
    """
    if duplicates in ("keep", "error") or not table.duplicated(_PAIR).any():
        return table
    groups = table.groupby(_PAIR, sort=False)
    ordered = table.sort_values("timestamp", kind="stable") if "timestamp" in table else table
    last = ordered.drop_duplicates(_PAIR, keep="last")
    merged = last.loc[groups.ngroup()[last.index].sort_values().index].reset_index(drop=True)
    if duplicates != "last" and "value" in table:
        merged["value"] = groups["value"].agg(duplicates).to_numpy()
    return merged


def rows_by_id(table: Table, column: str, mode: Mode | None = None) -> pd.DataFrame:
    """Return all columns of a catalog or of profiles, indexed by its ids, which are unique."""
    raw = table.rows(table.columns)
    found = Column.of(raw[column], column, table.name)
    ids, problems = clean_ids(found)
    problems = repeated_headers(raw, {one: one for one in raw}, table.name) + problems
    again = ids.duplicated().to_numpy()
    if again.any() and not any(problem.fatal for problem in problems):
        problems += found.problem(
            "repeated id",
            again,
            f"Column {found} must hold each id once",
            "Keep one row for each id.",
            f"{ids[again].tolist()[0]!r} again",
        )
    frame = raw.drop(columns=column).assign(**{"\0id": ids})
    return settle(frame, problems, table, mode).set_index("\0id").rename_axis(None)


def indexed_by_id(frame: pd.DataFrame | None, column: str, name: str) -> pd.DataFrame | None:
    """Return the catalog or profiles with their ids, of a column or the index, as the index."""
    if frame is None:
        return None
    frame = as_frame(name, frame)
    if column not in frame.columns:
        frame = frame.assign(**{column: frame.index.to_flat_index()})
    return rows_by_id(FrameTable(frame, f"`{name}`"), column)


def clean_ids(column: Column) -> Cleaned:
    """Return ids as strings or int64; whole floats become integers.

    Returns
    -------
    Series
        Of dtype ``str`` or ``int64``; rows with a problem hold anything.
    list of Problem
    """
    values = column.cells
    if pd.api.types.is_integer_dtype(values.dtype) or pd.api.types.is_float_dtype(values.dtype):
        ids, problems = _number_ids(column)
    elif isinstance(values.dtype, pd.StringDtype):
        ids, problems = values.astype("str"), []
    else:
        ids, problems = _object_ids(column)
    return ids, column.nulls("hold an id in each row", "Drop or fill the rows.") + problems


def clean_numbers(
    column: Column, scale: tuple[float, float] | None = None, decimal: str = "."
) -> Cleaned:
    """Return ratings or weights as float64: finite, in the scale where one is declared.

    Parameters
    ----------
    column : Column
        Numbers, or text that reads as numbers.
    scale : tuple of float, optional
        Lowest and highest allowed value.
    decimal : {".", ","}
        The decimal mark of numbers in text.
    """
    numbers = to_float(column.cells, decimal) + 0.0  # without the sign of -0.0
    unread = ~(np.abs(numbers) <= _FLOAT32_MAX) & ~column.missing
    must = "hold finite numbers"
    remedy = "Drop the rows, or give value=None for interactions without a value."
    problems = column.nulls(must, remedy)
    remedy = "Correct or drop the rows."
    first = shown(column.cells[unread].iloc[0]) if unread.any() else ""
    if re.fullmatch(r"'\s*-?\d+,\d+\s*'", first):
        remedy = 'Give decimal="," if the comma is the decimal mark, or correct the rows.'
    if not np.isnan(numbers[unread][:1]).all():
        must += f" up to {_FLOAT32_MAX:.2g}, the largest of float32"
    problems += column.problem("not a number", unread, f"Column {column} must {must}", remedy)
    if scale is not None:
        low, high = scale
        outside = ((numbers < low) | (numbers > high)) & ~unread
        problems += column.problem(
            "outside the scale",
            outside,
            f"Column {column} must lie in the declared scale {low:g} to {high:g}",
            "Correct the rows, or declare the right `rating_scale`.",
        )
    return pd.Series(numbers, index=column.cells.index), problems


def look_alikes(ids: pd.Series, name: str, table: str) -> list[Problem]:
    """Return a warning where ids differ only in what is hard to see, or as numbers are written."""
    if not isinstance(ids.dtype, pd.StringDtype):
        return []
    unique = pd.Series(ids.dropna().unique())
    folded = unique.str.normalize("NFKC").str.replace(_INVISIBLE, "", regex=True)
    folded = folded.str.strip().str.casefold()
    folded = folded.str.replace(r"^(-?)0*(\d+)(?:\.0*)?$", r"\1\2", regex=True)
    alike = unique[folded.duplicated(keep=False)]
    if alike.empty:
        return []
    pair = list(alike[folded[alike.index] == folded[alike.index[0]]])[:2]
    column = Column.of(ids, name, table)
    return column.problem(
        "look-alike ids",
        ids.isin(alike).to_numpy(),
        f"Ids in column {column} should differ in more than case, spaces, invisible signs or the "
        "way a number is written",
        "Write them alike first if they mean the same.",
        " and ".join(map(ascii, pair)),
        warning=True,
    )


def repeated_headers(raw: pd.DataFrame, roles: Mapping[str, str], table: str) -> list[Problem]:
    """Return the problem of rows that repeat the header line, as joined files have them."""
    columns = [column for column in roles.values() if isinstance(raw[column].dtype, pd.StringDtype)]
    if len(columns) < 2:
        return []
    again = np.ones(len(raw), dtype=bool)
    for column in columns:
        # A file that was appended may have a byte-order mark, or RecBole's types.
        headers = [f"{column}{kind}" for kind in ("", *_RECBOLE_TYPES)]
        again &= raw[column].str.strip("\ufeff \t").isin(headers).to_numpy(dtype=bool)
    return Column.of(raw[columns[0]], ", ".join(columns), table).problem(
        "repeated header",
        again,
        f"{table} must have one header line",
        'Remove the line, or read with mode="lenient", which drops it.',
        "it again",
    )


def typed_if_plain(values: pd.Series, decimal: str = ".") -> pd.Series:
    """Return a text column as numbers where every field is one and no zero leads.

    So it is with fields that are all true or false, which `available` takes of a catalog.
    """
    if not isinstance(values.dtype, pd.StringDtype):
        return values
    present = values.dropna()
    if not present.empty and present.str.fullmatch("(?i)true|false").all():
        return values.str.lower().map({"true": True, "false": False})
    number = rf"-?(0|[1-9]\d{{0,14}})({re.escape(decimal)}\d+)?"
    if present.empty or not present.str.fullmatch(number).all():
        return values
    return pd.to_numeric(values.str.replace(decimal, ".", regex=False))


def _number_ids(column: Column) -> Cleaned:
    """Return whole numbers as int64; a NaN has made pandas store them as floats."""
    values, limit = column.cells.where(~column.missing, 0), "below 2**63"
    if pd.api.types.is_float_dtype(values.dtype):
        # Past its precision a float skips whole numbers, so two ids could have become one.
        numbers = values.to_numpy()
        most = 2.0 ** (np.finfo(numbers.dtype).nmant + 1)
        limit = f"below {most:g} as {numbers.dtype}"
        bad = ~(np.abs(numbers) < most) | (np.floor(numbers) != numbers)
    else:
        bad = ((values < _INT64.min) | (values > _INT64.max)).to_numpy(dtype=bool)
    problems = column.problem(
        "not an id",
        bad,
        f"Ids in column {column} must be strings or whole numbers {limit}",
        "Cast the column to strings.",
    )
    return values.where(~bad, 0).astype("int64"), problems


def _object_ids(column: Column) -> Cleaned:
    """Return Python objects as strings or integers, all of one kind."""
    # Not `map`, which makes floats of whole numbers beside a null.
    values = [_simple(one) for one in column.cells]
    ids = pd.Series(values, index=column.cells.index, dtype=object)
    present = ids[~column.missing]
    kinds = present.map(lambda one: type(one).__name__)
    counts = kinds.value_counts()
    common = str(counts.index[0]) if len(counts) else "str"
    if len(counts) > 1 or common not in ("int", "str"):
        odd = present[kinds != common] if len(counts) > 1 else present
        mixture = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        # Half strings and half integers is no slip in a few rows: nothing sensible can be dropped.
        return ids.map(repr).astype("str"), column.problem(
            "mixed types",
            np.asarray(odd.index, dtype=np.int64),
            f"Ids in column {column} must be all strings or all whole numbers",
            "Cast the column to strings, or read it as text where ids have leading zeros.",
            f"{shown(odd.iloc[0])} ({mixture} in all)",
            fatal=True,
        )
    return (ids.astype("str"), []) if common == "str" else _number_ids(replace(column, cells=ids))


def _simple(value: Any) -> Any:
    """Return an id of a database as text or a Python integer where it is one."""
    if isinstance(value, str | uuid.UUID):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return int(value) if isinstance(value, np.integer) else value


def as_frame(name: str, source: Any, wanted: str = "a DataFrame") -> pd.DataFrame:
    """Return a table of pandas, polars, pyarrow or the like as a DataFrame; `TypeError` if none."""
    if isinstance(source, pd.DataFrame):
        return source
    if hasattr(source, "__arrow_c_stream__") and not isinstance(source, pd.Series):
        with suppress(pa.ArrowException):  # one column exports a stream of no table
            return pa.table(source).to_pandas(integer_object_nulls=True)
    kind = type(source)
    found = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    methods = ("collect", "to_pandas", "toPandas", "compute", "to_frame")
    remedies = [f"Give the result of its .{one}()" for one in methods if hasattr(source, one)]
    remedies += ["Read a file with load_dataset(path)"] * isinstance(source, str | PathLike)
    remedy = [*remedies, "Wrap it with pandas.DataFrame(..., columns=[...])"][0]
    raise TypeError(f"`{name}` must be {wanted}; got {found}. {remedy}.")


def check_roles(roles: Mapping[str, str], table: str) -> None:
    """Raise `DataError` where one column is to play two roles."""
    for column in roles.values():
        named = [role for role, one in roles.items() if one == column]
        if len(named) > 1:
            last = named[-1]
            left_out = f", or leave it out with {last}=None" * (last in ("value", "timestamp"))
            raise DataError(
                f"Each role must have a column of its own in {table}; {column!r} is taken for "
                f'`{named[0]}` and `{last}`. Name another with {last}="..."{left_out}.'
            )


def storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a catalog or profiles as Parquet can hold them, which the columns mostly are.

    Mixed columns become text, columns of Arrow lists become lists, and names become text.
    """
    frame = frame.set_axis(frame.columns.map(str), axis=1)
    check_names(frame.columns, "a catalog and of profiles", "Rename or drop all but one.")
    return frame.assign(**{name: _storable(column) for name, column in frame.items()})


def _storable(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.StringDtype) or column.dtype.kind in "biufmM":
        return column.sparse.to_dense() if isinstance(column.dtype, pd.SparseDtype) else column
    try:
        pa.Table.from_pandas(column.to_frame()).to_pandas()
    except (pa.ArrowException, TypeError, OverflowError):
        if isinstance(column.dtype, pd.ArrowDtype):
            return _storable(column.astype(object))
        return column.map(str, na_action="ignore")
    return column


def positions_of(index: pd.Index, ids: pd.Series, column: str) -> NDArray[np.int64]:
    """Return the position of each id in `index`; `DataError` names the first unknown one."""
    # Looking up each id once, not each row, is five times faster where ids are text.
    codes, unique = pd.factorize(ids, use_na_sentinel=False)
    positions = np.asarray(index.get_indexer(pd.Index(unique)), dtype=np.int64)[codes]
    unknown = np.flatnonzero(positions < 0)
    if len(unknown):
        raise DataError(
            f"Every {column!r} must be among the {len(index)} known ids; "
            f"{unique.tolist()[codes[unknown[0]]]!r} is not (row {int(unknown[0])}), they begin "
            f"with {str(index[:3].tolist())[1:-1]}. Check its spelling, leading zeros and type, or "
            "list it where the ids are known from."
        )
    return positions
