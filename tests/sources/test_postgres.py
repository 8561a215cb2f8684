"""A PostgreSQL server of the test's own: reduced where the events lie, secrets kept."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources import Reduction, load_dataset, read_interactions, snapshot

pytest.importorskip("psycopg", reason="the extra [postgres] is not installed")

SECRET = "s3cret-of-the-test"
START_S = 60


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    which = shutil.which("initdb")
    return Path(which).parent if which else None


def unprivileged() -> str | None:
    """A user to run the server as, where the tests run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


BIN = programs()
pytestmark = pytest.mark.skipif(BIN is None, reason="PostgreSQL is not installed (Debian package)")


@pytest.fixture(scope="module")
def server(events: pd.DataFrame) -> Iterator[str]:
    """Start a server on a free port in a folder of its own; yield its URL without the password."""
    assert BIN is not None
    user = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="recsys-postgres-"))
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "password").write_text(SECRET)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"

    def run(*command: str) -> None:
        subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            user=user,
            cwd=folder,
            check=True,
            timeout=START_S,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    data, pwfile = str(folder / "data"), f"--pwfile={folder / 'password'}"
    run("initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", pwfile, "-N")
    run("pg_ctl", "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        fill(port, events)
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def fill(port: int, events: pd.DataFrame) -> None:
    import psycopg

    where = f"host=127.0.0.1 port={port} user=tester password={SECRET} dbname=postgres"
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
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_DB_PASSWORD", SECRET)


def test_postgres_reduces_as_the_definition_says(
    server: str, secret: None, rule: Reduction, wanted: dict[tuple[str, int], float]
) -> None:
    found = read_interactions(server, table="lake.events", reduce=rule)
    table = found[["user_id", "item_id", "value"]].itertuples(index=False)
    values = {(user, item): value for user, item, value in table}
    assert values.keys() == wanted.keys()
    for pair, value in wanted.items():
        assert values[pair] == pytest.approx(value, rel=1e-9)


def test_a_query_becomes_a_dataset(server: str, secret: None, events: pd.DataFrame) -> None:
    query = 'SELECT "user", item, count(*)::int AS n FROM lake.events GROUP BY 1, 2'
    dataset = load_dataset(server, query=query, value="n")
    assert dataset.user_items.sum() == len(events)
    assert dataset.n_users == events["user"].nunique()


def test_the_password_of_the_driver_is_left_to_the_driver(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    rule = Reduction(where="day = 1")
    assert len(read_interactions(server, table="lake.events", reduce=rule)) > 10


def test_no_message_and_no_manifest_tells_the_password(
    server: str, rule: Reduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="must hold no password") as loud:
        read_interactions(server.replace("@", f":{SECRET}@"), table="lake.events")
    assert SECRET not in str(loud.value)
    monkeypatch.setenv("RECSYS_DB_PASSWORD", "wrong-" + SECRET)
    with pytest.raises(DataError, match="must be reachable") as wrong:
        read_interactions(server, table="lake.events")
    assert SECRET not in str(wrong.value)
    assert wrong.value.__cause__ is None
    monkeypatch.setenv("RECSYS_DB_PASSWORD", SECRET)
    snapshot(server, tmp_path / "snap", table="lake.events", reduce=rule)
    for file in (tmp_path / "snap").rglob("*"):
        assert SECRET.encode() not in file.read_bytes()


def test_a_snapshot_of_postgres_is_read_offline(
    server: str, secret: None, rule: Reduction, tmp_path: Path
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
    server: str, secret: None, options: dict[str, str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_interactions(server, **options)  # type: ignore[arg-type]
