"""Compressed files, formats and encodings, recognized by first bytes rather than by names."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pyarrow as pa

from recsys_lib.errors import DataError
from recsys_lib.naming import first_line

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
    """Open a file, compressed (gzip, bzip2, xz, zstd, lz4, zip with one file) or not.

    Errors of opening and reading it are a `DataError`.
    """
    try:
        with path.open("rb") as raw:
            opened = _match(_OPENERS, raw.read(_START)) or partial(open, mode="rb")
        with opened(path) as file:
            yield file
    except _BROKEN as error:
        raise unreadable(path.name, error) from error


@contextmanager
def reading(path: Path, encoding: str, *, newline: str | None = None) -> Iterator[TextIO]:
    """Open a text file, compressed or not; what goes wrong is a `DataError`."""
    try:
        with (
            unpacked(path) as raw,
            io.TextIOWrapper(raw, encoding=encoding, newline=newline) as file,
        ):
            yield file
    except (UnicodeError, LookupError) as error:
        raise undecodable(path.name, encoding, error) from error


def first_lines(path: Path, encoding: str, count: int) -> list[str]:
    """Return the first lines of a text file, as many as can be read."""
    lines: list[str] = []
    with suppress(DataError), reading(path, encoding) as file:
        for line in islice(file, count):
            lines.append(line)
    return lines


def told_encoding(path: Path, given: str | None) -> str:
    """Return the encoding given, else UTF-8; a byte-order mark is never part of the text."""
    with unpacked(path) as file:
        start = file.read(4)
    family = (given or "utf").lower().replace("_", "-")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and family.startswith("utf"):
        return "utf-16"
    return "utf-8-sig" if family in ("utf", "utf-8", "utf8") else str(given)


def file_suffix(path: Path) -> str:
    """Return the suffix that says the format: of ``a.csv.gz`` and of a zip with it ``.csv``."""
    name = Path(path.name.lower())
    if name.suffix == ".zip":
        with suppress(*_BROKEN), zipfile.ZipFile(path) as archive:
            return Path(_member(archive, path).lower()).suffix
    return Path(name.stem).suffix if name.suffix in _SUFFIXES else name.suffix


def unreadable(name: str, error: Exception) -> DataError:
    """Return the error for a file that cannot be opened or is cut off."""
    if isinstance(error, PermissionError):
        return DataError(
            f"'{name}' must be readable; you lack the permission. Ask its owner for it, or name "
            "another file."
        )
    return DataError(
        f"{name} must be readable; {first_line(error)}. Check that it is whole and its permissions."
    )


def undecodable(name: str, encoding: str, error: Exception) -> DataError:
    """Return the error for text that is in another encoding."""
    return DataError(
        f"{name} must be text in the encoding '{encoding.removesuffix('-sig')}'; "
        f'{first_line(error)}. Give the right one, such as encoding="latin-1", or save the file as '
        "UTF-8."
    )


def _match(patterns: dict[bytes, Any], start: bytes) -> Any:
    found = (what for sign, what in patterns.items() if re.match(sign, start, re.DOTALL | re.I))
    return next(found, None)


@contextmanager
def _unzipped(path: Path) -> Iterator[Any]:
    with zipfile.ZipFile(path) as archive, archive.open(_member(archive, path)) as file:
        yield file


def _member(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the one file in a zip, beside what systems add."""
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not re.search(r"(^|/)(__MACOSX/|\.)", name)
    ]
    for signs, what, remedy in (
        (("xl/", "word/", "content.xml"), "it is an Excel or Office file", "Save it as CSV."),
        ((".npy",), "it holds NumPy arrays", "Make a DataFrame of them."),
    ):
        if any(name.startswith(signs) or name.endswith(signs) for name in names):
            raise DataError(f"'{path.name}' must be text, JSON lines or Parquet; {what}. {remedy}")
    if len(names) != 1:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(
            f"'{path.name}' must hold one file; it holds {len(names)}"
            f"{': ' + some if names else ''}. Unpack it and name one of them."
        )
    return names[0]


_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    rb"\x1f\x8b": gzip.open,
    rb"BZh[1-9](?:1AY&SY|\x17rE8P)": bz2.open,
    rb"\xfd7zXZ\0": lzma.open,
    rb"\x28\xb5\x2f\xfd": partial(pa.input_stream, compression="zstd"),
    rb"\x04\x22\x4d\x18": partial(pa.input_stream, compression="lz4"),
    rb"PK(?:\x03\x04|\x05\x06)": _unzipped,
}
