"""Parquet: one file, or a folder whose files need not have the same columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import DataError
from recsys_lib.sources.containers import unreadable

__all__ = ["ParquetTable"]


@dataclass
class ParquetTable:
    """A Parquet file or a folder of them, ``key=value`` partitions read as columns.

    The columns are those that any file has; whole numbers and floats of one column become floats.
    """

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
            first = dataset.dataset(where, format="parquet", partitioning="hive")
            schema = self._union(first)
            self._dataset = dataset.dataset(
                where, schema=schema, format="parquet", partitioning="hive"
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        self.columns = list(schema.names)

    @property
    def files(self) -> list[Path]:
        """The files, in their order."""
        return [Path(file) for file in self._dataset.files]

    def type_of(self, column: str) -> Any:
        """Return the Arrow type of a column."""
        return self._dataset.schema.field(column).type

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; the others are not read from the disk."""
        import pyarrow as pa

        try:
            table = self._dataset.to_table(columns=list(columns))
            # Floats would merge whole numbers beyond 2**53 beside a null.
            frame: pd.DataFrame = table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise self._unreadable(error) from error
        return frame.reset_index(drop=True)

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return row numbers, counted from 1 over all files in their order."""
        return [f"row {position + 1}" for position in positions]

    def _union(self, found: Any) -> Any:
        """Return the columns of all files, each with the type that holds what any of them has."""
        import pyarrow as pa

        union = _decoded(found.schema)
        for fragment in found.get_fragments():
            schema = _decoded(fragment.physical_schema)
            try:
                union = pa.unify_schemas([union, schema], promote_options="permissive")
            except pa.ArrowException as error:
                name = next(
                    one.name
                    for one in schema
                    if one.name in union.names and not _joins(union.field(one.name), one)
                )
                raise DataError(
                    f"Column {name!r} must have one type in all files of '{self.name}'; it is "
                    f"{schema.field(name).type} in {Path(fragment.path).name} and "
                    f"{union.field(name).type} in others. Write the files again with one type."
                ) from error
        return union

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
            f"'{self.name}' must be readable as Parquet; pyarrow says: {_first_line(error)}. "
            "The file may be half-written or of another format: write it again."
        )


def _decoded(schema: Any) -> Any:
    """Return a schema with categories as what they stand for."""
    import pyarrow as pa

    kinds = [
        one.with_type(one.type.value_type) if pa.types.is_dictionary(one.type) else one
        for one in schema
    ]
    return pa.schema(kinds)


def _joins(one: Any, other: Any) -> bool:
    import pyarrow as pa

    try:
        pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive")
    except pa.ArrowException:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
