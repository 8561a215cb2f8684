"""Tables in any format but delimited text: one small reader each, all with the same interface.

A table knows its column names without being read, reads only the columns asked for, and can say
where a row is ("line 17 of ratings.csv"), so that an error can point at it.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import dataset

from recsys_lib.checks import Ints
from recsys_lib.errors import DataError
from recsys_lib.naming import first_line
from recsys_lib.sources.containers import file_suffix, reading, unreadable

_LISTED = 5


class Table(ABC):
    """The interface of every input."""

    name: str
    columns: list[str]

    @abstractmethod
    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as a DataFrame with a RangeIndex, one row a record."""

    def where(self, positions: Ints) -> list[str]:
        """Return the place of each row; its number, counted from 1, where there is no better."""
        return [f"row {position + 1}" for position in positions]


def list_places(table: Table, positions: Ints) -> str:
    """Return the first places and how many more there are: ``"line 3, line 9 and 4 more"``."""
    shown = table.where(positions[:_LISTED])
    more = len(positions) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


@dataclass
class FrameTable(Table):
    """A DataFrame already in memory; rows are named by their index labels."""

    frame: pd.DataFrame
    name: str = "the DataFrame"
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        names = pd.Series([str(column) for column in self.frame.columns], dtype=object)
        self.columns = names.tolist()
        if not names.is_unique:
            raise DataError(
                "Columns of the DataFrame must have one name each; "
                f"{names[names.duplicated()].unique().tolist()} occur twice. "
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

    def where(self, positions: Ints) -> list[str]:
        """Return index labels, ``"index 17"``."""
        return [f"index {label!r}" for label in self.frame.index.take(positions).tolist()]

    def _refuse_broken(self, column: str, values: pd.Series) -> None:
        broken = np.flatnonzero(values.map(_is_broken).to_numpy(dtype=bool))
        if len(broken):
            raise DataError(
                f"Text of {self.name} must be whole Unicode characters; column {column!r}, "
                f"{list_places(self, broken)}, holds half of one, a lone surrogate. "
                "Correct or drop the rows."
            )


@dataclass
class StackedTable(Table):
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

    def where(self, positions: Ints) -> list[str]:
        """Return file and line."""
        places = []
        for position in positions:
            part = int(np.searchsorted(self._starts, position, side="right")) - 1
            table, local = self.tables[part], np.array([position - self._starts[part]])
            places.append(f"{table.where(local)[0]} of {table.name}")
        return places


class _LinesTable(Table):
    """A text file of which each row is known by its line."""

    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, path: Path, encoding: str = "utf-8-sig") -> None:
        self.path, self.encoding = path, encoding
        self.name = path.name
        self.columns = list(self.names)
        self._lines: Sequence[int] | Ints = []

    def where(self, positions: Ints) -> list[str]:
        """Return line numbers, counted from 1 in the file."""
        return [f"line {self._lines[position]}" for position in positions]

    def _numbered(self) -> Iterator[tuple[int, str]]:
        with reading(self.path, self.encoding) as lines:
            yield from enumerate(lines, start=1)


def lists_items(lines: Sequence[str]) -> Literal["", "counts", "users"]:
    r"""Say what the first lines begin with, if lists follow: the count of items, or the user.

    A table has as many fields in every line, so lines of one length are taken for a table.

    Examples
    --------
    >>> lists_items(["2 7 9\n", "1 7\n"]), lists_items(["0 7 9\n", "1 7\n"])
    ('counts', 'users')
    """
    rows = [line.split() for line in lines]
    if len({len(row) for row in rows}) < 2:
        return ""
    if all(row and row[0].isdecimal() and int(row[0]) == len(row) - 1 for row in rows):
        return "counts"
    named = all(row and all(map(str.isdecimal, row)) for row in rows)
    return "users" if named and len({row[0] for row in rows}) == len(rows) else ""


class ListedItems(_LinesTable):
    """One line a user with all items, as data for research are often distributed.

    Either after their count, as CiteULike-a [1]_; then the user's id is the line number, counted
    from 0, as in the files that come with them. Or after the user's id, as LightGCN's Gowalla [2]_.

    References
    ----------
    .. [1] H. Wang, B. Chen, W.-J. Li. Collaborative Topic Regression with Social Regularization
       for Tag Recommendation. IJCAI 2013; the file ``users.dat``.
    .. [2] X. He et al. LightGCN: Simplifying and Powering Graph Convolution Network for
       Recommendation. SIGIR 2020; the file ``train.txt``.
    """

    names = ("user_id", "item_id")

    def __init__(self, path: Path, encoding: str, *, counted: bool) -> None:
        super().__init__(path, encoding)
        self._counted = counted

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return one row for each user and item, as strings."""
        rows = [self._row(number, line) for number, line in self._numbered()]
        lengths = [len(items) for _, items in rows]
        self._lines = np.repeat(np.arange(len(rows)), lengths) + 1
        users = np.repeat(np.array([user for user, _ in rows], dtype=str), lengths)
        items = np.array([item for _, items in rows for item in items], dtype=str)
        table = {"user_id": users, "item_id": items}
        return pd.DataFrame({name: pd.array(table[name], dtype="str") for name in columns})

    def _row(self, number: int, line: str) -> tuple[str, list[str]]:
        first, *items = line.split() or ["0"]
        if not self._counted:
            return first, items
        if not first.isdecimal() or int(first) != len(items):
            raise DataError(
                f"Each line of {self.name} must hold a count and that many item ids; line "
                f"{number} says {first} and holds {len(items)}. Correct the line."
            )
        return str(number - 1), items


def lists_users(lines: Sequence[str]) -> bool:
    r"""Say whether a file is in blocks of users, each under its item: ``7:``, then ``ann,4``.

    Examples
    --------
    >>> lists_users(["7:\n", "ann,4,2005-09-06\n"])
    True
    """
    first, second = (line.strip() for line in [*lines, "", ""][:2])
    return re.fullmatch(r"\d+:", first) is not None and "," in second


class ListedUsers(_LinesTable):
    """Users with ratings and dates under a line with their item, as Netflix published them."""

    names = ("user_id", "item_id", "rating", "timestamp")

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return one row for each user and item, as strings."""
        lines, rows, item = [], [], ""
        for number, line in self._numbered():
            fields = line.strip().split(",")
            if len(fields) > 3:
                raise DataError(
                    f"Each line of {self.name} must hold user, rating and date; line {number} "
                    f"has {len(fields)} fields. Correct the line."
                )
            if len(fields) == 1:
                item = fields[0].removesuffix(":")
            else:
                lines.append(number)
                rows.append([fields[0], item, *fields[1:], *[""] * (3 - len(fields))])
        self._lines = lines
        return pd.DataFrame(rows, columns=self.columns, dtype="str")[list(columns)].replace(
            "", None
        )


class JsonTable(_LinesTable):
    """One JSON object a line, or a list of objects; numbers and strings keep their types."""

    def __init__(self, path: Path, encoding: str = "utf-8-sig") -> None:
        super().__init__(path, encoding)
        self._places: list[str] = []
        records = list(self._records())
        # The union of the keys, in order of appearance: an object may leave a null key out.
        self.columns = list(dict.fromkeys(key for record in records for key in record))
        if len(records) == 1 and all(isinstance(one, dict | list) for one in records[0].values()):
            raise self._one_object()
        try:
            # Column by column, because pandas makes floats of whole numbers beside a null.
            self._frame = pd.DataFrame(
                {name: _column([record.get(name) for record in records]) for name in self.columns}
            )
        except UnicodeEncodeError as error:  # such as "\ud800" alone
            pairs = zip(self._places, records, strict=True)
            place = next(place for place, record in pairs if _is_broken(record))
            raise DataError(
                f"Text of {self.name} must be whole Unicode characters; {place} holds half of one, "
                "a lone surrogate. Write the file again from its source."
            ) from error

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; an object without the key has a null there."""
        return self._frame[list(columns)]

    def where(self, positions: Ints) -> list[str]:
        """Return line numbers, counted from 1 in the file, or numbers in the list."""
        return [self._places[position] for position in positions]

    def _records(self) -> Iterator[dict[str, object]]:
        lines = self._numbered()
        listed = file_suffix(self.path) == ".json"
        for number, line in lines:
            if not self._places and listed and line[:1] in "[{":
                yield from self._listed(line, (rest for _, rest in lines))
            elif line.strip():
                yield self._record(line, f"line {number}")

    def _listed(self, line: str, rest: Iterable[str]) -> Iterator[dict[str, object]]:
        """Yield the objects of a list, or the first of JSON lines."""
        try:
            yield self._record(line, "line 1")
            return
        except DataError as error:
            refused = error
        try:
            found = json.loads(line + "".join(rest))
        except (ValueError, RecursionError):
            raise refused from None
        if not isinstance(found, list):
            raise self._one_object()
        for number, record in enumerate(found, start=1):
            yield self._record(record, f"object {number}")

    def _one_object(self) -> DataError:
        return DataError(
            f"{self.name} must hold one JSON object a line, or a list of objects; it holds one "
            'object. Write it with orient="records", lines=True.'
        )

    def _record(self, found: Any, place: str) -> dict[str, object]:
        try:
            record = json.loads(found) if isinstance(found, str) else found
            what = "" if isinstance(record, dict) else f"holds a {type(record).__name__}"
        except (ValueError, RecursionError) as error:
            what = f"is not JSON ({error})"
        if what:
            raise DataError(
                f"Each line of {self.name} must be one JSON object; {place} {what}. Write one "
                "object a line (JSON lines)."
            )
        self._places.append(place)
        return record


def _is_broken(value: object) -> bool:
    """Say whether a text, or any text in it, has a lone surrogate, which no file can hold."""
    if isinstance(value, dict | list):
        return any(map(_is_broken, value.values() if isinstance(value, dict) else value))
    if not isinstance(value, str) or value.isascii():
        return False
    return value != value.encode(errors="ignore").decode()


def _column(values: list[Any]) -> pd.Series:
    """Return a column as pandas infers it, but whole numbers beside a null as objects."""
    column = pd.Series(values, dtype=object)
    inferred = column.infer_objects()
    whole = {type(one) for one in values} == {int, type(None)}
    return column if whole else pd.Series(values) if inferred.dtype == object else inferred


@dataclass
class ParquetTable(Table):
    """A Parquet file or a folder of them, ``key=value`` partitions read as columns.

    The columns are those that any file has; whole numbers and floats of one column become floats.
    """

    paths: list[Path]
    name: str
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        paths = [str(path) for path in self.paths]
        where = paths[0] if len(paths) == 1 else paths
        how = {"format": "parquet", "partitioning": "hive"}
        try:
            found = dataset.dataset(where, **how)
            self._dataset = dataset.dataset(where, schema=self._union(found), **how)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        self.columns = list(self._dataset.schema.names)

    @property
    def files(self) -> list[str]:
        """The paths of the files, in their order."""
        return list(self._dataset.files)

    def has_numbers(self, column: str) -> bool:
        """Say whether a column holds something else than times."""
        return not pa.types.is_temporal(self._dataset.schema.field(column).type)

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; the others are not read from the disk."""
        try:
            table = self._dataset.to_table(columns=list(columns))
            # Floats would merge whole numbers beyond 2**53 beside a null.
            frame: pd.DataFrame = table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise self._unreadable(error) from error
        return frame.reset_index(drop=True)

    def _union(self, found: Any) -> Any:
        """Return the columns of all files, each with the type that holds what any of them has."""
        known = {one.name: one.with_type(_decoded(one.type)) for one in found.schema}
        for fragment in found.get_fragments():
            for part in Path(fragment.path).parts:
                key, _, value = part.partition("=")
                if key in known and value.startswith("0") and value != "0":  # 007 is not 7
                    known[key] = known[key].with_type(pa.string())
            for one in fragment.physical_schema:
                one = one.with_type(_decoded(one.type))
                both = [pa.schema([known.setdefault(one.name, one)]), pa.schema([one])]
                try:
                    joined = pa.unify_schemas(both, promote_options="permissive")
                except pa.ArrowException as error:
                    raise DataError(
                        f"Column {one.name!r} must have one type in all files of '{self.name}'; it "
                        f"is {one.type} in {Path(fragment.path).name} and {known[one.name].type} "
                        "in others. Write the files again with one type."
                    ) from error
                known[one.name] = joined.field(0)
        return pa.schema(list(known.values()))

    def _unreadable(self, error: Exception) -> DataError:
        if isinstance(error, DataError):
            return error
        if isinstance(error, PermissionError):
            return unreadable(self.name, error)
        if isinstance(error, UnicodeEncodeError):
            return DataError(
                f"'{self.name}' must have a path that Arrow can write as UTF-8; {error}. Set "
                "PYTHONUTF8=1, or move the file."
            )
        return DataError(
            f"'{self.name}' must be readable as Parquet; pyarrow says: {first_line(error)}. "
            "The file may be half-written or of another format: write it again."
        )


def _decoded(kind: Any) -> Any:
    """Return the type of categories as that of what they stand for."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind
