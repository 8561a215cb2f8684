"""The result of a search: its trials, its call and parameter file, and what is left on the test."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recsys_lib.artifacts import check_replaceable, write_atomic
from recsys_lib.dataset import Split
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import evaluate, gains_of_steps, parse_metric
from recsys_lib.progress import track
from recsys_lib.tuning.spaces import RANGES, Space, settings_of, with_settings


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


#: Model -> hyper-parameter -> parameter of the notebook that trains it: what is searched, and the
#: epochs.
NOTEBOOK_PARAMETERS: dict[str, dict[str, str]] = {
    # 03_train_autoencoder
    "Autoencoder": {name: name.upper() for name in (*RANGES["Autoencoder"], "epochs")}
}


def notebook_parameters(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings under the parameter names of the notebook that trains the model.

    Raises
    ------
    ConfigError
        If no notebook trains the model, or a setting has no parameter there.

    Examples
    --------
    >>> notebook_parameters("Autoencoder", {"hidden_dims": (64,), "learning_rate": 0.001})
    {'HIDDEN_DIMS': [64], 'LEARNING_RATE': 0.001}
    """
    names = NOTEBOOK_PARAMETERS.get(model)
    if names is None:
        raise ConfigError(
            f"A parameter file must be for a model that a notebook trains, "
            f"{', '.join(NOTEBOOK_PARAMETERS)}; got {model}. Give its settings in Python, as "
            f"{model}(...)."
        )
    homeless = sorted(settings.keys() - names.keys())
    if homeless:
        raise ConfigError(
            f"A parameter file of {model} must hold {', '.join(names)}; {homeless[0]!r} is no "
            "parameter of its notebook. Search without it: Space.of(...).only(...)."
        )
    plain = {key: list(one) if isinstance(one, tuple) else one for key, one in settings.items()}
    return {names[key]: plain[key] for key in names if key in plain}


def write_best(result: SearchResult, path: Path | str) -> dict[str, Any]:
    """Write the best settings as a parameter file, atomically: ``recsys run -f best.yaml``.

    What was not searched but is a parameter, such as the epochs, is written as it was in the
    search: the notebook then trains the very model that was found.

    Parameters
    ----------
    result : SearchResult
    path : Path or str

    Returns
    -------
    dict
        The parameters written.

    Raises
    ------
    ConfigError
        As `notebook_parameters`.
    ArtifactError
        If `path` holds something else than an earlier result.
    """
    model, own = result.space.model, settings_of(result.model)
    wanted = [*NOTEBOOK_PARAMETERS.get(model, ()), *result.settings]
    parameters = notebook_parameters(model, {key: own[key] for key in wanted})
    said = (
        f"# {model}: {result.metric} {result.value:.6g} on validation, {result.first_value:.6g} as "
        f"given; best of {len(result.trials)} trials of study {result.study}.\n"
    )
    check_replaceable(path, ours=is_best)
    with write_atomic(path) as part:
        part.write_text(said + yaml.safe_dump(parameters, sort_keys=False), encoding="utf-8")
    return parameters


def is_best(file: Path) -> bool:
    """Whether `write_best` wrote this file."""
    return " trials of study " in file.read_text(encoding="utf-8").partition("\n")[0]


def as_call(model: str, settings: Mapping[str, Any], *, digits: int | None = None) -> str:
    """Return the Python call that creates a model with these settings.

    Parameters
    ----------
    model : str
        Name of its class.
    settings : mapping
        By name.
    digits : int, optional
        Significant digits of the numbers, for reading; all by default.

    Returns
    -------
    str

    Examples
    --------
    >>> as_call("EASE", {"l2": 120.512})
    'EASE(l2=120.512)'
    >>> as_call("EASE", {"l2": 120.512}, digits=3)
    'EASE(l2=121.0)'
    """
    if digits is not None:
        settings = {
            name: float(f"{value:.{digits}g}") if isinstance(value, float) else value
            for name, value in settings.items()
        }
    return f"{model}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


_BEFORE, _AFTER = "as given", "tuned"
_ENDS = ("complete", "pruned", "failed")


def summarize(results: Mapping[str, SearchResult]) -> pd.DataFrame:
    """Return one row for each search: the metric as given and at best, and its trials by state.

    Parameters
    ----------
    results : mapping of str to SearchResult
        By name in the table, as `search_all` returns them.

    Returns
    -------
    DataFrame
        Columns ``as given``, ``best``, ``complete``, ``pruned`` and ``failed``.
    """
    rows = {}
    for name, result in results.items():
        states = result.trials["state"].value_counts().reindex(_ENDS, fill_value=0)
        rows[name] = {_BEFORE: result.first_value, "best": result.value, **states}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.astype(dict.fromkeys(_ENDS, int))


def measure_gains(
    results: Mapping[str, SearchResult],
    split: Split,
    metric: str,
    *,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Compare each tuned model on the test part with the same model before tuning.

    This is where the test is looked at: once, after everything is chosen.

    Parameters
    ----------
    results : mapping of str to SearchResult
        By name in the table.
    split : Split
        The one that was searched on.
    metric : str
        The one that was searched for.
    seed : int
        Of the paired bootstrap over users.
    **options
        Passed on to `evaluate`: ``min_value``, ``rating_scale``.

    Returns
    -------
    DataFrame
        Indexed by ``model``: ``as given`` and ``tuned``, the metric on the test; ``gain``, by how
        much tuning made it better (positive also where lower is better), with its interval ``low``
        and ``high``; ``p_holm``, corrected for the number of models; ``certain``, whether it is
        below 0.05; ``promised``, the gain on the validation part.

    Notes
    -----
    The validation part flatters what was chosen by it, so what is promised is more than what is
    kept. One more fit for each model, of the settings it came with.
    """
    reports, steps = {}, {}
    with track("measure gains", len(results), "models") as task:
        for name, result in results.items():
            before, after = (f"{name} {when}" for when in (_BEFORE, _AFTER))
            given = with_settings(result.model, result.first)
            given.fit(split.train, validation=split.validation)
            for label, model in ((before, given), (after, result.model)):
                reports[label] = evaluate(model, split.test, [metric], name=label, **options)
            steps[after] = before
            task.step()
    table = gains_of_steps(reports, steps, metric, n_resamples=2_000, seed=seed)
    table = table.set_axis(pd.Index(results, name="model"))
    lower = parse_metric(metric).higher_is_better is False
    sign, ends = (-1.0, ["high", "low"]) if lower else (1.0, ["low", "high"])
    # Adding nothing turns a negative zero into a plain one.
    table[["gain", "low", "high"]] = sign * table[["gain", *ends]].to_numpy() + 0.0
    table.insert(0, _BEFORE, [reports[before][metric] for before in steps.values()])
    table.insert(1, _AFTER, [reports[after][metric] for after in steps])
    promised = [result.value - result.first_value for result in results.values()]
    return table.assign(promised=sign * np.array(promised) + 0.0)
