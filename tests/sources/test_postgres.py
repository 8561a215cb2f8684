"""A PostgreSQL server of the test's own: reduced where the events lie, secrets kept."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources import Reduction, load_dataset, read_interactions, snapshot


@pytest.fixture(scope="module")
def server(postgres: Any, events: pd.DataFrame) -> str:
    """The server with events in it; its URL without the password."""
    fill(postgres.port, postgres.password, events)
    return str(postgres.url)


def fill(port: int, password: str, events: pd.DataFrame) -> None:
    import psycopg

    where = f"host=127.0.0.1 port={port} user=tester password={password} dbname=postgres"
    with psycopg.connect(where, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            'CREATE SCHEMA lake; CREATE TABLE lake.events ("user" text, item bigint, event text, '
            'dwell double precision, "time" timestamptz, day int)'
        )
        with cursor.copy("COPY lake.events FROM STDIN") as copy:
            for row in events.assign(time=events["time"].dt.tz_localize("UTC")).itertuples(
                index=False
            ):
                copy.write_row(tuple(row))


@pytest.fixture
def secret(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RECSYS_DB_PASSWORD", postgres.password)
    return str(postgres.password)


def test_postgres_reduces_as_the_definition_says(
    server: str, secret: str, rule: Reduction, wanted: dict[tuple[str, int], float]
) -> None:
    found = read_interactions(server, table="lake.events", reduce=rule)
    table = found[["user_id", "item_id", "value"]].itertuples(index=False)
    values = {(user, item): value for user, item, value in table}
    assert values.keys() == wanted.keys()
    for pair, value in wanted.items():
        assert values[pair] == pytest.approx(value, rel=1e-9)


def test_a_query_becomes_a_dataset(server: str, secret: str, events: pd.DataFrame) -> None:
    query = 'SELECT "user", item, count(*)::int AS n FROM lake.events GROUP BY 1, 2'
    dataset = load_dataset(server, query=query, value="n")
    assert dataset.user_items.sum() == len(events)
    assert dataset.n_users == events["user"].nunique()


def test_the_password_of_the_driver_is_left_to_the_driver(
    server: str, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    rule = Reduction(where="day = 1")
    assert len(read_interactions(server, table="lake.events", reduce=rule)) > 10


def test_no_message_and_no_manifest_tells_the_password(
    server: str, secret: str, rule: Reduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="must hold no password") as loud:
        read_interactions(server.replace("@", f":{secret}@"), table="lake.events")
    assert secret not in str(loud.value)
    monkeypatch.setenv("RECSYS_DB_PASSWORD", "wrong-" + secret)
    with pytest.raises(DataError, match="must be reachable") as wrong:
        read_interactions(server, table="lake.events")
    assert secret not in str(wrong.value)
    assert wrong.value.__cause__ is None
    monkeypatch.setenv("RECSYS_DB_PASSWORD", secret)
    snapshot(server, tmp_path / "snap", table="lake.events", reduce=rule)
    for file in (tmp_path / "snap").rglob("*"):
        assert secret.encode() not in file.read_bytes()


def test_a_snapshot_of_postgres_is_read_offline(
    server: str, secret: str, rule: Reduction, tmp_path: Path
) -> None:
    facts: Any = snapshot(server, tmp_path / "snap", table="lake.events", reduce=rule)
    online = read_interactions(server, table="lake.events", reduce=rule)
    offline = read_interactions(tmp_path / "snap")
    pd.testing.assert_frame_equal(offline, online)
    assert facts.engine == "postgres"
    assert facts.rows == len(online)
    assert '"lake"."events"' in facts.query
    assert "GROUP BY" in facts.query


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"table": "lake.nothing"}, "table lake.nothing of postgresql://tester@127.0.0.1"),
        ({"query": "SELECT nothing FROM lake.events"}, "nothing"),
    ],
)
def test_what_is_not_in_the_database_is_named(
    server: str, secret: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_interactions(server, **options)  # type: ignore[arg-type]
