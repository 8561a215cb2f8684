"""MovieLens, from local files or downloaded once: the data on which papers are compared."""

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from recsys_lib.artifacts import atomic_folder
from recsys_lib.checks import check_choice
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.naming import first_line
from recsys_lib.sources.read import load_dataset, read_catalog, read_users

_HOST = "https://files.grouplens.org/datasets/movielens"
_TIMEOUT_S = 60
_RETRIES = 2
# The genre flags of u.item, in the order of u.genre.
_GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
_RATINGS = ["user_id", "item_id", "rating", "timestamp"]
# How the files without a header are read, by their names.
_RULES: dict[str, dict[str, Any]] = {
    "u.data": {"columns": _RATINGS, "delimiter": "\t"},
    "u.item": {
        "columns": ["item_id", "title", "release_date", "video_release_date", "url", *_GENRES],
        "encoding": "latin-1",
        "delimiter": "|",
    },
    "u.user": {"columns": ["user_id", "age", "gender", "occupation", "zip_code"], "delimiter": "|"},
    "ratings.dat": {"columns": _RATINGS},
    "movies.dat": {"columns": ["item_id", "title", "genres"], "encoding": "latin-1"},
    "users.dat": {"columns": ["user_id", "gender", "age", "occupation", "zip_code"]},
}
# The files of ratings, items and users in each layout; the last is RecBole's.
_LAYOUTS = (
    ("ratings.csv", "movies.csv"),
    ("ratings.dat", "movies.dat", "users.dat"),
    ("u.data", "u.item", "u.user"),
    ("{folder}.inter", "{folder}.item", "{folder}.user"),
)


@dataclass(frozen=True)
class _Release:
    """Folder name of a release, its published checksum, and its rating scale."""

    folder: str
    md5: str | None
    scale: tuple[float, float]


_RELEASES = {
    "100k": _Release("ml-100k", "0e33842e24a9c977be4e0107933c0723", (1, 5)),
    "1m": _Release("ml-1m", "c4d9eecfca2ab87c1945afe126590906", (1, 5)),
    "20m": _Release("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3", (0.5, 5)),
    # A living release: GroupLens replaces it, so no checksum can be fixed.
    "latest-small": _Release("ml-latest-small", None, (0.5, 5)),
}


def movielens(
    name: str = "100k", *, folder: Path | str = "data/raw", download: bool = True
) -> Dataset:
    """Return a release of MovieLens, with titles and genres, and profiles where it has them.

    Parameters
    ----------
    name : {"100k", "1m", "20m", "latest-small"}
    folder : Path or str
        Where the release is or will be stored, as ``folder/ml-100k`` and so on: GroupLens' own
        files, or RecBole's ``ml-100k.inter``, ``.item`` and ``.user``. A zip there is unpacked.
    download : bool
        Whether to download a missing release. Its MD5 is compared with the published one
        (``latest-small`` changes over time and has none).

    Returns
    -------
    Dataset
        Ids are strings, as in the files; times are kept.

    Raises
    ------
    DataError
        If the release is not there and cannot be downloaded, or the archive is not the published
        one.

    Notes
    -----
    GroupLens permits research use and no redistribution: don't commit the files.

    References
    ----------
    .. [1] F. M. Harper, J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS
       5(4), 2015. https://grouplens.org/datasets/movielens/
    """
    check_choice("name", name, tuple(_RELEASES))
    release = _RELEASES[name]
    place = Path(folder).expanduser() / release.folder
    if not _files(place, release):
        _obtain(place, release, download)
    found = _files(place, release)
    if not found:
        raise DataError(
            f"{place} must hold MovieLens {name}; its rating file is not among the contents. "
            f"Remove the folder, or unpack {release.folder}.zip of GroupLens there."
        )
    return _read(found, release)


def _files(place: Path, release: _Release) -> dict[str, Path]:
    """Return the files of a release by their roles, in whichever layout they are."""
    for names in _LAYOUTS:
        files = [place / name.format(folder=release.folder) for name in names]
        if files[0].is_file():
            roles = zip(("ratings", "items", "users"), files, strict=False)
            return {role: file for role, file in roles if file.is_file()}
    return {}


def _read(files: dict[str, Path], release: _Release) -> Dataset:
    """Read a release in the layout of its files; only those of GroupLens lack a header."""
    rules = {role: _RULES.get(file.name, {}) for role, file in files.items()}
    items = users = None
    if "items" in files:
        items = read_catalog(files["items"], **rules["items"])
        if files["items"].name == "u.item":
            flags = items[_GENRES].astype(int).astype(bool)
            genres = flags.apply(lambda row: "|".join(flags.columns[row]), axis=1)
            items = items[["title", "release_date"]].assign(genres=genres)
    if "users" in files:
        users = read_users(files["users"], **rules["users"])
    return load_dataset(
        files["ratings"], items, users, rating_scale=release.scale, **rules["ratings"]
    )


def _obtain(place: Path, release: _Release, download: bool) -> None:
    """Unpack the archive, after downloading it if it is missing."""
    import pooch

    archive = place.parent / f"{release.folder}.zip"
    if not archive.is_file():
        if not download:
            raise _absent(place, release, "it may not be fetched (download=False)")
        _fetch(archive, place, release)
    # MD5 is what GroupLens publishes; it guards against a broken copy, not against an attacker.
    md5 = pooch.file_hash(str(archive), alg="md5")
    if release.md5 not in (None, md5):
        raise DataError(
            f"{archive} must have the MD5 that GroupLens publishes, {release.md5}; it has {md5}. "
            "Remove it and try again."
        )
    try:
        with atomic_folder(place) as part, zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                # The release's own folder is the first part of each name; nothing may leave it.
                name = PurePosixPath(member.filename).name
                if not member.is_dir():
                    (part / name).write_bytes(packed.read(member))
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            f"{archive} must be the zip that GroupLens publishes; {error}. Remove it and try again."
        ) from error


def _fetch(archive: Path, place: Path, release: _Release) -> None:
    """Download an archive; one that is cut off or broken is fetched again, and never kept."""
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    store = pooch.create(
        path=archive.parent,
        base_url=f"{_HOST}/",
        registry={archive.name: f"md5:{release.md5}" if release.md5 else None},
        retry_if_failed=_RETRIES,
    )
    try:
        store.fetch(archive.name, downloader=pooch.HTTPDownloader(timeout=_TIMEOUT_S))
    except ValueError as error:
        why = f"what was fetched lacks the MD5 that GroupLens publishes, {release.md5}"
        raise _absent(place, release, why) from error
    except OSError as error:
        root: BaseException = error
        while root.__context__ is not None:  # requests wraps it three times
            root = root.__context__
        raise _absent(place, release, f"fetching it failed: {first_line(root)}") from error


def _absent(place: Path, release: _Release, why: str) -> DataError:
    return DataError(
        f"MovieLens must lie in {place}; it does not, and {why}. With a network download "
        f"{_HOST}/{release.folder}.zip and put it into {place.parent}."
    )
