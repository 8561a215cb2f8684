"""What searches found, and what of it is left on test users: each model before and after."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from recsys_lib.dataset import Split
from recsys_lib.evaluation import compare, evaluate, holm, parse_metric
from recsys_lib.progress import track
from recsys_lib.tuning.candidates import with_settings

if TYPE_CHECKING:
    from recsys_lib.tuning.results import SearchResult

__all__ = ["measure_gains", "summarize"]

_BEFORE, _AFTER = "as given", "tuned"
_STATES = ("complete", "pruned", "failed")


def summarize(results: "Mapping[str, SearchResult]") -> pd.DataFrame:
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
        states = result.trials["state"].value_counts().reindex(_STATES, fill_value=0)
        rows[name] = {_BEFORE: result.first_value, "best": result.value, **states}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.astype(dict.fromkeys(_STATES, int))


def measure_gains(
    results: "Mapping[str, SearchResult]",
    split: Split,
    metric: str,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2_000,
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
    confidence : float
        Of the intervals.
    n_resamples, seed : int
        Of the paired bootstrap over users.
    **options
        Passed on to `evaluate`: ``min_value``, ``rating_scale``.

    Returns
    -------
    DataFrame
        Indexed by ``model``: ``as given`` and ``tuned``, the metric on the test; ``gain``, by how
        much tuning made it better (positive also where lower is better), with its interval ``low``
        and ``high``; ``p_holm``, corrected for the number of models; ``certain``, whether it is
        below 1 - `confidence`; ``promised``, the gain on the validation part.

    Notes
    -----
    The validation part flatters what was chosen by it, so what is promised is more than what is
    kept. One more fit for each model, of the settings it came with.
    """
    sign = -1.0 if parse_metric(metric).higher_is_better is False else 1.0
    rows = {}
    with track("measure gains", len(results), "models") as task:
        for name, result in results.items():
            given = with_settings(result.model, result.first)
            given.fit(split.train, validation=split.validation)
            reports = [
                evaluate(model, split.test, [metric], name=label, **options)
                for label, model in ((_BEFORE, given), (_AFTER, result.model))
            ]
            found = compare(
                reports, [metric], confidence=confidence, n_resamples=n_resamples, seed=seed
            )
            promised = sign * (result.value - result.first_value) + 0.0
            rows[name] = _row(found.table.iloc[0], sign) | {"promised": promised}
            task.step()
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    table.insert(5, "p_holm", holm(table.pop("p_value")))
    table.insert(6, "certain", table["p_holm"] < 1 - confidence)
    return table


def _row(pair: pd.Series, sign: float) -> dict[str, float]:
    """Turn a comparison, which lists the better model first, into a gain from before to after."""
    if pair["a"] == _BEFORE:
        before, after, sign = pair["value_a"], pair["value_b"], -sign
    else:
        before, after = pair["value_b"], pair["value_a"]
    # Adding nothing turns a negative zero into a plain one.
    low, high = sorted((sign * pair["low"] + 0.0, sign * pair["high"] + 0.0))
    gain = sign * pair["difference"] + 0.0
    values = {"gain": gain, "low": low, "high": high, "p_value": pair["p_value"]}
    return {_BEFORE: before, _AFTER: after, **values}
