"""Events made interactions by an engine, against loops over the events."""

import math
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources import Reduction, load_dataset, read_interactions
from recsys_lib.sources.sql import find_password

pytest.importorskip("ibis", reason="the extra [sql] is not installed")


@pytest.fixture(params=["frame", "csv", "parquet", "hive", "duckdb", "sqlite"])
def source(request: pytest.FixtureRequest, tmp_path: Path, events: pd.DataFrame) -> dict[str, Any]:
    """The same events behind every embedded engine."""
    if request.param == "csv":
        events.to_csv(tmp_path / "events.csv", index=False)
        return {"source": tmp_path / "events.csv"}
    if request.param == "parquet":
        events.to_parquet(tmp_path / "events.parquet")
        return {"source": tmp_path / "events.parquet"}
    if request.param == "hive":
        events.to_parquet(tmp_path / "lake", partition_cols=["day"])
        return {"source": tmp_path / "lake"}
    if request.param == "duckdb":
        import duckdb

        with duckdb.connect(str(tmp_path / "events.duckdb")) as connection:
            connection.register("frame", events)
            connection.execute("CREATE SCHEMA lake; CREATE TABLE lake.events AS FROM frame")
        return {"source": f"duckdb://{tmp_path}/events.duckdb", "table": "lake.events"}
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
            events.to_sql("events", shop, index=False)
        return {"source": f"sqlite://{tmp_path}/shop.db", "table": "events"}
    return {"source": events}


def test_every_embedded_engine_reduces_as_the_definition_says(
    source: dict[str, Any],
    events: pd.DataFrame,
    rule: Reduction,
    wanted: dict[tuple[str, int], float],
) -> None:
    found = read_interactions(**source, reduce=rule)
    assert len(wanted) > 30
    table = found[["user_id", "item_id", "value"]].itertuples(index=False)
    values = {(user, int(item)): value for user, item, value in table}
    assert values.keys() == wanted.keys()
    for pair, value in wanted.items():
        assert values[pair] == pytest.approx(value, rel=1e-9)
    assert found["timestamp"].max() <= events["time"].max().tz_localize("UTC")


@pytest.mark.parametrize("length", [8, pytest.param(205, marks=pytest.mark.slow)])
def test_the_core_is_a_fixed_point_after_however_many_rounds(length: int) -> None:
    chain = pd.DataFrame(
        # A chain unravels from its ends: one round would leave most of it.
        [(f"u{n}", f"i{n + step}") for n in range(length) for step in (0, 1)],
        columns=["user", "item"],
    )
    block = pd.DataFrame(
        [(f"v{n}", f"j{m}") for n in range(2) for m in range(2)], columns=["user", "item"]
    )
    rule = Reduction(min_user_items=2, min_item_users=2)
    left = read_interactions(pd.concat([chain, block], ignore_index=True), reduce=rule)
    assert set(left["user_id"]) == {"v0", "v1"}


@pytest.mark.parametrize(
    ("combine", "value"), [("sum", 9.0), ("max", 5.0), ("mean", 3.0), ("last", 1.0)]
)
def test_values_of_a_pair_combine_as_asked(combine: Any, value: float) -> None:
    frame = pd.DataFrame(
        {"user": ["a"] * 3, "item": ["x"] * 3, "rating": [5, 3, 1], "time": [10, 20, 30]}
    )
    found = read_interactions(frame, reduce=Reduction(combine=combine))
    assert found["value"].tolist() == [value]
    assert found["timestamp"].dt.second.tolist() == [30]


def test_the_same_users_are_sampled_whatever_else_is_read(events: pd.DataFrame) -> None:
    rule = Reduction(sample=0.3, seed=1)
    all_users = set(events["user"])
    some = set(read_interactions(events, reduce=rule)["user_id"])
    rest = set(read_interactions(events[300:], reduce=rule)["user_id"])
    assert rest == some & set(events["user"][300:])
    other = set(read_interactions(events, reduce=Reduction(sample=0.3, seed=2))["user_id"])
    assert 0 < len(some) < len(all_users)
    assert some != other


def test_age_is_reckoned_from_the_latest_event_or_from_now() -> None:
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "time": ["2024-01-01"]})
    latest = read_interactions(frame, reduce=Reduction(half_life=10))
    assert latest["value"].tolist() == [1.0]
    later = read_interactions(frame, reduce=Reduction(half_life=10, now="2024-01-21"))
    assert later["value"].tolist() == pytest.approx([0.25])
    assert math.isclose(later["value"].iloc[0], 0.25, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Reduction(weights={"view": 1.0}, event="kind"), "column 'kind' that `event` names"),
        (Reduction(where="nothing > 3"), "must answer; .*nothing"),
        (Reduction(where="day >"), "must answer"),
        (Reduction(where="day > 99"), "at least one row"),
        (Reduction(min_user_items=999), "must keep a pair of user and item"),
        (Reduction(weights={"click": 1.0}), "at least one row"),
    ],
)
def test_what_cannot_be_reduced_is_one_error(
    rule: Reduction, said: str, events: pd.DataFrame
) -> None:
    with pytest.raises(DataError, match=said):
        read_interactions(events, reduce=rule)


def test_a_null_in_what_is_weighed_is_refused_not_passed_over(
    tmp_path: Path, events: pd.DataFrame
) -> None:
    frame = events.assign(dwell=events["dwell"].where(events.index != 7))
    frame.to_parquet(tmp_path / "events.parquet")
    rule = Reduction(dwell_cap=120)
    with pytest.raises(DataError, match="'dwell' of the DataFrame .*; index 7 has none"):
        read_interactions(frame, reduce=rule)
    with pytest.raises(DataError, match="'value' of the reduction of events.parquet must hold"):
        read_interactions(tmp_path / "events.parquet", reduce=rule)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"half_life": 0}, "`half_life` must be > 0"),
        ({"dwell_cap": -1}, "`dwell_cap` must be > 0"),
        ({"sample": 0.0}, "`sample` must be a share"),
        ({"sample": 1.5}, "`sample` must be a share"),
        ({"combine": "first"}, "`combine` must be one of"),
        ({"min_user_items": 0}, "`min_user_items` must be >= 1"),
    ],
)
def test_rules_without_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Reduction(**options)


def test_a_query_is_read_like_a_table(tmp_path: Path, events: pd.DataFrame) -> None:
    import duckdb

    path = tmp_path / "events.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("frame", events)
        connection.execute("CREATE TABLE events AS FROM frame")
    query = "SELECT DISTINCT user AS who, item FROM events WHERE event = 'complete'"
    found = read_interactions(path, query=query, user="who")
    done = events[events["event"] == "complete"].drop_duplicates(["user", "item"])
    assert len(found) == len(done)
    dataset = load_dataset(path, query=query, user="who")
    assert dataset.n_interactions == len(done)
    assert dataset.rating_scale is None


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"source": "duckdb://{path}"}, ConfigError, "needs either `table` or `query`"),
        ({"source": "duckdb:///none.duckdb", "table": "t"}, DataError, "nothing is at"),
        ({"source": "duckdb://{path}", "table": "none"}, DataError, "table none .* be readable"),
        ({"source": "mysql://host/db", "table": "t"}, ConfigError, "that of a database: duckdb"),
        ({"source": "ratings.csv", "table": "t"}, ConfigError, "must go with a database"),
    ],
)
def test_databases_that_cannot_be_read_say_why(
    options: dict[str, str], kind: type[Exception], said: str, tmp_path: Path
) -> None:
    import duckdb

    path = tmp_path / "a.duckdb"
    duckdb.connect(str(path)).close()
    filled = {name: text.format(path=path) for name, text in options.items()}
    with pytest.raises(kind, match=said):
        read_interactions(**filled)  # type: ignore[arg-type]


def test_only_columns_with_a_role_are_asked_for(tmp_path: Path, events: pd.DataFrame) -> None:
    from recsys_lib.sources.sql import embedded

    table = embedded(events, "events")
    roles = {"user_id": "user", "item_id": "item", "event": "event"}
    said = table.select_sql(roles, "day > 3 AND dwell < 10")
    assert said == (
        'SELECT "user" AS "user_id", "item" AS "item_id", "event" AS "event" '
        'FROM "source" WHERE day > 3 AND dwell < 10'
    )
    table.reduced(roles, Reduction(weights={"view": 1.0}))
    assert "SELECT *" not in table.statement


def test_a_password_is_taken_from_the_environment_before_the_keyring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = urlsplit("postgresql://me@db/labs")
    asked = []

    def get_password(service: str, name: str) -> str:
        asked.append((service, name))
        return "from the keyring"

    fake = SimpleNamespace(
        get_password=get_password, errors=SimpleNamespace(KeyringError=RuntimeError)
    )
    monkeypatch.setitem(sys.modules, "keyring", fake)
    monkeypatch.delenv("RECSYS_DB_PASSWORD", raising=False)
    assert find_password(parts) == "from the keyring"
    assert asked == [("recsys-lib", "me@db")]
    monkeypatch.setenv("RECSYS_DB_PASSWORD", "from the environment")
    assert find_password(parts) == "from the environment"
    monkeypatch.delenv("RECSYS_DB_PASSWORD")
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert find_password(parts) is None


def test_the_last_value_needs_times() -> None:
    events = pd.DataFrame({"user_id": ["a"], "item_id": ["x"], "value": [1.0]})
    with pytest.raises(DataError, match="must have a column for the timestamp; none is recognized"):
        read_interactions(events, reduce=Reduction(combine="last"))


def test_a_core_that_keeps_nothing_says_so() -> None:
    events = pd.DataFrame({"user_id": list("abc"), "item_id": list("xyz"), "event": "view"})
    rule = Reduction(weights={"view": 1.0}, min_user_items=2)
    with pytest.raises(DataError, match="must keep a pair of user and item; none of 3 is left. Lo"):
        read_interactions(events, reduce=rule)


@pytest.mark.parametrize("rule", [Reduction(where="day > 90"), Reduction(weights={"none": 1})])
def test_a_reduction_that_leaves_nothing_says_that_it_was_the_reduction(
    events: pd.DataFrame, rule: Reduction
) -> None:
    with pytest.raises(DataError, match=r"reduction of .* one row.*what was selected of it"):
        read_interactions(events.assign(day=1), reduce=rule)


def test_a_missing_database_is_told_with_the_folder_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"nothing is at 'none.db'.*the working folder '/"):
        read_interactions("sqlite:///none.db", table="events")
