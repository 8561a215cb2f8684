"""Search the settings of one model on the data of a run, as the notebooks would pose it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from recsys_lib.artifacts import check_replaceable
from recsys_lib.dataset import Dataset, Split
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import parse_metric
from recsys_lib.models import model_class
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.chain import Parameter, load_steps, parse_text
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.store import command_of, find_artifact
from recsys_lib.tuning import Space, results, search
from recsys_lib.tuning.spaces import with_settings

_TRIALS = 30
# In the folder of the run, beside its artifacts.
_STUDIES = "studies.sqlite"


def run_search(
    name: str,
    *,
    say: Callable[[str], None],
    run: str,
    metric: str | None,
    trials: int | None,
    texts: Sequence[tuple[str, str]],
    space: Path | None,
    storage: str | None,
    study: str | None,
    like_from: float | None,
    output: Path | None,
    **options: Any,
) -> None:
    """Run ``recsys tune``: one line for each trial, and the best settings as a file.

    Parameters
    ----------
    name : str
        Of the model's class.
    say : callable
        Called with each line.
    run, metric, trials, texts, space, storage, study, like_from, output, **options
        The options of the command; ``seconds`` and ``seed`` are passed on to `search`.

    Raises
    ------
    ConfigError
        If the run has not made the split, or a model, metric or setting is unknown.
    ArtifactError
        If the split or the dataset is damaged.
    """
    project = Project.find()
    model = _set(_as_trained(project, model_class(name)()), dict(texts))
    metric = metric or ("rmse" if model.predicts == "rating" else "ndcg@10")
    dataset = Dataset.load(find_artifact(project, run, "dataset"))
    typed = {name for name, _ in texts}
    model, part, rules = _posed(dataset, run, model, metric, like_from, typed)
    split = Split.load(find_artifact(project, run, part))
    searched = Space.read(space) if space else Space.of(model)
    if output:  # before the search, not after it
        results.notebook_parameters(name, dict.fromkeys(searched.ranges))
        if dataset.rating_scale is None:
            raise ConfigError(
                "-o must be for ratings; on likes notebook 03 trains MultDAE. Search without -o."
            )
        check_replaceable(output, ours=results.is_best)
    say(f"{name} on {part} of run {run}: {metric}")
    found = search(
        model,
        split,
        metric,
        trials=_TRIALS if trials is None and options["seconds"] is None else trials,
        space=searched,
        storage=storage or project.run_folder(run) / _STUDIES,
        study=study or f"{name}-{metric}",
        on_trial=lambda row: say(_line(row, metric, list(searched.ranges))),
        **options,
        **rules,
    )
    say(_closing(found))
    if output:
        command = command_of(project, run, without=results.write_best(found, output))
        say(f"Written: {output}   use it: {command} -f {output}")


def _line(row: dict[str, Any], metric: str, names: list[str]) -> str:
    """Return the line of a trial."""
    if row["state"] == "complete":
        how = f"{metric} {row[metric]:.4f}  best {row['best']:.4f}"
    elif row["state"] == "pruned":
        how = f"given up after epoch {row['epochs_run']:.0f}"
    else:
        how = f"failed: {row['error']}"
    shown = {key: f"{row[key]:.3g}" if isinstance(row[key], float) else row[key] for key in names}
    settings = ", ".join(f"{name}={value}" for name, value in shown.items())
    return f"{row['trial']:>4}  {how}  {row['seconds']:.1f} s  {settings}"


def _closing(found: results.SearchResult) -> str:
    counts = found.trials["state"].value_counts()
    how = ", ".join(f"{counts[state]} {state}" for state in counts.index)
    return (
        f"\n{results.as_call(found.space.model, found.settings)}\n"
        f"{found.metric} {found.value:.4f} on validation, {found.first_value:.4f} as given; "
        f"{len(found.trials)} trial{'s' * (len(found.trials) != 1)} ({how}) in study "
        f"{found.study} of {found.place}"
    )


def _posed(
    dataset: Dataset, run: str, model: Any, metric: str, like_from: float | None, given: set[str]
) -> tuple[Any, str, dict[str, Any]]:
    """Return the model as it is to answer, the split that asks it, and the rules of the metric."""
    if parse_metric(metric).kind == "rating":
        if dataset.rating_scale is None:
            other = "Search a model of likes, such as MultDAE"
            raise ConfigError(
                f"{metric} must be asked of ratings; run {run!r} holds likes. "
                f"{other if model.predicts == 'rating' else 'Give --metric ndcg@10'}."
            )
        if getattr(model, "feedback", "") == "implicit":  # the neighbors answer both questions
            model = with_settings(model, {"feedback": "explicit"})
        return model, "ratings_split", {"rating_scale": dataset.rating_scale}
    if dataset.rating_scale is None and hasattr(model, "loss_on") and "loss_on" not in given:
        # Of likes all stored cells are 1: only those where nothing is stored tell them apart.
        model = with_settings(model, {"loss_on": "all"})
    like = dataset.like_threshold(like_from)
    shown = model if model.predicts == "rating" else OnLikes(model=model, min_value=like)
    return shown, "ranking_split", {"min_value": like}


def _as_trained(project: Project, model: Any) -> Any:
    """Return the model with the settings of the notebook that trains it, if there is one."""
    names = results.NOTEBOOK_PARAMETERS.get(type(model).__name__, {})
    for step in load_steps(project) if names else ():
        if set(names.values()) <= step.parameters.keys():
            settings = {key: step.parameters[name].default for key, name in names.items()}
            return with_settings(model, settings)
    return model


def _set(model: Any, texts: Mapping[str, str]) -> Any:
    """Return the model with settings as they are typed."""
    own = model.config()
    kinds = {one.name: one.type for one in dataclasses.fields(model)}
    values = {}
    for name, text in texts.items():
        if name not in own:
            raise ConfigError(
                f"{name!r} must be a hyper-parameter of {type(model).__name__}."
                f"{did_you_mean(name, own)} It has: {', '.join(own)}."
            )
        left = own[name] is None and text.strip().lower() != "none"
        number = left and float in get_args(kinds[name])  # one that would follow from the data
        values[name] = parse_text(Parameter(name, 1.0 if number else own[name], ""), text)
    return with_settings(model, values)
