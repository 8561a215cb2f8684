"""A snapshot is read offline, whole or not at all."""

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsys_lib.artifacts import fingerprint
from recsys_lib.errors import ArtifactError, DataError
from recsys_lib.sources import Reduction, load_dataset, read_interactions, snapshot
from recsys_lib.sources.sql import EngineTable

pytest.importorskip("ibis", reason="the extra [sql] is not installed")


def test_the_facts_are_those_of_the_rows(
    events: pd.DataFrame, rule: Reduction, wanted: dict[tuple[str, int], float], tmp_path: Path
) -> None:
    events.to_parquet(tmp_path / "events.parquet")
    facts = snapshot(tmp_path / "events.parquet", tmp_path / "snap", reduce=rule)
    assert (facts.rows, facts.users, facts.items) == (
        len(wanted),
        len({user for user, _ in wanted}),
        len({item for _, item in wanted}),
    )
    back = read_interactions(tmp_path / "snap")
    assert facts.first is not None
    assert facts.last is not None
    assert back["timestamp"].min() == pd.Timestamp(facts.first)
    assert back["timestamp"].max() == pd.Timestamp(facts.last)
    assert facts.sha256 == fingerprint(tmp_path / "snap" / "interactions.parquet")
    assert facts.engine == "duckdb"
    assert "day <> 3" in facts.query
    manifest = json.loads((tmp_path / "snap" / "manifest.json").read_text())
    assert manifest["sha256"] == facts.sha256
    assert manifest["reduce"]["min_user_items"] == 2


def test_rows_read_as_they_are_come_back_sorted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["b", "a"], "item": ["x", "y"], "rating": [3, 4]})
    facts = snapshot(frame, tmp_path / "snap")
    assert (facts.engine, facts.query, facts.first) == ("pandas", "", None)
    assert load_dataset(tmp_path / "snap").user_ids.tolist() == ["a", "b"]


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    snapshot(pd.DataFrame({"user": ["b"], "item": ["x"]}), tmp_path / "snap")
    file = tmp_path / "snap" / "interactions.parquet"
    pd.DataFrame({"user_id": ["b"], "item_id": ["z"]}).to_parquet(file)
    with pytest.raises(ArtifactError, match=r"interactions.parquet must be the file"):
        read_interactions(tmp_path / "snap")


def test_a_folder_of_another_kind_is_no_snapshot(tmp_path: Path) -> None:
    load_dataset(pd.DataFrame({"user": ["b"], "item": ["x"]})).save(tmp_path / "data")
    with pytest.raises(ArtifactError, match="must hold a snapshot; its manifest says 'dataset'"):
        read_interactions(tmp_path / "data")


@pytest.mark.parametrize(
    ("rule", "options", "kind", "said"),
    [
        (Reduction(where="day > 99"), {}, DataError, "at least one row"),
        (Reduction(dwell_cap=9), {}, DataError, "'value' .* finite numbers; . rows"),
        (Reduction(), {"rating_scale": (2, 5)}, DataError, "lie in 2 to 5"),
        (Reduction(), {"item": "day"}, DataError, "'item_id' .* an id in each row; 2 rows"),
        (Reduction(), {"memory": "lots"}, DataError, "DuckDB must take 'lots'"),
    ],
)
def test_what_is_no_interaction_leaves_the_older_snapshot(
    rule: Reduction,
    options: dict[str, object],
    kind: type[Exception],
    said: str,
    events: pd.DataFrame,
    tmp_path: Path,
) -> None:
    some = events.drop_duplicates(["user", "item"])
    bad = some.assign(dwell=some["dwell"].where(some.index > 2), day=some["day"].astype("Int64"))
    bad.loc[bad["user"].isin(bad["user"].unique()[:2]), "day"] = pd.NA
    bad.to_parquet(tmp_path / "events.parquet")
    snapshot(events, tmp_path / "snap", reduce=Reduction())
    before = fingerprint(tmp_path / "snap")
    with pytest.raises(kind, match=said):
        snapshot(tmp_path / "events.parquet", tmp_path / "snap", reduce=rule, **options)  # type: ignore[arg-type]
    assert fingerprint(tmp_path / "snap") == before


def test_what_does_not_fit_into_memory_is_left_in_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, aside = tmp_path / "here", tmp_path / "aside"
    here.mkdir()
    aside.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    rng = np.random.default_rng(0)
    n = 2_000_000
    ids = {"user_id": rng.integers(0, n, n), "item_id": rng.integers(0, n, n)}
    pd.DataFrame(ids).to_parquet("events.parquet")
    spilled: list[str] = []
    write = EngineTable.write

    def watched(engine: EngineTable, *args: Any) -> None:
        write(engine, *args)
        spilled.extend(path.parent.parent.name for path in aside.rglob("*.tmp"))

    monkeypatch.setattr(EngineTable, "write", watched)
    rule = Reduction(min_user_items=2)
    snapshot("events.parquet", "snap", reduce=rule, memory="100MB", threads=1)
    gc.collect()
    assert set(spilled) == {"aside"}
    assert list(aside.iterdir()) == []
    assert {path.name for path in here.iterdir()} == {"events.parquet", "snap"}
