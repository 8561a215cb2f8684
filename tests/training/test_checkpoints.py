"""Checkpoints on disk: what is written when, what is taken up, and what is refused."""

import contextlib
import shutil
import subprocess
import time

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.errors import ArtifactError
from recsys_lib.training import checkpoints
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.checkpoints import Checkpoints, Keeper
from recsys_lib.training.passes import Phase
from recsys_lib.training.rows import Rows
from recsys_lib.training.trainer import Monitor, Trainer

FIT = {"model": "Line", "user_items": "sha256:1", "hidden_dims": (8, 4), "l2": np.float32(0.5)}


class Line:
    """One weight per item under Adam, pulled toward the mean of the stored values."""

    def __init__(self, n_items: int = 5) -> None:
        self.weights = keras.Variable(np.zeros(n_items, dtype=np.float32), name="weights")
        phase = Phase(
            loss=self.loss,
            terms=("error",),
            variables=[self.weights],
            optimizer=keras.optimizers.Adam(0.05),
        )
        self.trainer = Trainer([phase], state=[], batch_size=4, seed=0, average=0.5)
        self.n_items = n_items

    def loss(self, batch, update):
        error = ops.square(ops.take(self.weights.value, batch.items) - batch.values) * batch.used
        return ops.sum(error), {"error": (ops.sum(error), ops.sum(batch.used))}

    def fit(self, folder, epochs=6, *, fit=FIT, **rule) -> "Line":
        # The best weights are those of the second epoch, so the last are not what is kept.
        monitor = Monitor(measure=lambda: {"metric": abs(self.trainer.epoch - 2.0)}, watch="metric")
        rows = Rows(sparse.csr_array(np.arange(11.0 * self.n_items).reshape(11, -1) % 7))
        with Keeper(Checkpoints(folder, **{"every_epochs": 1} | rule), fit) as keeper:
            self.trainer.fit(rows, epochs=epochs, monitor=monitor, keeper=keeper)
        return self

    @property
    def values(self) -> np.ndarray:
        return np.asarray(self.weights.value).copy()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Line:
    """A fit of six epochs that nothing interrupts."""
    return Line().fit(tmp_path_factory.mktemp("whole"))


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("epoch_*"))


def test_a_fit_goes_on_after_the_last_epoch_written_to_the_same_end(tmp_path, whole) -> None:
    Line().fit(tmp_path, epochs=3)
    resumed = Line().fit(tmp_path)
    np.testing.assert_array_equal(resumed.values, whole.values)
    assert [record["epoch"] for record in resumed.trainer.history] == [1, 2, 3, 4, 5, 6]
    columns = [list(record) for record in resumed.trainer.history]
    assert columns == [["epoch", "error", "metric", "seconds"]] * 6
    assert resumed.trainer.best_epoch == 2


def test_a_fit_that_had_ended_returns_at_once_with_the_weights_it_kept(tmp_path) -> None:
    ended = Line().fit(tmp_path)
    again = Line()
    again.trainer._run_epoch = None  # no epoch can be made
    again.fit(tmp_path)
    np.testing.assert_array_equal(again.values, ended.values)
    assert again.trainer.history == ended.trainer.history


def test_as_many_are_kept_as_were_asked_for(tmp_path) -> None:
    Line().fit(tmp_path)
    assert names(tmp_path) == ["epoch_000005", "epoch_000006"]
    Line().fit(tmp_path / "one", keep=1)
    assert names(tmp_path / "one") == ["epoch_000006"]


def test_checkpoints_are_written_when_they_are_due_and_at_the_end(tmp_path) -> None:
    Line().fit(tmp_path / "a", every_epochs=4, keep=9)
    assert names(tmp_path / "a") == ["epoch_000004", "epoch_000006"]
    Line().fit(tmp_path / "b", every_epochs=None, every_minutes=60, keep=9)
    assert names(tmp_path / "b") == ["epoch_000006"]


@pytest.mark.parametrize(("seconds", "written"), [(1.0, [1, 4]), (100.0, [1, 2, 3, 4])])
def test_by_default_writing_takes_a_twentieth_of_the_time(
    tmp_path, monkeypatch, seconds, written
) -> None:
    now = [0.0]

    def manifest(folder, **facts):
        now[0] += 2.0  # what writing takes
        (folder / "manifest.json").write_text("{}")

    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoints.artifacts, "write_manifest", manifest)
    line = Line()
    make_epoch = line.trainer._run_epoch

    def slow_epoch(n_users):
        now[0] += seconds
        return make_epoch(n_users)

    line.trainer._run_epoch = slow_epoch
    line.fit(tmp_path, epochs=4, every_epochs=None, keep=9)
    assert names(tmp_path) == [f"epoch_{epoch:06d}" for epoch in written]


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "no manifest"])
def test_a_damaged_newest_is_passed_over_for_the_one_before(tmp_path, whole, damage) -> None:
    Line().fit(tmp_path, epochs=4)
    arrays = tmp_path / "epoch_000004" / "arrays.npz"
    whole_file = arrays.read_bytes()
    if damage == "truncated":
        arrays.write_bytes(whole_file[: len(whole_file) // 2])
    elif damage == "changed":
        arrays.write_bytes(whole_file[:-400] + b"x" + whole_file[-399:])
    elif damage == "missing":
        arrays.unlink()
    else:
        (tmp_path / "epoch_000004" / "manifest.json").unlink()
    with pytest.warns(UserWarning, match="epoch_000004 was damaged .* goes on after epoch 3"):
        resumed = Line().fit(tmp_path)
    np.testing.assert_array_equal(resumed.values, whole.values)


def test_where_all_are_damaged_training_starts_anew_and_says_so(tmp_path, whole) -> None:
    Line().fit(tmp_path, epochs=3)
    for folder in tmp_path.glob("epoch_*"):
        (folder / "history.parquet").write_bytes(b"")
    with pytest.warns(UserWarning, match="goes on after epoch 0"):
        resumed = Line().fit(tmp_path)
    np.testing.assert_array_equal(resumed.values, whole.values)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"user_items": "sha256:2"}, "differs in user_items. Give another folder"),
        ({"hidden_dims": (8, 5)}, r"differs in hidden_dims \(\[8, 4\] there, \[8, 5\] here\)"),
        (
            {"l2": 0.25, "model": "Plane"},
            r"model \('Line' there, 'Plane' here\), l2 \(0.5 there, 0.25 here\)",
        ),
        ({"dropout": 0.5}, r"differs in dropout \(None there, 0.5 here\)"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused_with_what_differs(tmp_path, other, said) -> None:
    Line().fit(tmp_path, epochs=3)
    before = names(tmp_path)
    with pytest.raises(ArtifactError, match=said):
        Line().fit(tmp_path, fit=FIT | other)
    assert names(tmp_path) == before


def test_fewer_epochs_than_were_made_are_refused(tmp_path) -> None:
    Line().fit(tmp_path, epochs=3)
    with pytest.raises(ArtifactError, match="`epochs` must be >= 3, which the fit in .*; got 2"):
        Line().fit(tmp_path, epochs=2)


def test_a_checkpoint_that_does_not_fit_the_network_says_so(tmp_path) -> None:
    Line().fit(tmp_path, epochs=3)
    with pytest.raises(ArtifactError, match="must be a checkpoint of this version"):
        Line(n_items=6).fit(tmp_path)


def test_two_fits_do_not_share_a_folder(tmp_path) -> None:
    with (
        Keeper(Checkpoints(tmp_path), FIT),
        pytest.raises(ArtifactError, match="Only one fit may write its checkpoints to"),
    ):
        Line().fit(tmp_path)
    Line().fit(tmp_path)


def test_what_a_killed_writer_left_is_swept_away(tmp_path) -> None:
    (tmp_path / ".epoch_000003.abc.part").mkdir()
    Line().fit(tmp_path, epochs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "epoch_000001"]


def test_a_folder_of_the_user_among_the_checkpoints_stays(tmp_path) -> None:
    for name in ("epoch_000009", ".epoch_notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    Line().fit(tmp_path, epochs=2, keep=1)
    assert names(tmp_path) == ["epoch_000002", "epoch_000009"]
    assert (tmp_path / ".epoch_notes" / "notes.txt").exists()


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, whole, monkeypatch) -> None:
    Line().fit(tmp_path, epochs=4)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    resumed = Line().fit(tmp_path)
    np.testing.assert_array_equal(resumed.values, whole.values)


def test_a_setting_out_of_its_range_is_named() -> None:
    with pytest.raises(ValueError, match="`keep` must be >= 1"):
        Checkpoints("here", keep=0)
    with pytest.raises(ValueError, match="`every_minutes` must be > 0"):
        Checkpoints("here", every_minutes=0.0)
    with pytest.raises(ValueError, match="`every_epochs` must be >= 1"):
        Checkpoints("here", every_epochs=0)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path) -> None:
    (tmp_path / "here").write_text("mine")
    with pytest.raises(ArtifactError, match="`checkpoint` must be a folder that can be written"):
        Line().fit(tmp_path / "here")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a megabyte; only root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up_loses_no_checkpoint_and_training_goes_on(whole, small_disk) -> None:
    folder = small_disk / "fit"
    Line().fit(folder, epochs=3)
    others = small_disk / "others"
    with contextlib.suppress(OSError), others.open("wb", buffering=0) as handle:
        while True:
            handle.write(bytes(4096))
    with pytest.raises(ArtifactError, match="must be writable; No space left on device. Free"):
        Line().fit(folder)
    assert names(folder)[-1] == "epoch_000003"
    assert not list(folder.glob(".epoch_*"))
    others.unlink()
    np.testing.assert_array_equal(Line().fit(folder).values, whole.values)


def test_a_read_only_disk_is_told_before_the_first_epoch(small_disk) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    line = Line()
    with pytest.raises(ArtifactError, match="can be written; .*: Read-only file system. Change"):
        line.fit(small_disk / "fit")
    assert line.trainer.epoch == 0
