"""What is searched: a model, the split that its metric needs, and what counts as a like."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lib.dataset import Dataset, Split
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import parse_metric
from recsys_lib.models import model_class
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.parameters import Parameter, parse_text
from recsys_lib.pipeline.project import Project
from recsys_lib.tuning.results import NOTEBOOK_PARAMETERS
from recsys_lib.tuning.spaces import with_settings

__all__ = ["Question", "pose"]


@dataclass(frozen=True)
class Question:
    """A search on the data of a run.

    Attributes
    ----------
    model : object
        As it stands before the search; a model that ranks is shown likes.
    split : Split
    part : str
        The artifact that the split is: ``ratings_split`` or ``ranking_split``.
    metric : str
    rules : dict
        What `evaluate` is told besides.
    """

    model: Any
    split: Split
    part: str
    metric: str
    rules: dict[str, Any]


def pose(
    project: Project,
    name: str,
    *,
    run: str,
    metric: str | None = None,
    settings: Mapping[str, str] | None = None,
    like_from: float | None = None,
) -> Question:
    """Return the question that the words of a command line mean, as the notebooks would pose it.

    Parameters
    ----------
    project : Project
    name : str
        Of the model's class.
    run : str
        That has made the splits.
    metric : str, optional
        By default rmse for a model that predicts ratings, else ndcg@10.
    settings : mapping of str to str, optional
        Hyper-parameters as typed, that the search begins with.
    like_from : float, optional
        Lowest rating liked; by default the upper third, as in the notebooks.

    Raises
    ------
    ConfigError
        If the run has not made the split, or a model, metric or setting is unknown.
    ArtifactError
        If the split or the data set is damaged.
    """
    model = _set(_as_trained(project, model_class(name)()), settings or {})
    metric = metric or ("rmse" if model.predicts == "rating" else "ndcg@10")
    rated = parse_metric(metric).kind == "rating"
    part = "ratings_split" if rated else "ranking_split"
    folder = project.artifacts(run)
    dataset, split = (
        Dataset.load(_made(folder / "dataset", run)),
        Split.load(_made(folder / part, run)),
    )
    if rated:
        if getattr(model, "feedback", "") == "implicit":  # the neighbors answer both questions
            model = with_settings(model, {"feedback": "explicit"})
        return Question(model, split, part, metric, {"rating_scale": dataset.rating_scale})
    like = dataset.like_threshold(like_from)
    shown = model if model.predicts == "rating" else OnLikes(model=model, min_value=like)
    return Question(shown, split, part, metric, {"min_value": like})


def _as_trained(project: Project, model: Any) -> Any:
    """Return the model as the notebook that trains it is committed, where there is one."""
    names = NOTEBOOK_PARAMETERS.get(type(model).__name__, {})
    for step in load_steps(project) if names else ():
        if set(names.values()) <= step.parameters.keys():
            told = {key: step.parameters[name].default for key, name in names.items()}
            return with_settings(model, told)
    return model


def _made(path: Path, run: str) -> Path:
    if not path.exists():
        raise ConfigError(
            f"Run {run!r} must have made {path.name!r}; {path} does not exist. Make it with "
            f"`recsys run --only 01-02 --name {run}`."
        )
    return path


def _set(model: Any, texts: Mapping[str, str]) -> Any:
    """Return the model with settings as they are typed."""
    own = model.config()
    values = {}
    for name, text in texts.items():
        if name not in own:
            raise ConfigError(
                f"{name!r} must be a hyper-parameter of {type(model).__name__}."
                f"{did_you_mean(name, own)} It has: {', '.join(own)}."
            )
        values[name] = parse_text(Parameter(name, own[name], ""), text)
    return with_settings(model, values)
