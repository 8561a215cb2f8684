"""Tables in any format but delimited text: read into memory where they are lists or JSON.

A table knows its column names, reads only the columns asked for where its format allows that, and
can say where a row is ("line 17 of ratings.csv"), so that an error can point at it.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import dataset

from recsys_lib.checks import Ints
from recsys_lib.errors import DataError
from recsys_lib.sources.containers import reading, unreadable
from recsys_lib.tables import FrameTable, Table


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

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns of all files, in the order of their names."""
        frames = [table.read(columns) for table in self.tables]
        self._starts = np.cumsum([0, *(len(frame) for frame in frames)])
        return pd.concat(frames, ignore_index=True)

    def where(self, positions: Ints) -> list[str]:
        """Return file and line."""
        parts = np.searchsorted(self._starts, positions, side="right") - 1
        inside = positions - self._starts[parts]
        tables = [self.tables[part] for part in parts]
        return [f"{one.where(inside[[n]])[0]} of {one.name}" for n, one in enumerate(tables)]


def _of_lines(path: Path, lines: list[int], rows: Any, columns: list[str]) -> FrameTable:
    """Return a table of text, of which each row is known by its line."""
    frame = pd.DataFrame(rows, index=lines, columns=columns, dtype="str").replace("", None)
    return FrameTable(frame, path.name, row="line")


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


def listed_items(path: Path, encoding: str | None, *, counted: bool) -> FrameTable:
    """Read one line a user with all items, as data for research are often distributed.

    Either after their count, as CiteULike-a [1]_; then the user's id is the line number, counted
    from 0, as in the files that come with them. Or after the user's id, as LightGCN's Gowalla [2]_.

    References
    ----------
    .. [1] H. Wang, B. Chen, W.-J. Li. Collaborative Topic Regression with Social Regularization
       for Tag Recommendation. IJCAI 2013; the file ``users.dat``.
    .. [2] X. He et al. LightGCN: Simplifying and Powering Graph Convolution Network for
       Recommendation. SIGIR 2020; the file ``train.txt``.
    """
    lines, columns = list[int](), {"user_id": list[str](), "item_id": list[str]()}
    with reading(path, encoding) as file:
        for number, line in enumerate(file, start=1):
            user, *items = line.split() or ["0"]
            if counted and user != str(len(items)):
                raise DataError(
                    f"Each line of {path.name} must hold a count and that many item ids; line "
                    f"{number} says {user} and holds {len(items)}. Correct the line."
                )
            lines += [number] * len(items)
            columns["user_id"] += [str(number - 1) if counted else user] * len(items)
            columns["item_id"] += items
    return _of_lines(path, lines, columns, list(columns))


def lists_users(lines: Sequence[str]) -> bool:
    r"""Say whether a file is in blocks of users, each under its item: ``7:``, then ``ann,4``.

    Examples
    --------
    >>> lists_users(["7:\n", "ann,4,2005-09-06\n"])
    True
    """
    first, second = (line.strip() for line in [*lines, "", ""][:2])
    return re.fullmatch(r"\d+:", first) is not None and "," in second


def listed_users(path: Path, encoding: str | None) -> FrameTable:
    """Read users with ratings and dates under a line with their item, as Netflix published them."""
    lines, rows, item = list[int](), list[list[str]](), ""
    with reading(path, encoding) as file:
        for number, line in enumerate(file, start=1):
            user, *more = line.strip().split(",")
            if more:
                lines.append(number)
                rows.append([user, item, *[*more, ""][:2]])
            else:
                item = user.removesuffix(":")
    return _of_lines(path, lines, rows, ["user_id", "item_id", "rating", "timestamp"])


def json_table(path: Path, encoding: str | None) -> FrameTable:
    """Read one JSON object a line, or a list of objects; numbers and strings keep their types."""
    with reading(path, encoding) as file:
        lines = {number: line for number, line in enumerate(file, start=1) if line.strip()}
    number, records = 1, dict[int, Any]()
    row = "object" if lines[min(lines)].lstrip().startswith("[") else "line"
    try:
        if row == "object":
            records |= enumerate(json.loads("".join(lines.values())), start=1)
        else:
            for number, line in lines.items():
                records[number] = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path.name} must be JSON; line {number}: {error}. Write one object a line "
            "(JSON lines)."
        ) from error
    other = [number for number, record in records.items() if not isinstance(record, dict)]
    if other:
        raise DataError(
            f"Each {row} of {path.name} must be a JSON object; {row} {other[0]} is "
            f"{records[other[0]]!r:.80}. Write one object a line (JSON lines)."
        )
    # The union of the keys, in order of appearance: an object may leave a null key out. Column by
    # column, because pandas makes floats of whole numbers beside a null.
    keys = dict.fromkeys(key for record in records.values() for key in record)
    columns = {key: _column({n: one.get(key) for n, one in records.items()}) for key in keys}
    return FrameTable(pd.DataFrame(columns, index=list(records)), path.name, row=row)


def _column(values: dict[int, Any]) -> pd.Series:
    """Return a column as pandas infers it, but whole numbers beside a null as objects."""
    if {type(one) for one in values.values()} != {int, type(None)}:
        with suppress(UnicodeEncodeError):  # half a character, which is named when it is read
            return pd.Series(values)
    return pd.Series(values, dtype=object)


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
        folders = [part for path in self.paths for part in path.parts[:-1]]
        keys = dict.fromkeys(part.partition("=")[0] for part in folders if "=" in part)
        # As text, because 007 is not 7.
        kinds = dataset.partitioning(pa.schema([(key, "string") for key in keys]), flavor="hive")
        how = {"format": "parquet", "partitioning": kinds}
        try:
            found = dataset.dataset(where, **how)
            every = [found.schema, *(one.physical_schema for one in found.get_fragments())]
            joined = pa.unify_schemas(list(map(_decoded, every)), promote_options="permissive")
            self._dataset = dataset.dataset(where, schema=joined, **how)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise unreadable(self.name, error) from error
        self.columns = list(self._dataset.schema.names)

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; the others are not read from the disk."""
        try:
            table = self._dataset.to_table(columns=list(columns))
            # Floats would merge whole numbers beyond 2**53 beside a null.
            frame: pd.DataFrame = table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise unreadable(self.name, error) from error
        return frame.reset_index(drop=True)


def _decoded(schema: Any) -> Any:
    """Return columns of categories as those of what they stand for."""
    kinds = {one.name: one.type for one in schema}
    return pa.schema(
        (name, kind.value_type if pa.types.is_dictionary(kind) else kind)
        for name, kind in kinds.items()
    )
