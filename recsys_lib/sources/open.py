"""Open any source: a DataFrame, files in any format, a folder, a glob, or a database."""

import re
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from recsys_lib.artifacts import read_manifest
from recsys_lib.cleaning import as_frame
from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources.containers import binary_format, reading, unreadable
from recsys_lib.sources.formats import (
    ParquetTable,
    StackedTable,
    json_table,
    listed_items,
    listed_users,
    lists_items,
    lists_users,
)
from recsys_lib.sources.options import ReadOptions
from recsys_lib.sources.sql import is_engine, open_engine
from recsys_lib.sources.text import TextFile
from recsys_lib.tables import FrameTable, Table

Source: TypeAlias = pd.DataFrame | str | Path

# Names of the files of a folder that are tables, besides Parquet.
_TEXT = re.compile(
    r"\.(csv|tsv|txt|tab|dat|data|inter|item|user|psv|jsonl|ndjson|json)(\.\w+)?$|\.zip$", re.I
)
_SAMPLE_LINES = 40


def open_source(source: Any, options: ReadOptions) -> Table:
    """Open a DataFrame, files or a database, without reading the rows; see `read_interactions`.

    Raises
    ------
    DataError
        Where nothing is at the path, the format is not known, or the file cannot be read.
    ConfigError
        Where `table` or `query` are given and the source is no database.
    TypeError
        Where ``source`` is no table, path or database.
    """
    if is_engine(source):
        return open_engine(source, table=options.table, query=options.query)
    if options.table is not None or options.query is not None:
        name = source if isinstance(source, (str, Path)) else type(source).__name__
        raise ConfigError(
            f"`table` and `query` must go with a database; the source is {str(name)!r}. "
            "Leave them out, or give a URL such as duckdb:///events.duckdb."
        )
    if not isinstance(source, (str, Path)):
        source = as_frame("source", source, "a DataFrame or a path")
        named = [name for name in source.index.names if name not in (None, *source.columns)]
        return FrameTable(source.reset_index(named) if named else source)
    if not str(source).strip():
        raise DataError("`source` must name a file, folder or glob; it is empty. Give a path.")
    return _open_path(source, options)


def _open_path(source: str | Path, options: ReadOptions) -> Table:
    path = Path(source).expanduser()
    try:
        if (path / "manifest.json").is_file():
            read_manifest(path, kind="snapshot")
            return ParquetTable([path / "interactions.parquet"], path.name)
        files = _files_at(path)
        if any(map(_is_parquet, files)):
            return ParquetTable(files, path.name)  # where one of them is not, Arrow says so
        tables = [_open_text(file, options) for file in files]
    except OSError as error:
        raise unreadable(str(path), error) from error
    if not tables:
        raise DataError(
            f"`source` must hold CSV, TSV, JSON-lines or Parquet files; none is in '{path}'. "
            "Check the path and the suffixes."
        )
    return tables[0] if len(tables) == 1 else StackedTable(tables, str(path))


def _files_at(path: Path) -> list[Path]:
    """Return the files that a path names: one, those of a folder that are tables, or of a glob."""
    if path.is_file():
        return [path]
    if path.is_dir():
        next(path.iterdir(), None)  # says now that the folder may not be read
        inside = [one.relative_to(path) for one in sorted(path.rglob("*"))]
        # Markers such as _SUCCESS or .part.crc are none.
        shown = [path / one for one in inside if not any(part[0] in "._" for part in one.parts)]
        files = [one for one in shown if one.is_file()]
        return [one for one in files if _TEXT.search(one.name) or _is_parquet(one)]
    if any(sign in str(path) for sign in "*?["):
        base = Path(path.anchor)
        return [one for one in sorted(base.glob(str(path.relative_to(base)))) if one.is_file()]
    raise DataError(
        f"A file, folder or glob must be there; nothing is at '{path}'. "
        f"Check the path; it is taken from the working folder '{Path.cwd()}'."
    )


def _is_parquet(file: Path) -> bool:
    """Say whether a file is Parquet by its bytes, as Hive names no suffix."""
    with file.open("rb") as opened:
        return opened.read(4) == b"PAR1"


def _open_text(path: Path, options: ReadOptions) -> Table:
    """Open a file that is not Parquet by what it holds."""
    if found := binary_format(path):
        raise DataError(
            f"'{path.name}' must be CSV, TSV, JSON lines (.jsonl) or Parquet; it holds {found}. "
            "Read it with pandas and give the DataFrame, or convert it to CSV."
        )
    with reading(path, options.encoding) as file:
        lines = list(islice(file, _SAMPLE_LINES))
    if "".join(lines).lstrip().startswith(("{", "[")):
        return json_table(path, options.encoding)
    if options.columns is None and options.delimiter is None:
        if lists_users(lines):
            return listed_users(path, options.encoding)
        if kind := lists_items(lines):
            return listed_items(path, options.encoding, counted=kind == "counts")
    return TextFile(path, options, lines)
