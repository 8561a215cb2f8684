"""The SQL for engines that no test can start. It was not run against a live cluster."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from recsys_lib.errors import ConfigError
from recsys_lib.sources import Reduction, read_interactions, show_sql

ibis = pytest.importorskip("ibis", reason="the extra [sql] is not installed")

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
        ("trino", 'FROM "hive"."lake"."events" WHERE day >= CAST(\'2024-01-01\' AS DATE)'),
        ("impala", "FROM `hive`.`lake`.`events` WHERE day >= CAST('2024-01-01' AS DATE)"),
    ],
)
def test_the_partition_predicate_stands_in_the_innermost_select(engine: str, said: str) -> None:
    rule = Reduction(weights={"view": 1.0}, where="day >= DATE '2024-01-01'")
    columns = {"user_id": "u", "item_id": "i", "event": "kind"}
    shown = " ".join(show_sql(rule, engine, "hive.lake.events", columns).split())
    assert shown.count("FROM") == 3
    assert said in shown


def test_what_is_shown_is_what_is_run(events: pd.DataFrame, rule: Reduction) -> None:
    duckdb = pytest.importorskip("duckdb")
    whole = dataclasses.replace(rule, min_user_items=1, min_item_users=1, now=events["time"].max())
    columns = {"user_id": "user", "item_id": "item", "event": "event", "dwell": "dwell"}
    statement = show_sql(whole, "duckdb", "events", columns | {"timestamp": "time"})
    with duckdb.connect() as connection:
        shown = connection.execute(statement.replace('"events"', "events")).df()
    run = read_interactions(events, reduce=whole)
    pairs = ["user_id", "item_id"]
    shown = shown.sort_values(pairs, ignore_index=True)
    assert shown[pairs].to_numpy().tolist() == run[pairs].to_numpy().tolist()
    np.testing.assert_allclose(shown["value"], run["value"], rtol=1e-9)


def test_what_cannot_be_shown_says_what_is_missing() -> None:
    columns = {"user_id": "u", "item_id": "i"}
    with pytest.raises(ConfigError, match="must name those of event, item_id, user_id"):
        show_sql(Reduction(weights={"view": 1.0}), "postgres", "events", columns)
    with pytest.raises(ConfigError, match="must say `now` to be shown"):
        show_sql(Reduction(half_life=9), "postgres", "events", columns | {"timestamp": "t"})
