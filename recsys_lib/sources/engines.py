"""Tables and queries of databases, read or reduced where they are."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources.connections import connect, embedded_duckdb
from recsys_lib.sources.reduction import Reduction
from recsys_lib.sources.secrets import plain_reason
from recsys_lib.sources.statements import dialect_of, select_sql
from recsys_lib.sources.times import FACTORS, format_of_numbers

__all__ = ["EngineTable", "limit", "open_engine", "over_frame", "over_parquet"]

_MAX_ROUNDS = 100
_BATCH = 100_000


def open_engine(
    source: Any, *, table: str | None = None, query: str | None = None
) -> "EngineTable":
    """Open a table or query of a database.

    Parameters
    ----------
    source : str, Path or ibis backend
        A file of SQLite or DuckDB, also as ``sqlite:///path/file.db`` or ``duckdb:///file.duckdb``,
        ``postgresql://user@host:5432/database``, ``trino://user@host:8080/catalog/schema``,
        ``impala://host:21050/database``, or a backend that `ibis` has connected (Spark, Kerberos).
    table, query : str, optional
        One of them: a table, ``schema.table`` included, or a SELECT in the engine's SQL. Not needed
        for a file with a single table.

    Returns
    -------
    EngineTable

    Raises
    ------
    ConfigError
        If the URL holds a password, the engine is not known, or its driver is not installed.
    DataError
        If the engine cannot be reached, or the table or query fails.

    Notes
    -----
    A password is taken from the environment variable ``RECSYS_DB_PASSWORD``, else from the keyring
    (service ``recsys-lib``, name ``user@host``) where the package `keyring` is installed, else it
    is left to the driver: PostgreSQL reads ``PGPASSWORD`` and ``~/.pgpass``. It is never part of a
    name, a message or a manifest.
    """
    if isinstance(source, (str, Path)):
        connection, name = connect(str(source))
    else:
        connection, name = source, f"{source.name} (connected by the caller)"
    if table is None and query is None and connection.name in ("sqlite", "duckdb"):
        table = _only_table(connection, name)
    if (table is None) == (query is None):
        raise ConfigError(
            "A database source needs either `table` or `query`; got "
            f"{'neither' if table is None else 'both'}. Name a table, or write a SELECT."
        )
    return EngineTable(connection, name, table=table, query=query)


@dataclass
class EngineTable:
    """A table or query of a database, with the interface of `Table`."""

    connection: Any
    location: str
    table: str | None = None
    query: str | None = None
    name: str = field(init=False)
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        what = f"table {self.table}" if self.table else "the query"
        self.name = f"{what} of {self.location}"
        self.engine: str = self.connection.name
        self.expression: Any = None
        #: The SQL that made pairs of events, before the rounds of the k-core.
        self.statement = ""
        self.columns = list(self._attempt(lambda: self._schema(), "be readable"))

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; only these are asked for."""
        if self.expression is not None:
            events = self.expression.select(list(columns))
        else:
            events = self._select({column: column for column in columns}, None)
        frame: pd.DataFrame = self._attempt(lambda: _exactly(events), "answer")
        return frame.reset_index(drop=True)

    def where(self, positions: NDArray[np.int64]) -> list[str]:
        """Return row numbers of the answer, counted from 1."""
        return [f"row {position + 1}" for position in positions]

    def reduced(self, roles: Mapping[str, str], reduction: Reduction) -> Any:
        """Return the expression of the reduced pairs, k-core included.

        Parameters
        ----------
        roles : mapping of str to str
            ``user_id, item_id, value, timestamp, event, dwell`` to columns, those that there are.
        reduction : Reduction

        Returns
        -------
        ibis Table
        """
        return self._attempt(lambda: self._reduced(roles, reduction), "answer")

    def holding(self, expression: Any) -> "EngineTable":
        """Return an expression of this engine as a table of its own."""
        other = copy.copy(self)
        other.expression = expression
        other.columns = list(expression.columns)
        return other

    def write(self, expression: Any, file: Path) -> None:
        """Write the rows of an expression as Parquet, without holding all of them in memory."""
        self._attempt(lambda: self._write(expression, file), "answer")

    def _write(self, expression: Any, file: Path) -> None:
        from pyarrow import parquet

        if self.engine == "duckdb":
            self.connection.to_parquet(expression, str(file))
            return
        batches = expression.to_pyarrow_batches(chunk_size=_BATCH)
        with parquet.ParquetWriter(file, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)

    def sql(self, expression: Any) -> str:
        """Return the SQL of an expression in the engine's dialect."""
        return str(self.connection.compile(expression))

    def _reduced(self, roles: Mapping[str, str], reduction: Reduction) -> Any:
        events = self._select(roles, reduction.where)
        if reduction.half_life is not None:
            events = self._in_seconds(events)
        pairs = reduction.pairs(events, self.engine)
        self.statement = self.sql(pairs)
        if not reduction.has_core:
            return pairs
        keeps = self.engine in ("duckdb", "postgres", "pyspark", "sqlite")
        pairs = pairs.cache() if keeps else pairs
        all_pairs = before = int(pairs.count().execute())
        for _ in range(_MAX_ROUNDS):
            pairs = reduction.core(pairs)
            pairs = pairs.cache() if keeps else pairs
            after = int(pairs.count().execute())
            if after == 0 < before:
                raise DataError(
                    f"The k-core of {self.name} must keep a pair of user and item; none of "
                    f"{all_pairs:,} is left. Lower `min_user_items` and `min_item_users`."
                )
            if after == before:
                return pairs
            before = after
        raise DataError(
            f"The k-core of {self.name} must be reached in {_MAX_ROUNDS} rounds; it was not. "
            "Lower `min_user_items` and `min_item_users`."
        )

    def _in_seconds(self, events: Any) -> Any:
        """Return events whose numeric times are seconds; their size tells the unit."""
        if not events.timestamp.type().is_numeric():
            return events
        ends = events.aggregate(low=events.timestamp.min(), high=events.timestamp.max()).execute()
        numbers = ends.to_numpy(np.float64, na_value=np.nan).ravel()
        if not np.isfinite(numbers).all():
            return events
        unit, choices = format_of_numbers(numbers)
        if choices or unit not in ("s", "ms", "us", "ns"):
            raise DataError(
                f"Times of {self.name} must be times or numbers since 1970 for a half-life; "
                f"{ends.iloc[0, 0]} looks like a date. Convert it in `query`."
            )
        seconds = events.timestamp.cast("float64") * (FACTORS[unit] / 1e9)
        return events.mutate(timestamp=seconds)

    def _select(self, roles: Mapping[str, str], where: str | None) -> Any:
        """Return the columns under the names of their roles, restricted by a predicate."""
        return self.connection.sql(self.select_sql(roles, where), dialect=dialect_of(self.engine))

    def select_sql(self, roles: Mapping[str, str], where: str | None) -> str:
        """Return the innermost SELECT: the columns with a role, and the predicate."""
        return select_sql(self.engine, roles, where, table=self.table, query=self.query)

    def _schema(self) -> Any:
        if self.query is not None:
            return self.connection.sql(self.query, dialect=dialect_of(self.engine)).schema().names
        *space, name = str(self.table).split(".")
        if not space:
            return self.connection.table(name).schema().names
        return self.connection.table(name, database=tuple(space)).schema().names

    def _attempt(self, action: Any, must: str) -> Any:
        """Run something on the engine; its errors become a `DataError` without secrets."""
        try:
            return action()
        except (DataError, ConfigError):
            raise
        except Exception as error:  # each driver has a family of exceptions of its own
            raise DataError(
                f"{self.name} must {must}; {plain_reason(error)}. Check its name and the SQL."
            ) from None


def over_frame(frame: pd.DataFrame, name: str) -> EngineTable:
    """Return a DataFrame as a table of an embedded DuckDB."""
    import pyarrow as pa

    connection = embedded_duckdb()
    connection.con.register("source", pa.Table.from_pandas(frame, preserve_index=False))
    found = EngineTable(connection, "memory", table="source")
    found.name = name
    return found


def over_parquet(paths: Sequence[Path], name: str) -> EngineTable:
    """Return Parquet files, partitioned folders included, as a table of an embedded DuckDB."""
    connection = embedded_duckdb()
    patterns = [str(path / "**" / "*.parquet") if path.is_dir() else str(path) for path in paths]
    try:
        connection.read_parquet(
            patterns, table_name="source", hive_partitioning=True, union_by_name=True
        )
    except Exception as error:
        raise DataError(f"{name} must be readable as Parquet; {plain_reason(error)}.") from None
    found = EngineTable(connection, "memory", table="source")
    found.name = name
    return found


def limit(table: EngineTable, memory: str | None, threads: int | None) -> None:
    """Cap the memory and threads of an embedded DuckDB; beyond that it spills to disk."""
    if table.engine != "duckdb":
        return
    try:
        if memory is not None:
            table.connection.raw_sql(f"SET memory_limit = '{memory}'")
        if threads is not None:
            table.connection.raw_sql(f"SET threads = {int(threads)}")
    except Exception as error:
        raise ConfigError(
            f"`memory` must be a size such as '2GB'; got {memory!r} ({plain_reason(error)})."
        ) from None


def _only_table(connection: Any, name: str) -> str:
    """Return the table of a database file that has one; else `ConfigError` lists them."""
    tables = list(connection.list_tables())
    if len(tables) != 1:
        raise ConfigError(
            f"{name} needs either `table` or `query`; it has the tables {tables}. Name one, "
            f'such as table="{tables[0] if tables else "ratings"}", or write a SELECT as the query.'
        )
    return str(tables[0])


def _exactly(events: Any) -> pd.DataFrame:
    """Return rows of an expression; whole numbers beside a null are objects, never floats."""
    frame: pd.DataFrame = events.execute()
    kinds = events.schema()
    rounded = [name for name in frame if kinds[name].is_integer() and frame[name].dtype.kind == "f"]
    if rounded:
        texts = {name: events[name].cast("string") for name in rounded}
        frame = events.mutate(**texts).execute()
        for name in rounded:
            whole = [None if pd.isna(one) else int(one) for one in frame[name]]
            frame[name] = pd.Series(whole, index=frame.index, dtype=object)
    return frame
