"""Tables of JSON objects: one a line, or a list of them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import DataError
from recsys_lib.sources.containers import file_suffix
from recsys_lib.sources.text import reading

__all__ = ["JsonTable", "holds_json", "is_broken"]


@dataclass
class JsonTable:
    """One JSON object a line, or a list of objects; numbers and strings keep their types."""

    path: Path
    encoding: str = "utf-8-sig"
    name: str = field(init=False)
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.path.name
        self._places: list[str] = []
        records = list(self._records())
        # The union of the keys, in order of appearance: an object may leave a null key out.
        names = dict.fromkeys(key for record in records for key in record)
        self.columns = list(names)
        if len(records) == 1 and all(isinstance(one, dict | list) for one in records[0].values()):
            raise self._one_object()
        try:
            # Column by column, because pandas makes floats of whole numbers beside a null.
            self._frame = pd.DataFrame(
                {name: _column([record.get(name) for record in records]) for name in names}
            )
        except UnicodeEncodeError as error:
            raise self._half_characters(records) from error

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; an object without the key has a null there."""
        return self._frame[list(columns)]

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return line numbers, counted from 1 in the file, or numbers in the list."""
        return [self._places[position] for position in positions]

    def _half_characters(self, records: Sequence[dict[str, object]]) -> DataError:
        r"""Say where a string holds half a character, such as ``"\ud800"`` alone."""
        pairs = zip(self._places, records, strict=True)
        place = next(place for place, record in pairs if is_broken(record))
        return DataError(
            f"Text of {self.name} must be whole Unicode characters; {place} holds half of one, "
            "a lone surrogate. Write the file again from its source."
        )

    def _records(self) -> Iterator[dict[str, object]]:
        with reading(self.path, self.encoding) as lines:
            for number, line in enumerate(lines, start=1):
                if not self._places and file_suffix(self.path) == ".json" and line[:1] in "[{":
                    yield from self._listed(line, lines)
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
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"Each line of {self.name} must be one JSON object; {place} is not JSON "
                f"({error}). Write one object a line (JSON lines)."
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                f"Each line of {self.name} must be one JSON object; {place} holds a "
                f"{type(record).__name__}. Write one object a line (JSON lines)."
            )
        self._places.append(place)
        return record


def holds_json(path: Path, encoding: str) -> bool:
    """Say whether the first line is a JSON object, whatever the file is called."""
    with suppress(UnicodeError, ValueError), reading(path, encoding) as lines:
        return isinstance(json.loads(next(lines, "")), dict)
    return False


def is_broken(value: object) -> bool:
    """Say whether a text, or any text in it, has a lone surrogate, which no file can hold."""
    if isinstance(value, dict | list):
        return any(map(is_broken, value.values() if isinstance(value, dict) else value))
    if not isinstance(value, str) or value.isascii():
        return False
    return value != value.encode(errors="ignore").decode()


def _column(values: list[Any]) -> pd.Series:
    """Return a column as pandas infers it, but whole numbers beside a null as objects."""
    column = pd.Series(values, dtype=object)
    inferred = column.infer_objects()
    whole = {type(one) for one in values} == {int, type(None)}
    return column if whole else pd.Series(values) if inferred.dtype == object else inferred
