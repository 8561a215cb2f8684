"""Everybody's list, in a file or a table of a database; resumable, one block in memory at a time.

Blocks of people become parts in a hidden folder beside the output. The output is put together from
them at the end and appears at once; a run that was killed goes on after the last part.
"""

import contextlib
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from recsys_lib import artifacts
from recsys_lib._system import move
from recsys_lib.bundle import Bundle
from recsys_lib.errors import ArtifactError, ConfigError, DataError
from recsys_lib.naming import find_ids, first_line
from recsys_lib.progress import track
from recsys_lib.sources import sql

__all__ = ["score_partition", "write_lists"]

# People in one part: some MB with lists of 100.
_PART = 2_048


def score_partition(
    frame: pd.DataFrame, bundle: Bundle | Path | str, *, k: int = 10, **rules: Any
) -> pd.DataFrame:
    """Return the lists of the people in one partition of a distributed table.

    Parameters
    ----------
    frame : DataFrame
        Column ``user_id``; other columns are ignored.
    bundle : Bundle, Path or str
        A folder is read once a process; workers need it at the same path.
    k : int
        Length of a list, >= 1.
    **rules
        As of `Bundle.recommend`.

    Returns
    -------
    DataFrame
        ``user_id, rank, item_id, title, probability, rung, score``: one row for each item listed,
        people in the order of `frame`. Equal to `Bundle.recommend` for each.

    Raises
    ------
    DataError
        If a user, a column of the catalog or a value is unknown.

    Examples
    --------
    With Dask: ``people.map_partitions(score_partition, "runs/default/artifacts/bundle", k=100)``.
    With Spark: ``people.mapInPandas(lambda parts: (score_partition(part, folder) for part in
    parts), schema)``.

    >>> from recsys_lib import Dataset, Popularity
    >>> table = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "x"]})
    >>> data = Dataset.from_frame(table, value=None)
    >>> bundle = Bundle(model=Popularity().fit(data.user_items), dataset=data)
    >>> score_partition(pd.DataFrame({"user_id": ["bob"]}), bundle)[["user_id", "item_id"]]
      user_id item_id
    0     bob       y
    """
    bundle = bundle if isinstance(bundle, Bundle) else _loaded(str(bundle))
    return bundle.recommend_many(frame["user_id"], k=k, **rules).reset_index(drop=True)


_loaded = lru_cache(maxsize=2)(Bundle.load)


def read_ids(path: Path | str) -> list[str]:
    """Return the ids in a file: one a line, below the word ``user_id`` or nothing.

    Raises
    ------
    DataError
        If the file cannot be read or holds none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} must be a list of user ids; {first_line(error)}. Give one id a line."
        ) from error
    ids = [line.strip() for line in lines if line.strip()]
    ids = ids[1:] if ids[:1] == ["user_id"] else ids
    if not ids:
        raise DataError(f"{path} must name a user; it is empty. Give one id a line.")
    return ids


def write_lists(
    bundle: Path | str,
    output: Path | str,
    *,
    users: Iterable[Any] | None = None,
    k: int = 100,
    table: str | None = None,
    part: int = _PART,
    **rules: Any,
) -> int:
    """Write the lists of everybody, or of some users.

    Parameters
    ----------
    bundle : Path or str
        The folder of a bundle.
    output : Path or str
        A file ``.parquet`` or ``.csv``, or the URL of a database (DuckDB, SQLite, PostgreSQL),
        whose file need not exist.
    users : iterable of ids, optional
        Each is answered once; by default everybody in the dataset.
    k : int
        Length of a list, >= 1.
    table : str, optional
        Of the database.
    part : int
        People in one part; bounds the memory.
    **rules
        As of `Bundle.recommend`.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    DataError
        If a user, a column or a value is unknown; nothing is written then. If a database cannot be
        reached, or refuses the rows.
    ArtifactError
        If something else is in the place of the output, another process is writing it, or it
        cannot be written.
    ConfigError
        If the output is of no known kind.

    Notes
    -----
    The rows are those of `score_partition`. The same call goes on where a killed one stopped; with
    another bundle, users or rules it begins anew. Lists written before are replaced at the end.
    """
    target = _target(output, table)
    loaded = Bundle.load(bundle)
    ids = loaded.dataset.user_ids
    if users is not None:
        ids = ids.take(pd.unique(find_ids(ids, users, "user")))
    made_of = artifacts.fingerprint(Path(bundle) / "manifest.json")
    record = {"bundle": made_of, "k": k, "part": part, "output": target.name}
    record |= {"users": artifacts.digest_of(ids.tolist()), "rules": repr(sorted(rules.items()))}
    loaded.recommend_many(ids[:1], k=k, **rules)  # wrong rules leave nothing behind
    target.check()
    writable = f"The folder of {target.name} must be one that can be written"
    only = f"Only one process may write {target.name}"
    said = {"writable": writable, "alone": only, "remedy": "choose another output"}
    with artifacts.alone_in(target.folder, **said):
        parts = _Parts(target.folder, record)
        with track("lists", len(ids), "people") as task:
            for number, start in enumerate(range(0, max(len(ids), 1), part)):
                some = pd.DataFrame({"user_id": ids[start : start + part]})
                file = target.folder / f"{number:08d}.parquet"
                if not file.exists():
                    artifacts.write_table(file, score_partition(some, loaded, k=k, **rules))
                task.step(done=start + len(some))
        target.write(parts)
        parts.remove()
    (target.folder / artifacts.LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of others is in it
        target.folder.rmdir()
    return parts.rows


class _Parts:
    """The parts of an output, as many as are written, and their rows, as many as are read."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder, self.rows, facts = folder, 0, folder / "lists.json"
        if not (facts.exists() and artifacts.read_json(facts) == record):
            self.remove()
            artifacts.write_json(facts, record)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for file in sorted(self.folder.glob("[0-9]*.parquet")):
            frame = artifacts.read_table(file)
            self.rows += len(frame)
            yield frame

    def remove(self) -> None:
        """Remove what was written here."""
        ours = ("[0-9]*.parquet", "joined.*", ".*.part*", "lists.json")  # what they are, last
        for file in [one for pattern in ours for one in self.folder.glob(pattern)]:
            file.unlink(missing_ok=True)


class _File:
    """A Parquet or CSV file, known as ours by the note beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.folder = path.with_name(f".{path.name}.parts")
        self._note = path.with_name(f".{path.name}.json")

    def check(self) -> None:
        artifacts.check_replaceable(self.path, ours=self._is_ours)

    def _is_ours(self, path: Path) -> bool:
        # The name of a new file is noted before it takes its place, beside that of the old one.
        return artifacts.fingerprint(path) in artifacts.read_json(self._note)["lists"]

    def write(self, parts: _Parts) -> None:
        file = parts.folder / f"joined{self.path.suffix}"
        with artifacts.write_atomic(file) as part:
            (_joined_parquet if file.suffix == ".parquet" else _csv)(parts, part)
        self.check()
        before = [artifacts.fingerprint(self.path)] if self.path.exists() else []
        artifacts.write_json(self._note, {"lists": [artifacts.fingerprint(file), *before]})
        move(file, self.path)


def _joined_parquet(parts: Iterable[pd.DataFrame], file: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    frames = iter(parts)
    first = next(frames)
    schema = pa.Schema.from_pandas(first, preserve_index=False).remove_metadata()
    with file.open("wb") as handle, parquet.ParquetWriter(handle, schema) as writer:
        for frame in chain([first], frames):
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def _csv(parts: Iterable[pd.DataFrame], file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as handle:
        for number, frame in enumerate(parts):
            frame.to_csv(handle, index=False, header=number == 0)


class _Table:
    """A table of a database; it is filled under another name and renamed at the end."""

    def __init__(self, url: str, table: str | None) -> None:
        if not table or not table.replace("_", "").isalnum():
            raise ConfigError(
                f"A database needs the name of a table, of letters and digits; got {table!r}. Give "
                "--table lists; a schema of PostgreSQL ends the URL: postgresql://host/db/schema."
            )
        parts = sql.split_url(url)
        self.name, self._url, self._table = f"{sql.shown_url(parts)} {table}", url, table
        is_file = parts.scheme in ("duckdb", "sqlite")
        place = sql.file_to_write(parts).resolve() if is_file else Path()
        # One folder, however the file is called.
        known = artifacts.digest_of([place.as_posix(), table] if is_file else self.name, 12)
        self.folder = place.parent / f".{table}-{known}.parts"

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        with sql.asking(f"{self.name} must be writable", "Mend that; the same command goes on."):
            connection = sql.connect_for_writing(self._url)
            try:
                yield connection
            finally:
                connection.disconnect()

    def check(self) -> None:
        columns = _COLUMNS
        with self._connected() as connection:
            if self._table in connection.list_tables():
                columns = list(connection.table(self._table).columns)
            kind = _KINDS.get(connection.name, _KIND).format(self._table)
            is_view = "view" in str(connection.raw_sql(kind).fetchone()).lower()
        if is_view or columns != _COLUMNS:
            found = "is a view" if is_view else f"has the columns {columns}"
            raise ArtifactError(
                f"Table {self._table!r} must be new, or hold lists; it {found}. "
                "Choose another name with --table."
            )

    def write(self, parts: _Parts) -> None:
        from ibis import memtable

        filling = f"{self._table}_recsys_filling"
        with self._connected() as connection:
            appending = {"postgres": partial(_copy, connection)}
            append = appending.get(connection.name, connection.insert)
            self._claim(connection, filling)
            connection.drop_table(filling, force=True)
            for number, frame in enumerate(parts):
                if number == 0:
                    connection.create_table(filling, schema=memtable(frame).schema())
                append(filling, frame)
            self.check()
            for statement in ("BEGIN", *self._replacing(connection, filling), "COMMIT"):
                connection.raw_sql(statement)

    def _claim(self, connection: Any, filling: str) -> None:
        """Fill a table alone, also among those of other folders and machines."""
        if connection.name == "postgres":  # which lets go of it with the connection
            key = f"hashtext(current_schema() || '.{filling}')"
            if not connection.raw_sql(f"SELECT pg_try_advisory_lock({key})").fetchone()[0]:
                raise artifacts.BusyError(
                    f"Only one process may write {self.name} at a time; another is. Wait for it."
                )

    def _replacing(self, connection: Any, filling: str) -> list[str]:
        """Return what puts the new rows into the place of the old ones."""
        if self._table not in connection.list_tables():
            return [f'ALTER TABLE "{filling}" RENAME TO "{self._table}"']
        # The table stays itself, with who may read it, its indexes and views on it.
        return [
            f'DELETE FROM "{self._table}"',
            f'INSERT INTO "{self._table}" SELECT * FROM "{filling}"',
            f'DROP TABLE "{filling}"',
        ]


def _copy(connection: Any, table: str, frame: pd.DataFrame) -> None:
    """Append to a table of PostgreSQL in one stream; Ibis would send a statement for each row."""
    rows = frame.astype(object).where(frame.notna(), None)
    with connection.con.cursor() as cursor, cursor.copy(f'COPY "{table}" FROM STDIN') as copy:
        for row in rows.itertuples(index=False, name=None):
            copy.write_row(row)


_KIND = (
    "SELECT table_type FROM information_schema.tables "
    "WHERE table_schema = current_schema() AND table_name = '{}'"
)
_KINDS = {"sqlite": "SELECT type FROM sqlite_master WHERE name = '{}'"}
_COLUMNS = ["user_id", "rank", "item_id", "title", "probability", "rung", "score"]


def _target(output: Path | str, table: str | None) -> _File | _Table:
    if "://" in str(output) and (table or not str(output).endswith((".parquet", ".csv"))):
        return _Table(str(output), table)
    if table:
        raise ConfigError(
            f"A table must be one of a database; the output {str(output)!r} is a file. Leave it "
            "out, or give the URL of a database, such as duckdb:///lists.db."
        )
    path = Path(output)
    if path.suffix not in (".parquet", ".csv") or "://" in str(output):
        raise ConfigError(
            "The output must be a path that ends in .parquet or .csv, or the URL of a database; "
            f"got {str(output)!r}. Try lists.parquet."
        )
    return _File(path)
