"""Hyper-parameter search within a budget, on validation only."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lib.checks import check_integer, check_positive
from recsys_lib.dataset import Split
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import parse_metric
from recsys_lib.progress import Task, clear, track
from recsys_lib.tuning.results import SearchResult
from recsys_lib.tuning.seal import describe, sealed
from recsys_lib.tuning.spaces import Space, as_model, settings_of, with_settings

if TYPE_CHECKING:
    import optuna

    from recsys_lib.tuning.trials import Objective


OnTrial = Callable[[dict[str, Any]], object]

_POLL_S = 0.5


def search(
    model: Any,
    split: Split,
    metric: str,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    space: Space | None = None,
    storage: Path | str | None = None,
    study: str | None = None,
    seed: int = 0,
    prune: bool = True,
    on_trial: OnTrial | None = None,
    **options: Any,
) -> SearchResult:
    """Search for the settings of a model that score best on the validation part.

    Parameters
    ----------
    model : str, class or instance
        What is not searched stays as it is here. Its own settings are the first trial, so that
        what is found is never worse on validation. May be in a wrapper such as `OnLikes`.
    split : Split
        Of which the test is sealed: touching it is a `LeakError`.
    metric : str
        Per-user metric that is to be best, such as ``"rmse"`` or ``"ndcg@10"``.
    trials : int, optional
        Budget in trials, >= 1. With several workers on one study it is that of all together.
    seconds : float, optional
        Budget in seconds of work, over all workers; what a trial takes beyond it is cut off at an
        epoch, but for the first trial. With `trials` as well, whatever comes first.
    space : Space, optional
        What is searched; by default all that the workbench knows of the model (`Space.of`).
    storage : Path or str, optional
        Where the trials are kept: a file (SQLite), or the URL of a database that several machines
        share, such as ``postgresql://user@host/database``, whose password is in the environment
        variable ``RECSYS_DB_PASSWORD`` or the keyring. By default in memory.
    study : str, optional
        Name of the study in the storage; the name of the model by default.
    seed : int
        Of the proposals, >= 0.
    prune : bool
        Give up trials that are behind three quarters of the finished ones at the same epoch.
    on_trial : callable, optional
        Called with the row of each trial of this process (see `SearchResult.trials`), for progress.
    **options
        Passed on to `evaluate`: ``min_value``, ``rating_scale``.

    Returns
    -------
    SearchResult

    Raises
    ------
    ConfigError
        If there is no space for the model or it does not fit, no budget is given, the metric is
        unknown, or the study of that name is about other data, another space or another metric.
    ArtifactError
        If the storage cannot be reached or written.
    ValueError, MemoryError
        If the model as it was given cannot be fitted. Other settings that cannot be fitted are
        trials that failed.

    Notes
    -----
    A search that was killed goes on when it is called again with the same storage: finished trials
    are kept, the one that was under way is made again. With one worker it then proposes what it
    would have proposed without the interruption. For more workers call it several times, on one
    machine or on many: each returns when the budget of all is used up.

    One fit and one evaluation a trial, and a last fit of the best. Trials are proposed by TPE
    (`recsys_lib.tuning.trials`), pruned by the percentile rule of Optuna.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from recsys_lib import Dataset, split_ratings
    >>> from recsys_lib.models import Bias
    >>> rng = np.random.default_rng(0)
    >>> rows = [(u, i, 3 + i % 2 + rng.integers(2)) for u in range(40) for i in range(10)]
    >>> frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    >>> split = split_ratings(Dataset.from_frame(frame))
    >>> found = search(Bias(item_damping=50.0), split, "rmse", trials=6)
    >>> found.value < found.first_value, found.settings["item_damping"] < 50, len(found.trials)
    (True, True, 6)
    """
    from recsys_lib.tuning.studies import open_study, quiet
    from recsys_lib.tuning.trials import Objective

    _check_budget(trials, seconds)
    split = sealed(split)
    model = as_model(model).suited_to(split.train)
    space = (Space.of(model) if space is None else space).fitted_to(model)
    asked: dict[str, Any] = {"model": model, "space": space, "split": split, "metric": metric}
    objective = Objective(**asked, options=options, trials=trials, prune=prune)
    facts = describe(**asked, rules=options, seed=seed, prune=prune)
    own = settings_of(model)
    first = {name: one.encode(own[name]) for name, one in space.ranges.items()}
    with track(f"search {space.model}", trials, "trials") as task:
        try:
            with (
                quiet(),
                open_study(
                    storage,
                    space.model if study is None else study,
                    facts,
                    maximize=parse_metric(metric).higher_is_better is not False,
                    **_proposing(space, first, seed, own.get("epochs", 0)),
                ) as (found, place),
            ):
                tell = _teller(found, space, metric, on_trial, task)
                _use_up(found, objective, trials, seconds, tell)
                return _result(found, place, model, space, split, metric)
        except KeyboardInterrupt:
            # Without the frames of Optuna and the backend.
            raise KeyboardInterrupt(_stopped(task, storage)) from None


def search_all(
    models: Mapping[str, Any],
    split: Split,
    metric: str,
    *,
    spaces: Mapping[str, Space] | None = None,
    study: str | None = None,
    on_trial: OnTrial | None = None,
    **options: Any,
) -> dict[str, SearchResult]:
    """Search several models with the same budget each, for a fair comparison.

    Parameters
    ----------
    models : mapping of str to model
        Name in tables -> what `search` takes.
    split, metric
        As in `search`.
    spaces : mapping of str to Space, optional
        By the same names; for models that are not in it, all that is known.
    study : str, optional
        Begins the names of the studies: ``study-name``.
    on_trial : callable, optional
        Called with the row of each trial, which has ``model`` besides.
    **options
        Passed on to `search`: ``trials`` or ``seconds``, for each model; ``storage``, ``seed``.

    Returns
    -------
    dict of str to SearchResult

    Raises
    ------
    ConfigError
        As `search` does; if `spaces` has a name that is not in `models`.
    """
    spaces = dict(spaces or {})
    strange = sorted(spaces.keys() - models.keys())
    if strange:
        raise ConfigError(
            f"`spaces` must be of the models searched, {', '.join(models)}; it has {strange[0]!r}. "
            "Use the same names."
        )
    found = {}
    with track("search all", len(models), "models") as task:
        for name, model in models.items():
            found[name] = search(
                model,
                split,
                metric,
                space=spaces.get(name),
                study=name if study is None else f"{study}-{name}",
                on_trial=None if on_trial is None else _named(name, on_trial),
                **options,
            )
            task.step()
    return found


def _stopped(task: Task, storage: Path | str | None) -> str:
    """Say where an interrupted search was, and how to go on."""
    kept = "To be able to go on from there, search with `storage=` and a file."
    if storage is not None:
        kept = "They are kept: run it again to go on."
    return f"The search was stopped after {task.done} trials. {kept}"


def _named(name: str, on_trial: OnTrial) -> OnTrial:
    return lambda row: on_trial({"model": name, **row})


def _check_budget(trials: int | None, seconds: float | None) -> None:
    if trials is None and seconds is None:
        raise ConfigError("A search needs a budget; give `trials`, `seconds`, or both.")
    if trials is not None:
        check_integer("trials", trials, minimum=1)
    if seconds is not None:
        check_positive("seconds", seconds)


def _proposing(space: Space, first: Mapping[str, Any], seed: int, epochs: int) -> dict[str, Any]:
    """Return the sampler and the pruner."""
    from optuna.pruners import PercentilePruner

    from recsys_lib.tuning.trials import RankedTPE

    distributions = {name: one.distribution() for name, one in space.ranges.items()}
    return {
        "sampler": RankedTPE(distributions, first, seed),
        # Gently: early on large steps look best, and who finished is among the better ones already.
        "pruner": PercentilePruner(
            75.0, n_startup_trials=4, n_warmup_steps=max(5, epochs // 4), n_min_trials=3
        ),
    }


def _use_up(
    study: "optuna.Study",
    objective: "Objective",
    trials: int | None,
    seconds: float | None,
    tell: Callable[[int], None],
) -> None:
    """Run trials until the budget of the study is used up by all its workers."""
    from recsys_lib.tuning.studies import SECONDS, Watch, counted

    watch = Watch(study)
    watch.settle()
    while True:
        watch.release_dead()
        every = study.get_trials(deepcopy=False)
        begun = counted(every)
        if seconds is not None:
            objective.seconds_left = seconds - sum(t.user_attrs.get(SECONDS, 0.0) for t in every)
        out_of_time = objective.seconds_left is not None and objective.seconds_left <= 0
        if out_of_time or (trials is not None and len(begun) >= trials):
            # The rest is at work elsewhere; should a worker die, its trial comes back here.
            awaited = begun[:1] if out_of_time else begun
            if all(trial.state.is_finished() for trial in awaited):
                return
            time.sleep(_POLL_S)
            continue
        _run_one(study, objective)
        tell(objective.number)


def _run_one(study: "optuna.Study", objective: "Objective") -> None:
    from optuna.exceptions import UpdateFinishedTrialError

    from recsys_lib.tuning.trials import Failed, Void

    try:
        study.optimize(objective, n_trials=1, catch=(Failed, Void))
    except (UpdateFinishedTrialError, ValueError) as error:
        # Somebody took this worker for dead, such as after a laptop's sleep, and has given the
        # trial to another.
        if isinstance(error, ValueError) and not str(error).startswith("Cannot tell a "):
            raise


def _teller(
    study: "optuna.Study", space: Space, metric: str, on_trial: OnTrial | None, task: Task
) -> Callable[[int], None]:
    """Return the callback that reports a finished trial, if it counts."""
    from recsys_lib.tuning.studies import finished_trials, trials_of

    def tell(number: int) -> None:
        places = [one.number for one in finished_trials(study)]
        task.step(done=len(places))
        if on_trial is not None and number in places:
            row = trials_of(study, space, metric).iloc[places.index(number)]
            clear()  # it may write to the same terminal
            on_trial(row.to_dict())

    return tell


def _result(
    study: "optuna.Study", place: str, model: Any, space: Space, split: Split, metric: str
) -> SearchResult:
    from recsys_lib.tuning.studies import best_of, importance_of, trials_of

    table = trials_of(study, space, metric)
    row, settings = best_of(study, space)
    best = with_settings(model, settings)
    return SearchResult(
        model=best.fit(split.train, validation=split.validation),
        settings=settings,
        first={name: settings_of(model)[name] for name in space.ranges},
        metric=metric,
        value=float(table.loc[row, metric]),
        first_value=float(table.loc[0, metric]),
        trials=table,
        importance=importance_of(study),
        space=space,
        study=study.study_name,
        place=place,
    )
