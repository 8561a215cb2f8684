"""Everybody's lists: the same as one by one, whole after any number of kills, never over a file
of others.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsys_lib.bundle import Bundle
from recsys_lib.dataset import Dataset
from recsys_lib.errors import ArtifactError, ConfigError, DataError
from recsys_lib.models import EASE
from recsys_lib.serving.batch import _COLUMNS, _copy, read_ids, write_lists
from recsys_lib.sources.sql import connect_for_writing

N_USERS, N_ITEMS = 70, 30
KILLS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    users, items = (rng.random((N_USERS, N_ITEMS)) < 0.3).nonzero()
    frame = pd.DataFrame({"user_id": [f"u{one}" for one in users], "item_id": items})
    catalog = pd.DataFrame({"track": np.arange(N_ITEMS) % 3}, index=range(N_ITEMS))
    dataset = Dataset.from_frame(frame, value=None, items=catalog)
    folder = tmp_path_factory.mktemp("lists") / "bundle"
    Bundle(model=EASE(l2=5.0).fit(dataset.user_items), dataset=dataset).save(folder)
    return folder


@pytest.fixture(scope="module")
def wanted(folder: Path) -> pd.DataFrame:
    bundle = Bundle.load(folder)
    parts = [
        bundle.recommend(user, k=5).drop(columns="because").assign(user_id=user)
        for user in bundle.dataset.user_ids
    ]
    return pd.concat(parts, ignore_index=True)


def read(output: Path | str, table: str = "lists") -> pd.DataFrame:
    if str(output).endswith(".parquet"):
        return pd.read_parquet(output)
    if str(output).endswith(".csv"):
        return pd.read_csv(output)
    connection = connect_for_writing(str(output))
    found = connection.table(table).execute()
    connection.disconnect()
    return found


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    assert found.columns[0] == "user_id"
    found = found.sort_values(["user_id", "rank"], ignore_index=True)
    wanted = wanted.sort_values(["user_id", "rank"], ignore_index=True)[
        [column for column in found if column in wanted]
    ]
    pd.testing.assert_frame_equal(
        found[wanted.columns].astype({"title": str}), wanted, check_dtype=False, rtol=1e-6
    )


@pytest.fixture(params=["parquet", "csv", "duckdb", "sqlite", "postgresql"])
def output(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file or a database that is not there yet, or has no such table."""
    monkeypatch.chdir(tmp_path)
    if request.param != "postgresql":
        database = request.param in ("duckdb", "sqlite")
        return (f"{request.param}:///" if database else "") + f"{tmp_path}/lists.{request.param}"
    server = request.getfixturevalue("postgres")
    monkeypatch.setenv("RECSYS_DB_PASSWORD", server.password)
    return str(server.url)


def test_everybody_is_in_the_output_with_the_list_of_one_alone(
    folder: Path, wanted: pd.DataFrame, tmp_path: Path, output: str
) -> None:
    place = {"table": "lists"} if "://" in output else {}
    for _ in range(2):  # what was written before is replaced
        assert write_lists(folder, output, k=5, part=16, **place) == len(wanted)
        same(read(output), wanted)
    assert not [path for path in tmp_path.iterdir() if ".parts" in path.name]
    write_lists(folder, output, k=3, users=["u3", "u1", "u3"], where={"track": 1}, **place)
    found = read(output)
    assert found["user_id"].unique().tolist() == ["u3", "u1"]
    alone = Bundle.load(folder).recommend("u3", k=3, where={"track": 1})
    assert found[found["user_id"] == "u3"]["item_id"].tolist() == alone["item_id"].tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forked")
@pytest.mark.parametrize("name", ["lists.parquet", "lists.duckdb"])
def test_kills_lose_and_double_nothing(
    folder: Path, wanted: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    output = f"{tmp_path}/{name}"
    output, place = (f"duckdb:///{output}", {"table": "lists"}) if ".duck" in name else (output, {})
    options: dict[str, Any] = {"k": 5, "part": 4, **place}
    begun = time.perf_counter()
    write_lists(folder, output, **options)
    pace, killed = time.perf_counter() - begun, 0
    read(output).to_parquet(tmp_path / "old.parquet")
    context, rng = multiprocessing.get_context("fork"), np.random.default_rng(7)
    while killed < KILLS:
        # Another length now and then: what was begun for another question is of no use.
        asked = {**options, "k": 4 if killed == 3 else 5}
        life = context.Process(target=write_lists, args=(folder, output), kwargs=asked)
        life.start()
        life.join(rng.uniform(0.1, 1.0) * pace)
        if life.is_alive():
            os.kill(life.pid, signal.SIGKILL)
            killed += 1
        else:
            pace *= 0.8  # other work on the machine comes and goes
        life.join()
        rows = read(output).groupby("user_id").size()
        assert rows.index.nunique() == N_USERS  # the old lists, or the new ones: always whole ones
        assert rows.nunique() == 1
    assert write_lists(folder, output, **options) == len(wanted)
    same(read(output), wanted)
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("name", ["lists.parquet", "lists.csv", "lists.duckdb"])
def test_people_without_a_list_leave_the_columns(folder: Path, tmp_path: Path, name: str) -> None:
    output, place = f"{tmp_path}/{name}", {}
    if name.endswith(".duckdb"):
        output, place = f"duckdb:///{output}", {"table": "lists"}
    used = Bundle.load(folder).dataset
    item = used.item_ids[used.user_items[[0]].indices[0]]  # of one who comes first
    write_lists(folder, output, k=1, part=1, only=[item], **place)
    found = read(output)
    assert found["item_id"].eq(item).all()
    assert 0 < len(found) < N_USERS
    assert write_lists(folder, output, users=[], **place) == 0
    assert read(output).columns.tolist() == found.columns.tolist()
    assert read(output).empty


def test_a_run_goes_on_after_the_last_part(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []
    many = Bundle.recommend_many

    def counted(self: Bundle, people: Any, **asked: Any) -> pd.DataFrame:
        answered.append(len(people))
        if sum(answered) > 40:
            raise KeyboardInterrupt
        return many(self, people, **asked)

    monkeypatch.setattr(Bundle, "recommend_many", counted)
    with pytest.raises(KeyboardInterrupt):
        write_lists(folder, tmp_path / "lists.csv", k=5, part=16)
    assert not (tmp_path / "lists.csv").exists()
    answered.clear()
    write_lists(folder, tmp_path / "lists.csv", k=5, part=16)
    assert sum(answered) == 1 + N_USERS - 2 * 16


@pytest.mark.parametrize("other", [{"k": 4}, {"where": {"track": 1}}, {"users": ["u9", "u60"]}])
def test_parts_of_another_question_are_not_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("recsys_lib.serving.batch._csv", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # all parts are there, the output is not
            write_lists(folder, tmp_path / "lists.csv", k=5, part=16)
    asked = {"k": 5, "part": 16} | other
    write_lists(folder, tmp_path / "lists.csv", **asked)
    write_lists(folder, tmp_path / "fresh.csv", **asked)
    pd.testing.assert_frame_equal(read(tmp_path / "lists.csv"), read(tmp_path / "fresh.csv"))


def test_a_second_one_at_the_same_output_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        # The first one is about to put its parts together; the second would replace them.
        again = lambda *_: write_lists(folder, tmp_path / "lists.csv", k=3)  # noqa: E731
        patched.setattr("recsys_lib.serving.batch._csv", again)
        with pytest.raises(ArtifactError, match="Only one process may write lists.csv at a time"):
            write_lists(folder, tmp_path / "lists.csv", k=5)
    assert write_lists(folder, tmp_path / "lists.csv", k=5) == 5 * N_USERS
    assert sorted(one.name for one in tmp_path.iterdir()) == [".lists.csv.json", "lists.csv"]


def test_a_second_one_at_the_same_table_is_refused_from_anywhere(
    folder: Path,
    tmp_path: Path,
    postgres: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECSYS_DB_PASSWORD", postgres.password)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    same_file = f"sqlite:///{tmp_path}/one.db"
    for first, second in ((postgres.url, postgres.url), ("sqlite:///one.db", same_file)):
        with monkeypatch.context() as patched:
            # The first one is filling the table, from another folder or machine.
            def again(*_: Any, second: str = second, patched: Any = patched) -> None:
                patched.undo()
                monkeypatch.chdir(tmp_path / "elsewhere")
                write_lists(folder, second, table="both", k=3)

            patched.setattr("recsys_lib.serving.batch._Table._replacing", again)
            with pytest.raises(ArtifactError, match="Only one process may write .* both at a time"):
                write_lists(folder, first, table="both", k=2)
        monkeypatch.chdir(tmp_path)
        assert write_lists(folder, first, table="both", k=2) == 2 * N_USERS
        assert len(read(first, "both")) == 2 * N_USERS


def test_files_and_tables_of_others_stay(folder: Path, tmp_path: Path) -> None:
    import ibis

    mine = tmp_path / "mine.csv"
    mine.write_text("a,b\n1,2\n")
    with pytest.raises(ArtifactError, match="must be new, or written by recsys_lib"):
        write_lists(folder, mine)
    assert mine.read_text() == "a,b\n1,2\n"
    write_lists(folder, tmp_path / "lists.csv", k=1)
    with (tmp_path / "lists.csv").open("a") as handle:
        handle.write("edited\n")
    with pytest.raises(ArtifactError, match="must be new"):
        write_lists(folder, tmp_path / "lists.csv", k=1)
    (tmp_path / ".new.csv.parts").mkdir()
    (tmp_path / ".new.csv.parts" / "thesis.md").write_text("mine")
    write_lists(folder, tmp_path / "new.csv", k=1)
    assert [one.name for one in (tmp_path / ".new.csv.parts").iterdir()] == ["thesis.md"]
    # DuckDB takes such a file for a table of a database in memory, which then goes with the lists.
    with pytest.raises(DataError, match="must be open for writing; the file is no database"):
        write_lists(folder, f"duckdb:///{mine}", table="lists", k=1)
    assert mine.read_text() == "a,b\n1,2\n"
    database = ibis.duckdb.connect(tmp_path / "mine.duckdb")
    database.create_table("people", pd.DataFrame({"name": ["ann"]}))
    database.disconnect()
    with pytest.raises(ArtifactError, match="must be new, or hold lists; it has .*'name'"):
        write_lists(folder, f"duckdb:///{tmp_path}/mine.duckdb", table="people")
    assert read(f"duckdb:///{tmp_path}/mine.duckdb", "people")["name"].tolist() == ["ann"]


def test_a_view_in_the_working_folder_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(sqlite3.connect("mine.db")) as connection:
        connection.execute(f"CREATE VIEW v AS SELECT {', '.join(f'1 {one}' for one in _COLUMNS)}")
        with pytest.raises(ArtifactError, match="Table 'v' must be new, or hold lists; it is a vi"):
            write_lists(folder, "sqlite:///mine.db", table="v")
        write_lists(folder, "sqlite:///mine.db", table="lists", k=1)
        assert connection.execute("SELECT count(*) FROM lists").fetchone() == (N_USERS,)


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_what_others_hang_on_a_table_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    import ibis

    monkeypatch.chdir(tmp_path)
    write_lists(folder, f"{engine}:///mine.db", table="lists", k=2)
    connection = getattr(ibis, engine).connect("mine.db")
    for what in ("INDEX by_user ON lists(user_id)", "VIEW v AS SELECT * FROM lists WHERE rank = 1"):
        connection.raw_sql(f"CREATE {what}")
    connection.disconnect()
    assert write_lists(folder, f"{engine}:///mine.db", table="lists", k=3) == 3 * N_USERS
    connection = getattr(ibis, engine).connect("mine.db")
    assert connection.table("v").count().execute() == N_USERS
    indexes = {"sqlite": "sqlite_master WHERE name", "duckdb": "duckdb_indexes() WHERE index_name"}
    found = connection.raw_sql(f"SELECT count(*) FROM {indexes[engine]} = 'by_user'").fetchone()
    assert found == (1,)
    assert sorted(connection.list_tables()) == ["lists", "v"]
    connection.disconnect()


def test_what_hangs_on_a_table_of_a_server_stays(
    folder: Path, tmp_path: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_DB_PASSWORD", postgres.password)
    write_lists(folder, postgres.url, table="kept", k=2)
    connection = connect_for_writing(postgres.url)
    for statement in ("CREATE VIEW best AS SELECT * FROM kept WHERE rank = 1", "COMMIT"):
        connection.raw_sql(statement)
    assert write_lists(folder, postgres.url, table="kept", k=3) == 3 * N_USERS
    assert connection.table("best").count().execute() == N_USERS
    assert "kept_recsys_filling" not in connection.list_tables()
    connection.disconnect()


def test_rows_arrive_at_a_server_as_they_are(
    postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ibis

    monkeypatch.setenv("RECSYS_DB_PASSWORD", postgres.password)
    rows = {"id": ["a\tb", "\\N", "", "é\n", None], "rank": range(5)}
    frame = pd.DataFrame(rows | {"score": [0.1, np.nan, 1e-300, -0.0, 1 / 3]})
    connection = connect_for_writing(postgres.url)
    connection.create_table("odd", schema=ibis.memtable(frame).schema())
    for _ in range(2):
        _copy(connection, "odd", frame)
    found = connection.table("odd").execute()
    connection.disconnect()
    wanted = pd.concat([frame, frame], ignore_index=True)
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


def test_a_schema_of_a_server_stands_in_its_url(
    folder: Path,
    wanted: pd.DataFrame,
    tmp_path: Path,
    postgres: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_DB_PASSWORD", postgres.password)
    write_lists(folder, postgres.url, table="same", k=1)
    url = f"{postgres.url}/marts"
    connection = connect_for_writing(postgres.url)
    for statement in ("CREATE SCHEMA marts", "CREATE VIEW marts.v AS SELECT * FROM same"):
        connection.raw_sql(statement)
    with pytest.raises(ArtifactError, match="'v' must be new, or hold lists; it is a view"):
        write_lists(folder, url, table="v", k=5)
    for _ in range(2):
        assert write_lists(folder, url, table="same", k=5, part=16) == len(wanted)
        same(connection.table("same", database="marts").execute(), wanted)
    assert connection.table("same").count().execute() == N_USERS
    assert sorted(connection.list_tables(database="marts")) == ["same", "v"]
    connection.disconnect()


def test_a_full_disk_is_a_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recsys_lib.serving.batch._csv", full)
    with pytest.raises(ArtifactError, match="must be writable; No space left on device. Free"):
        write_lists(folder, tmp_path / "lists.csv", k=1)
    monkeypatch.setattr("ibis.backends.sqlite.Backend.create_table", full)
    with pytest.raises(DataError, match=r"lists must be writable; .*No space left on device. Mend"):
        write_lists(folder, f"sqlite:///{tmp_path}/lists.db", table="lists", k=1)


@pytest.mark.parametrize(
    ("output", "options", "error", "said"),
    [
        ("lists.txt", {}, ConfigError, "a path that ends in .parquet or .csv, or the URL of a"),
        ("s3://shop/lists.parquet", {}, ConfigError, "a path that ends in .* got 's3://shop/lists"),
        ("mysql://host/db", {"table": "x"}, ConfigError, "DuckDB, SQLite or PostgreSQL; got 'mys"),
        ("duckdb:///x.db", {}, ConfigError, "needs the name of a table"),
        ("duckdb:///x.db", {"table": "a; drop"}, ConfigError, "of letters and digits"),
        ("duckdb:///x.db", {"table": "a.b"}, ConfigError, "schema of PostgreSQL ends the URL"),
        ("lists.csv", {"users": ["u1", "v"]}, DataError, "The user must be one of the 70 known"),
        ("lists.csv", {"where": {"trak": 1}}, DataError, "Near: 'track'"),
        ("lists.csv", {"limits_per": {}}, DataError, "Did you mean 'limit_per'"),
        ("lists.csv", {"k": 0}, ValueError, "`k` must be >= 1"),
    ],
)
def test_wrong_input_is_a_sentence_and_leaves_nothing_behind(
    folder: Path, tmp_path: Path, output: str, options: Any, error: Any, said: str, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        write_lists(folder, output, **options)
    assert not list(tmp_path.iterdir())


def test_ids_are_read_from_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("u1\n\n u2 \n")
    (tmp_path / "b.csv").write_text("user_id\nu1\nu2\n")
    for name in ("a.txt", "b.csv"):
        assert read_ids(tmp_path / name) == ["u1", "u2"]
    (tmp_path / "d.txt").write_text("user_id\n\n")
    (tmp_path / "e.txt").write_bytes(b"\xff\xfe\xff")
    for name, said in (("d.txt", "is empty"), ("e.txt", "a list of"), ("g.txt", "No such file")):
        with pytest.raises(DataError, match=said):
            read_ids(tmp_path / name)


DASK = """
import sys, pandas as pd, dask.dataframe as dd
from dask.distributed import Client, LocalCluster
from recsys_lib.serving.batch import score_partition

if __name__ == "__main__":
    folder, output = sys.argv[1:]
    people = pd.DataFrame({"user_id": [f"u{one}" for one in range(70)]})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster):
            meta = score_partition(people[:1], folder, k=5)[:0]
            parts = dd.from_pandas(people, npartitions=5)
            lists = parts.map_partitions(score_partition, folder, k=5, meta=meta).compute()
    lists.to_parquet(output)
"""


def test_a_dask_cluster_of_two_processes_gives_the_same_lists(
    folder: Path, wanted: pd.DataFrame, tmp_path: Path
) -> None:
    script = tmp_path / "lists.py"
    script.write_text(DASK)
    command = [sys.executable, script, folder, tmp_path / "lists.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    same(pd.read_parquet(tmp_path / "lists.parquet"), wanted)


SPARK = """
import sys
from pyspark.sql import SparkSession
from recsys_lib.serving import score_partition

folder, output = sys.argv[1:]
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = builder.getOrCreate()
people = spark.createDataFrame([(f"u{one}",) for one in range(70)], "user_id string")
schema = "user_id string, rank int, item_id long, title string, probability double, " \\
    "rung string, score double"
lists = people.repartition(5).mapInPandas(
    lambda parts: (score_partition(part, folder, k=5) for part in parts), schema
)
lists.toPandas().to_parquet(output)
"""


def test_spark_gives_the_same_lists(folder: Path, wanted: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    script = tmp_path / "lists.py"
    script.write_text(SPARK)
    command = [sys.executable, script, folder, tmp_path / "lists.parquet"]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    same(pd.read_parquet(tmp_path / "lists.parquet"), wanted)
