"""Files are whole or absent, and changed ones are noticed."""

import errno
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys_lib import artifacts
from recsys_lib.errors import ArtifactError


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), artifacts.write_atomic(tmp_path / "a.json") as part:
        part.write_text("{half")
        raise RuntimeError
    assert artifacts.read_json(tmp_path / "a.json") == {"old": 1}
    assert leftovers(tmp_path) == ["a.json"]


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match=r"b\.json must be writable; No space left"),
        artifacts.write_atomic(tmp_path / "b.json") as part,
    ):
        part.write_text("{half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert leftovers(tmp_path) == []


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with artifacts.atomic_folder(tmp_path / "model") as part:
        (part / "weights").write_text("old")
    with pytest.raises(RuntimeError), artifacts.atomic_folder(tmp_path / "model") as part:
        (part / "weights").write_text("new")
        raise RuntimeError
    assert (tmp_path / "model" / "weights").read_text() == "old"
    assert leftovers(tmp_path) == ["model"]


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with artifacts.atomic_folder(tmp_path / "model") as part:
            (part / name).write_text(name)
    assert leftovers(tmp_path / "model") == ["second"]
    assert leftovers(tmp_path) == ["model"]


def test_arrays_and_tables_round_trip(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    artifacts.write_table(tmp_path / "t.parquet", frame)
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "t.parquet"), frame)
    artifacts.write_arrays(tmp_path / "a.npz", b=np.arange(3))
    assert artifacts.read_arrays(tmp_path / "a.npz")["b"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="object array"):
        artifacts.write_arrays(tmp_path / "o.npz", b=np.array([None]))


@pytest.mark.parametrize("reader", ["read_json", "read_arrays", "read_table"])
def test_a_half_written_or_missing_file_names_itself(tmp_path: Path, reader: str) -> None:
    read = getattr(artifacts, reader)
    with pytest.raises(ArtifactError, match="nothing is there"):
        read(tmp_path / "absent")
    artifacts.write_arrays(tmp_path / "whole.npz", b=np.arange(1000))
    half = tmp_path / "half.npz"
    half.write_bytes((tmp_path / "whole.npz").read_bytes()[:700])
    with pytest.raises(ArtifactError, match=r"half\.npz must be a readable artifact"):
        read(half)


def make_artifact(folder: Path) -> None:
    with artifacts.atomic_folder(folder) as part:
        artifacts.write_json(part / "facts.json", {"a": 1})
        artifacts.write_manifest(part, kind="model", seed=3)


def test_a_manifest_verifies_every_file(tmp_path: Path) -> None:
    make_artifact(tmp_path / "m")
    assert artifacts.read_manifest(tmp_path / "m", kind="model")["seed"] == 3
    with pytest.raises(ArtifactError, match="must hold a dataset; its manifest says 'model'"):
        artifacts.read_manifest(tmp_path / "m", kind="dataset")
    (tmp_path / "m" / "facts.json").write_text('{"a": 2}')
    with pytest.raises(ArtifactError, match=r"facts\.json must be the file that was written"):
        artifacts.read_manifest(tmp_path / "m", kind="model")
    (tmp_path / "m" / "facts.json").unlink()
    with pytest.raises(ArtifactError, match=r"facts\.json must exist"):
        artifacts.read_manifest(tmp_path / "m", kind="model")


def test_a_fingerprint_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    make_artifact(tmp_path / "a")
    make_artifact(tmp_path / "b")
    assert artifacts.fingerprint(tmp_path / "a") == artifacts.fingerprint(tmp_path / "b")
    (tmp_path / "b" / "facts.json").rename(tmp_path / "b" / "other.json")
    assert artifacts.fingerprint(tmp_path / "a") != artifacts.fingerprint(tmp_path / "b")
