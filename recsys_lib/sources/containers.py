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
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from recsys_lib.errors import DataError
from recsys_lib.naming import first_line

_FORMATS = {
    rb"PAR1": "Parquet",
    rb"ARROW1|FEA1": "Feather",
    rb"\x89HDF": "HDF5",
    rb"Obj\x01": "Avro",
    rb"ORC[^ -~\s]": "ORC",
    rb"\xd0\xcf\x11\xe0": "Excel",
    rb"PK.{28}(?:\[Content_Types\]|xl/|mimetype)": "an Excel or Office file",
    rb"PK.{28}[^/]{1,99}\.npy|\x93NUMPY": "NumPy arrays",
    rb"\x80[\x02-\x05]": "pickle",
    rb"7z\xbc\xaf|Rar!": "7z or RAR",
    rb".{257}ustar": "tar",
    rb"\s*<(?:!doctype|html|\?xml)": "a web page or XML",
}
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
    with path.open("rb") as file:
        found = _match(_FORMATS, file.read(_START))
    if found is None:
        with unpacked(path) as raw:
            found = _match(_FORMATS, raw.read(_START))
    return found


@contextmanager
def unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, compressed (gzip, bzip2, xz, zstd, lz4, zip with one file) or not.

    Errors of opening and reading it are a `DataError`.
    """
    try:
        with path.open("rb") as raw:
            opened = _match(_OPENERS, raw.read(_START)) or partial(open, mode="rb")
        with opened(path) as file, io.BufferedReader(file) as buffered:
            yield buffered
    except _BROKEN as error:
        raise unreadable(path.name, error) from error


@contextmanager
def reading(path: Path, encoding: str | None, *, newline: str | None = None) -> Iterator[TextIO]:
    """Open a text file, compressed or not; what goes wrong is a `DataError`.

    Without an encoding it is UTF-8; a byte-order mark tells UTF-16, and is never part of the text.
    """
    family = (encoding or "utf").lower().replace("_", "-")
    if family in ("utf", "utf-8", "utf8"):
        encoding = "utf-8-sig"
    try:
        with unpacked(path) as raw:
            marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            if raw.peek(2).startswith(marks) and family.startswith("utf"):
                encoding = "utf-16"
            with io.TextIOWrapper(raw, encoding=encoding, newline=newline) as file:
                yield file
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"{path.name} must be text in the encoding '{str(encoding).removesuffix('-sig')}'; "
            f'{first_line(error)}. Give the right one, such as encoding="latin-1", or save the '
            "file as UTF-8."
        ) from error


def unreadable(name: str, error: Exception) -> DataError:
    """Return the error for a file that cannot be opened or is cut off."""
    return DataError(
        f"{name} must be readable; {first_line(error)}. Check that it is whole, of one format, and "
        "yours to read."
    )


def _match(patterns: dict[bytes, Any], start: bytes) -> Any:
    found = (what for sign, what in patterns.items() if re.match(sign, start, re.DOTALL | re.I))
    return next(found, None)


@contextmanager
def _unzipped(path: Path) -> Iterator[Any]:
    """Open the one file in a zip, beside what systems add."""
    with zipfile.ZipFile(path) as archive:
        added = r"/$|(^|/)(__MACOSX/|\.)"
        names = [name for name in archive.namelist() if not re.search(added, name)]
        if len(names) != 1:
            some = ", ".join(names[:5])
            raise DataError(
                f"'{path.name}' must hold one file; it holds {len(names)}: {some}. Unpack it and "
                "name one of them."
            )
        with archive.open(names[0]) as file:
            yield file


_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    rb"\x1f\x8b": gzip.open,
    rb"BZh[1-9](?:1AY&SY|\x17rE8P)": bz2.open,
    rb"\xfd7zXZ\0": lzma.open,
    rb"\x28\xb5\x2f\xfd": partial(pa.input_stream, compression="zstd"),
    rb"\x04\x22\x4d\x18": partial(pa.input_stream, compression="lz4"),
    rb"PK(?:\x03\x04|\x05\x06)": _unzipped,
}
