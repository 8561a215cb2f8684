"""Files are whole or absent, and changed ones are noticed."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys_lib import artifacts
from recsys_lib.dataset import Dataset
from recsys_lib.errors import ArtifactError
from recsys_lib.evaluation.calibration import Calibrator
from recsys_lib.models import Popularity
from recsys_lib.sources import snapshot
from recsys_lib.training.scoring import export_scores


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


@pytest.mark.parametrize(
    ("code", "way"),
    [
        (errno.ENOSPC, "Free disk space or"),
        (errno.EACCES, "Change permissions or"),
        (errno.EROFS, "Change permissions or"),
        (errno.EFBIG, "Lift the limit on file sizes or"),
    ],
)
def test_what_cannot_be_written_comes_with_its_own_remedy(
    tmp_path: Path, code: int, way: str
) -> None:
    with pytest.raises(ArtifactError, match=way), artifacts.write_atomic(tmp_path / "b.json"):
        raise OSError(code, os.strerror(code))


def test_a_folder_that_is_none_of_ours_is_told_where_ours_are(tmp_path: Path) -> None:
    said = r"must be the folder of a bundle; no manifest\.json is there\. Check the path: runs keep"
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(ArtifactError, match=said):
            artifacts.read_manifest(place, kind="bundle")


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
    assert leftovers(tmp_path / "model") == ["manifest.json", "second"]
    assert leftovers(tmp_path) == ["model"]


DATASET = Dataset.from_frame(pd.DataFrame({"user_id": ["a"], "item_id": ["x"]}), value=None)

LINE = {"slope": np.ones(1), "intercept": np.ones(1)}


def fill(folder: Path, name: str) -> Path:
    """Make the thing at `name`: a file, a folder with files of the user, or an artifact."""
    place = folder / f"{name}.keras"
    if name == "a file":
        place.write_text("thesis")
    elif name != "an artifact with notes":
        (place / "raw").mkdir(parents=True)
    else:
        DATASET.save(place)
    if name != "a file":
        (place / "notes.txt").write_text("thesis")
    return place


@pytest.mark.parametrize("name", ["a file", "a folder", "an artifact with notes"])
@pytest.mark.parametrize(
    "write",
    [
        lambda place: DATASET.save(place),
        lambda place: Popularity().fit(DATASET.user_items).save(place),
        lambda place: snapshot(pd.DataFrame({"user_id": ["a"], "item_id": ["x"]}), place),
        lambda place: Calibrator(method="platt", arrays=LINE).save(place),
        lambda place: export_scores(None, 1, place),
    ],
    ids=["dataset", "model", "snapshot", "calibrator", "export"],
)
def test_nothing_of_the_user_is_replaced(tmp_path: Path, name: str, write: Any) -> None:
    place = fill(tmp_path, name)
    before = leftovers(tmp_path)
    with pytest.raises(ArtifactError, match="must be new, .*or written by recsys_lib; it "):
        write(place)
    kept = place if name == "a file" else place / "notes.txt"
    assert kept.read_text() == "thesis"
    assert leftovers(tmp_path) == before


@pytest.mark.parametrize("place", [".", "..", "absolute"])
def test_the_working_folder_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(ArtifactError, match="it is the working folder, or a folder above it"):
        DATASET.save(Path.cwd() if place == "absolute" else place)
    assert leftovers(tmp_path) == ["project"]


def test_what_is_ours_or_empty_is_replaced_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for _ in range(2):
        DATASET.save(tmp_path / "link")
        (tmp_path / "empty" / ".DS_Store").write_text("litter")
    assert Dataset.load(tmp_path / "empty").n_users == 1
    assert (tmp_path / "link").is_symlink()
    assert leftovers(tmp_path) == ["empty", "link"]


def test_a_rename_that_fails_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DATASET.save(tmp_path / "d")
    replace = Path.replace

    def busy(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(ArtifactError, match="must be writable; Device or resource busy"):
        DATASET.save(tmp_path / "d")
    assert leftovers(tmp_path) == ["d"]
    assert Dataset.load(tmp_path / "d").n_users == 1


def test_arrays_and_tables_round_trip(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    artifacts.write_table(tmp_path / "t.parquet", frame)
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "t.parquet"), frame)
    artifacts.write_arrays(tmp_path / "a.npz", b=np.arange(3))
    assert artifacts.read_arrays(tmp_path / "a.npz")["b"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="object array"):
        artifacts.write_arrays(tmp_path / "o.npz", b=np.array([None]))


def test_arrow_is_handed_nothing_of_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its threads gave back the open file while Python was ending: SIGABRT, one time in fourteen.
    artifacts.write_table(tmp_path / "t.parquet", pd.DataFrame({"a": [1, 2]}))
    read, handed = pd.read_parquet, []
    monkeypatch.setattr(pd, "read_parquet", lambda file: handed.append(file) or read(file))
    artifacts.read_table(tmp_path / "t.parquet")
    assert [type(file) for file in handed] == [pa.BufferReader]


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
    with pytest.raises(ArtifactError, match=r"facts\.json must be the folder of .*; it is a file"):
        artifacts.read_manifest(tmp_path / "m" / "facts.json", kind="model")
    (tmp_path / "m" / "facts.json").unlink()
    with pytest.raises(ArtifactError, match=r"facts\.json must exist"):
        artifacts.read_manifest(tmp_path / "m", kind="model")


def test_a_fingerprint_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    make_artifact(tmp_path / "a")
    make_artifact(tmp_path / "b")
    assert artifacts.fingerprint(tmp_path / "a") == artifacts.fingerprint(tmp_path / "b")
    (tmp_path / "b" / "facts.json").rename(tmp_path / "b" / "other.json")
    assert artifacts.fingerprint(tmp_path / "a") != artifacts.fingerprint(tmp_path / "b")


def test_a_path_that_is_not_utf8_and_one_without_permission_are_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / os.fsdecode(b"gr\xf6\xdfe")  # as any ö is under a C locale
    DATASET.save(place)
    assert Dataset.load(place).n_users == 1

    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", deny)
    with pytest.raises(ArtifactError, match="must be readable; Permission denied. Change its perm"):
        artifacts.read_json(place / "manifest.json")
