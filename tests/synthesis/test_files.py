"""A world as files: what was spoiled is found, what was not comes back."""

from pathlib import Path

import pytest

from recsys_lib.sources import load_dataset, read_interactions, validate_interactions
from recsys_lib.synthesis import make_world
from recsys_lib.synthesis.world import write_files


def test_every_source_leads_to_the_same_ratings_and_every_defect_is_found(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    world = make_world(n_users=60, n_items=30, seed=3)
    written = write_files(world, tmp_path, seed=3)
    assert set(written["file"]) == {path.name for path in tmp_path.iterdir()}
    wanted = world.ratings[["user_id", "item_id", "value"]].to_numpy().tolist()
    for given in ({"source": tmp_path / "ratings.csv"}, {"source": tmp_path / "labs.duckdb"}):
        options = {"table": "ratings"} if given["source"].suffix == ".duckdb" else {}
        found = read_interactions(given["source"], **options)
        assert found[["user_id", "item_id", "value"]].to_numpy().tolist() == wanted
    events = load_dataset(tmp_path / "events", value=None, duplicates="last")
    assert events.n_interactions == world.dataset("clicks").n_interactions
    report = validate_interactions(tmp_path / "dirty.csv", rating_scale=(1, 10))
    assert report["check"].tolist() == [
        *("null", "null", "not a number", "outside the scale", "not a time"),
        *("mixed time zones", "repeated pair", "look-alike ids"),
    ]
    assert report["rows"].tolist()[:5] == [1] * 5
