"""Databases: connected without secrets in a URL, read or reduced where the rows are."""

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from recsys_lib.checks import check_choice, needing
from recsys_lib.errors import ConfigError, DataError, RecsysError
from recsys_lib.naming import first_line
from recsys_lib.sources.reduction import Reduction
from recsys_lib.tables import FrameTable, Table
from recsys_lib.times import FACTORS, format_of_numbers

#: Environment variable with the password of a database.
PASSWORD = "RECSYS_DB_PASSWORD"

_EXTRAS = {
    "duckdb": "sql",
    "sqlite": "sql",
    "postgresql": "postgres",
    "postgres": "postgres",
    "trino": "trino",
    "impala": "impala",
    "pyspark": "spark",
}
# Engines whose databases are files.
_FILES = ("duckdb", "sqlite")
_CHECK_FILE = "Check the file and its permissions."
# What sqlglot calls the SQL of a backend, where it is not its name.
_DIALECTS = {"impala": "hive", "pyspark": "spark"}
_SHOWN = ("duckdb", "postgres", "trino", "impala")
_TYPES = {
    "user_id": "string",
    "item_id": "string",
    "value": "float64",
    "event": "string",
    "dwell": "float64",
    "timestamp": "timestamp",
}
_BATCH = 100_000


def split_url(url: str) -> SplitResult:
    """Return the parts of a database URL that holds no password.

    Raises
    ------
    ConfigError
        If it holds one; the message shows the URL without it.

    Examples
    --------
    >>> split_url("postgresql://ann:pa55@host/db")
    Traceback (most recent call last):
    recsys_lib.errors.ConfigError: A database URL must hold no password, because parameters end up
    in notebooks and manifests; postgresql://ann@host/db does. Put it into the environment variable
    RECSYS_DB_PASSWORD.
    """
    parts = urlsplit(url)
    options = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.password is not None or options & {"password", "passwd", "pwd"}:
        raise ConfigError(
            "A database URL must hold no password, because parameters end up in notebooks and "
            f"manifests; {shown_url(parts)} does. Put it into the environment variable {PASSWORD}."
        )
    return parts


def shown_url(parts: SplitResult) -> str:
    """Return the URL without password and options.

    Examples
    --------
    >>> shown_url(urlsplit("postgresql://ann:pa55@host:5432/db?sslkey=pa55"))
    'postgresql://ann@host:5432/db'
    """
    user, sign, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{sign}{host}{parts.path}"


def find_password(parts: SplitResult) -> str | None:
    """Return the password for a URL: ``RECSYS_DB_PASSWORD``, else that of the keyring, else None.

    In the keyring it is that of the service ``recsys-lib`` under the name ``user@host``.
    """
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    with suppress(ImportError):
        import keyring

        with suppress(keyring.errors.KeyringError):  # a machine without a desktop has no store
            return keyring.get_password("recsys-lib", f"{parts.username}@{parts.hostname}")
    return None


def plain_reason(error: Exception) -> str:
    """Return the first line of what a driver says, without the password."""
    text, secret = first_line(error), os.environ.get(PASSWORD)
    return text.replace(secret, "***") if secret else text


@contextmanager
def asking(requirement: str, remedy: str) -> Iterator[None]:
    """Let a block ask an engine; what its driver raises becomes a `DataError` without secrets."""
    try:
        yield
    except RecsysError:
        raise
    except Exception as error:  # each driver has a family of exceptions of its own
        raise DataError(f"{requirement}; {plain_reason(error)}. {remedy}") from None


def is_engine(source: object) -> bool:
    """Say whether a source is a database: a URL, a file of SQLite or DuckDB, or an Ibis backend."""
    if isinstance(source, (str, Path)):
        return "://" in str(source) or _engine_of(Path(source).expanduser()) is not None
    return hasattr(source, "list_tables") and hasattr(source, "compile")


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
        connection, name = _connect(str(source))
    else:
        connection, name = source, f"{source.name} (connected by the caller)"
    if table is None and query is None and connection.name in _FILES:
        tables = list(connection.list_tables())
        if len(tables) != 1:
            raise ConfigError(
                f"{name} needs either `table` or `query`; it has the tables {tables}. Name one."
            )
        table = str(tables[0])
    if (table is None) == (query is None):
        raise ConfigError(
            f"{name} needs either `table` or `query`. Name a table, or write a SELECT."
        )
    what = f"table {table}" if table else "the query"
    return EngineTable(connection, f"{what} of {name}", table=table, query=query)


def embedded(data: pd.DataFrame | Sequence[str], name: str) -> "EngineTable":
    """Return a DataFrame, or files of Parquet, as a table of an embedded DuckDB."""
    connection = _open("duckdb", ":memory:")
    if isinstance(data, pd.DataFrame):
        connection.con.register("source", pa.Table.from_pandas(data, preserve_index=False))
    else:
        connection.read_parquet(
            data, table_name="source", hive_partitioning=True, union_by_name=True
        )
    return EngineTable(connection, name, table="source")


@dataclass
class EngineTable(Table):
    """A table or query of a database."""

    connection: Any
    name: str
    table: str | None = None
    query: str | None = None
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.engine: str = self.connection.name
        #: The SQL that made pairs of events, before the rounds of the k-core.
        self.statement = ""
        with self._asking("be readable"):
            self.columns = list(self._select({}, None).schema().names)

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; only these are asked for."""
        with self._asking("answer"):
            events = self._select({column: column for column in columns}, None)
            return _exactly(events).reset_index(drop=True)

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
        with self._asking("answer"):
            events = self._select(roles, reduction.where)
            if reduction.half_life is not None:
                events = self._in_seconds(events)
            pairs = reduction.pairs(events, self.engine)
            self.statement = str(self.connection.compile(pairs))
            return self._core(pairs, reduction)

    def fetched(self, pairs: Any) -> FrameTable:
        """Return reduced pairs as a table in memory."""
        with self._asking("answer"):
            frame = _exactly(pairs)
        frame.index += 1
        return FrameTable(frame, f"the reduction of {self.name}", row="row")

    def write(self, expression: Any, file: Path) -> None:
        """Write the rows of an expression as Parquet, without holding all of them in memory."""
        with self._asking("answer"):
            if self.engine == "duckdb":
                self.connection.to_parquet(expression, str(file))
                return
            batches = expression.to_pyarrow_batches(chunk_size=_BATCH)
            with parquet.ParquetWriter(file, batches.schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)

    def select_sql(self, roles: Mapping[str, str], where: str | None) -> str:
        """Return the innermost SELECT: the columns with a role, and the predicate."""
        return _select_sql(self.engine, roles, where, table=self.table, query=self.query)

    def limit(self, memory: str | None, threads: int | None) -> None:
        """Cap the memory and threads of an embedded DuckDB; beyond that it spills to disk."""
        for name, cap in (("memory_limit", memory), ("threads", threads)):
            if cap is not None and self.engine == "duckdb":
                with asking(f"DuckDB must take {cap!r}", 'Give `memory` as "2GB", `threads` as 2.'):
                    self.connection.raw_sql(f"SET {name} = '{cap}'")

    def _core(self, pairs: Any, reduction: Reduction) -> Any:
        """Leave rare users and items out, round by round, until none remains."""
        if reduction.min_user_items == reduction.min_item_users == 1:
            return pairs
        keeps = self.engine in ("duckdb", "postgres", "pyspark", "sqlite")
        left = list[int]()
        while len(left) < 2 or left[-1] < left[-2]:
            pairs = reduction.core(pairs) if left else pairs
            pairs = pairs.cache() if keeps else pairs
            left.append(int(pairs.count().execute()))
        if left[-1] == 0 < left[0]:
            raise DataError(
                f"The k-core of {self.name} must keep a pair of user and item; none of "
                f"{left[0]:,} is left. Lower `min_user_items` and `min_item_users`."
            )
        return pairs

    def _in_seconds(self, events: Any) -> Any:
        """Return events whose numeric times are seconds; their size tells the unit."""
        if not events.timestamp.type().is_numeric():
            return events
        ends = events.aggregate(low=events.timestamp.min(), high=events.timestamp.max()).execute()
        numbers = ends.to_numpy(np.float64, na_value=np.nan).ravel()
        if not np.isfinite(numbers).all():
            return events
        unit, choices = format_of_numbers(numbers)
        if choices or unit not in FACTORS:
            raise DataError(
                f"Times of {self.name} must be times or numbers since 1970 for a half-life; "
                f"{ends.iloc[0, 0]} looks like a date. Convert it, as in `query`."
            )
        seconds = events.timestamp.cast("float64") * (FACTORS[unit] / 1e9)
        return events.mutate(timestamp=seconds)

    def _select(self, roles: Mapping[str, str], where: str | None) -> Any:
        """Return the columns under the names of their roles (without any all), and a predicate."""
        return self.connection.sql(self.select_sql(roles, where), dialect=_dialect(self.engine))

    def _asking(self, must: str) -> AbstractContextManager[None]:
        return asking(f"{self.name} must {must}", "Check its name and the SQL.")


def _exactly(events: Any) -> pd.DataFrame:
    """Return rows of an expression; whole numbers beside a null stay exact."""
    frame: pd.DataFrame = events.execute()
    kinds = events.schema()
    rounded = [name for name in frame if kinds[name].is_integer() and frame[name].dtype.kind == "f"]
    if rounded:
        texts = {name: events[name].cast("string") for name in rounded}
        frame = events.mutate(**texts).execute().astype(dict.fromkeys(rounded, "Int64"))
    return frame


def _dialect(engine: str) -> str:
    return _DIALECTS.get(engine, engine)


def _select_sql(
    engine: str,
    roles: Mapping[str, str],
    where: str | None,
    *,
    table: str | None = None,
    query: str | None = None,
) -> str:
    """Return the innermost SELECT: the columns with a role, and the predicate.

    Examples
    --------
    >>> _select_sql("postgres", {"user_id": "login"}, "n > 3", table="shop.sales")
    'SELECT "login" AS "user_id" FROM "shop"."sales" WHERE n > 3'
    """
    import sqlglot
    from sqlglot import exp

    dialect = _dialect(engine)
    if table is not None:
        origin: Any = exp.table_(*reversed(table.split(".")), quoted=True)
    else:
        origin = sqlglot.parse_one(str(query), read=dialect).subquery("source")
    named = [
        exp.alias_(exp.column(column, quoted=True), role, quoted=True)
        for role, column in roles.items()
    ]
    select = sqlglot.select(*(named or "*")).from_(origin)
    if where is not None:
        select = select.where(sqlglot.condition(where, dialect=dialect))
    return select.sql(dialect=dialect)


def show_sql(reduce: Reduction, engine: str, table: str, columns: Mapping[str, str]) -> str:
    """Return the SQL with which an engine would reduce a table, without contacting the engine.

    Parameters
    ----------
    reduce : Reduction
        Needs `now` if it has a half-life, because the latest time is not known here.
    engine : {"duckdb", "postgres", "trino", "impala"}
    table : str
        Such as ``"labs.events"``.
    columns : mapping of str to str
        Which column is what: ``user_id``, ``item_id`` and, as needed, ``value``, ``event``,
        ``dwell``, ``timestamp``.

    Returns
    -------
    str
        One statement, indented. The rounds of a k-core, which the engine is sent one by one
        afterwards, are not part of it.

    Raises
    ------
    ConfigError
        If a role is unknown or lacks its column, or `now` is missing.

    Examples
    --------
    >>> rule = Reduction(where="day >= 7")
    >>> print(show_sql(rule, "postgres", "labs.visits", {"user_id": "login", "item_id": "lab"}))
    SELECT
      "t1"."user_id",
      "t1"."item_id",
      SUM("t1"."value") AS "value"
    FROM (
      SELECT
        "t0"."user_id",
        "t0"."item_id",
        COALESCE(1.0, CAST('NaN' AS DOUBLE PRECISION)) AS "value"
      FROM (
        SELECT
          "login" AS "user_id",
          "lab" AS "item_id"
        FROM "labs"."visits"
        WHERE
          day >= 7
      ) AS "t0"
    ) AS "t1"
    GROUP BY
      1,
      2
    """
    import ibis
    import sqlglot
    from sqlglot import exp

    check_choice("engine", engine, _SHOWN)
    _check_roles(reduce, columns)
    events = ibis.table({role: _TYPES[role] for role in columns}, name="\0events")
    dialect = _dialect(engine)
    tree = sqlglot.parse_one(
        str(ibis.to_sql(reduce.pairs(events, engine), dialect=engine)), read=dialect
    )
    inner = _select_sql(engine, columns, reduce.where, table=table)
    for leaf in list(tree.find_all(exp.Table)):
        alias = exp.TableAlias(this=exp.to_identifier(leaf.alias, quoted=True))
        leaf.replace(exp.Subquery(this=sqlglot.parse_one(inner, read=dialect), alias=alias))
    return str(tree.sql(dialect=dialect, pretty=True))


def _check_roles(reduce: Reduction, columns: Mapping[str, str]) -> None:
    needed = {"user_id", "item_id"} | reduce.needs
    if not needed <= columns.keys() <= _TYPES.keys():
        raise ConfigError(
            f"`columns` must name those of {', '.join(sorted(needed))}, and may name others of "
            f"{', '.join(_TYPES)}; got {', '.join(columns)}. Say which column is what."
        )
    if reduce.half_life is not None and reduce.now is None:
        raise ConfigError('A half-life must say `now` to be shown. Give now="2024-12-31".')


def _connect(source: str) -> tuple[Any, str]:
    """Connect by URL; return the connection and a name that shows no secret."""
    if "://" not in source:
        path = Path(source).expanduser().resolve()
        source = f"{_engine_of(path)}://{path.as_posix()}"
    parts = split_url(source)
    scheme, shown = parts.scheme, shown_url(parts)
    if scheme not in _EXTRAS:
        raise ConfigError(
            f"A URL must be that of a database: {', '.join(sorted(_EXTRAS))}; got {scheme!r}. "
            "Download a file and give the path of the copy, or connect to another database with "
            "ibis yourself and give the backend."
        )
    secret = find_password(parts)
    remedy = _CHECK_FILE if scheme in _FILES else f"Check host, port, user and {PASSWORD}."
    with asking(f"{shown} must be reachable", remedy):
        if scheme in _FILES:
            options = {"read_only": True} if scheme == "duckdb" else {}
            return _open(scheme, _existing(parts), **options), shown
        secrets = {} if secret is None else {"password": secret}
        return _open(scheme, source, **secrets), shown


def connect_for_writing(url: str) -> Any:
    """Return an ibis backend that may write: DuckDB, SQLite (also a new file) or PostgreSQL.

    Raises
    ------
    ConfigError
        If it is another engine, or the URL holds a password.
    DataError
        If it cannot be reached.
    """
    parts = split_url(url)
    if parts.scheme in ("postgresql", "postgres"):
        return _connect(url)[0]
    if parts.scheme not in _FILES:
        raise ConfigError(
            f"Lists are written to DuckDB, SQLite or PostgreSQL; got {parts.scheme!r}. Write "
            "Parquet, and load that."
        )
    place = file_to_write(parts)
    with asking(f"{shown_url(parts)} must be open for writing", _CHECK_FILE):
        if place.is_file() and place.stat().st_size and _engine_of(place) is None:
            raise ValueError("the file is no database")  # DuckDB would write beside it, to memory
        return _open(parts.scheme, place)


def file_to_write(parts: SplitResult) -> Path:
    """Return the file that a URL names, absolute or in the working folder, as it is read later.

    Examples
    --------
    >>> file_to_write(urlsplit("duckdb:///lists.db")).as_posix()
    'lists.db'
    """
    named = parts.netloc + unquote(parts.path)
    path = Path(named)
    known = path.is_file() or (path.parent.name and path.parent.is_dir())
    return path if named.startswith("//") or known else Path(named.lstrip("/"))


def _engine_of(path: Path) -> str | None:
    """Return which engine reads a file, by its first bytes, or its suffix where there is none."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        start = b""
    if start.startswith(b"SQLite format 3"):
        return "sqlite"
    return "duckdb" if start[8:12] == b"DUCK" or path.suffix in (".duckdb", ".ddb") else None


def _existing(parts: SplitResult) -> Path:
    """Return the file that a URL names, which is there."""
    place = file_to_write(parts)
    if not place.is_file():
        raise DataError(
            f"The database file must exist; nothing is at '{place}'. Check the path; it is taken "
            f"from the working folder '{Path.cwd()}'."
        )
    return place


def _open(scheme: str, place: Path | str, **options: Any) -> Any:
    """Return the ibis backend that is connected to a file, or to the server of a URL."""
    with needing(_EXTRAS[scheme], f"The engine {scheme!r}"):
        import ibis

        connect = getattr(ibis, scheme).connect if scheme in _FILES else ibis.connect
        connection = connect(place, **options)
    if scheme == "sqlite":  # it lacks the hash that draws the sample
        connection.con.create_function(
            "md5", 1, lambda text: hashlib.md5(str(text).encode()).hexdigest(), deterministic=True
        )
    if scheme == "duckdb":
        # Out of memory it writes to a folder that goes with it, by default to the working folder.
        spill = tempfile.mkdtemp(prefix="recsys-duckdb-")
        weakref.finalize(connection, shutil.rmtree, spill, ignore_errors=True)
        connection.raw_sql("SET temp_directory = '{}'".format(spill.replace("'", "''")))
    return connection
