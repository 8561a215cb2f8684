"""Trials: the order in which settings are proposed, one fitted and measured, a budget of them."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import PercentilePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from recsys_lib._system import this_process
from recsys_lib.dataset import Split
from recsys_lib.evaluation import evaluate, parse_metric
from recsys_lib.models.neural import NeuralRecommender
from recsys_lib.progress import Task, clear
from recsys_lib.seeding import seed_from
from recsys_lib.training import checkpoints
from recsys_lib.tuning import studies
from recsys_lib.tuning.results import SearchResult
from recsys_lib.tuning.spaces import Space, recommender_of, settings_of, with_settings


class RankedTPE(BaseSampler):  # type: ignore[misc]
    """TPE [1]_ whose proposals depend only on the seed, the trial's rank and earlier results.

    Optuna's samplers carry a random state that begins anew in each process, so that a search that
    was stopped would not go on as it would have. Here every trial has a stream of its own.

    Parameters
    ----------
    distributions : mapping of str to distribution
        All that is searched.
    first : mapping of str to object
        The settings of the first trial.
    seed : int

    References
    ----------
    .. [1] J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, "Algorithms for Hyper-Parameter
       Optimization", NeurIPS 2011, section 4.
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], first: Mapping[str, Any], seed: int
    ) -> None:
        self._distributions, self._first, self._seed = dict(distributions), dict(first), seed
        # Random trials before the model of TPE has something to go by.
        self._startup = min(10, 2 + 2 * len(self._distributions))
        self._rank = 0
        self._tpe: TPESampler | None = None

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Start the random stream of a trial."""
        self._rank = studies.rank_of(study, trial.number)
        self._tpe = TPESampler(
            seed=seed_from(self._seed, "trial", str(self._rank)),
            n_startup_trials=self._startup,
            multivariate=True,
            constant_liar=True,
        )

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space; it is fixed from the start."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return all settings of a trial; none during the random start-up trials."""
        if self._rank == 0:
            return self._first
        assert self._tpe is not None
        return dict(self._tpe.sample_relative(study, trial, search_space))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return one setting, at random."""
        assert self._tpe is not None
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def proposing(space: Space, own: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the sampler and the pruner of a model whose settings are `own`."""
    distributions = {name: one.distribution() for name, one in space.ranges.items()}
    first = {name: one.encode(own[name]) for name, one in space.ranges.items()}
    warm_up = max(5, own.get("epochs", 0) // 4)
    return {
        "sampler": RankedTPE(distributions, first, seed),
        # Gently: early on large steps look best, and who finished is among the better ones already.
        "pruner": PercentilePruner(
            75.0, n_startup_trials=4, n_warmup_steps=warm_up, n_min_trials=3
        ),
    }


# What models measure after an epoch, and whether more of it is better.
_WATCHED = {"ndcg@100": True, "validation_rmse": False}
# What a model raises where settings are impossible on this data, or too large for this machine.
_IMPOSSIBLE = (ValueError, MemoryError, ArithmeticError)
# Between two looks at what others are at work on.
_POLL_S = 0.5


class Failed(Exception):
    """The settings could not be fitted; the trial counts."""


class Void(Exception):
    """The trial ended for reasons other than its settings; it does not count."""


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
    seconds_left : float, optional
        When the trial began; None without a limit.
    """

    model: Any
    space: Space
    split: Split
    metric: str
    options: Mapping[str, Any]
    _: KW_ONLY
    trials: int | None
    prune: bool
    seconds_left: float | None = None

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the metric on the validation part."""
        trial.set_user_attr(studies.WORKER, this_process())
        rank = studies.rank_of(trial.study, trial.number)
        if self.trials is not None and rank >= self.trials:
            trial.set_user_attr(studies.VOID, "beyond the budget")
            raise Void
        settings = {
            name: one.decode(_suggest(trial, name, one.distribution()))
            for name, one in self.space.ranges.items()
        }
        began = time.perf_counter()
        try:
            return self._measure(settings, self._on_epoch(trial, rank, began))
        except _IMPOSSIBLE as error:
            if rank == 0:  # the model as it stands: the search is wrong, not the settings
                raise
            trial.set_user_attr(studies.ERROR, f"{type(error).__name__}: {error}")
            raise Failed from error
        except (KeyboardInterrupt, Void) as error:
            trial.set_user_attr(studies.VOID, str(error) or "interrupted")
            raise
        finally:
            trial.set_user_attr(studies.SECONDS, time.perf_counter() - began)

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

    def _on_epoch(
        self, trial: optuna.Trial, rank: int, began: float
    ) -> Callable[[dict[str, float]], None]:
        """Return the epoch callback; it may prune the trial."""
        epochs = settings_of(self.model).get("epochs", math.inf)
        maximize = parse_metric(self.metric).higher_is_better is not False

        def on_epoch(record: dict[str, float]) -> None:
            epoch = int(record["epoch"])
            for name in _WATCHED.keys() & record.keys():
                same_way = _WATCHED[name] == maximize
                trial.report(record[name] if same_way else -record[name], epoch)
            # What everything is held against is finished in any case, and at its last epoch a trial
            # is as good as measured.
            if rank == 0 or epoch >= epochs:
                return
            if self.prune and trial.should_prune():
                raise optuna.TrialPruned
            if self.seconds_left is not None and time.perf_counter() - began > self.seconds_left:
                raise Void("out of time")

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
        places = [one.number for one in studies.finished_trials(study)]
        task.step(done=len(places))
        if on_trial is not None and trial.number in places:
            table = studies.trials_of(study, objective.space, objective.metric)
            clear()  # it may write to the same terminal
            on_trial(table.iloc[places.index(trial.number)].to_dict())

    watch = studies.Watch(study)
    watch.settle()
    while True:
        watch.release_dead()
        every = study.get_trials(deepcopy=False)
        begun = studies.counted(every)
        if seconds is not None:
            objective.seconds_left = seconds - sum(
                t.user_attrs.get(studies.SECONDS, 0.0) for t in every
            )
        out_of_time = objective.seconds_left is not None and objective.seconds_left <= 0
        if out_of_time or (trials is not None and len(begun) >= trials):
            # The rest is at work elsewhere; should a worker die, its trial comes back here.
            awaited = begun[:1] if out_of_time else begun
            if all(trial.state.is_finished() for trial in awaited):
                return
            time.sleep(_POLL_S)
            continue
        try:
            study.optimize(objective, n_trials=1, catch=(Failed, Void), callbacks=[tell])
        except (UpdateFinishedTrialError, ValueError) as error:
            # Somebody took this worker for dead, such as after a laptop's sleep, and has given the
            # trial to another.
            if isinstance(error, ValueError) and not str(error).startswith("Cannot tell a "):
                raise


def result_of(study: optuna.Study, place: str, objective: Objective) -> SearchResult:
    """Return the result of a study, with the best settings fitted; ties go to the first trial.

    Raises
    ------
    ValueError
        If no trial was complete.
    """
    model, space, metric = objective.model, objective.space, objective.metric
    table = studies.trials_of(study, space, metric)
    values = table[metric].dropna()
    if values.empty:
        raise ValueError(
            f"At least one trial must complete; all {len(table)} of the study failed. "
            "Narrow the space, or begin with a smaller model."
        )
    row = values.idxmax() if studies.maximizes(study) else values.idxmin()
    settings = studies.settings_in(studies.finished_trials(study)[row], space)
    split, own = objective.split, settings_of(model)
    return SearchResult(
        model=with_settings(model, settings).fit(split.train, validation=split.validation),
        settings=settings,
        first={name: own[name] for name in space.ranges},
        metric=metric,
        value=float(values[row]),
        first_value=float(table.loc[0, metric]),
        trials=table,
        importance=studies.importance_of(study),
        space=space,
        study=study.study_name,
        place=place,
    )
