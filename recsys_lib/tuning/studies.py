"""Studies: a storage that outlives its workers, the trials that count, and what they found."""

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from recsys_lib._system import has_ended
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.sources.sql import PASSWORD, find_password, plain_reason, shown_url, split_url
from recsys_lib.tuning.spaces import Space

FACTS = "search"
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_DIED = "The process died of these settings, again and again."
# Two trials make a difference; an importance takes some more.
_ENOUGH = 5
# A worker on another machine that has said nothing for so long is dead.
_HEARTBEAT_S, _GRACE_S = 20, 90
# SQLite lets one write at a time; the others wait their turn.
_WAIT_S = 60
# Several workers that begin at once all make the tables, and all but one are refused.
_PAUSES_S = (0.2, 0.4, 0.6, 0.8)


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
    with quiet(), _reaching(place):
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


def check_same(stored: Mapping[str, Any], now: Mapping[str, Any], study: str, place: str) -> None:
    """Raise `ConfigError` that names what differs between a stored study and a search.

    Examples
    --------
    >>> check_same({"metric": "rmse"}, {"metric": "ndcg@10"}, "EASE", "studies.sqlite")
    Traceback (most recent call last):
    recsys_lib.errors.ConfigError: The study 'EASE' in studies.sqlite must belong to this search;
    it differs in metric ('rmse' there, 'ndcg@10' here). Choose another study name, or repeat the
    settings of the first search.
    """
    different = list(_differences(stored, now))
    if different:
        raise ConfigError(
            f"The study {study!r} in {place} must belong to this search; it differs in "
            f"{', '.join(different)}. Choose another study name, or repeat the settings "
            "of the first search."
        )


def _differences(stored: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Any:
    for name in [*now, *(key for key in stored if key not in now)]:
        there, here = stored.get(name), now.get(name)
        if there == here:
            continue
        if str(here).startswith("sha256:"):
            yield f"{prefix}{name}"
        elif isinstance(there, dict) and isinstance(here, dict) and "low" not in here:
            yield from _differences(there, here, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name} ({there!r} there, {here!r} here)"


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
    heart = {"heartbeat_interval": _HEARTBEAT_S, "grace_period": _GRACE_S}
    opened = partial(RDBStorage, url, engine_kwargs={"connect_args": options}, **heart)
    for pause in _PAUSES_S:
        with contextlib.suppress(SQLAlchemyError):
            return opened()
        time.sleep(pause)
    return opened()


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


#: Attribute of a trial whose settings could not be fitted: it counts, as failed.
ERROR = "error"
#: Attribute of a trial: seconds from settings to metric.
SECONDS = "seconds"
#: Attribute of a trial that ended for no fault of its settings: it does not count.
VOID = "void"
#: Attribute of a trial: who works on it.
WORKER = "worker"

# A process that dies over the same settings this often dies of them, of memory most likely.
_DEATHS = 3
# Seconds after which a trial that nobody has put a name to is given up.
_NAMELESS_S = 15.0


def counted(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count toward the budget, by number.

    Left out are those that ended for no fault of their settings: interrupted, beyond the budget,
    or with the death of their process. Who dies three times of the same settings has failed.
    """
    deaths: Counter[str] = Counter()
    found = []
    for trial in sorted(trials, key=lambda one: one.number):
        if trial.state != TrialState.FAIL or ERROR in trial.user_attrs:
            found.append(trial)
        elif VOID not in trial.user_attrs and trial.params:
            settings = repr(sorted(trial.params.items()))
            deaths[settings] += 1
            if deaths[settings] == _DEATHS:
                found.append(trial)
    return found


def rank_of(study: optuna.Study, number: int) -> int:
    """Return the rank of a trial in the budget: how many counted trials precede it.

    The number itself will not do: a trial repeated after a death has another number, and must be
    the same trial all the same.
    """
    before = [one for one in study.get_trials(deepcopy=False) if one.number < number]
    return len(counted(before))


class Watch:
    """Monitors the trials of other workers in a study, and releases those of dead ones.

    Of a worker on this machine the system knows whether it lives. Of one on another machine the
    heartbeat in the storage tells.

    Parameters
    ----------
    study : optuna.Study
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._seen: dict[int, float] = {}

    def settle(self) -> None:
        """Wait until each running trial has a known worker or is released.

        A process may die between the beginning of a trial and the moment it puts its name to it.
        """
        while self.release_dead():
            time.sleep(0.2)

    def release_dead(self) -> bool:
        """Release the trials of dead workers; return whether any trial has no known worker yet."""
        optuna.storages.fail_stale_trials(self._study)
        nameless = False
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get(WORKER)
            since = self._seen.setdefault(trial.number, time.monotonic())
            if worker is None and time.monotonic() - since < _NAMELESS_S:
                nameless = True
            elif worker is None or has_ended(worker):
                self._give_up(trial.number)
        return nameless

    def _give_up(self, number: int) -> None:
        try:
            self._study.tell(number, state=TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            return  # somebody else was quicker


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the finished trials that count, by number."""
    return [one for one in counted(study.get_trials(deepcopy=False)) if one.state.is_finished()]


def trials_of(study: optuna.Study, space: Space, metric: str) -> pd.DataFrame:
    """Return the table of the finished trials of a study that count."""
    found = finished_trials(study)
    table = pd.DataFrame(
        [{"trial": place, **_row(one, space, metric)} for place, one in enumerate(found)]
    )
    running_best = table[metric].cummax() if maximizes(study) else table[metric].cummin()
    table.insert(table.columns.get_loc(metric) + 1, "best", running_best.ffill())
    return table


def _row(trial: FrozenTrial, space: Space, metric: str) -> dict[str, Any]:
    died = _DIED if trial.state == TrialState.FAIL else ""
    return {
        "state": _STATES[trial.state],
        metric: trial.value if trial.state == TrialState.COMPLETE else np.nan,
        "epochs_run": max(trial.intermediate_values, default=np.nan),
        "seconds": trial.user_attrs.get(SECONDS, np.nan),
        "error": trial.user_attrs.get(ERROR, died),
        **settings_in(trial, space),
    }


def settings_in(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """Return the settings of a trial; one that died may have got some of them only."""
    return {
        name: one.decode(trial.params[name]) if name in trial.params else None
        for name, one in space.ranges.items()
    }


def importance_of(study: optuna.Study) -> pd.Series:
    """Return the share of the metric's variance that each hyper-parameter explains."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    empty = pd.Series(dtype=float, name="importance")
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < _ENOUGH:
        return empty
    try:
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # all trials alike: nothing to explain
        return empty
    return pd.Series(found, name="importance", dtype=float)


def maximizes(study: optuna.Study) -> bool:
    """Whether more of the metric is better."""
    return study.direction == optuna.study.StudyDirection.MAXIMIZE
