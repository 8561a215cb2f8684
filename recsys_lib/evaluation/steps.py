"""Ablations step by step: the gain of each idea over the variant without it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.significance import compare, holm

__all__ = ["gains_of_steps"]


def gains_of_steps(
    reports: Mapping[str, Report],
    steps: Mapping[str, str],
    metric: str,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the gain of each variant over the one it was derived from.

    Parameters
    ----------
    reports : mapping of str to Report
        Of all variants, on one fold.
    steps : mapping of str to str
        Variant -> the variant before it.
    metric : str
        A per-user metric.
    confidence, n_resamples, seed
        Of the paired bootstrap interval over users.

    Returns
    -------
    DataFrame
        Indexed by ``step, instead_of``: ``gain`` = value with the step - value before it, its
        interval ``low`` and ``high``, ``p_holm`` corrected for the number of steps, and ``certain``
        whether that is below 1 - `confidence`.

    Raises
    ------
    ConfigError
        If a variant has no report.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import MostPopular, evaluate
    >>> wanted = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> counts = {"plain": [0, 9, 1], "better": [0, 1, 9]}
    >>> reports = {n: evaluate(MostPopular(c), fold, ["mrr@3"]) for n, c in counts.items()}
    >>> gains_of_steps(reports, {"better": "plain"}, "mrr@3")[["gain", "certain"]]
                       gain  certain
    step   instead_of
    better plain       0.25     True
    """
    unknown = [name for pair in steps.items() for name in pair if name not in reports]
    if unknown:
        raise ConfigError(
            f"`steps` must name variants that have a report; {unknown[0]!r} has none. Known: "
            f"{', '.join(reports)}."
        )
    rows = []
    for after, before in steps.items():
        pair = [replace(reports[name], name=name) for name in (after, before)]
        options: dict[str, Any] = {
            "confidence": confidence,
            "n_resamples": n_resamples,
            "seed": seed,
        }
        row = compare(pair, [metric], **options).table.iloc[0]
        sign = 1.0 if row["a"] == after else -1.0
        low, high = sorted((sign * row["low"], sign * row["high"]))
        gain = sign * row["difference"]
        rows.append((after, before, gain, low, high, row["p_value"]))
    columns = ["step", "instead_of", "gain", "low", "high", "p_holm"]
    table = pd.DataFrame(rows, columns=columns).set_index(["step", "instead_of"])
    table["p_holm"] = holm(table["p_holm"])
    table["certain"] = table["p_holm"] < 1 - confidence
    return table
