"""A disk that is full or read-only, for real: a small file system of its own under `runs/`."""

import os
import resource
import shutil
import subprocess
import sys

import pytest

from recsys_lib.cli import main
from recsys_lib.pipeline import Manifest

BIG = 'with session.writing("big") as folder:\n    (folder / "x").write_bytes(bytes(3_000_000))'


@pytest.fixture
def runs(project, monkeypatch):
    """Mount one megabyte where runs are written; only root may do so."""
    monkeypatch.chdir(project.root)
    monkeypatch.setattr("recsys_lib.pipeline.store.Library.fingerprint", lambda *_: "the library")
    runs = project.root / "runs"
    runs.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(runs)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    yield runs
    subprocess.run(["umount", "-l", str(runs)], check=True)


def remount(runs, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(runs)], check=True)


def test_a_full_disk_loses_nothing_and_the_run_goes_on(write, runs, capsys):
    write("01_small", 'session.save("small", [1]);')
    write("02_big", BIG)
    assert main(["run"]) == 2
    said = capsys.readouterr().err
    assert "02_big stopped in cell 3 of 3" in said
    assert "artifacts/big must be writable; No space left on device. Free disk space" in said
    assert not [path for path in runs.rglob("*") if ".part" in path.name]
    assert not (runs / "default/artifacts/big").exists()
    assert Manifest.load(runs / "default").failure["notebook"] == "02_big"

    remount(runs, "size=8m")
    assert main(["run"]) == 0
    assert "unchanged, skipped  small" in capsys.readouterr().out
    assert (runs / "default/artifacts/big/x").stat().st_size == 3_000_000


def test_a_disk_full_before_the_first_cell_is_told_by_the_runner(write, runs, capsys):
    write("01_small", 'session.save("small", [1]);')
    (runs / "others").write_bytes(bytes(1_048_576 - 8192))
    assert main(["run"]) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert said.count("\n") <= 3
    assert not [path for path in runs.rglob("*") if ".part" in path.name]


def test_a_disk_without_a_byte_is_told_with_the_file(write, runs, capsys):
    write("01_small", 'session.save("small", [1]);')
    (runs / "default").mkdir()
    with pytest.raises(OSError, match="No space"), (runs / "others").open("wb") as file:
        while True:
            os.write(file.fileno(), bytes(4096))
    assert main(["run"]) == 2
    assert "manifest.json must be writable; No space left on device" in capsys.readouterr().err


def test_a_read_only_disk_is_told(write, runs, capsys):
    write("01_small")
    remount(runs, "ro")
    assert main(["run"]) == 2
    assert "The folder of the run must be writable" in capsys.readouterr().err
    remount(runs, "rw")


def test_a_limit_on_files_is_told_and_the_run_goes_on_where_it_is_lifted(project, write, tmp_path):
    """As a quota: this needs no file system of its own, and so no root."""

    def run(limit):
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        return subprocess.run(
            [sys.executable, "-m", "recsys_lib", "run"],
            cwd=project.root,
            env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)),
            capture_output=True,
            text=True,
        )

    write("01_small", 'session.save("small", [1]);')
    write("02_big", BIG)
    done = run(1_000_000)
    assert done.returncode == 2
    assert "artifacts/big must be writable; File too large. Lift the limit on" in done.stderr
    runs = project.root / "runs"
    assert not [path for path in runs.rglob("*") if ".part" in path.name]
    assert (runs / "default/artifacts/small.json").exists()
    assert Manifest.load(runs / "default").status == "failed"
    assert run(resource.RLIM_INFINITY).returncode == 0
    assert (runs / "default/artifacts/big/x").stat().st_size == 3_000_000
