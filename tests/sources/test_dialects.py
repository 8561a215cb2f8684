"""The SQL for engines that no test can start. It was not run against a live cluster."""

from types import SimpleNamespace
from typing import Any

import pytest

from recsys_lib.sources import Reduction

ibis = pytest.importorskip("ibis", reason="the extra [sql] is not installed")

from recsys_lib.sources.engines import EngineTable  # noqa: E402

RULE = Reduction(
    weights={"view": 1.0, "complete": 4.0},
    dwell_cap=120,
    half_life=30,
    now="2024-06-01",
    sample=0.5,
)
SCHEMA = {
    "user_id": "string",
    "item_id": "int64",
    "event": "string",
    "dwell": "float64",
    "timestamp": "timestamp",
}


def compiled(dialect: str) -> str:
    events = ibis.table(SCHEMA, name="events")
    pairs = RULE.core(RULE.pairs(events, dialect))
    return " ".join(str(ibis.to_sql(pairs, dialect=dialect)).split())


@pytest.mark.parametrize(
    ("dialect", "hashed"),
    [
        ("duckdb", "MD5('0:' || "),
        ("postgres", "MD5('0:' || "),
        ("trino", "LOWER(TO_HEX(MD5(TO_UTF8("),
        ("impala", "FNV_HASH("),
    ],
)
def test_the_reduction_is_said_in_every_dialect(dialect: str, hashed: str) -> None:
    said = compiled(dialect)
    assert hashed in said
    assert "CASE WHEN" in said
    assert "EXP(" in said
    assert "MAX(" in said
    assert "GROUP BY 1, 2" in said


def test_the_core_joins_counts_and_sorts_nothing() -> None:
    pairs = ibis.table({"user_id": "string", "item_id": "int64", "value": "float64"}, name="pairs")
    rule = Reduction(min_user_items=5, min_item_users=3)
    said = " ".join(str(ibis.to_sql(rule.core(pairs), dialect="trino")).split())
    assert said.count("INNER JOIN") == 3  # the first round of users is part of the count of items
    assert "OVER" not in said
    assert ">= 5" in said
    assert ">= 3" in said


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (
            "trino",
            'SELECT "u" AS "user_id", "i" AS "item_id" FROM "hive"."lake"."events" '
            "WHERE day >= CAST('2024-01-01' AS DATE)",
        ),
        (
            "impala",
            "SELECT `u` AS `user_id`, `i` AS `item_id` FROM `hive`.`lake`.`events` "
            "WHERE day >= CAST('2024-01-01' AS DATE)",
        ),
    ],
)
def test_the_partition_predicate_stands_in_the_innermost_select(engine: str, said: str) -> None:
    table: Any = object.__new__(EngineTable)  # without a connection there is no schema to ask for
    table.connection, table.engine = SimpleNamespace(), engine
    table.table, table.query = "hive.lake.events", None
    found = table.select_sql({"user_id": "u", "item_id": "i"}, "day >= DATE '2024-01-01'")
    assert found == said
