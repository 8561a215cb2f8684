"""Checks of tables with one interaction per row; every refusal names the column and the row."""

from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lib.errors import DataError

#: What becomes of rows that repeat a pair of user and item; "keep" is for tables, not for matrices.
Duplicates = Literal["keep", "error", "last", "mean", "sum"]


def check_frame(name: str, frame: Any) -> None:
    """Raise `TypeError` unless `frame` is a pandas DataFrame; tables of other libraries are not."""
    if not isinstance(frame, pd.DataFrame):
        kind = f"{type(frame).__module__}.{type(frame).__qualname__}"
        raise TypeError(
            f"`{name}` must be a pandas DataFrame; got {kind}. Convert it with .to_pandas(), or "
            "read a file with load_dataset(path)."
        )


def check_interactions(
    frame: pd.DataFrame, user: str, item: str, value: str | None, timestamp: str | None
) -> pd.DataFrame:
    """Return the columns user, item, value and, if named, time, with every cell checked.

    Times become int64 nanoseconds since 1970 (UTC). Raises `DataError` naming column and row.
    """
    wanted = [column for column in (user, item, value, timestamp) if column is not None]
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        seen = ", ".join(repr(str(column)) for column in frame.columns)
        raise DataError(
            f"Column {missing[0]!r} must be in the table; it has {seen or 'no columns'}. "
            "Name the columns with user=, item=, value=, timestamp=, or let `load_dataset` find "
            "them."
        )
    twice = [column for column in wanted if (frame.columns == column).sum() > 1]
    if twice:
        raise DataError(
            f"Column {twice[0]!r} must be in the table once; several columns have that name. "
            "Rename or drop all but one."
        )
    if frame.empty:
        raise DataError("The table must have at least one row; it is empty.")
    table = pd.DataFrame({"user": check_ids(frame[user]), "item": check_ids(frame[item])})
    table["value"] = np.float32(1) if value is None else _values(frame[value], value)
    if timestamp is not None:
        table["time"] = _nanoseconds(frame[timestamp], timestamp)
    return table


def check_ids(values: pd.Series) -> pd.Series:
    """Return ids as text or whole numbers, numbered from 0; `DataError` names column and row."""
    column, ids = values.name, pd.Series(values.to_numpy())
    _refuse_rows(ids.isna().to_numpy(), column, "must not be null", "Drop those rows")
    if pd.api.types.is_float_dtype(ids.dtype):
        limit = largest_whole(ids.dtype)
        doubtful = (ids != np.floor(ids)) | (ids.abs() >= limit)
        required = f"must hold text or whole numbers, below {limit:g} as {ids.dtype}"
        _refuse_rows(doubtful.to_numpy(), column, required, "Read the column as text")
        return ids.astype(np.int64)
    if isinstance(ids.dtype, pd.StringDtype) or pd.api.types.is_integer_dtype(ids.dtype):
        return ids
    kinds = sorted({kind_of(one) for one in ids})
    if kinds not in ([], ["int"], ["str"]):
        raise DataError(
            f"Ids in column {column!r} must be all text or all whole numbers; got "
            f"{' and '.join(kinds)}. Cast the column with .astype(str), or read it as text "
            "(dtype=str) where ids have leading zeros."
        )
    if kinds == ["int"]:
        long = (ids.abs() >= 2**63).to_numpy(bool)
        _refuse_rows(long, column, "must hold numbers of 64 bits", "Cast it with .astype(str)")
    return ids


def kind_of(value: object) -> str:
    """Return what an id is, for messages: ``int``, ``str``, or the name of its class."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return "int"
    return "str" if isinstance(value, str) else type(value).__name__


def largest_whole(dtype: Any) -> float:
    """Return the number from which on a float type skips whole numbers: 2**53 for float64."""
    return float(2.0 ** (np.finfo(dtype).nmant + 1))


def _refuse_rows(bad: NDArray[np.bool_], column: Any, requirement: str, remedy: str) -> None:
    if bad.any():
        row, count = int(np.flatnonzero(bad)[0]), int(bad.sum())
        more = f" and {count - 1} more" if count > 1 else ""
        raise DataError(f"Column {column!r} {requirement}; row {row}{more} breaks that. {remedy}.")


def _values(values: pd.Series, column: str) -> NDArray[np.float64]:
    numbers = _numbers(values, column)
    largest = float(np.finfo(np.float32).max)
    required = f"must hold numbers up to {largest:.2g}, the largest of float32"
    _refuse_rows(np.abs(numbers) > largest, column, required, "Rescale them")
    return numbers


def _numbers(values: pd.Series, column: str) -> NDArray[np.float64]:
    if values.dtype.kind in "mMc":  # times and complex numbers, which to_numeric would convert
        numbers = np.full(len(values), np.nan)
    else:
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    _refuse_rows(
        ~np.isfinite(numbers), column, "must hold finite numbers", "Repair or drop those rows"
    )
    return numbers


def _nanoseconds(values: pd.Series, column: str) -> NDArray[np.int64]:
    values = values.infer_objects()
    if pd.api.types.is_numeric_dtype(values):
        seconds = _numbers(values, column)
        _refuse_rows(
            np.abs(seconds) > 9e9, column, "must be in seconds since 1970", "Divide by 1000 first"
        )
        _refuse_rows(
            np.full(len(seconds), _is_calendar(seconds)),
            column,
            "must be in seconds since 1970, not in digits of a date",
            'Convert it with pandas.to_datetime(..., format="%Y%m%d")',
        )
        return np.round(seconds * 1e9).astype(np.int64)
    if values.dtype == object:
        values = values.map(lambda one: one if isinstance(one, str | date) else None)
    # In no other form is it certain which number is the day.
    times = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
    required = "must hold times: datetimes, ISO 8601 text such as 2024-01-31, or seconds since 1970"
    remedy = "Repair or drop those rows, or convert with pandas.to_datetime(..., format=...)"
    _refuse_rows(times.isna().to_numpy(), column, required, remedy)
    low, high = pd.Timestamp.min.tz_localize("UTC"), pd.Timestamp.max.tz_localize("UTC")
    outside = ((times < low) | (times > high)).to_numpy()
    _refuse_rows(outside, column, "must lie in the years 1678 to 2261", "Repair or drop those rows")
    return times.dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64)


def _is_calendar(numbers: NDArray[np.float64]) -> bool:
    """Whether all numbers read as dates, such as 20240131."""
    whole = numbers[(numbers >= 1900_01_01) & (numbers < 2101_00_00) & (numbers % 1 == 0)]
    if len(whole) < len(numbers):
        return False
    text = pd.Series(np.unique(whole).astype(np.int64)).astype(str)
    return bool(pd.to_datetime(text, format="%Y%m%d", errors="coerce").notna().all())


def check_scale(table: pd.DataFrame, value: str | None, scale: tuple[float, float] | None) -> None:
    """Raise `DataError` naming the row unless every value lies on the scale."""
    if scale is None or value is None:
        return
    low, high = scale
    outside = ((table["value"] < low) | (table["value"] > high)).to_numpy()
    _refuse_rows(outside, value, f"must be in {low:g} to {high:g}", "Give the right rating_scale")


def merge_duplicates(
    table: pd.DataFrame,
    duplicates: Duplicates,
    pair: tuple[str, str] = ("user", "item"),
    time: str = "time",
) -> pd.DataFrame:
    """Return one row a pair, with its latest time, in the order in which the pairs first appear.

    Its value is the latest, the mean or the sum; "error" raises `DataError` for a repeated pair,
    "keep" returns the table as it is.
    """
    names = list(pair)
    repeated = table.duplicated(names).to_numpy()
    if duplicates == "keep" or not repeated.any():
        return table
    if duplicates == "error":
        row = int(np.flatnonzero(repeated)[0])
        raise DataError(
            f"Each user-item pair must occur once; row {row} repeats "
            f"{tuple(table.loc[row, names])!r}, and {int(repeated.sum()) - 1} more rows repeat "
            'others. Choose duplicates="last", "mean" or "sum".'
        )
    groups = table.groupby(names, sort=False)
    ordered = table.sort_values(time, kind="stable") if time in table else table
    last = ordered.drop_duplicates(names, keep="last")
    merged = last.loc[groups.ngroup()[last.index].sort_values().index].reset_index(drop=True)
    if duplicates != "last" and "value" in table:
        merged["value"] = groups["value"].agg(duplicates).to_numpy()
    return merged


def storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a catalog or profiles as Parquet can hold them, which the columns mostly are.

    Mixed columns become text, columns of Arrow lists become lists, and names become text.
    """
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise DataError(
            f"Columns must have names of their own; {name!r} stands for several. Rename or drop "
            "all but one."
        )
    if frame.columns.inferred_type != "string":
        frame = frame.set_axis(frame.columns.map(str), axis=1)
    return frame.assign(**{str(name): _storable(column) for name, column in frame.items()})


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


def indexed_by_id(frame: pd.DataFrame | None, column: str, name: str) -> pd.DataFrame | None:
    """Return the catalog or profiles with their ids as a unique index named None."""
    if frame is None:
        return None
    check_frame(name, frame)
    frame = storable(frame)
    if column in frame.columns:
        frame = frame.set_index(column)
    ids = frame.index.to_series(name=column)
    frame = frame.set_axis(pd.Index(check_ids(ids)) if not ids.hasnans else frame.index)
    if frame.index.hasnans or not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()]
        what = "a null id" if frame.index.hasnans else f"{twice[0]!r} more than once"
        raise DataError(f"`{name}` must list each id once; it holds {what}. Drop those rows.")
    return frame.rename_axis(None)


def positions_of(index: pd.Index, ids: pd.Series, column: str) -> NDArray[np.int64]:
    """Return the position of each id in `index`; `DataError` names the first unknown one."""
    # Looking up each id once, not each row, is five times faster where ids are text.
    codes, unique = pd.factorize(ids, use_na_sentinel=False)
    positions = np.asarray(index.get_indexer(pd.Index(unique)), dtype=np.int64)[codes]
    unknown = np.flatnonzero(positions < 0)
    if len(unknown):
        raise DataError(
            f"Every {column!r} must be among the {len(index)} known ids; "
            f"{unique.tolist()[codes[unknown[0]]]!r} is not (row {int(unknown[0])}). Check its "
            "spelling, leading zeros and type."
        )
    return positions
