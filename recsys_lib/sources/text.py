"""Delimited text: delimiter and header recognized, and lines found again for errors."""

import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO, cast

import pandas as pd

from recsys_lib.checks import Ints
from recsys_lib.errors import DataError
from recsys_lib.naming import first_line
from recsys_lib.sources.columns import looks_like_header, matches
from recsys_lib.sources.containers import reading
from recsys_lib.sources.options import ReadOptions
from recsys_lib.tables import Table, check_names

_DELIMITERS = ("\t", "::", ",", ";", "|")
_BLANKS = r"\s+"
_RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")
_STAND_IN = "\x1f"  # pandas' fast parser takes one character; "::" is read through this one
# A field may be a whole page, and a quotation mark that nothing closes swallows the rest of a file.
csv.field_size_limit(2**31 - 1)


@dataclass
class TextFile(Table):
    """A delimited text file; every field is read as a string, an empty one as null.

    A header in the form of RecBole (``user_id:token``) or MovieLens gives the names without the
    type. Such files quote nothing, so a quotation mark in a title is a character like any other.
    What RecBole calls ``token_seq`` is a list with blanks, which gets the bars of tags.
    Comments (``#``) and Excel's ``sep=;`` before the header are skipped.
    """

    path: Path
    options: ReadOptions
    lines: InitVar[list[str]]
    name: str = field(init=False)
    columns: list[str] = field(init=False)

    def __post_init__(self, lines: list[str]) -> None:
        self.name = self.path.name
        self._skipped, declared = _before_header(lines, self.options.columns is None)
        sample = [line.rstrip("\r\n") for line in lines[self._skipped :] if line.strip()]
        if not sample:
            raise DataError(f"{self.name} must hold a header and rows; it is empty. Export anew.")
        self._delimiter = self.options.delimiter or declared or _delimiter(sample)
        # As in: a, "b, c". Elsewhere a blank belongs to its field.
        self._blanks = any(f'{self._delimiter} "' in line for line in sample)
        header = _split(sample[0], self._delimiter)
        self._typed = all(cell.rpartition(":")[2] in _RECBOLE_TYPES for cell in header)
        names = [cell.rpartition(":")[0] if self._typed else cell for cell in header]
        sequences = {name for name in names if f"{name}:token_seq" in header}
        self._lists = {name for name in sequences if not matches("title", [name])}
        self.columns = [str(name).strip() for name in self.options.columns or names]
        fits = len(names) == len(self.columns) and not looks_like_header(names)
        if self.options.columns is not None and not fits:
            raise DataError(
                "`columns` must name all columns of a file without a header line; line 1 of "
                f"{self.name} is {names}. Leave it out where that is one, or give `delimiter`."
            )
        remedy = "Rename them; above data write a header, or for interactions give `columns`."
        check_names(self.columns, self.name, remedy)

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns as strings; fields that are empty are null."""
        self._check_quotes()
        try:
            with warnings.catch_warnings():
                # pandas only warns where a line has more fields than the header.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = self._parse(columns)
        except DataError:
            raise
        except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
            reason = first_line(error).removeprefix("Error tokenizing data. C error: ").strip()
            raise DataError(
                f"Each line of {self.name} must have the {len(self.columns)} fields of its header "
                f"or `columns`; {reason}. Correct the line, or give `delimiter`; the one "
                f"recognized is {self._delimiter!r}."
            ) from error
        for name in self._lists & set(columns):
            if not frame[name].str.contains(r"[|;]|, ", na=False).any():
                frame[name] = frame[name].str.replace(" ", "|")
        return frame

    def where(self, positions: Ints) -> list[str]:
        """Return line numbers, counted from 1 in the file, the header being a line."""
        header = int(self.options.columns is None)
        found = self._records()
        records = (start for start, _, row in found if len(row) > 1 or "".join(row).strip())
        starts = list(islice(records, header, header + int(positions.max()) + 1))
        return [f"line {starts[position]}" for position in positions]

    def _parse(self, columns: Sequence[str]) -> pd.DataFrame:
        delimiter = self._delimiter
        with reading(self.path, self.options.encoding, newline="") as file:
            source: TextIO = file
            if len(delimiter) > 1 and delimiter != _BLANKS:
                source = io.StringIO(file.read().replace(delimiter, _STAND_IN))
                delimiter = _STAND_IN
            frame = pd.read_csv(
                source,
                sep=delimiter,
                names=self.columns,
                header=None if self.options.columns is not None else 0,
                skiprows=self._skipped,
                index_col=False,
                dtype=str,
                keep_default_na=False,  # "NA" and "null" can be names; only nothing is null
                na_values=[""],
                quoting=self._quoting,
                escapechar=self.options.escape,
                skipinitialspace=self._blanks,
                skip_blank_lines=True,
            )
        return cast("pd.DataFrame", frame[list(columns)])

    @property
    def _quoting(self) -> Literal[0, 3]:
        quotes = self.options.quoting
        if quotes is None:
            quotes = not self._typed and self._delimiter in (_BLANKS, self._delimiter[0])
        return csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE

    def _check_quotes(self) -> None:
        """Raise `DataError` with the first line whose quotation marks enclose no whole field."""
        if self._quoting == csv.QUOTE_NONE or self.options.quoting or not self._has_quotes():
            return
        width = len(self.columns)
        for start, lines, row in self._records(strict=True):
            broken = not row and "".join(lines).strip()
            # A field that spans lines seems to hold rows where each is as long as the header.
            fields = {len(line.split(self._delimiter)) for line in lines}
            swallows = len(lines) > 1 < width and fields == {width}
            if not (broken or swallows):
                continue
            text = lines[0].rstrip("\r\n")
            escape = ', or escape="\\\\" for a backslash before them' if '\\"' in text else ""
            raise DataError(
                f"Quotation marks in {self.name} must enclose whole fields; line {start} has "
                f"{text!r:.80}. Give quoting=False where they are characters like any "
                f"other{escape}, or correct the line. (quoting=True reads the file as it is.)"
            )

    def _has_quotes(self) -> bool:
        with reading(self.path, self.options.encoding) as file:
            return any('"' in line for line in file)

    def _records(self, *, strict: bool = False) -> Iterator[tuple[int, list[str], list[str]]]:
        """Yield the number of each record's first line, its lines, and its fields.

        If `strict`, one whose quotation marks enclose no whole field has none, and is the last.
        """
        start, lines = self._skipped + 1, list[str]()

        def kept(line: str) -> str:
            lines.append(line)
            return line

        with reading(self.path, self.options.encoding, newline="") as file:
            rows = csv.reader(
                map(kept, islice(file, self._skipped, None)),
                delimiter=" " if self._delimiter == _BLANKS else self._delimiter[0],
                quoting=self._quoting,
                escapechar=self.options.escape,
                skipinitialspace=self._blanks,
                strict=strict,
            )
            try:
                for row in rows:
                    yield start, lines, row
                    start += len(lines)
                    lines.clear()
            except csv.Error:
                yield start, lines, []


def _before_header(lines: Sequence[str], comments: bool) -> tuple[int, str]:
    """Return how many lines stand before the header, and the delimiter that ``sep=;`` names."""
    skipped, delimiter = 0, ""
    for number, line in enumerate(lines, start=1):
        declared = re.fullmatch(r'"?sep=(.)"?', line.rstrip("\r\n"), re.I)
        if declared or (comments and line.startswith("#")):
            skipped, delimiter = number, declared[1] if declared else delimiter
        elif line.strip():
            break
    return skipped, delimiter


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that cuts the header into most fields, and other lines alike."""
    header = {sign: len(_split(lines[0], sign)) for sign in _DELIMITERS}
    alike = {
        sign: sum(len(_split(line, sign)) == width for line in lines)
        for sign, width in header.items()
        if width > 1
    }
    if not alike:
        widths = {len(line.split()) for line in lines}
        # One column, if not blanks: the error on missing columns will show it.
        return _BLANKS if len(widths) == 1 and max(widths) > 1 else ","
    # "::" before ":" never competes, and a tab or "::" is never chance: earlier signs win ties.
    return max(alike, key=lambda sign: (alike[sign], header[sign]))


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == _BLANKS:
        return line.split()
    if len(delimiter) > 1:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [line])
