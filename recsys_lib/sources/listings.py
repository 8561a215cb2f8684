"""Tables in lists without a header: items of one user a line, or users in blocks of one item."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import DataError
from recsys_lib.sources.text import reading

__all__ = ["ListedItems", "ListedUsers", "lists_items", "lists_users"]

_SAMPLE_LINES = 20


def lists_items(path: Path, encoding: str) -> bool:
    r"""Say whether the first lines each begin with the count of the integers that follow.

    A table has as many fields in every line, so lines of one length are taken for a table.

    Parameters
    ----------
    path : Path
    encoding : str

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "users.dat"
    ...     _ = path.write_text("2 7 9\n1 7\n")
    ...     lists_items(path, "utf-8")
    True
    """
    with suppress(UnicodeError, DataError), reading(path, encoding) as lines:
        sample = [line.split() for line in islice(lines, _SAMPLE_LINES)]
        counted = all(
            line and line[0].isdecimal() and int(line[0]) == len(line) - 1 for line in sample
        )
        return counted and len({len(line) for line in sample}) > 1
    return False


@dataclass
class ListedItems:
    """One line a user with all items, as CiteULike-a and Amazon-Book are distributed [1]_.

    The user's id is the line number, counted from 0, as in the files that come with them.

    References
    ----------
    .. [1] H. Wang, B. Chen, W.-J. Li. Collaborative Topic Regression with Social Regularization
       for Tag Recommendation. IJCAI 2013; the file ``users.dat``.
    """

    path: Path
    encoding: str = "utf-8"
    name: str = field(init=False)
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.path.name
        self.columns = ["user_id", "item_id"]
        self._starts = np.zeros(1, dtype=np.int64)

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return one row for each user and item, as strings."""
        rows = list(self._rows())
        counts = [len(row) for row in rows]
        self._starts = np.cumsum([0, *counts])
        table = {
            "user_id": np.repeat(np.arange(len(rows)).astype(str), counts),
            "item_id": np.array([item for row in rows for item in row], dtype=str),
        }
        return pd.DataFrame({name: pd.array(table[name], dtype="str") for name in columns})

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return line numbers, counted from 1 in the file."""
        lines = np.searchsorted(self._starts, positions, side="right")
        return [f"line {line}" for line in lines]

    def _rows(self) -> Iterator[list[str]]:
        with reading(self.path, self.encoding) as lines:
            for number, line in enumerate(lines, start=1):
                count, *items = line.split() or ["0"]
                if not count.isdecimal() or int(count) != len(items):
                    raise DataError(
                        f"Each line of {self.name} must hold a count and that many item ids; line "
                        f"{number} says {count} and holds {len(items)}. Correct the line."
                    )
                yield items


def lists_users(path: Path, encoding: str) -> bool:
    r"""Say whether a file is in blocks of users, each under its item: ``7:``, then ``ann,4``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "combined_data_1.txt"
    ...     _ = path.write_text("7:\nann,4,2005-09-06\n")
    ...     lists_users(path, "utf-8")
    True
    """
    with suppress(UnicodeError, DataError), reading(path, encoding) as lines:
        first, second = (next(lines, "").strip() for _ in range(2))
        return re.fullmatch(r"\d+:", first) is not None and "," in second
    return False


@dataclass
class ListedUsers:
    """Users with ratings and dates under a line with their item, as Netflix published them."""

    path: Path
    encoding: str = "utf-8"
    name: str = field(init=False)
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.path.name
        self.columns = ["user_id", "item_id", "rating", "timestamp"]
        self._lines: list[int] = []

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return one row for each user and item, as strings."""
        table = pd.DataFrame(self._rows(), columns=self.columns, dtype="str")
        return table[list(columns)].replace("", None)

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return line numbers, counted from 1 in the file."""
        return [f"line {self._lines[position]}" for position in positions]

    def _rows(self) -> Iterator[list[str]]:
        self._lines, item = [], ""
        with reading(self.path, self.encoding) as lines:
            for number, line in enumerate(lines, start=1):
                fields = line.strip().split(",")
                if len(fields) == 1:
                    item = fields[0].removesuffix(":")
                elif len(fields) <= 3:
                    self._lines.append(number)
                    yield [fields[0], item, *fields[1:], *[""] * (3 - len(fields))]
                else:
                    raise DataError(
                        f"Each line of {self.name} must hold user, rating and date; line {number} "
                        f"has {len(fields)} fields. Correct the line."
                    )
