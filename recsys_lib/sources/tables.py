"""Tables as they come: one small reader per format, all with the same three questions.

A table knows its column names without being read, reads only the columns it is asked for, and
can say where a row lies ("line 17 of ratings.csv"), so that an error can point at it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.artifacts import read_manifest
from recsys_lib.errors import DataError
from recsys_lib.sources.listings import ListedItems, lists_items
from recsys_lib.sources.text import TextFile, TextOptions, is_text, reading

Source: TypeAlias = pd.DataFrame | str | Path

_PARQUET = (".parquet", ".pq", ".parq")
_JSON_LINES = (".jsonl", ".ndjson")
_LISTED = 5


class Table(Protocol):
    """What the rest of the package may ask of any input."""

    name: str
    columns: list[str]

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as a DataFrame with a RangeIndex, one row a record."""
        ...

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return the place of each row, such as ``"line 17"``, for 0-based positions."""
        ...


def open_table(source: Source, options: TextOptions | None = None) -> Table:
    """Open a DataFrame, a file, a folder of files or a glob, without reading its rows.

    Parameters
    ----------
    source : DataFrame, str or Path
        A DataFrame; a CSV, TSV, RecBole, JSON-lines or Parquet file, compressed or not; lists of
        items without a header (a count and that many ids in line u, of user u); a folder
        of Parquet or text files, partitioned ``key=value`` folders included; or a glob.
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
    if isinstance(source, pd.DataFrame):
        return FrameTable(source)
    if not isinstance(source, (str, Path)):
        raise TypeError(
            "`source` must be a DataFrame or a path; "
            f"got {type(source).__name__}. Wrap other tables with pandas.DataFrame(...)."
        )
    path = Path(source).expanduser()
    if path.is_dir():
        return _open_folder(path, options)
    if path.is_file():
        return _open_file(path, options)
    if any(sign in str(source) for sign in "*?["):
        return _open_glob(path, options)
    raise DataError(
        f"`source` must be a file, folder or glob that exists; nothing is at '{path}'. "
        f"Check the path; it is taken from the working folder '{Path.cwd()}'."
    )


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
        broken = np.flatnonzero(values.map(_is_broken).to_numpy(dtype=bool))
        if len(broken):
            raise DataError(
                f"Text of {self.name} must be whole Unicode characters; column {column!r}, "
                f"{list_places(self, broken)}, holds half of one, a lone surrogate. "
                "Correct or drop the rows."
            )


@dataclass
class JsonLinesTable:
    """One JSON object a line; numbers and strings keep their types."""

    path: Path
    encoding: str = "utf-8-sig"
    name: str = field(init=False)
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.path.name
        self._lines: list[int] = []
        records = list(self._records())
        # The union of the keys, in order of appearance: an object may leave a null key out.
        names = dict.fromkeys(key for record in records for key in record)
        self.columns = list(names)
        try:
            self._frame = pd.DataFrame.from_records(records, columns=self.columns)
        except UnicodeEncodeError as error:
            raise self._half_characters(records) from error

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; an object without the key has a null there."""
        return self._frame[list(columns)]

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return line numbers, counted from 1 in the file."""
        return [f"line {self._lines[position]}" for position in positions]

    def _half_characters(self, records: Sequence[dict[str, object]]) -> DataError:
        r"""Say where a string holds half a character, such as ``"\ud800"`` alone."""
        pairs = zip(self._lines, records, strict=True)
        line = next(line for line, record in pairs if _is_broken(record))
        return DataError(
            f"Text of {self.name} must be whole Unicode characters; line {line} holds half of one, "
            "a lone surrogate. Write the file again from its source."
        )

    def _records(self) -> Iterator[dict[str, object]]:
        with reading(self.path, self.encoding) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                yield self._record(line, number)
                self._lines.append(number)

    def _record(self, line: str, number: int) -> dict[str, object]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"Each line of {self.name} must be one JSON object; line {number} is not JSON "
                f"({error}). Write one object a line (JSON lines)."
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                f"Each line of {self.name} must be one JSON object; line {number} holds a "
                f"{type(record).__name__}. Write one object a line (JSON lines)."
            )
        return record


@dataclass
class ParquetTable:
    """A Parquet file or a folder of them, ``key=value`` partitions read as columns."""

    paths: list[Path]
    name: str
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        import pyarrow as pa
        from pyarrow import dataset

        where: str | list[str] = [str(path) for path in self.paths]
        if len(self.paths) == 1:
            where = where[0]
        try:
            self._dataset = dataset.dataset(where, format="parquet", partitioning="hive")
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        self.columns = list(self._dataset.schema.names)

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; the others are not read from the disk."""
        import pyarrow as pa

        try:
            table = self._dataset.to_table(columns=list(columns))
            frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise self._unreadable(error) from error
        return frame.reset_index(drop=True)

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return row numbers, counted from 1 over all files in their order."""
        return [f"row {position + 1}" for position in positions]

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(
            f"'{self.name}' must be readable as Parquet; pyarrow says: {_first_line(error)}. "
            "The file may be half-written or of another format: write it again."
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
    """Open one file by its suffix; a suffix nobody knows is read as text."""
    suffix = _suffix(path)
    if suffix in _PARQUET:
        return ParquetTable([path], path.name)
    if suffix in _JSON_LINES:
        return JsonLinesTable(path, options.encoding or "utf-8-sig")
    if suffix in (".json", ".xlsx", ".xls", ".pkl", ".pickle", ".feather", ".h5", ".npz"):
        raise DataError(
            f"'{path.name}' must be CSV, TSV, JSON lines (.jsonl) or Parquet; its suffix is "
            f"'{suffix}'. Read it with pandas and give the DataFrame."
        )
    encoding = options.encoding or "utf-8"
    if options == TextOptions(encoding=options.encoding) and lists_items(path, encoding):
        return ListedItems(path, encoding)
    return TextFile(path, options)


def _open_folder(path: Path, options: TextOptions) -> Table:
    """Open a folder: a snapshot, Parquet where it holds any, else its text files."""
    if (path / "manifest.json").is_file():
        read_manifest(path, kind="snapshot")
        return ParquetTable([path / "interactions.parquet"], path.name)
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file, path)]
    if any(_suffix(file) in _PARQUET for file in files):
        return ParquetTable([path], path.name)
    return _open_files([file for file in files if _known_text(file)], str(path), options)


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
    if all(_suffix(file) in _PARQUET for file in files):
        return ParquetTable(files, name)
    tables = [_open_file(file, options) for file in files]
    return tables[0] if len(tables) == 1 else StackedTable(tables, name)


def _suffix(path: Path) -> str:
    """Return the suffix that says the format: that before ``.gz`` where there is one."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".xz"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _is_broken(value: object) -> bool:
    """Say whether a text, or any text in it, has a lone surrogate, which no file can hold."""
    if isinstance(value, dict | list):
        return any(map(_is_broken, value.values() if isinstance(value, dict) else value))
    if not isinstance(value, str) or value.isascii():
        return False
    return value != value.encode(errors="ignore").decode()


def _known_text(path: Path) -> bool:
    return _suffix(path) in _JSON_LINES or is_text(_suffix(path))


def _hidden(file: Path, folder: Path) -> bool:
    """Say whether a file is a marker such as ``_SUCCESS`` or ``.part.crc``."""
    return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)


def _repeated(names: Iterable[str]) -> list[str]:
    counts = pd.Series(list(names), dtype=object).value_counts()
    return [str(name) for name in counts.index[counts > 1]]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
