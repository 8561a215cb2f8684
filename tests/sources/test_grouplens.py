"""MovieLens in each of its layouts, fetched from a server of the test's own or not at all."""

import functools
import hashlib
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.sources import grouplens as module
from recsys_lib.sources import movielens

LAYOUTS: dict[str, dict[str, str]] = {
    "100k": {
        "u.data": "196\t242\t3\t881250949\n186\t302\t5\t891717742\n",
        "u.item": "242|Kolya (1996)|24-Jan-1997||http://x|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
        "302|L.A. Confidénce|01-Jan-1997||http://y|0|0|0|0|0|0|1|0|0|0|1|0|0|1|0|0|1|0|0\n",
        "u.user": "196|49|M|writer|55105\n186|39|F|executive|00000\n",
    },
    "1m": {
        "ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n",
        "movies.dat": "1193::Cuckoo: the Nest (1975)::Drama\n661::Jämes (1996)::Children's\n",
        "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
    },
    "20m": {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n2,29,0.5,1112484676\n",
        "movies.csv": 'movieId,title,genres\n2,"Jumanji, or (1995)",Adventure\n29,City,Drama|War\n',
    },
}


def pack(folder: Path, name: str) -> Path:
    """Write the zip of a release, with the folder inside that GroupLens' zips have."""
    archive = folder / f"ml-{name}.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file, text in LAYOUTS[name].items():
            packed.writestr(f"ml-{name}/{file}", text.encode("latin-1"))
    return archive


@pytest.fixture
def checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checksums be those of the small archives."""
    (tmp_path / "packed").mkdir()
    for name in LAYOUTS:
        md5 = hashlib.md5(pack(tmp_path / "packed", name).read_bytes()).hexdigest()
        monkeypatch.setitem(module._RELEASES, name, (md5, module._RELEASES[name][1]))


@pytest.fixture
def host(tmp_path: Path, checksums: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve the archives from this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "packed"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(module, "_HOST", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


def check(dataset: Dataset, name: str) -> None:
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (2, 2, 2)
    assert dataset.items is not None
    assert dataset.rating_scale == ((0.5, 5.0) if name == "20m" else (1.0, 5.0))
    genres = {"100k": "Crime|Film-Noir|Mystery|Thriller", "1m": "Drama", "20m": "Adventure"}
    assert genres[name] in set(dataset.items["genres"])
    titles = {"100k": "L.A. Confidénce", "1m": "Jämes (1996)", "20m": "Jumanji, or (1995)"}
    assert titles[name] in set(dataset.items["title"])
    assert (dataset.users is None) == (name == "20m")
    assert dataset.timestamps is not None


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_release_is_fetched_once_and_read_offline(name: str, host: None, tmp_path: Path) -> None:
    check(movielens(name, folder=tmp_path / "raw"), name)
    (tmp_path / "packed" / f"ml-{name}.zip").unlink()
    check(movielens(name, folder=tmp_path / "raw", download=False), name)


def test_a_zip_at_hand_is_unpacked(checksums: None, tmp_path: Path) -> None:
    pack(tmp_path, "1m")
    check(movielens("1m", folder=tmp_path, download=False), "1m")


def test_another_archive_is_replaced_or_refused(host: None, tmp_path: Path) -> None:
    archive = pack(tmp_path, "1m")
    archive.write_bytes(archive.read_bytes()[:-5])
    with pytest.raises(DataError, match="must lie in .*; File is not a zip file"):
        movielens("1m", folder=tmp_path, download=False)
    assert not (tmp_path / "ml-1m").exists()
    check(movielens("1m", folder=tmp_path), "1m")


def test_a_broken_download_is_never_kept(host: None, tmp_path: Path) -> None:
    served = tmp_path / "packed" / "ml-1m.zip"
    whole = served.read_bytes()
    served.write_bytes(whole[:-5])
    with pytest.raises(DataError, match="MD5 hash of downloaded file .* does not match"):
        movielens("1m", folder=tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
    served.write_bytes(whole)
    check(movielens("1m", folder=tmp_path / "raw"), "1m")


def test_without_a_network_the_error_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HOST", "http://127.0.0.1:9/movielens")
    with pytest.raises(DataError, match=r"must lie in .*127.0.0.1.*ml-100k.zip and put it into"):
        movielens("100k", folder=tmp_path)
    with pytest.raises(DataError, match="No such file .*ml-100k.zip"):
        movielens("100k", folder=tmp_path, download=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="`name` must be one of '100k'"):
        movielens("10k", folder=tmp_path)


def test_a_folder_without_ratings_is_named(checksums: None, tmp_path: Path) -> None:
    pack(tmp_path, "20m")
    with zipfile.ZipFile(tmp_path / "ml-latest-small.zip", "w") as packed:
        packed.writestr("ml-latest-small/readme.txt", "nothing")
    assert module._RELEASES["latest-small"][0] is None
    with pytest.raises(DataError, match="its rating file is not among the contents"):
        movielens("latest-small", folder=tmp_path)


@pytest.mark.skipif("RECSYS_DATASETS" not in os.environ, reason="RECSYS_DATASETS is not set")
def test_the_files_of_recbole_are_read_where_they_lie() -> None:
    dataset = movielens("100k", folder=os.environ["RECSYS_DATASETS"], download=False)
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (943, 1682, 100_000)
