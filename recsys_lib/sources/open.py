"""Open any source: a DataFrame, files in any format, a folder, a glob, or a database."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from recsys_lib.artifacts import read_manifest
from recsys_lib.cleaning import as_frame
from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources.containers import binary_format, file_suffix, first_lines, unreadable
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

_PARQUET = (".parquet", ".pq", ".parq")
_JSON = (".jsonl", ".ndjson", ".json")
_TEXT = (".csv", ".tsv", ".txt", ".tab", ".dat", ".data", ".inter", ".item", ".user", ".psv")
_OTHER = (".xlsx", ".xls", ".pkl", ".pickle", ".feather", ".h5", ".npz")
_SAMPLE_LINES = 20


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
        if path.is_dir():
            next(path.iterdir(), None)  # says now that the folder may not be read
            return _open_folder(path, options)
        if path.is_file():
            return _open_file(path, options)
    except OSError as error:
        raise unreadable(str(path), error) from error
    if any(sign in str(source) for sign in "*?["):
        base = Path(path.anchor)
        found = sorted(base.glob(str(path.relative_to(base))))
        return _open_files([path for path in found if path.is_file()], str(path), options)
    raise DataError(
        f"A file, folder or glob must be there; nothing is at '{path}'. "
        f"Check the path; it is taken from the working folder '{Path.cwd()}'."
    )


def _open_file(path: Path, options: ReadOptions) -> Table:
    """Open one file by what it holds, and by its suffix where that cannot be told."""
    suffix = file_suffix(path)
    found = "Parquet" if suffix in _PARQUET else binary_format(path)
    if found == "Parquet" and suffix == path.suffix.lower():
        return ParquetTable([path], path.name)
    if found or suffix in _OTHER:
        what = f"it holds {found}" if found else f"its suffix is '{suffix}'"
        raise DataError(
            f"'{path.name}' must be CSV, TSV, JSON lines (.jsonl) or Parquet; {what}. Read it with "
            "pandas and give the DataFrame, or convert it to CSV."
        )
    encoding = options.encoding or "utf-8-sig"
    lines = first_lines(path, encoding, _SAMPLE_LINES)
    if suffix in _JSON or _is_object(lines):
        return json_table(path, encoding)
    if _text_is_recognized(options) and (kind := lists_items(lines)):
        return listed_items(path, encoding, counted=kind == "counts")
    return listed_users(path, encoding) if lists_users(lines) else TextFile(path, options)


def _is_object(lines: list[str]) -> bool:
    """Say whether the first line is a JSON object, whatever the file is called."""
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads((lines or [""])[0]), dict)
    return False


def _text_is_recognized(options: ReadOptions) -> bool:
    """Say whether nothing is given of how text is written, but for its encoding."""
    plain = replace(options, delimiter=None, decimal=".", quoting=None, escape=None)
    return options == replace(plain, columns=None, date_format=None)


def _open_folder(path: Path, options: ReadOptions) -> Table:
    """Open a folder: a snapshot, Parquet where it holds any, else its text files."""
    if (path / "manifest.json").is_file():
        read_manifest(path, kind="snapshot")
        return ParquetTable([path / "interactions.parquet"], path.name)
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file, path)]
    texts = [file for file in files if file_suffix(file) in (*_JSON, *_TEXT)]
    parquet = [file for file in files if _is_parquet(file)]
    if not parquet:
        return _open_files(texts, str(path), options)
    strange = [one.name for one in texts if one not in parquet and file_suffix(one) != ".txt"]
    if strange:
        raise DataError(
            f"'{path}' must hold Parquet files or text files; it holds both, such as "
            f"{strange[0]}. Name a file, or give a glob such as '{path / '*.parquet'}'."
        )
    return ParquetTable(parquet, path.name)


def _is_parquet(file: Path) -> bool:
    """Say whether a file is Parquet by its suffix, or by its bytes, as Hive names no suffix."""
    with suppress(DataError):  # a stranger in the folder
        return file_suffix(file) in _PARQUET or binary_format(file) == "Parquet"
    return False


def _hidden(file: Path, folder: Path) -> bool:
    """Say whether a file is a marker such as ``_SUCCESS`` or ``.part.crc``."""
    return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)


def _open_files(files: list[Path], name: str, options: ReadOptions) -> Table:
    if not files:
        raise DataError(
            f"`source` must hold CSV, TSV, JSON-lines or Parquet files; none is in '{name}'. "
            "Check the path and the suffixes."
        )
    if all(file_suffix(file) in _PARQUET for file in files):
        return ParquetTable(files, name)
    tables = [_open_file(file, options) for file in files]
    return tables[0] if len(tables) == 1 else StackedTable(tables, name)
