"""Snapshots: interactions of a source, written once, to be read offline later."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
from pyarrow import acero, dataset

from recsys_lib.artifacts import atomic_folder, fingerprint, write_manifest
from recsys_lib.errors import DataError
from recsys_lib.sources.columns import find_roles
from recsys_lib.sources.open import Source, open_source
from recsys_lib.sources.options import options_of, takes_options
from recsys_lib.sources.read import read_table, reduce_table
from recsys_lib.sources.sql import EngineTable

_FILE = "interactions.parquet"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Facts about a snapshot.

    Attributes
    ----------
    rows, users, items : int
    first, last : str or None
        Earliest and latest time, ISO 8601 in UTC; None without times.
    sha256 : str
        Fingerprint of the Parquet file.
    source : str
        What was read, without secrets.
    query : str
        The SQL that made the rows, before a k-core; empty for files read as they are.
    engine : str
        The backend that ran it, or ``"pandas"``.
    """

    rows: int
    users: int
    items: int
    first: str | None
    last: str | None
    sha256: str
    source: str
    query: str
    engine: str


@takes_options("user item value timestamp rating_scale table query reduce memory threads")
def snapshot(source: Source, folder: Path | str, **options: Any) -> Snapshot:
    """Write the interactions of a source to a folder that `read_interactions` reads offline.

    Parameters
    ----------
    source : DataFrame, str or Path
        See `read_interactions`.
    folder : Path or str
        The folder to write: ``interactions.parquet``, sorted by user and item, and a manifest. An
        artifact already there is replaced; anything else is refused.
    **options
        See `read_interactions`; `memory` and `threads` are those of the embedded DuckDB, such as
        ``memory="2GB"``: beyond that it spills to disk.

    Returns
    -------
    Snapshot

    Raises
    ------
    DataError
        As for `read_interactions`; rows that leave an engine are counted, not numbered.

    Notes
    -----
    With `reduce`, rows never pass through Python: DuckDB writes the file itself, other engines in
    batches. A hundred million events of nearly as many pairs took 87 s of one core and 1.4 GB
    with ``memory="1GB"``.

    Examples
    --------
    >>> import tempfile
    >>> from recsys_lib.sources import read_interactions
    >>> frame = pd.DataFrame({"user": ["ann", "bob"], "item": ["x", "y"], "rating": [4, 5]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     facts = snapshot(frame, f"{folder}/ratings")
    ...     again = read_interactions(f"{folder}/ratings")
    >>> facts.rows, facts.users, facts.engine, len(again)
    (2, 2, 'pandas', 2)
    """
    asked = options_of(snapshot, options)
    opened = open_source(source, asked)
    with atomic_folder(folder) as part:
        file = part / _FILE
        if asked.reduce is None:
            frame = read_table(opened, asked)
            frame.sort_values(["user_id", "item_id"], kind="stable").to_parquet(file, index=False)
            engine, sql = "pandas", ""
            if isinstance(opened, EngineTable):
                engine, sql = opened.engine, opened.select_sql(find_roles(opened, asked), None)
        else:
            table, pairs = reduce_table(opened, asked)
            table.write(pairs.order_by(["user_id", "item_id"]), file)
            engine, sql = table.engine, table.statement
        found = Snapshot(
            **_describe(file, opened.name, asked.rating_scale),
            sha256=fingerprint(file),
            source=opened.name,
            query=sql,
            engine=engine,
        )
        rule = None if asked.reduce is None else asdict(asked.reduce)
        write_manifest(part, kind="snapshot", **asdict(found), reduce=rule)
    return found


def _describe(file: Path, source: str, scale: tuple[float, float] | None) -> dict[str, Any]:
    """Count what was written, without holding it; refuse rows that are not interactions."""
    rows = dataset.dataset(file)
    names = rows.schema.names
    if rows.count_rows() == 0:
        raise DataError(f"{source} must yield at least one row; it has none. Check the rule.")
    _refuse_defects(rows, source, scale)
    wanted: list[Any] = [
        ([], "count_all", None, "rows"),
        ("user_id", "count_distinct", None, "users"),
        ("item_id", "count_distinct", None, "items"),
    ]
    if "timestamp" in names:
        wanted += [("timestamp", "min", None, "first"), ("timestamp", "max", None, "last")]
    scan = acero.Declaration("scan", acero.ScanNodeOptions(rows))
    count = acero.Declaration("aggregate", acero.AggregateNodeOptions(wanted), [scan])
    found: dict[str, Any] = count.to_table(use_threads=False).to_pylist()[0]
    ends = {name: found.get(name) for name in ("first", "last")}
    return found | {name: None if end is None else _iso(end) for name, end in ends.items()}


def _refuse_defects(rows: Any, source: str, scale: tuple[float, float] | None) -> None:
    rules = {
        ("user_id", "hold an id in each row"): pc.field("user_id").is_null(),
        ("item_id", "hold an id in each row"): pc.field("item_id").is_null(),
        ("timestamp", "hold a time in each row"): pc.field("timestamp").is_null(),
        ("value", "hold finite numbers"): pc.field("value").is_null()
        | ~pc.is_finite(pc.field("value")),
    }
    if scale is not None:
        outside = (pc.field("value") < scale[0]) | (pc.field("value") > scale[1])
        rules["value", f"lie in {scale[0]:g} to {scale[1]:g}"] = outside
    for (column, must), broken in rules.items():
        count = rows.count_rows(filter=broken) if column in rows.schema.names else 0
        if count:
            raise DataError(
                f"Column {column!r} of the rows from {source} must {must}; {count:,} rows do not. "
                "Leave them out with `where`, or correct them."
            )


def _iso(moment: Any) -> str:
    if isinstance(moment, (int, float)):
        return str(moment)
    return str(pd.to_datetime(moment, utc=True).isoformat())
