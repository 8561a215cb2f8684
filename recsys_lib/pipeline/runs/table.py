"""All runs as one table: a row a run, its parameters and metrics as columns."""

import operator
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from recsys_lib.errors import ConfigError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.parameters import meaning
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runs.reading import find_runs

__all__ = ["FACTS", "filtered", "find_column", "list_runs", "ordered", "table_of"]

#: Columns that every run has.
FACTS = ("status", "begun", "seconds", "memory_mb")

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*(.+?)\s*(>=|<=|!=|==|=|>|<)\s*(.*?)\s*")


def list_runs(
    names: Sequence[str] | str = (),
    *,
    where: Sequence[str] | str = (),
    sort: str | None = None,
    project: Project | None = None,
) -> pd.DataFrame:
    """Return the runs of the project as a table.

    Parameters
    ----------
    names : str or sequence of str
        Runs, sweeps or patterns such as ``"sweep/*"``; all by default.
    where : str or sequence of str
        Conditions that all must hold, such as ``"EPOCHS>=10"`` or ``"status=done"``. A run without
        the column does not meet it.
    sort : str, optional
        Column to sort by: metrics from the best down, anything else upwards.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    DataFrame
        Indexed by ``run``: ``status``, ``begun`` (UTC), ``seconds``, ``memory_mb``; a column for
        each parameter (``EPOCHS``) and each metric (``03.test_rmse``), missing where a run has
        none. A column may be named by its last part (``test_rmse``) where that is clear.

    Raises
    ------
    ConfigError
        If a name is of no run, a column of no metric or parameter, or a condition is none.

    Warns
    -----
    UserWarning
        For each manifest that is damaged; it is left out.
    """
    words = [names] if isinstance(names, str) else names
    found, damaged = find_runs(project or Project.find(), words)
    for error in damaged:
        warnings.warn(str(error), stacklevel=2)
    table = filtered(table_of(found), [where] if isinstance(where, str) else where)
    return ordered(table, sort) if sort else table


def table_of(manifests: Iterable[Manifest]) -> pd.DataFrame:
    """Return the table of runs; its ``attrs`` say of which metrics a higher value is better."""
    rows: dict[str, dict[str, Any]] = {}
    better: dict[str, bool | None] = {}
    for one in manifests:
        facts = [one.status, one.begun, one.seconds, one.peak_memory / 1e6]
        metrics = {name: metric.value for name, metric in one.metrics.items()}
        better |= {name: metric.higher_is_better for name, metric in one.metrics.items()}
        rows[one.run] = dict(zip(FACTS, facts, strict=True)) | _cells(one.all_parameters) | metrics
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    known = [name for name in table.columns if name not in (*FACTS, *better)]
    table = table.reindex(columns=[*FACTS, *sorted(known), *sorted(better)])
    table[sorted(known)] = table[sorted(known)].convert_dtypes()  # whole numbers stay whole
    table["begun"] = pd.to_datetime(table["begun"], utc=True, format="ISO8601")
    table.attrs["higher_is_better"] = better
    return table


def _cells(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters as cells of a table: a list stands in one."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }


def find_column(table: pd.DataFrame, name: str) -> str:
    """Return the column that is meant: by its whole name, or by the last parts of it.

    Raises
    ------
    ConfigError
        If none is, or more than one.

    Examples
    --------
    >>> table = pd.DataFrame(columns=["EPOCHS", "03.test_rmse", "04.SVD.rmse", "04.KNN.rmse"])
    >>> find_column(table, "test_rmse"), find_column(table, "svd.rmse")
    ('03.test_rmse', '04.SVD.rmse')
    """
    if name in table.columns:
        return name
    folded = name.casefold()
    near = [one for one in table.columns if f".{one}".casefold().endswith(f".{folded}")]
    if len(near) == 1:
        return near[0]
    if near:
        raise ConfigError(
            f"The column {name!r} must be one of the table; {len(near)} are called so: "
            f"{', '.join(near)}. Say which."
        )
    last = {one.rpartition(".")[2] for one in table.columns}
    raise ConfigError(
        f"The column {name!r} must be one of the table; none is called so."
        f"{did_you_mean(name, {*table.columns, *last})} There are {len(table.columns)}: "
        f"{', '.join(table.columns)}."
    )


def filtered(table: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Return the runs that meet every condition; see `list_runs`."""
    for condition in conditions:
        parts = _CONDITION.fullmatch(condition)
        if not parts:
            raise ConfigError(
                f"A condition must be NAME OPERATOR VALUE, with one of {' '.join(_OPERATORS)}; got "
                f"{condition!r}. Try 'EPOCHS>=10'."
            )
        name, sign, text = parts.groups()
        values = table[find_column(table, name)] if name != "run" else table.index.to_series()
        table = table[[_meets(value, sign, text, condition) for value in values]]
    return table


def _meets(value: Any, sign: str, text: str, condition: str) -> bool:
    if value is None or (not isinstance(value, tuple) and pd.isna(value)):
        return False
    try:
        return bool(_OPERATORS[sign](value, _as_kind_of(value, text)))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"A condition must compare with a value of the column's kind; {condition!r} does not: "
            f"it holds {value!r}. Write the value as the parameters cell does."
        ) from error


def _as_kind_of(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return text.strip("'\"")
    if isinstance(value, pd.Timestamp):
        moment = pd.Timestamp(text)
        return moment if moment.tzinfo else moment.tz_localize("UTC")
    found = meaning(text)
    return tuple(found) if isinstance(found, list) else found


def ordered(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the runs sorted by a column: a metric from the best down, anything else upwards."""
    column = find_column(table, name)
    falling = table.attrs.get("higher_is_better", {}).get(column) is True
    try:
        return table.sort_values(column, ascending=not falling, kind="stable", na_position="last")
    except TypeError as error:
        raise ConfigError(
            f"The column {column!r} must hold values that can be put in order; {error}. "
            "Sort by another."
        ) from error
