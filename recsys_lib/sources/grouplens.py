"""MovieLens, from local files or downloaded once: the data on which papers are compared."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from recsys_lib.artifacts import atomic_folder
from recsys_lib.checks import check_choice
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.naming import first_line
from recsys_lib.sources.read import load_dataset, read_catalog, read_users

_HOST = "https://files.grouplens.org/datasets/movielens"
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


# Published checksum and rating scale of each release.
_RELEASES: dict[str, tuple[str | None, tuple[float, float]]] = {
    "100k": ("0e33842e24a9c977be4e0107933c0723", (1, 5)),
    "1m": ("c4d9eecfca2ab87c1945afe126590906", (1, 5)),
    "20m": ("cd245b17a1ae2cc31bb14903e1204af3", (0.5, 5)),
    # A living release: GroupLens replaces it, so no checksum can be fixed.
    "latest-small": (None, (0.5, 5)),
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
    md5, scale = _RELEASES[name]
    place = Path(folder).expanduser() / f"ml-{name}"
    if not _files(place):
        _obtain(place, md5, download)
    found = _files(place)
    if not found:
        raise DataError(
            f"{place} must hold MovieLens {name}; its rating file is not among the contents. "
            f"Remove the folder, or unpack {place.name}.zip of GroupLens there."
        )
    return _read(found, scale)


def _files(place: Path) -> dict[str, Path]:
    """Return the files of a release by their roles, in whichever layout they are."""
    for names in _LAYOUTS:
        files = [place / name.format(folder=place.name) for name in names]
        if files[0].is_file():
            roles = zip(("ratings", "items", "users"), files, strict=False)
            return {role: file for role, file in roles if file.is_file()}
    return {}


def _read(files: dict[str, Path], scale: tuple[float, float]) -> Dataset:
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
    return load_dataset(files["ratings"], items, users, rating_scale=scale, **rules["ratings"])


def _obtain(place: Path, md5: str | None, download: bool) -> None:
    """Unpack the archive, after downloading it if it is missing or another."""
    archive = place.with_name(f"{place.name}.zip")
    try:
        if download:
            _fetch(archive, md5)
        with atomic_folder(place) as part, zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                # The release's own folder is the first part of each name; nothing may leave it.
                name = PurePosixPath(member.filename).name
                if not member.is_dir():
                    (part / name).write_bytes(packed.read(member))
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"MovieLens must lie in {place}, or as {archive.name} beside it; {first_line(error)}. "
            f"With a network download {_HOST}/{archive.name} and put it into {place.parent}."
        ) from error


def _fetch(archive: Path, md5: str | None) -> None:
    """Download an archive that is not there whole; one that is cut off is never kept."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    # MD5 is what GroupLens publishes; it guards against a broken copy, not against an attacker.
    pooch.retrieve(
        f"{_HOST}/{archive.name}",
        known_hash=f"md5:{md5}" if md5 else None,
        fname=archive.name,
        path=archive.parent,
    )
