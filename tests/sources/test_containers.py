"""Files by what they hold, not by what they are called."""

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources import load_dataset, read_interactions

CSV = b"user,item\na,x\n"


def streamed(codec: str) -> Callable[[bytes], bytes]:
    def pack(content: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return bytes(sink.getvalue())

    return pack


def zipped(*names: str) -> Callable[[bytes], bytes]:
    def pack(content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, content)
        return file.getvalue()

    return pack


def tarred(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.csv.gz", gzip.compress),
        ("a.csv", gzip.compress),
        ("a.csv.gz", bytes),
        ("a.csv.bz2", bz2.compress),
        ("a.txt", bz2.compress),
        ("a.csv.xz", lzma.compress),
        ("a.csv.zst", streamed("zstd")),
        ("a.csv.lz4", streamed("lz4")),
        ("a.zip", zipped("a.csv", "__MACOSX/._a.csv", "folder/")),
    ],
)
def test_compression_is_told_by_the_bytes(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(CSV))
    assert read_interactions(tmp_path / name)["item_id"].tolist() == ["x"]


def test_parquet_and_json_are_read_under_any_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["a", "b"], "item": [1, 2]})
    frame.to_parquet(tmp_path / "a.csv")
    rows = frame.to_dict("records")
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / "lines.json").write_text(lines)
    (tmp_path / "lines.txt").write_text(lines)
    (tmp_path / "lines.json.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "pretty.json").write_text(json.dumps(rows, indent=2))
    for file in tmp_path.iterdir():
        assert read_interactions(file)["item_id"].tolist() == [1, 2], file.name


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", zipped("a.csv", "b.csv")(CSV), "one file; it holds 2: a.csv, b.csv. Unpack"),
        (
            "a.csv",
            zipped("xl/workbook.xml")(b""),
            "it holds an Excel or Office file. Read it with pandas",
        ),
        ("a.csv", tarred(CSV), "it holds tar"),
        ("a.csv", b"<!DOCTYPE html><html>", "it holds a web page"),
        ("a.npz", zipped("ids.npy")(b""), "it holds NumPy arrays"),
        ("a.dat", b"\x89HDF\r\n", "it holds HDF5"),
        ("a.json", b'{\n"user": "a",\n"item": 1}', "a.json must be JSON; line 1: Exp"),
        ("a.json", b'{"user": {"0": "a"}, "item": {"0": 1}}', "all strings or all whole numbers"),
        ("a.csv.gz", gzip.compress(CSV)[:-9], "a.csv.gz must be readable"),
    ],
    ids=["two files", "office", "tar", "page", "numpy", "hdf5", "object", "columns", "cut"],
)
def test_what_cannot_be_opened_is_named_for_what_it_is(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_interactions(tmp_path / name)


@pytest.mark.parametrize("address", ["https://x.org/a.csv", "s3://bucket/a.csv", "file:///a.csv"])
def test_an_address_is_answered_with_a_sentence(address: str) -> None:
    with pytest.raises(ConfigError, match="must be that of a database: .*Download a file"):
        read_interactions(address)


@pytest.mark.parametrize("nothing", ["", " "])
def test_no_name_is_not_the_working_folder(
    nothing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="it is empty"):
        load_dataset(nothing)


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "folder", "folder/a.csv"])
def test_what_may_not_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    for file in ("a.csv", "a.parquet", "folder/a.csv"):
        (tmp_path / file).write_bytes(CSV)
        (tmp_path / file).chmod(0)
    (tmp_path / "folder").chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from recsys_lib.errors import DataError\n"
        "from recsys_lib.sources import read_interactions\n"
        "os.chdir(sys.argv[1]); os.seteuid(65534)\n"
        "try: read_interactions(sys.argv[2])\n"
        "except DataError as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), name], capture_output=True, text=True
    )
    assert "must be readable; [Errno 13] Permission denied" in ran.stdout, ran.stderr


def test_a_path_that_is_no_text_of_the_locale_is_not_called_damaged(tmp_path: Path) -> None:
    pd.DataFrame({"user": ["a"], "item": ["x"]}).to_parquet(tmp_path / "plain.parquet")
    folder = os.fsencode(tmp_path)
    os.rename(folder + b"/plain.parquet", folder + b"/r\xc3\xb6.parquet")  # noqa: PTH104
    code = (
        "import os, sys; from recsys_lib.errors import DataError\n"
        "from recsys_lib.sources import read_interactions\n"
        "path = os.path.join(sys.argv[1], os.fsdecode(b'r\\xc3\\xb6.parquet'))\n"
        "try: read_interactions(path)\n"
        "except DataError as error: print(ascii(str(error)))"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | plain,
        capture_output=True,
        text=True,
    )
    assert "must be readable; 'utf-8' codec can't encode" in ran.stdout, ran.stderr
    assert "half-written" not in ran.stdout
