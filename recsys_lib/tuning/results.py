"""The result of a search: best settings, model, all trials, and parameter importance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from recsys_lib.tuning.objective import SECONDS
from recsys_lib.tuning.spaces import Space
from recsys_lib.tuning.workers import ERROR, counted

__all__ = ["SearchResult", "best_of", "finished_trials", "importance_of", "trials_of"]

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_DIED = "The process died of these settings, again and again."
# Two trials make a difference; an importance takes some more.
_ENOUGH = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchResult:
    """The result of a search.

    Attributes
    ----------
    model : object
        Fitted to the training part, with the best settings.
    settings : dict
        The best value of each hyper-parameter that was searched.
    first : dict
        What the model that was given had for them: the first trial.
    metric : str
        What was searched for, on the validation part.
    value, first_value : float
        Of the best settings, and of the first; the best is never worse.
    trials : DataFrame
        One row a trial, in order: ``trial``; ``state`` in {"complete", "pruned", "failed"}; the
        metric (NaN where it was not reached); ``best``, the best so far; ``epochs_run`` (NaN for
        models without epochs); ``seconds``; ``error``; and each hyper-parameter.
    importance : Series
        Share of the variance of the metric that each hyper-parameter explains, largest first [1]_;
        empty with fewer than five complete trials.
    space : Space
        What was searched.
    study, place : str
        The name under which the trials are kept, and where; ``"memory"``: nowhere.

    References
    ----------
    .. [1] F. Hutter, H. Hoos, K. Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
       Importance", ICML 2014 (functional ANOVA on a random forest).
    """

    model: Any
    settings: dict[str, Any]
    first: dict[str, Any]
    metric: str
    value: float
    first_value: float
    trials: pd.DataFrame
    importance: pd.Series
    space: Space
    study: str
    place: str

    def __repr__(self) -> str:
        found = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return (
            f"SearchResult({self.space.model}({found}), {self.metric} {self.value:.4f}, as given "
            f"{self.first_value:.4f}, {len(self.trials)} trials)"
        )


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the finished trials that count, by number."""
    return [one for one in counted(study.get_trials(deepcopy=False)) if one.state.is_finished()]


def trials_of(study: optuna.Study, space: Space, metric: str) -> pd.DataFrame:
    """Return the table of the finished trials of a study that count."""
    found = finished_trials(study)
    table = pd.DataFrame(
        [{"trial": place, **_row(one, space, metric)} for place, one in enumerate(found)]
    )
    running_best = table[metric].cummax() if _maximizes(study) else table[metric].cummin()
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
        **_settings(trial, space),
    }


def best_of(study: optuna.Study, space: Space) -> tuple[int, dict[str, Any]]:
    """Return the row of the best trial in `trials_of` and its settings; ties go to the first.

    Raises
    ------
    ValueError
        If no trial was complete.
    """
    finished = finished_trials(study)
    complete = [one for one in finished if one.state == TrialState.COMPLETE]
    if not complete:
        raise ValueError(
            f"At least one trial must complete; all {len(finished)} of the study failed. "
            "Narrow the space, or begin with a smaller model."
        )
    values = [one.value for one in complete]
    best = complete[values.index(max(values) if _maximizes(study) else min(values))]
    return finished.index(best), _settings(best, space)


def _settings(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    # A trial that died may have got some of its settings only.
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


def _maximizes(study: optuna.Study) -> bool:
    return study.direction == optuna.study.StudyDirection.MAXIMIZE
