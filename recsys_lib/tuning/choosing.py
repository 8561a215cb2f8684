"""Model selection with an equal number of tries per family, on the validation fold."""

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pandas as pd

from recsys_lib.dataset import Split
from recsys_lib.evaluation import evaluate, parse_metric
from recsys_lib.progress import Task, track
from recsys_lib.tuning.candidates import settings_of
from recsys_lib.tuning.sealing import sealed

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """The candidates tried and the ones chosen.

    Attributes
    ----------
    models : dict of str to model
        A fitted copy of the chosen candidate of each family, by the training part.
    trials : DataFrame
        One row a candidate: ``model``, its ``settings`` as text, the metric on the validation
        fold, and whether it was ``chosen``.
    seconds : dict of str to float
        How long the chosen candidate of each family took to fit, wall time.
    """

    models: dict[str, Any]
    trials: pd.DataFrame
    seconds: dict[str, float]


def choose(
    candidates: Mapping[str, Sequence[Any]], split: Split, metric: str, **options: Any
) -> Choice:
    """Fit every candidate on the training part and choose the best of each family on validation.

    Parameters
    ----------
    candidates : mapping of str to sequence of model
        Name of the family -> models with different settings. The same number for every family is
        the fair comparison: an untuned baseline is beaten by anything. They stay as they are.
    split : Split
        Of which the test is sealed: touching it is a `LeakError`.
    metric : str
        Per-user metric that is to be best, such as ``"rmse"`` or ``"ndcg@10"``.
    **options
        Passed on to `evaluate`: ``min_value``, ``rating_scale``.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        If a family has no candidate.

    Notes
    -----
    One fit and one evaluation a candidate; the best so far of each family is held, and the one at
    work. Candidates that stop early see the validation fold while they are fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from recsys_lib import Dataset, split_ratings
    >>> from recsys_lib.models import Bias
    >>> rng = np.random.default_rng(0)
    >>> rows = [(u, i, 3 + i % 2 + rng.integers(2)) for u in range(40) for i in range(10)]
    >>> frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    >>> split = split_ratings(Dataset.from_frame(frame))
    >>> biases = [Bias(item_damping=damping) for damping in (1e6, 2.0)]
    >>> choose({"biases": biases}, split, "rmse").trials[["settings", "chosen"]]
                     settings  chosen
    0  item_damping=1000000.0   False
    1        item_damping=2.0    True
    """
    split = sealed(split)
    chosen, seconds, rows = {}, {}, []
    with track("choose", sum(map(len, candidates.values())), "models") as task:
        for name, family in candidates.items():
            if not family:
                raise ValueError(
                    f"`candidates` must have a model for each name; {name!r} has none."
                )
            best, values, chosen[name], seconds[name] = _best_of(
                family, split, metric, task, **options
            )
            for place, (text, value) in enumerate(zip(_differences(family), values, strict=True)):
                row = {"model": name, "settings": text, metric: value, "chosen": place == best}
                rows.append(row)
    return Choice(models=chosen, trials=pd.DataFrame(rows), seconds=seconds)


def _best_of(
    family: Sequence[Any], split: Split, metric: str, task: Task, **options: Any
) -> tuple[int, list[float], Any, float]:
    """Return the place of the best candidate, the values of all, its fitted copy and seconds."""
    lower_is_better = parse_metric(metric).higher_is_better is False
    values: list[float] = []
    best, chosen, seconds = 0, None, 0.0
    for place, candidate in enumerate(family):
        # A copy, so that a loser leaves its memory: some hold a matrix of items by items.
        model = deepcopy(candidate)
        begun = time.perf_counter()
        model.fit(split.train, validation=split.validation)
        took = time.perf_counter() - begun
        value = evaluate(model, split.validation, [metric], **options)[metric]
        values.append(value)
        if place == 0 or (value < values[best] if lower_is_better else value > values[best]):
            best, chosen, seconds = place, model, took
        del model
        task.step()
    return best, values, chosen, seconds


def _differences(family: Sequence[Any]) -> list[str]:
    """Return the settings that distinguish each model from the others of its family."""
    configs = [settings_of(model) for model in family]
    telling = [key for key in configs[0] if len({repr(config.get(key)) for config in configs}) > 1]
    return [", ".join(f"{key}={config.get(key)!r}" for key in telling) for config in configs]
