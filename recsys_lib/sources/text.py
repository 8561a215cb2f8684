"""Delimited text: encoding, delimiter and header recognized, and lines found again for errors."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import DataError

_TEXT = (".csv", ".tsv", ".txt", ".tab", ".dat", ".data", ".inter", ".item", ".user", ".psv")
_DELIMITERS = ("\t", "::", ",", ";", "|")
_RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")
_SAMPLE_LINES = 20
_STAND_IN = "\x1f"  # pandas' fast parser takes one character; "::" is read through this one


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How a text file is written, where that is not to be recognized.

    Parameters
    ----------
    delimiter : str, optional
        What stands between fields. Recognized by default among tab, ``::``, ``,``, ``;``, ``|``.
    encoding : str, optional
        By default UTF-8, or what a byte-order mark says.
    columns : sequence of str, optional
        Names of the columns of a file that has no header line.
    """

    delimiter: str | None = None
    encoding: str | None = None
    columns: Sequence[str] | None = None


@dataclass
class TextFile:
    """A delimited text file; every field is read as a string, an empty one as null.

    A header in the form of RecBole (``user_id:token``) or MovieLens gives the names without the
    type. Such files quote nothing, so a quotation mark in a title is a character like others.
    """

    path: Path
    options: TextOptions = field(default_factory=TextOptions)
    name: str = field(init=False)
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.path.name
        self._encoding = self.options.encoding or _encoding(self.path)
        sample = self._sample()
        self._delimiter = self.options.delimiter or _delimiter(sample)
        header = _split(sample[0], self._delimiter)
        self._typed = all(cell.rpartition(":")[2] in _RECBOLE_TYPES for cell in header)
        if self.options.columns is not None:
            self.columns = [str(column) for column in self.options.columns]
            self._check_width(len(header))
        elif self._typed:
            self.columns = [cell.rpartition(":")[0].strip() for cell in header]
        else:
            self.columns = [cell.strip() for cell in header]
        repeated = [name for name, count in Counter(self.columns).items() if count > 1]
        if repeated:
            raise DataError(
                f"Columns of {self.name} must have one name each; line 1 repeats {repeated}. "
                "Rename them; for a file without a header line give `columns`."
            )

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns as strings; fields that are empty are null."""
        try:
            with warnings.catch_warnings():
                # pandas only warns where a line has more fields than the header.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return self._parse(columns)
        except (UnicodeError, LookupError) as error:
            raise _undecodable(self.name, self._encoding, error) from error
        except pd.errors.EmptyDataError as error:
            raise _empty(self.name) from error
        except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, ValueError) as error:
            raise DataError(
                f"Each line of {self.name} must have the {len(self.columns)} fields of its "
                f"header; {_reason(error)}. Correct the line, or give `delimiter`; the one "
                f"recognized is {self._delimiter!r}."
            ) from error
        except (OSError, EOFError) as error:
            raise _unreadable(self.name, error) from error

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return line numbers, counted from 1 in the file, the header being a line."""
        wanted = {int(position) for position in positions}
        lines = self._lines_of(wanted)
        return [f"line {lines.get(int(position), int(position) + 2)}" for position in positions]

    def _parse(self, columns: Sequence[str]) -> pd.DataFrame:
        source: Path | io.StringIO = self.path
        delimiter = self._delimiter
        if len(delimiter) > 1:
            with reading(self.path, self._encoding) as file:
                source = io.StringIO(file.read().replace(delimiter, _STAND_IN))
            delimiter = _STAND_IN
        frame = pd.read_csv(
            source,
            sep=delimiter,
            encoding=self._encoding,
            names=self.columns,
            header=None if self.options.columns is not None else 0,
            index_col=False,
            dtype=str,
            keep_default_na=False,  # "NA" and "null" can be names; only nothing is null
            na_values=[""],
            quoting=self._quoting,
            skip_blank_lines=True,
        )
        return cast("pd.DataFrame", frame[list(columns)])

    @property
    def _quoting(self) -> Literal[0, 3]:
        return csv.QUOTE_NONE if self._typed or len(self._delimiter) > 1 else csv.QUOTE_MINIMAL

    def _sample(self) -> list[str]:
        """Return the first lines that are not blank, without their line ends."""
        lines: list[str] = []
        with reading(self.path, self._encoding) as file:
            for line in file:
                if line.strip():
                    lines.append(line.rstrip("\r\n"))
                if len(lines) == _SAMPLE_LINES:
                    break
        if not lines:
            raise _empty(self.name)
        return lines

    def _check_width(self, width: int) -> None:
        if width != len(self.columns):
            raise DataError(
                f"`columns` must name each column of {self.name}; it has {len(self.columns)} "
                f"names and line 1 has {width} fields. Name all columns, or give `delimiter`."
            )

    def _lines_of(self, wanted: set[int]) -> dict[int, int]:
        """Return the line on which each record starts; a quoted field may span several."""
        found: dict[int, int] = {}
        record = 0 if self.options.columns is not None else -1
        # An error in this search would hide the one that asks for the lines.
        with suppress(csv.Error, DataError), reading(self.path, self._encoding, newline="") as file:
            rows = csv.reader(file, delimiter=self._delimiter[0], quoting=self._quoting)
            start = 1
            for row in rows:
                if len(row) > 1 or "".join(row).strip():
                    if record in wanted:
                        found[record] = start
                    record += 1
                start = rows.line_num + 1
                if len(found) == len(wanted):
                    break
        return found


def is_text(suffix: str) -> bool:
    """Say whether a suffix is one of delimited text."""
    return suffix in _TEXT


@contextmanager
def reading(path: Path, encoding: str, *, newline: str | None = None) -> Iterator[TextIO]:
    """Open a text file, compressed (gzip, bzip2, xz) or not; what goes wrong is a `DataError`."""
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix.lower())
    try:
        with (opener or open)(path, "rt", encoding=encoding, newline=newline) as file:
            yield file
    except (UnicodeError, LookupError) as error:
        raise _undecodable(path.name, encoding, error) from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise _unreadable(path.name, error) from error


def _encoding(path: Path) -> str:
    """Return what the byte-order mark says, else UTF-8."""
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix.lower())
    try:
        with (opener or open)(path, "rb") as file:
            start = file.read(4)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise _unreadable(path.name, error) from error
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that cuts the header into most fields, and other lines alike."""
    header = {sign: len(_split(lines[0], sign)) for sign in _DELIMITERS}
    alike = {
        sign: sum(len(_split(line, sign)) == width for line in lines)
        for sign, width in header.items()
        if width > 1
    }
    if not alike:
        return ","  # one column; the error on missing columns will show it
    # "::" before ":" never competes, and a tab or "::" is never chance: earlier signs win ties.
    return max(alike, key=lambda sign: (alike[sign], header[sign]))


def _split(line: str, delimiter: str) -> list[str]:
    if len(delimiter) > 1:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [line])
    except csv.Error:
        return line.split(delimiter)


def _empty(name: str) -> DataError:
    return DataError(f"{name} must hold a header and rows; it is empty. Check the export.")


def _undecodable(name: str, encoding: str, error: Exception) -> DataError:
    return DataError(
        f"{name} must be text in the encoding '{encoding}'; {_reason(error)}. "
        'Give the right one, such as encoding="latin-1", or save the file as UTF-8.'
    )


def _unreadable(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} must be readable; {_reason(error)}. Check that it is whole and its permissions."
    )


def _reason(error: Exception) -> str:
    """Return the first line of another library's message, without its prefix."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].removeprefix("Error tokenizing data. C error: ").strip().rstrip(".")
