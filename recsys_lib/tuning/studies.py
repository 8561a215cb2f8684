"""Studies: a storage that outlives its workers, the trials that count, and what they found.

And trials: the order in which settings are proposed, one fitted and measured, a budget of them.
"""

import contextlib
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import PercentilePruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from recsys_lib._system import has_ended, this_process
from recsys_lib.dataset import Split
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.evaluation import evaluate, parse_metric
from recsys_lib.models.neural import NeuralRecommender
from recsys_lib.progress import Task, clear
from recsys_lib.seeding import seed_from
from recsys_lib.sources.sql import PASSWORD, find_password, plain_reason, shown_url, split_url
from recsys_lib.training import checkpoints
from recsys_lib.tuning.results import SearchResult
from recsys_lib.tuning.spaces import Space, recommender_of, settings_of, with_settings

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
    storage: Path | str | None, name: str, facts: Mapping[str, Any], **parts: Any
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
    **parts
        ``direction``, ``sampler`` and ``pruner``.

    Raises
    ------
    ConfigError
        If the study is about something else, or the URL is none.
    ArtifactError
        If the storage cannot be reached, read or written.
    """
    place = "memory" if storage is None else str(storage)
    if "://" in place:
        place = shown_url(split_url(place))
    kept = None
    with quiet():
        try:
            kept = None if storage is None else _open_storage(storage)
            study = optuna.create_study(storage=kept, study_name=name, load_if_exists=True, **parts)
            if FACTS not in study.user_attrs:
                study.set_user_attr(FACTS, dict(facts))
            check_same(study.user_attrs[FACTS], facts, name, place)
            yield study, place
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise ArtifactError(
                f"The study must be kept where it can be read and written; {place}: "
                f"{plain_reason(cause)}. Check the path, or host, port, user and {PASSWORD}."
            ) from None
        finally:
            if kept is not None:
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
    different = list(checkpoints.differences(stored, now))
    if different:
        raise ConfigError(
            f"The study {study!r} in {place} must belong to this search; it differs in "
            f"{', '.join(different)}. Choose another study name, or repeat the settings "
            "of the first search."
        )


def _open_storage(storage: Path | str) -> RDBStorage:
    url, options = _address(str(storage))
    heart = {"heartbeat_interval": _HEARTBEAT_S, "grace_period": _GRACE_S}
    opened = partial(RDBStorage, url, engine_kwargs={"connect_args": options}, **heart)
    for pause in _PAUSES_S:
        with contextlib.suppress(SQLAlchemyError):
            return opened()
        time.sleep(pause)
    return opened()


def _address(text: str) -> tuple[str, dict[str, Any]]:
    """Return the SQLAlchemy URL, without a password, and the driver's connection arguments."""
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
    secret = find_password(parts)
    return text, {} if secret is None else {"password": secret}


#: Attribute of a trial whose settings could not be fitted: it counts, as failed.
ERROR = "error"
#: Attribute of a trial whose process lived to its end: seconds from settings to metric.
SECONDS = "seconds"
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
        elif SECONDS not in trial.user_attrs and trial.params:
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


def release_dead(study: optuna.Study, seen: dict[int, float]) -> bool:
    """Release the trials of dead workers; return whether any trial has no known worker yet.

    Of a worker on this machine the system knows whether it lives, of one on another machine the
    heartbeat in the storage tells. A process may also die between the beginning of a trial and the
    moment it puts its name to it.

    Parameters
    ----------
    study : optuna.Study
    seen : dict
        When each trial was first seen at work; it is filled here.
    """
    optuna.storages.fail_stale_trials(study)
    nameless = False
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get(WORKER)
        since = seen.setdefault(trial.number, time.monotonic())
        if worker is None and time.monotonic() - since < _NAMELESS_S:
            nameless = True
        elif worker is None or has_ended(worker):
            # Somebody else may be quicker.
            with contextlib.suppress(ValueError, UpdateFinishedTrialError):
                study.tell(trial.number, state=TrialState.FAIL)
    return nameless


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the finished trials that count, by number."""
    return [one for one in counted(study.get_trials(deepcopy=False)) if one.state.is_finished()]


def trials_of(study: optuna.Study, objective: "Objective") -> pd.DataFrame:
    """Return the table of the finished trials of a study that count."""
    metric, space = objective.metric, objective.space
    rows = [_row(trial, space, metric) for trial in finished_trials(study)]
    table = pd.DataFrame(rows).rename_axis("trial").reset_index()
    running_best = table[metric].cummax() if objective.maximize else table[metric].cummin()
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
    """Return the settings of a trial."""
    return {name: one.decode(trial.params[name]) for name, one in space.ranges.items()}


def importance_of(study: optuna.Study) -> pd.Series:
    """Return the share of the metric's variance that each hyper-parameter explains."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    found = {}
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) >= _ENOUGH:
        with contextlib.suppress(RuntimeError):  # all trials alike: nothing to explain
            found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return pd.Series(found, name="importance", dtype=float)


class RankedTPE(TPESampler):  # type: ignore[misc]
    """TPE [1]_ whose proposals depend only on the seed, the trial's rank and earlier results.

    Optuna's samplers carry a random state that begins anew in each process, so that a search that
    was stopped would not go on as it would have. Here every trial has a stream of its own.

    Parameters
    ----------
    space : Space
        All that is searched.
    own : mapping of str to object
        The settings of the first trial, and others.
    seed : int

    References
    ----------
    .. [1] J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, "Algorithms for Hyper-Parameter
       Optimization", NeurIPS 2011, section 4.
    """

    def __init__(self, space: Space, own: Mapping[str, Any], seed: int) -> None:
        self._distributions = {name: one.distribution() for name, one in space.ranges.items()}
        self._first = {name: one.encode(own[name]) for name, one in space.ranges.items()}
        self._seed = seed
        self._begin(0)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Start the random stream of a trial."""
        self._begin(rank_of(study, trial.number))

    def _begin(self, rank: int) -> None:
        self._rank = rank
        super().__init__(
            seed=seed_from(self._seed, "trial", str(rank)),
            # Random trials before the model of TPE has something to go by.
            n_startup_trials=min(10, 2 + 2 * len(self._distributions)),
            multivariate=True,
            constant_liar=True,
        )

    def infer_relative_search_space(self, *_: Any) -> dict[str, BaseDistribution]:
        """Return the whole space; it is fixed from the start."""
        return self._distributions

    def sample_relative(self, *told: Any) -> dict[str, Any]:
        """Return all settings of a trial; none during the random start-up trials."""
        return self._first if self._rank == 0 else dict(super().sample_relative(*told))


# What models measure after an epoch, and whether more of it is better.
_WATCHED = {"ndcg@100": True, "validation_rmse": False}
# What a model raises where settings are impossible on this data, or too large for this machine.
_IMPOSSIBLE = (ValueError, MemoryError, ArithmeticError)
# Between two looks at what others are at work on.
_POLL_S = 0.5


class Ended(Exception):
    """The trial has no value; where its settings are no reason, it does not count."""


def _suggest(trial: optuna.Trial, name: str, asked: BaseDistribution) -> Any:
    """Ask a trial for a value, as a study stores it."""
    if isinstance(asked, CategoricalDistribution):
        return trial.suggest_categorical(name, asked.choices)
    suggest = trial.suggest_int if isinstance(asked, IntDistribution) else trial.suggest_float
    return suggest(name, asked.low, asked.high, log=asked.log)


@dataclass
class Objective:
    """The objective that Optuna calls for each trial.

    Parameters
    ----------
    model : instance
        As it stands; the first trial.
    space : Space
    split : Split
        With a sealed test.
    metric : str
    options : mapping
        Passed on to `evaluate`.
    trials : int or None
        Budget; a trial beyond it is void.
    prune : bool
        Give up trials that are behind most of the finished ones at the same epoch.
    """

    model: Any
    space: Space
    split: Split
    metric: str
    options: Mapping[str, Any]
    trials: int | None
    prune: bool

    @property
    def maximize(self) -> bool:
        """Whether more of the metric is better."""
        return parse_metric(self.metric).higher_is_better is not False

    def proposing(self, seed: int) -> dict[str, Any]:
        """Return the direction, the sampler and the pruner of a study of it."""
        own = settings_of(self.model)
        # Gently: early on large steps look best, and who finished is among the better ones already.
        gently = {"n_warmup_steps": max(5, own.get("epochs", 0) // 4), "n_min_trials": 3}
        return {
            "direction": "maximize" if self.maximize else "minimize",
            "sampler": RankedTPE(self.space, own, seed),
            "pruner": PercentilePruner(75.0, n_startup_trials=4, **gently),
        }

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the metric on the validation part."""
        trial.set_user_attr(WORKER, this_process())
        rank = rank_of(trial.study, trial.number)
        if self.trials is not None and rank >= self.trials:
            raise Ended
        settings = {
            name: one.decode(_suggest(trial, name, one.distribution()))
            for name, one in self.space.ranges.items()
        }
        began = time.perf_counter()
        try:
            return self._measure(settings, self._on_epoch(trial, rank))
        except _IMPOSSIBLE as error:
            if rank == 0:  # the model as it stands: the search is wrong, not the settings
                raise
            trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
            raise Ended from error
        finally:
            trial.set_user_attr(SECONDS, time.perf_counter() - began)

    def _measure(
        self, settings: Mapping[str, Any], on_epoch: Callable[[dict[str, float]], None]
    ) -> float:
        model = with_settings(self.model, settings)
        in_epochs = isinstance(recommender_of(model), NeuralRecommender)
        hooks = {"on_epoch": on_epoch} if in_epochs else {}
        with checkpoints.switched_off():
            model.fit(self.split.train, validation=self.split.validation, **hooks)
        report = evaluate(model, self.split.validation, [self.metric], **self.options)
        value = float(report[self.metric])
        if math.isnan(value):
            raise ValueError(f"{self.metric} must be a number; it is NaN.")
        return value

    def _on_epoch(self, trial: optuna.Trial, rank: int) -> Callable[[dict[str, float]], None]:
        """Return the epoch callback; it may prune the trial."""
        epochs = settings_of(self.model).get("epochs", math.inf)

        def on_epoch(record: dict[str, float]) -> None:
            epoch = int(record["epoch"])
            for name in _WATCHED.keys() & record.keys():
                same_way = _WATCHED[name] == self.maximize
                trial.report(record[name] if same_way else -record[name], epoch)
            # What everything is held against is finished in any case, and at its last epoch a trial
            # is as good as measured.
            if self.prune and rank > 0 and epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned

        return on_epoch


def use_up(
    study: optuna.Study,
    objective: Objective,
    seconds: float | None,
    task: Task,
    on_trial: Callable[[dict[str, Any]], object] | None,
) -> None:
    """Run trials until the budget of the study is used up by all its workers."""
    trials = objective.trials

    def tell(study: optuna.Study, trial: FrozenTrial) -> None:
        """Report a trial, if it counts."""
        places = [one.number for one in finished_trials(study)]
        task.step(done=len(places))
        if on_trial is not None and trial.number in places:
            table = trials_of(study, objective)
            clear()  # it may write to the same terminal
            on_trial(table.iloc[places.index(trial.number)].to_dict())

    seen: dict[int, float] = {}
    while True:
        nameless = release_dead(study, seen)
        every = study.get_trials(deepcopy=False)
        begun = counted(every)
        worked = sum(trial.user_attrs.get(SECONDS, 0.0) for trial in every)
        out_of_time = seconds is not None and worked >= seconds and len(begun) > 0
        used_up = out_of_time or (trials is not None and len(begun) >= trials)
        # The rest is at work elsewhere; should a worker die, its trial comes back here.
        awaited = begun[:1] if out_of_time else begun
        if used_up and all(trial.state.is_finished() for trial in awaited):
            return
        if used_up or nameless:
            time.sleep(_POLL_S)
            continue
        study.optimize(objective, n_trials=1, catch=(Ended,), callbacks=[tell])


def result_of(study: optuna.Study, place: str, objective: Objective) -> SearchResult:
    """Return the result of a study, with the best settings fitted; ties go to the first trial."""
    model, space, metric = objective.model, objective.space, objective.metric
    table = trials_of(study, objective)
    values = table[metric].dropna()
    row = values.idxmax() if objective.maximize else values.idxmin()
    settings = settings_in(finished_trials(study)[row], space)
    split, own = objective.split, settings_of(model)
    return SearchResult(
        model=with_settings(model, settings).fit(split.train, validation=split.validation),
        settings=settings,
        first={name: own[name] for name in space.ranges},
        metric=metric,
        value=float(values[row]),
        first_value=float(table.loc[0, metric]),
        trials=table,
        importance=importance_of(study),
        space=space,
        study=study.study_name,
        place=place,
    )
