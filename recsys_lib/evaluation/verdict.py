"""The result of a comparison in plain sentences."""

import pandas as pd

from recsys_lib.evaluation.catalog import parse_metric

__all__ = ["state_verdict"]


def state_verdict(scores: pd.DataFrame, pairs: pd.DataFrame, *, confidence: float) -> str:
    """State who leads in one metric and by how much, and who cannot be told apart.

    Parameters
    ----------
    scores : DataFrame
        The rows of one metric in ``Comparison.scores``, best first.
    pairs : DataFrame
        The rows of that metric in ``Comparison.table``.
    confidence : float
        Of the intervals.

    Returns
    -------
    str

    Examples
    --------
    >>> scores = pd.DataFrame({"metric": "rmse", "model": ["A", "B"]})
    >>> pairs = pd.DataFrame({"a": ["A"], "b": ["B"], "difference": [-0.02], "low": [-0.03],
    ...     "high": [-0.01], "distinguishable": [True]})
    >>> state_verdict(scores, pairs, confidence=0.95)
    'A leads B by 0.0200 in rmse, where lower is better (95 % interval 0.0100 to 0.0300).'
    """
    metric = parse_metric(str(scores["metric"].iloc[0]))
    leader = str(scores["model"].iloc[0])
    rows = pairs[pairs["a"] == leader].set_index("b").reindex(scores["model"].iloc[1:])
    led, tied = rows[rows["distinguishable"]], rows[~rows["distinguishable"].astype(bool)]
    verb = "leads" if metric.higher_is_better is not None else "lies above"
    lower = ", where lower is better" if metric.higher_is_better is False else ""
    where = f" in {metric.name}{lower}"
    if led.empty:
        first = f"{leader} is not distinguishable from {tied.index[0]}{where}"
        # The interval is of this pair alone, the verdict of all.
        if tied["low"].iloc[0] > 0 or tied["high"].iloc[0] < 0:
            first += f" once all {len(pairs)} pairs are accounted for"
        first += f" (difference {_amount(tied.iloc[0], confidence)})"
        return _sentence(first, [f"nor from {_list(tied.index[1:])}"] if len(tied) > 1 else [])
    nearest = led.iloc[0]
    size, interval = _amount(nearest, confidence).split(", ", 1)
    first = f"{leader} {verb} {led.index[0]} by {size}{where} ({interval})"
    rest = [f"and {_list(led.index[1:])} by more"] if len(led) > 1 else []
    if len(tied):
        rest.append(f"not distinguishable from {_list(tied.index)}")
    return _sentence(first, rest)


def _amount(row: pd.Series, confidence: float) -> str:
    """The lead and its interval, counted so that a positive lead is a better one."""
    sign = -1.0 if row["difference"] < 0 else 1.0
    low, high = sorted((sign * row["low"], sign * row["high"]))
    size = sign * row["difference"]
    if pd.isna(low):
        return f"{size:.4f}, too few users for an interval"
    return f"{size:.4f}, {100 * confidence:g} % interval {low:.4f} to {high:.4f}"


def _list(names: pd.Index) -> str:
    words = [str(name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(first: str, rest: list[str]) -> str:
    return "; ".join([first, *rest]) + "."
