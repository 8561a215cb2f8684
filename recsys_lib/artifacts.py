"""Atomic writes, fingerprints and manifests; never pickle, never over the user's own files."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib._system import lock_file, move
from recsys_lib.errors import ArtifactError

MANIFEST, LOCK = "manifest.json", ".lock"
# Files that file managers leave in every folder they open.
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
# What else than a full disk keeps a file from being written.
_WAYS = dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Change permissions")
_WAYS[errno.EFBIG] = "Lift the limit on file sizes"


@contextlib.contextmanager
def write_atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    A reader sees the old file or the new one, even if the process is killed or the disk fills up.

    Parameters
    ----------
    path : Path or str
        The file to write. Missing parent folders are created.

    Yields
    ------
    Path
        Where to write.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder, write_atomic(f"{folder}/a.txt") as part:
    ...     _ = part.write_text("whole")
    """
    path = Path(path)
    # The suffix stays last because writers such as numpy.savez choose the format by it.
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        move(part, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty temporary folder; move it to `path` if the block succeeds.

    A folder without a manifest gets one, so that it is known as ours from then on.

    Parameters
    ----------
    path : Path or str
        The folder to write. An artifact that is already there is replaced, and nothing else is.

    Yields
    ------
    Path
        The folder to write into.

    Raises
    ------
    ArtifactError
        If `path` may not be replaced (see `check_replaceable`) or cannot be written.
    """
    path = Path(path).resolve()
    part = path
    try:
        check_replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        part.chmod(0o755)  # mkdtemp makes private folders; artifacts are shared as other files are
        yield part
        if not (part / MANIFEST).exists():
            write_manifest(part, kind="folder")
        _put_in_place(part, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        if part != path:
            shutil.rmtree(part, ignore_errors=True)


def _put_in_place(part: Path, path: Path) -> None:
    check_replaceable(path)  # once more: the block may have taken hours
    if not path.exists():
        move(part, path)
        return
    # A full folder cannot be replaced by one rename, so the old one steps aside for a moment.
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    old = aside / path.name
    try:
        move(path, old)
        move(part, path)
    except OSError:
        with contextlib.suppress(OSError):  # what cannot be put back stays where it is
            move(old, path)
        with contextlib.suppress(OSError):
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


class BusyError(ArtifactError):
    """Another process is at work in a folder."""


@contextlib.contextmanager
def alone_in(folder: Path, *, writable: str, alone: str, remedy: str) -> Iterator[None]:
    """Create and lock a folder; the operating system releases the lock with the process.

    Parameters
    ----------
    folder : Path
    writable, alone : str
        What must hold, for the messages: it can be written, and nobody else is at it.
    remedy : str
        What else to give than this folder.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ArtifactError(
            f"{writable}; {folder}: {error.strerror}. Change its permissions, or {remedy}."
        ) from error
    with handle:
        if not lock_file(handle):
            raise BusyError(
                f"{alone} at a time; {_holder(path)} is at it. Wait for it to end, or {remedy}."
            )
        # Only for the message above: the lock itself is the open file.
        holder = f"process {os.getpid()}, since {time.strftime('%H:%M:%S')},"
        with contextlib.suppress(OSError):
            handle.truncate(0)
            os.write(handle.fileno(), f" {holder}".encode())  # closing must not try a full disk
        yield


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        file.seek(1)  # on Windows, only the holder can read the first byte
        return file.read().decode() or "another process"
    return "another process"


def check_replaceable(path: Path | str, *, ours: Callable[[Path], bool] | None = None) -> None:
    """Raise `ArtifactError` unless writing to `path` destroys nothing that is not ours.

    Parameters
    ----------
    path : Path or str
        Where something is about to be written. Nothing may be there but an empty folder, or a
        folder that this library wrote and to which nobody has added anything.
    ours : callable, optional
        For a writer of single files: whether this library wrote the file at `path`. An exception
        says no.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "thesis.md").write_text("mine")
    ...     check_replaceable(folder)
    Traceback (most recent call last):
    recsys_lib.errors.ArtifactError: ... it holds 'thesis.md', which recsys_lib did not write. ...
    """
    path = Path(path).resolve()
    if not path.exists():
        return
    if ours is not None:
        found = None if _holds(path, ours) else "it is something else"
    elif path.is_file():
        found = "it is a file"
    elif Path.cwd().is_relative_to(path):
        found = "it is the working folder, or a folder above it"
    else:
        stranger = _stranger(path)
        found = stranger and f"it holds {stranger!r}, which recsys_lib did not write"
    if found:
        raise ArtifactError(
            f"{path} must be new, {'' if ours else 'empty, '}or written by recsys_lib; {found}. "
            "Choose another path, or move it away first."
        )


def _holds(path: Path, ours: Callable[[Path], bool]) -> bool:
    try:
        return path.is_file() and ours(path)
    except Exception:  # a stranger's file may break any reader in any way
        return False


def _stranger(folder: Path) -> str | None:
    """Name a file of a folder that no manifest of this library lists; None where there is none."""
    try:
        record = json.loads((folder / MANIFEST).read_bytes())
        listed = {MANIFEST, *record["files"]} if {"kind", "manifest"} <= record.keys() else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        listed = set()
    for file in folder.rglob("*"):
        name = file.relative_to(folder).as_posix()
        is_folder = file.is_dir() and not file.is_symlink()
        if not is_folder and name not in listed and file.name not in _LITTER:
            return name
    return None


def _write_error(path: Path, error: OSError) -> ArtifactError:
    way = _WAYS.get(error.errno or 0, "Free disk space")
    return ArtifactError(
        f"{path} must be writable; {error.strerror or error}. {way} or choose another folder; "
        "nothing half-written was left behind."
    )


def fingerprint(path: Path | str) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and contents.

    Parameters
    ----------
    path : Path or str
        A file, or a folder that is read recursively in sorted order.

    Returns
    -------
    str
        ``"sha256:"`` and 64 hexadecimal digits.

    Raises
    ------
    ArtifactError
        If there is nothing at `path`.
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            digest.update(_digest(file))
    elif path.is_file():
        digest.update(_digest(path))
    else:
        raise ArtifactError(f"{path} must exist; nothing is there. Run the step that writes it.")
    return f"sha256:{digest.hexdigest()}"


def _digest(file: Path) -> bytes:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest()


def digest_of(value: Any, length: int = 64) -> str:
    """Return hexadecimal digits that stand for a value by its JSON form; else it counts as text.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}, 8) == digest_of({"b": 2, "a": 1}, 8)
    True
    """
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def fingerprint_arrays(*parts: Any) -> str:
    """Return the SHA-256 of what parts hold, the same on every platform.

    Parameters
    ----------
    *parts : tuple of int, csr_array or ndarray of int
        Shapes, matrices (the positions, and the values as float32) and positions.

    Returns
    -------
    str
        ``"sha256:"`` and 64 hexadecimal digits.

    Examples
    --------
    >>> fingerprint_arrays((2, 3), np.array([0, 1])) == fingerprint_arrays((3, 2), np.array([0, 1]))
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, tuple):
            digest.update(repr(tuple(int(size) for size in part)).encode())
            continue
        # Index dtypes differ by platform and history, the positions do not.
        stored = sparse.issparse(part)
        for positions in (part.indptr, part.indices) if stored else (part,):
            digest.update(np.asarray(positions, dtype="<i8").tobytes())
        if stored:
            digest.update(np.asarray(part.data, dtype="<f4").tobytes())
    return f"sha256:{digest.hexdigest()}"


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    text = json.dumps(value, indent=2, sort_keys=True, default=_plain, ensure_ascii=False)
    with write_atomic(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return NumPy scalars, arrays and paths as JSON values."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} has no JSON form here.")


def read_json(path: Path | str) -> Any:
    """Read a JSON file; `ArtifactError` if it is missing or half-written."""
    with _reading(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def write_arrays(path: Path | str, /, **arrays: NDArray[Any]) -> None:
    """Write named arrays as an uncompressed ``.npz``, atomically; object arrays are refused."""
    for name, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise TypeError(f"`{name}` must not be an object array: it would need pickle.")
    with write_atomic(path) as part, part.open("wb") as handle:
        np.savez(handle, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path | str) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz``; `ArtifactError` if it is missing or half-written."""
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write_table(path: Path | str, frame: pd.DataFrame) -> None:
    """Write a DataFrame as Parquet, atomically."""
    # Opened here, because Arrow takes no path that is not UTF-8, as under a C locale.
    with write_atomic(path) as part, part.open("wb") as handle:
        frame.to_parquet(handle)


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a Parquet file; `ArtifactError` if it is missing or half-written."""
    # Its bytes, not the open file: Arrow's threads let go of a Python object when they like, and
    # one that does while Python exits ends the process with SIGABRT.
    with _reading(path):
        return pd.read_parquet(pa.BufferReader(Path(path).read_bytes()))


@contextlib.contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{path} must exist; nothing is there. Run the step that writes it."
        ) from error
    except PermissionError as error:
        raise ArtifactError(
            f"{path} must be readable; {error.strerror}. Change its permissions."
        ) from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path} must be a readable artifact; {type(error).__name__}: {error}. "
            "Check the path; if it is right, move it away and run the step that writes it."
        ) from error


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, and of `more`."""
    packages = ("keras", "numpy", "pandas", "recsys-lib", "scikit-learn", "scipy", "tensorflow")
    found = {"python": platform.python_version()}
    for package in (*packages, *more):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def write_manifest(folder: Path | str, *, kind: str, **facts: Any) -> None:
    """Write ``manifest.json``: what the folder is, how it was made, and each file's fingerprint.

    Call it last: it lists the files in the folder at that time.

    Parameters
    ----------
    folder : Path or str
        The artifact's folder.
    kind : str
        What the artifact is, such as ``"dataset"`` or ``"model"``.
    **facts
        Any JSON values: configuration, seed, inputs, measures.
    """
    folder = Path(folder)
    files = {
        file.relative_to(folder).as_posix(): fingerprint(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / MANIFEST
    }
    record = {**facts, "kind": kind, "files": files, "versions": versions()}
    write_json(folder / MANIFEST, {**record, "manifest": _seal(record)})


def _seal(record: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest, to notice a damaged byte in it."""
    plain = json.loads(json.dumps(record, default=_plain))  # as it will be read: keys are text
    return f"sha256:{digest_of(plain)}"


def read_manifest(folder: Path | str, *, kind: str) -> dict[str, Any]:
    """Return the manifest of an artifact after verifying that every file is the one written.

    Parameters
    ----------
    folder : Path or str
        The artifact's folder.
    kind : str
        What the artifact must be.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    ArtifactError
        If the folder has no manifest, is of another kind, or a file is missing or changed.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).exists():
        there = "it is a file" if folder.is_file() else f"no {MANIFEST} is there"
        raise ArtifactError(
            f"{folder} must be the folder of a {kind}; {there}. Check the path: runs keep what "
            "they make in runs/NAME/artifacts."
        )
    record = read_json(folder / MANIFEST)
    if not isinstance(record, dict) or record.pop("manifest", None) != _seal(record):
        raise ArtifactError(
            f"{folder / MANIFEST} must be the manifest that was written; its fingerprint differs. "
            "Run the step that writes it again."
        )
    if record.get("kind") != kind:
        raise ArtifactError(
            f"{folder} must hold a {kind}; its manifest says {record.get('kind')!r}. "
            "Point to the right folder."
        )
    for name, expected in record["files"].items():
        if fingerprint(folder / name) != expected:
            raise ArtifactError(
                f"{folder / name} must be the file that was written; its fingerprint differs from "
                "the manifest's. Run the step that writes it again."
            )
    return record
