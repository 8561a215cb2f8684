"""Connections to databases: files of SQLite and DuckDB, servers by URL, without secrets in it."""

import hashlib
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources.secrets import (
    PASSWORD,
    find_password,
    plain_reason,
    shown_url,
    split_url,
)

__all__ = ["connect", "embedded_duckdb", "is_engine"]

_EXTRAS = {
    "duckdb": "sql",
    "sqlite": "sql",
    "postgresql": "postgres",
    "postgres": "postgres",
    "trino": "trino",
    "impala": "impala",
    "pyspark": "spark",
}
# Addresses of files, which are no databases.
_ELSEWHERE = (
    *("http", "https", "ftp", "sftp", "file"),
    *("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hdfs", "dbfs"),
)


def is_engine(source: object) -> bool:
    """Say whether a source is a database: a URL, a file of SQLite or DuckDB, or an Ibis backend."""
    if isinstance(source, (str, Path)):
        text = str(source)
        scheme, sign, _ = text.partition("://")
        if sign:
            return scheme.lower() not in _ELSEWHERE
        return _scheme_of(Path(text).expanduser()) is not None
    return hasattr(source, "list_tables") and hasattr(source, "compile")


def embedded_duckdb() -> Any:
    """Return a DuckDB in memory."""
    ibis = _ibis("duckdb")
    return _spilling_aside(ibis.duckdb.connect())


def _spilling_aside(connection: Any) -> Any:
    """Let a DuckDB that runs out of memory write to a folder of its own that goes with it.

    By default it writes to ``.tmp`` of the working directory, or beside the database file.
    """
    spill = tempfile.mkdtemp(prefix="recsys-duckdb-")
    weakref.finalize(connection, shutil.rmtree, spill, ignore_errors=True)
    quoted = spill.replace("'", "''")
    connection.raw_sql(f"SET temp_directory = '{quoted}'")
    return connection


def _scheme_of(path: Path) -> str | None:
    """Return which engine reads a file, by its first bytes, or its suffix where there is none."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        start = b""
    if start.startswith(b"SQLite format 3"):
        return "sqlite"
    return "duckdb" if start[8:12] == b"DUCK" or path.suffix in (".duckdb", ".ddb") else None


def connect(source: str) -> tuple[Any, str]:
    """Connect by URL; return the connection and a name that shows no secret."""
    if "://" not in source:
        path = Path(source).expanduser().resolve()
        source = f"{_scheme_of(path)}://{path.as_posix()}"
    parts = split_url(source)
    if parts.scheme not in _EXTRAS:
        raise ConfigError(
            f"A database URL must begin with one of {', '.join(sorted(set(_EXTRAS)))}; got "
            f"{parts.scheme!r}. Connect with ibis yourself and give the backend."
        )
    ibis = _ibis(parts.scheme)
    secret = find_password(parts)
    try:
        if parts.scheme == "sqlite":
            return _sqlite(ibis, _database_file(parts)), shown_url(parts)
        if parts.scheme == "duckdb":
            path = _database_file(parts)
            return _spilling_aside(ibis.duckdb.connect(path, read_only=True)), shown_url(parts)
        options = {} if secret is None else {"password": secret}
        return ibis.connect(source, **options), shown_url(parts)
    except ImportError as error:
        raise _absent(parts.scheme) from error
    except DataError:
        raise
    except Exception as error:
        remedy = f"host, port, user and {PASSWORD}"
        if parts.scheme in ("sqlite", "duckdb"):
            remedy = "the file and its permissions"
        raise DataError(
            f"{shown_url(parts)} must be reachable; {plain_reason(error)}. Check {remedy}."
        ) from None


def _database_file(parts: SplitResult) -> Path:
    """Return the file that a URL names, absolute or from the working folder."""
    named = parts.netloc + unquote(parts.path)
    found = [path for path in (Path(named), Path(named.lstrip("/"))) if path.is_file()]
    if not found:
        raise DataError(
            f"The database file must exist; nothing is at '{named}'. Check the path; it is taken "
            f"from the working folder '{Path.cwd()}' where it is not absolute."
        )
    return found[0]


def _sqlite(ibis: Any, path: Path) -> Any:
    """Return a connection to SQLite, which lacks the hash that draws the sample."""
    connection = ibis.sqlite.connect(path)
    connection.con.create_function(
        "md5", 1, lambda text: hashlib.md5(str(text).encode()).hexdigest(), deterministic=True
    )
    return connection


def _ibis(scheme: str) -> Any:
    try:
        import ibis
    except ImportError as error:
        raise _absent(scheme) from error
    return ibis


def _absent(scheme: str) -> ConfigError:
    extra = _EXTRAS[scheme]
    return ConfigError(
        f"The engine {scheme!r} needs packages that are not installed. "
        f"Install them with: pip install 'recsys-lib[{extra}]'."
    )
