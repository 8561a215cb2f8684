"""Hyper-parameter search within a budget, on validation only: the test is sealed meanwhile."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recsys_lib import __version__
from recsys_lib.checks import check_choice, check_integer, check_kind, check_positive
from recsys_lib.dataset import Fold, Split
from recsys_lib.errors import ConfigError, LeakError
from recsys_lib.evaluation.evaluate import fold_fingerprint
from recsys_lib.progress import Task, track
from recsys_lib.tuning.results import SearchResult
from recsys_lib.tuning.spaces import Space, as_model, settings_of, wrapping_of

OnTrial = Callable[[dict[str, Any]], object]


class _SealedFold(Fold):
    def __getattribute__(self, name: str) -> Any:
        raise LeakError(
            f"The test must not be looked at while settings are chosen; its {name!r} was asked "
            "for. Choose by the validation part, and evaluate the chosen model once."
        )


def sealed(split: Split) -> Split:
    """Return the split with a test part that raises `LeakError` on any access.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> rows = sparse.csr_array(np.eye(2))
    >>> fold = Fold(fold_in=rows, targets=rows, users=np.arange(2))
    >>> split = Split(train=rows, validation=fold, test=fold, train_users=np.arange(2))
    >>> sealed(split).test.targets
    Traceback (most recent call last):
    recsys_lib.errors.LeakError: The test must not be looked at while settings are chosen; its
    'targets' was asked for. Choose by the validation part, and evaluate the chosen model once.
    """
    check_kind("split", split, Split)
    return dataclasses.replace(split, test=object.__new__(_SealedFold))


def describe(model: Any, space: Space, split: Split, metric: str, **how: Any) -> dict[str, Any]:
    """Return, as plain data, everything two searches must have in common to share a study.

    Parameters
    ----------
    model, space, split, metric
        As in `search`.
    **how
        What else decides the outcome: rules of the metric, seed, pruning.
    """
    train = Fold(fold_in=split.train, targets=split.train, users=split.train_users)
    facts = {
        "model": space.model,
        "settings": settings_of(model),
        "around the model": wrapping_of(model),
        "space": {name: one.plain() for name, one in space.ranges.items()},
        "metric": metric,
        "training data": fold_fingerprint(train),
        "validation data": fold_fingerprint(split.validation),
        **how,
        "version of recsys_lib": __version__,
    }
    return dict(json.loads(json.dumps(facts, default=_plain)))


def _plain(value: Any) -> Any:
    """Convert NumPy values and models to plain data for JSON."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)


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
        Budget in seconds of work, over all workers; the trial under way is finished. With `trials`
        as well, whatever comes first.
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
    (`recsys_lib.tuning.studies`), pruned by the percentile rule of Optuna.

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
    from recsys_lib.tuning.studies import Objective, open_study, result_of, use_up

    _check_budget(trials, seconds)
    split = sealed(split)
    model = as_model(model).suited_to(split.train)
    space = (Space.of(model) if space is None else space).fitted_to(model)
    asked: dict[str, Any] = {"model": model, "space": space, "split": split, "metric": metric}
    objective = Objective(**asked, options=options, trials=trials, prune=prune)
    facts = describe(**asked, rules=options, seed=seed, prune=prune)
    with track(f"search {space.model}", trials, "trials") as task:
        try:
            parts = objective.proposing(seed)
            with open_study(storage, study or space.model, facts, **parts) as (found, place):
                use_up(found, objective, seconds, task, on_trial)
                return result_of(found, place, objective)
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
    **options
        Passed on to `search`: ``trials`` or ``seconds``, for each model; ``storage``, ``seed``.

    Returns
    -------
    dict of str to SearchResult

    Raises
    ------
    ConfigError
        As `search` does.
    ValueError
        If `spaces` has a name that is not in `models`.
    """
    spaces = dict(spaces or {})
    for name in spaces:
        check_choice("spaces", name, models)
    found = {}
    with track("search all", len(models), "models") as task:
        for name, model in models.items():
            label = name if study is None else f"{study}-{name}"
            found[name] = search(
                model, split, metric, space=spaces.get(name), study=label, **options
            )
            task.step()
    return found


def _stopped(task: Task, storage: Path | str | None) -> str:
    """Say where an interrupted search was, and how to go on."""
    kept = "To be able to go on from there, search with `storage=` and a file."
    if storage is not None:
        kept = "They are kept: run it again to go on."
    return f"The search was stopped after {task.done} trials. {kept}"


def _check_budget(trials: int | None, seconds: float | None) -> None:
    if trials is None and seconds is None:
        raise ConfigError("A search needs a budget; give `trials`, `seconds`, or both.")
    if trials is not None:
        check_integer("trials", trials, minimum=1)
    if seconds is not None:
        check_positive("seconds", seconds)
