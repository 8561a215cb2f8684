"""Write a world as data comes in practice: a flawed text file, a database, a click log."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recsys_lib.artifacts import check_replaceable
from recsys_lib.checks import check_integer
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.world import World

_LEAST = 20


def write_files(world: World, folder: Path | str, *, seed: int = 0) -> pd.DataFrame:
    """Write a world as four typical data sources.

    Parameters
    ----------
    world : World
        With at least 20 ratings.
    folder : Path or str
        An existing folder that holds none of these files yet.
    seed : int
        Of the rows that are spoiled.

    Returns
    -------
    DataFrame
        What was written: ``file``, ``table``, ``rows``.

    Raises
    ------
    ArtifactError
        If one of the files is already there.

    Notes
    -----
    ``ratings.csv`` has ``login, lab, stars, ts``; ``dirty.csv`` is the same with one row each of
    what goes wrong: a word for a number, a rating off the scale, none at all, nobody, a pair twice,
    a login in capitals, a date that does not exist, a time with its zone. ``labs.duckdb``, where
    DuckDB is installed, has the tables ``ratings``, ``labs`` and ``people``. ``events`` holds the
    clickstream as a Hive-metastore lake does, one folder ``month=...`` for each month.

    Examples
    --------
    >>> import tempfile
    >>> from recsys_lib.synthesis import make_world
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_files(make_world(n_users=50, n_items=20), folder)
    >>> written["file"].tolist()
    ['ratings.csv', 'dirty.csv', 'labs.duckdb', 'labs.duckdb', 'labs.duckdb', 'events']
    """
    folder = Path(folder)
    names = {"user_id": "login", "item_id": "lab", "value": "stars", "timestamp": "ts"}
    ratings = world.ratings.rename(columns=names)
    check_integer("world.ratings", len(ratings), minimum=_LEAST)
    for name in ("ratings.csv", "dirty.csv", "labs.duckdb", "events"):
        check_replaceable(folder / name)
    dirty = _spoiled(ratings, seed)
    ratings.to_csv(folder / "ratings.csv", index=False)
    dirty.to_csv(folder / "dirty.csv", index=False)
    events = world.events
    month = events["timestamp"].dt.strftime("%Y-%m")
    events.assign(month=month).to_parquet(folder / "events", partition_cols=["month"])
    data = world.dataset("ratings")
    assert data.items is not None
    assert data.users is not None
    tables = {"ratings": ratings, "labs": data.items, "people": data.users}
    written = [("ratings.csv", "", len(ratings)), ("dirty.csv", "", len(dirty))]
    written += _write_database(folder / "labs.duckdb", tables)
    written.append(("events", "", len(events)))
    return pd.DataFrame(written, columns=["file", "table", "rows"])


def _spoiled(ratings: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the table as text, with one row for each common defect."""
    rows = rng_from(seed, "synthesis", "spoiled").permutation(len(ratings))[:7]
    dirty = ratings.astype({"login": str, "lab": str, "stars": str})
    dirty["ts"] = ratings["ts"].dt.strftime("%Y-%m-%d %H:%M:%S")
    changes: list[tuple[str, Any]] = [
        ("stars", "good"),
        ("stars", "77"),
        ("stars", None),
        ("login", None),
        ("login", dirty["login"].iloc[rows[4]].upper()),
        ("ts", "2020-13-45 10:00:00"),
        ("ts", f"{ratings['ts'].iloc[rows[6]].isoformat()[:19]}+02:00"),
    ]
    for row, (column, value) in zip(rows, changes, strict=True):
        dirty.iloc[row, dirty.columns.get_loc(column)] = value
    return pd.concat([dirty, dirty.iloc[[rows[6]]]], ignore_index=True)


def _write_database(file: Path, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, int]]:
    """Write the tables into a DuckDB file; return what was written (nothing without DuckDB)."""
    try:
        import duckdb
    except ImportError:
        return []
    import pyarrow as pa

    with duckdb.connect(str(file)) as database:
        for name, table in tables.items():
            plain = table.reset_index() if table.index.name else table
            database.register("source", pa.Table.from_pandas(plain, preserve_index=False))
            database.execute(f"CREATE TABLE {name} AS SELECT * FROM source")
            database.unregister("source")
    return [(file.name, name, len(table)) for name, table in tables.items()]
