"""Study storage: in memory, in a file, or in a database shared by machines."""

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.sources.sql import PASSWORD, find_password, plain_reason, shown_url, split_url
from recsys_lib.tuning.facts import check_same

__all__ = ["open_study", "quiet"]

FACTS = "search"
# A worker on another machine that has said nothing for so long is dead.
_HEARTBEAT_S, _GRACE_S = 20, 90
# SQLite lets one write at a time; the others wait their turn.
_WAIT_S = 60
# Several workers that begin at once all make the tables, and all but one are refused.
_ATTEMPTS = 5


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's own log messages."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def open_study(
    storage: Path | str | None, name: str, facts: Mapping[str, Any], *, maximize: bool, **parts: Any
) -> Iterator[tuple[optuna.Study, str]]:
    """Yield the new or resumed study of a search, and its location without secrets.

    Parameters
    ----------
    storage : Path, str or None
        A file for SQLite, the URL of a database, or None for memory.
    name : str
        Of the study.
    facts : mapping
        What it is about; a study of that name about something else is refused.
    maximize : bool
        Which way the metric is better.
    **parts
        ``sampler`` and ``pruner``.

    Raises
    ------
    ConfigError
        If the study is about something else, or the URL is none.
    ArtifactError
        If the storage cannot be reached, read or written.
    """
    direction = "maximize" if maximize else "minimize"
    place = "memory" if storage is None else _shown(storage)
    with _reaching(place):
        kept = _open_storage(storage)
        try:
            study = optuna.create_study(
                storage=kept, study_name=name, direction=direction, load_if_exists=True, **parts
            )
            if FACTS not in study.user_attrs:
                study.set_user_attr(FACTS, dict(facts))
            check_same(study.user_attrs[FACTS], facts, name, place)
            yield study, place
        finally:
            if isinstance(kept, RDBStorage):
                kept.remove_session()
                kept.engine.dispose()


@contextlib.contextmanager
def _reaching(place: str) -> Iterator[None]:
    """Turn database errors into errors without secrets."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ArtifactError(
            f"The study must be kept where it can be read and written; {place}: "
            f"{plain_reason(cause)}. Check the path, or host, port, user and {PASSWORD}."
        ) from None


def _shown(storage: Path | str) -> str:
    text = str(storage)
    return shown_url(split_url(text)) if "://" in text else text


def _open_storage(storage: Path | str | None) -> BaseStorage:
    if storage is None:
        return InMemoryStorage()
    url, options = _address(storage)
    for attempt in range(_ATTEMPTS):
        try:
            return RDBStorage(
                url,
                engine_kwargs={"connect_args": options},
                heartbeat_interval=_HEARTBEAT_S,
                grace_period=_GRACE_S,
            )
        except SQLAlchemyError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


def _address(storage: Path | str) -> tuple[str, dict[str, Any]]:
    """Return the SQLAlchemy URL, without a password, and the driver's connection arguments."""
    text = str(storage)
    if "://" not in text:
        path = Path(text).expanduser().resolve()
        with contextlib.suppress(OSError):  # SQLite says it better
            path.parent.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{path}", {"timeout": _WAIT_S}
    parts = split_url(text)
    if parts.scheme.startswith("sqlite"):
        return text, {"timeout": _WAIT_S}
    if parts.scheme in ("postgresql", "postgres"):
        text = parts._replace(scheme="postgresql+psycopg").geturl()
    elif not parts.scheme.startswith(("postgresql+", "mysql+", "mariadb+")):
        raise ConfigError(
            "The storage of a study must be a file, or a URL that begins with sqlite, postgresql "
            f"or mysql+driver; got {shown_url(parts)}. Try postgresql://user@host/database."
        )
    secret = find_password(parts)
    return text, {} if secret is None else {"password": secret}
