"""Tables in any format: one small reader each, all with the same interface.

A table knows its column names without being read, reads only the columns asked for, and can say
where a row is ("line 17 of ratings.csv"), so that an error can point at it.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.artifacts import read_manifest
from recsys_lib.errors import DataError
from recsys_lib.sources.containers import binary_format, file_suffix, unreadable
from recsys_lib.sources.json_lines import JsonTable, holds_json, is_broken
from recsys_lib.sources.listings import ListedItems, ListedUsers, lists_items, lists_users
from recsys_lib.sources.options import TextOptions
from recsys_lib.sources.parquet import ParquetTable
from recsys_lib.sources.text import TextFile, is_text

Source: TypeAlias = pd.DataFrame | str | Path

_PARQUET = (".parquet", ".pq", ".parq")
_JSON = (".jsonl", ".ndjson", ".json")
_ELSEWHERE = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.I)
_LISTED = 5


class Table(Protocol):
    """The interface of every input."""

    name: str
    columns: list[str]

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as a DataFrame with a RangeIndex, one row a record."""
        ...

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return the place of each row, such as ``"line 17"``, for 0-based positions."""
        ...


def open_table(source: Source, options: TextOptions | None = None) -> Table:
    """Open a table, a file, a folder of files or a glob, without reading its rows.

    Parameters
    ----------
    source : DataFrame, str or Path
        A DataFrame, or any table that Arrow can take (polars, pyarrow); a CSV, TSV, RecBole, JSON
        or Parquet file, compressed or not; lists of items without a header (a count and that
        many ids in line u, of user u); a folder of Parquet or text files, partitioned
        ``key=value`` folders included; or a glob.
    options : TextOptions, optional
        Delimiter, encoding and column names of text files, where they are not to be recognized.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        Where nothing is at the path, the format is not known, or the file cannot be read.
    TypeError
        Where ``source`` is none of the kinds above.
    """
    options = options or TextOptions()
    source = as_frame(source)
    if isinstance(source, pd.DataFrame):
        return FrameTable(source)
    if not str(source).strip():
        raise DataError("`source` must name a file, folder or glob; it is empty. Give a path.")
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # says now that the folder may not be read
            return _open_folder(path, options)
        if path.is_file():
            return _open_file(path, options)
    except OSError as error:
        raise unreadable(str(path), error) from error
    if any(sign in str(source) for sign in "*?["):
        return _open_glob(path, options)
    elsewhere = _ELSEWHERE.match(str(source))
    if elsewhere and len(elsewhere[1]) > 1:
        raise DataError(
            f"`source` must be on this machine; {str(source)!r} is an address "
            f"({elsewhere[1].lower()}). Download it and give the path of the copy."
        )
    raise DataError(
        f"`source` must be a file, folder or glob that exists; nothing is at '{path}'. "
        f"Check the path; it is taken from the working folder '{Path.cwd()}'."
    )


def as_frame(source: Any) -> Any:
    """Return a table of polars, pyarrow or the like as a DataFrame; a path as it is.

    Raises
    ------
    TypeError
        Where it is neither.
    """
    if isinstance(source, (pd.DataFrame, str, Path)):
        return source
    if hasattr(source, "__arrow_c_stream__") and not isinstance(source, pd.Series):
        import pyarrow as pa

        with suppress(pa.ArrowException):  # one column exports a stream of no table
            return pa.table(source).to_pandas(integer_object_nulls=True)
    kind = type(source)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    remedy = next(
        (
            f"Give the result of its .{method}()"
            for method in ("collect", "to_pandas", "toPandas", "compute", "to_frame")
            if hasattr(source, method)
        ),
        "Wrap it with pandas.DataFrame(..., columns=[...])",
    )
    raise TypeError(f"`source` must be a DataFrame or a path; got {name}. {remedy}.")


@dataclass
class FrameTable:
    """A DataFrame already in memory; rows are named by their index labels."""

    frame: pd.DataFrame
    name: str = "the DataFrame"
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = [str(column) for column in self.frame.columns]
        repeated = _repeated(self.columns)
        if repeated:
            raise DataError(
                f"Columns of the DataFrame must have one name each; {repeated} occur twice. "
                "Rename or drop the copies."
            )

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; the DataFrame that was given is not modified."""
        taken = self.frame.iloc[:, [self.columns.index(column) for column in columns]]
        taken = taken.reset_index(drop=True)
        taken.columns = pd.Index(columns)
        for column in columns:
            if taken[column].dtype == object:
                self._refuse_broken(column, taken[column])
        return taken

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return index labels, ``"index 17"``."""
        labels = self.frame.index.take(positions).tolist()
        return [f"index {label!r}" for label in labels]

    def _refuse_broken(self, column: str, values: pd.Series) -> None:
        broken = np.flatnonzero(values.map(is_broken).to_numpy(dtype=bool))
        if len(broken):
            raise DataError(
                f"Text of {self.name} must be whole Unicode characters; column {column!r}, "
                f"{list_places(self, broken)}, holds half of one, a lone surrogate. "
                "Correct or drop the rows."
            )


@dataclass
class StackedTable:
    """Several text files with the same columns, read one after the other."""

    tables: list[Table]
    name: str
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = self.tables[0].columns
        for table in self.tables[1:]:
            if set(table.columns) != set(self.columns):
                raise DataError(
                    f"All files of '{self.name}' must have the same columns; "
                    f"{self.tables[0].name} has {self.columns} and {table.name} has "
                    f"{table.columns}. Read them one by one."
                )
        self._starts = np.zeros(1, dtype=np.int64)

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns of all files, in the order of their names."""
        frames = [table.read(columns) for table in self.tables]
        self._starts = np.cumsum([0, *(len(frame) for frame in frames)])
        return pd.concat(frames, ignore_index=True)

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return file and line."""
        return [self._where(int(position)) for position in positions]

    def _where(self, position: int) -> str:
        part = int(np.searchsorted(self._starts, position, side="right")) - 1
        table = self.tables[part]
        local = np.array([position - self._starts[part]], dtype=np.int64)
        return f"{table.where(local)[0]} of {table.name}"


def list_places(table: Table, positions: NDArray[np.int64]) -> str:
    """Return the first places and how many more there are: ``"line 3, line 9 and 4 more"``."""
    shown = table.where(positions[:_LISTED])
    more = len(positions) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _open_file(path: Path, options: TextOptions) -> Table:
    """Open one file by what it holds, and by its suffix where that cannot be told."""
    suffix = file_suffix(path)
    found = "Parquet" if suffix in _PARQUET else binary_format(path)
    if found == "Parquet" and file_suffix(path) == path.suffix.lower():
        return ParquetTable([path], path.name)
    if found or suffix in (".xlsx", ".xls", ".pkl", ".pickle", ".feather", ".h5", ".npz"):
        what = f"it holds {found}" if found else f"its suffix is '{suffix}'"
        raise DataError(
            f"'{path.name}' must be CSV, TSV, JSON lines (.jsonl) or Parquet; {what}. Read it with "
            "pandas and give the DataFrame, or convert it to CSV."
        )
    encoding = options.encoding or "utf-8-sig"
    if suffix in _JSON or holds_json(path, encoding):
        return JsonTable(path, encoding)
    if options == TextOptions(encoding=options.encoding) and lists_items(path, encoding):
        return ListedItems(path, encoding)
    if lists_users(path, encoding):
        return ListedUsers(path, encoding)
    return TextFile(path, options)


def _open_folder(path: Path, options: TextOptions) -> Table:
    """Open a folder: a snapshot, Parquet where it holds any, else its text files."""
    if (path / "manifest.json").is_file():
        read_manifest(path, kind="snapshot")
        return ParquetTable([path / "interactions.parquet"], path.name)
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file, path)]
    parquet = [file for file in files if _is_parquet(file)]
    if parquet:
        others = [file for file in files if file not in parquet and file_suffix(file) != ".txt"]
        texts = [file.name for file in others if _known_text(file)]
        if texts:
            raise DataError(
                f"'{path}' must hold Parquet files or text files; it holds both, such as "
                f"{texts[0]}. Name a file, or give a glob such as '{path / '*.parquet'}'."
            )
        return ParquetTable(parquet, path.name)
    return _open_files([file for file in files if _known_text(file)], str(path), options)


def _is_parquet(file: Path) -> bool:
    """Say whether a file is Parquet by its suffix, or by its bytes, as Hive names no suffix."""
    with suppress(DataError):  # a stranger in the folder
        return file_suffix(file) in _PARQUET or binary_format(file) == "Parquet"
    return False


def _open_glob(pattern: Path, options: TextOptions) -> Table:
    """Open the files a glob finds, in the order of their names."""
    base = Path(pattern.anchor)
    found = sorted(base.glob(str(pattern.relative_to(base))))
    return _open_files([path for path in found if path.is_file()], str(pattern), options)


def _open_files(files: list[Path], name: str, options: TextOptions) -> Table:
    if not files:
        raise DataError(
            f"`source` must hold CSV, TSV, JSON-lines or Parquet files; none is in '{name}'. "
            "Check the path and the suffixes."
        )
    if all(file_suffix(file) in _PARQUET for file in files):
        return ParquetTable(files, name)
    tables = [_open_file(file, options) for file in files]
    return tables[0] if len(tables) == 1 else StackedTable(tables, name)


def _known_text(path: Path) -> bool:
    return file_suffix(path) in _JSON or is_text(file_suffix(path))


def _hidden(file: Path, folder: Path) -> bool:
    """Say whether a file is a marker such as ``_SUCCESS`` or ``.part.crc``."""
    return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)


def _repeated(names: Iterable[str]) -> list[str]:
    counts = pd.Series(list(names), dtype=object).value_counts()
    return [str(name) for name in counts.index[counts > 1]]
