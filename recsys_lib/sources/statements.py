"""The SQL sent to engines: the innermost SELECT, and the whole statement for reading."""

from collections.abc import Mapping
from typing import Any

from recsys_lib.checks import check_choice
from recsys_lib.errors import ConfigError
from recsys_lib.sources.reduction import Reduction

__all__ = ["dialect_of", "select_sql", "show_sql"]

_ENGINES = ("duckdb", "postgres", "trino", "impala")
_TYPES = {
    "user_id": "string",
    "item_id": "string",
    "value": "float64",
    "event": "string",
    "dwell": "float64",
    "timestamp": "timestamp",
}


def dialect_of(engine: str) -> str:
    """Return what sqlglot calls the SQL of a backend."""
    return {"impala": "hive", "pyspark": "spark"}.get(engine, engine)


def select_sql(
    engine: str,
    roles: Mapping[str, str],
    where: str | None,
    *,
    table: str | None = None,
    query: str | None = None,
) -> str:
    """Return the innermost SELECT: the columns with a role, and the predicate.

    Parameters
    ----------
    engine : str
        Name of the backend, such as ``"duckdb"``.
    roles : mapping of str to str
        Role to column.
    where : str or None
        A predicate in the engine's SQL.
    table, query : str, optional
        One of them.

    Examples
    --------
    >>> select_sql("postgres", {"user_id": "login"}, "n > 3", table="shop.sales")
    'SELECT "login" AS "user_id" FROM "shop"."sales" WHERE n > 3'
    """
    import sqlglot
    from sqlglot import exp

    dialect = dialect_of(engine)
    if table is not None:
        origin: Any = exp.to_table(table, dialect=dialect)
        for part in origin.parts:
            part.set("quoted", True)
    else:
        origin = exp.Subquery(
            this=sqlglot.parse_one(str(query), read=dialect),
            alias=exp.TableAlias(this=exp.to_identifier("source")),
        )
    named = [
        exp.alias_(exp.column(column, quoted=True), role, quoted=True)
        for role, column in roles.items()
    ]
    select = sqlglot.select(*named).from_(origin)
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

    check_choice("engine", engine, _ENGINES)
    _check_roles(reduce, columns)
    events = ibis.table({role: _TYPES[role] for role in columns}, name="\0events")
    dialect = dialect_of(engine)
    tree = sqlglot.parse_one(
        str(ibis.to_sql(reduce.pairs(events, engine), dialect=engine)), read=dialect
    )
    inner = select_sql(engine, columns, reduce.where, table=table)
    for leaf in list(tree.find_all(exp.Table)):
        alias = exp.TableAlias(this=exp.to_identifier(leaf.alias, quoted=True))
        leaf.replace(exp.Subquery(this=sqlglot.parse_one(inner, read=dialect), alias=alias))
    return str(tree.sql(dialect=dialect, pretty=True))


def _check_roles(reduce: Reduction, columns: Mapping[str, str]) -> None:
    needed = {"user_id", "item_id"}
    needed |= {"event"} if reduce.weights is not None else set()
    needed |= {"dwell"} if reduce.dwell_cap is not None else set()
    timed = reduce.half_life is not None or reduce.combine == "last"
    needed |= {"timestamp"} if timed else set()
    if not needed <= columns.keys() <= _TYPES.keys():
        raise ConfigError(
            f"`columns` must name those of {', '.join(sorted(needed))}, and may name others of "
            f"{', '.join(_TYPES)}; got {', '.join(columns)}. Say which column is what."
        )
    if reduce.half_life is not None and reduce.now is None:
        raise ConfigError(
            "A rule with a half-life must say `now` to be shown; it would ask the engine for the "
            'latest time first. Give now="2024-12-31".'
        )
