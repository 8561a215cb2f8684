"""Compressed files and formats, recognized by their first bytes rather than by their names."""

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from recsys_lib.errors import DataError

__all__ = ["binary_format", "file_suffix", "unpacked", "unreadable"]

_PACKED = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](?:1AY&SY|\x17rE8P)": "bzip2",
    rb"\xfd7zXZ\0": "xz",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"\x04\x22\x4d\x18": "lz4",
    rb"PK(?:\x03\x04|\x05\x06)": "zip",
}
_FORMATS = {
    rb"PAR1": "Parquet",
    rb"SQLite format 3\0": "SQLite",
    rb".{8}DUCK": "DuckDB",
    rb"ARROW1|FEA1": "Feather",
    rb"\x89HDF": "HDF5",
    rb"Obj\x01": "Avro",
    rb"ORC[^ -~\s]": "ORC",
    rb"\xd0\xcf\x11\xe0": "Excel",
    rb"\x93NUMPY": "NumPy",
    rb"\x80[\x02-\x05]": "pickle",
    rb"7z\xbc\xaf|Rar!": "7z or RAR",
    rb".{257}ustar": "tar",
    rb"%PDF-": "PDF",
    rb"\s*<(?:!doctype|html|\?xml)": "a web page or XML",
}
_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
_OPENERS: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
_START = 512
_BROKEN = (
    *(OSError, EOFError, RuntimeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile),
    pa.ArrowException,
)


def binary_format(path: Path) -> str | None:
    """Return the format of a file, unpacked where it is compressed; None where it may be text.

    Raises
    ------
    DataError
        If the file cannot be read, or is an archive of several files.
    """
    with unpacked(path) as file:
        return _match(_FORMATS, file.read(_START))


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file, compressed or not; errors of opening and reading it are a `DataError`."""
    try:
        with _opened(path) as file:
            yield file
    except _BROKEN as error:
        raise unreadable(path.name, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, compressed (gzip, bzip2, xz, zstd, lz4, zip with one file) or not."""
    with path.open("rb") as raw:
        packed = _match(_PACKED, raw.read(_START))
    if packed in ("zstd", "lz4"):
        with pa.input_stream(str(path), compression=packed) as stream:
            yield cast("BinaryIO", stream)
    elif packed == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive, path)) as file:
            yield cast("BinaryIO", file)
    else:
        with _OPENERS.get(packed or "", open)(path, "rb") as file:
            yield file


def file_suffix(path: Path) -> str:
    """Return the suffix that says the format: of ``a.csv.gz`` and of a zip with it ``.csv``."""
    name = Path(path.name.lower())
    if name.suffix == ".zip":
        with suppress(*_BROKEN), zipfile.ZipFile(path) as archive:
            return Path(_member(archive, path).lower()).suffix
    return Path(name.stem).suffix if name.suffix in _SUFFIXES else name.suffix


def unreadable(name: str, error: Exception) -> DataError:
    """Return the error for a file that cannot be opened or is cut off."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, PermissionError):
        return DataError(
            f"'{name}' must be readable; you lack the permission. Ask its owner for it, or name "
            "another file."
        )
    return DataError(
        f"{name} must be readable; {lines[0].rstrip('.')}. Check that it is whole and its "
        "permissions."
    )


def _match(patterns: dict[bytes, str], start: bytes) -> str | None:
    found = (name for sign, name in patterns.items() if re.match(sign, start, re.DOTALL | re.I))
    return next(found, None)


def _member(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the one file in a zip, beside what systems add."""
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not re.search(r"(^|/)(__MACOSX/|\.)", name)
    ]
    if any(name.startswith(("xl/", "word/", "content.xml")) for name in names):
        raise DataError(
            f"'{path.name}' must be text, JSON lines or Parquet; it is an Excel or Office file. "
            "Save it as CSV."
        )
    if any(name.endswith(".npy") for name in names):
        raise DataError(
            f"'{path.name}' must be text, JSON lines or Parquet; it holds NumPy arrays. Make a "
            "DataFrame of them."
        )
    if len(names) != 1:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(
            f"'{path.name}' must hold one file; it holds {len(names)}"
            f"{': ' + some if names else ''}. Unpack it and name one of them."
        )
    return names[0]
