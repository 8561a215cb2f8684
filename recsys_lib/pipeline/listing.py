"""All runs as one table: a row for each run, its parameters and metrics as columns."""

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.errors import ConfigError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.manifest import Manifest, find_runs
from recsys_lib.pipeline.parameters import meaning
from recsys_lib.pipeline.progress import text_table
from recsys_lib.pipeline.project import Project

#: Columns that every run has.
FACTS = ("status", "begun", "seconds", "memory_mb")

_LONGEST = 28  # characters of a value in a table
_JOINED = re.compile(r"(\s+(?:and|or)\s+)")
_COMPARISON = re.compile(r"(?!\s*(?:\(|~|not\b))\s*`?(.+?)`?\s*(>=|<=|!=|==|=|>|<)\s*(.*?)\s*")
_UNDEFINED = re.compile(r"name '(.+?)' is not defined")


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
        Conditions that all must hold, such as ``"EPOCHS>=10"`` or ``"status=done or rmse<1.2"``;
        anything else is an expression of `DataFrame.query`. A run without the column does not
        meet it.
    sort : str, optional
        Column to sort by: metrics from the best down, anything else upwards.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    DataFrame
        Indexed by ``run``: ``status``, ``begun`` (UTC), ``seconds``, ``memory_mb``; a column for
        each parameter (``EPOCHS``) and each metric (``03.test_rmse``), missing if a run has
        none. A column may be named by its last part (``test_rmse``) if that is unambiguous.

    Raises
    ------
    ConfigError
        If no run has one of the names, no metric or parameter is named like a column, or a
        condition is not valid.

    Warns
    -----
    UserWarning
        For each damaged manifest; it is left out.
    """
    found, damaged = find_runs(
        project or Project.find(), [names] if isinstance(names, str) else names
    )
    for error in damaged:
        warnings.warn(str(error), stacklevel=2)
    table = filtered(table_of(found), [where] if isinstance(where, str) else where)
    return ordered(table, sort) if sort else table


def table_of(manifests: Iterable[Manifest]) -> pd.DataFrame:
    """Return the table of runs; its ``attrs`` say for which metrics a higher value is better."""
    rows: dict[str, dict[str, Any]] = {}
    better: dict[str, bool | None] = {}
    for one in manifests:
        facts = [one.status, one.begun, one.seconds, one.peak_memory / 1e6]
        metrics = {name: metric.value for name, metric in one.metrics.items()}
        better |= {name: metric.higher_is_better for name, metric in one.metrics.items()}
        parameters = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in one.all_parameters.items()
        }
        rows[one.run] = dict(zip(FACTS, facts, strict=True)) | parameters | metrics
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    known = sorted(name for name in table.columns if name not in (*FACTS, *better))
    table = table.reindex(columns=[*FACTS, *known, *sorted(better)])
    table[known] = table[known].convert_dtypes()  # whole numbers stay whole
    table["begun"] = pd.to_datetime(table["begun"], utc=True, format="ISO8601")
    table.attrs["higher_is_better"] = better
    return table


def find_column(table: pd.DataFrame, name: str) -> str:
    """Return the column with a name, or the only one whose last parts are that name.

    Raises
    ------
    ConfigError
        If there is none, or more than one.

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
    raise ConfigError(
        f"The column {name!r} must be one of the table; none is called so.{_columns(table, name)}"
    )


def _columns(table: pd.DataFrame, name: str) -> str:
    last = {one.rpartition(".")[2] for one in table.columns}
    return (
        f"{did_you_mean(name, {*table.columns, *last})} There are {len(table.columns)}: "
        f"{', '.join(table.columns)}."
    )


def filtered(table: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Return the runs that meet every condition; see `list_runs`."""
    for condition in conditions:
        values: dict[str, Any] = {}
        parts = _JOINED.split(condition)
        try:
            # Every other part is `and` or `or`.
            parts[::2] = [_expression(table, part, values) for part in parts[::2]]
            table = table.query("".join(parts), engine="python", local_dict=values)
        except ConfigError:
            raise
        except Exception as error:  # an expression may raise anything
            reason = "it is not true or false" if isinstance(error, KeyError) else str(error)
            unknown = _UNDEFINED.search(reason)
            raise ConfigError(
                "A condition must be NAME OPERATOR VALUE, with a value of the column's kind, such "
                f"as 'EPOCHS>=10', or an expression of DataFrame.query; {condition!r} is not: "
                f"{reason}.{_columns(table, unknown[1] if unknown else '')}"
            ) from error
    return table


def _expression(table: pd.DataFrame, part: str, values: dict[str, Any]) -> str:
    """Return a comparison as `DataFrame.query` takes it; its value goes into `values`."""
    comparison = _COMPARISON.fullmatch(part)
    if not comparison:
        return part
    name, sign, text = comparison.groups()
    column = "run" if name == "run" else find_column(table, name)
    variable = f"value_{len(values)}"
    values[variable] = _value(table.reset_index()[column], text)
    return f"(`{column}`.notna() and `{column}` {'==' if sign == '=' else sign} @{variable})"


def _value(column: pd.Series, text: str) -> Any:
    """Return the value of the text in a condition, in the kind of the column."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        moment = pd.Timestamp(text)
        return moment if moment.tzinfo else moment.tz_localize("UTC")
    if pd.api.types.is_string_dtype(column):
        return text.strip("'\"")
    found = meaning(text)
    # To compare with a list means "is one of", so a list of one.
    return [tuple(found)] if isinstance(found, list | tuple) else found


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


def listing(
    table: pd.DataFrame, *, columns: Sequence[str] = (), form: str = "table", width: int = 100
) -> str:
    """Return the table of runs as text.

    Parameters
    ----------
    table : DataFrame
        As `list_runs` returns it.
    columns : sequence of str
        Which to show beside the name; by default as many as fit, first those in which the runs
        differ. CSV and JSON have all by default.
    form : {"table", "csv", "json"}
        JSON is a list of objects without the values that a run does not have.
    width : int
        Characters in a line of the table.
    """
    chosen = table[[find_column(table, name) for name in columns]] if columns else table
    if form == "csv":
        return str(chosen.to_csv()).rstrip()
    if form == "json":
        return as_json(chosen.reset_index())
    numbers = table.select_dtypes("number").columns
    if columns:
        return text_table(cells(chosen.reset_index()), right=numbers)
    shown = _fitting(cells(_by_relevance(table).reset_index()), width)
    text, left_out = text_table(shown, right=numbers), 1 + table.shape[1] - shown.shape[1]
    return f"{text}\n{left_out} more columns: --columns NAMES" if left_out else text


def _by_relevance(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns by what they tell: facts, parameters in which runs differ, metrics."""
    metrics = [name for name in table.columns if name in table.attrs.get("higher_is_better", {})]
    parameters = [name for name in table.columns if name not in {*FACTS, *metrics}]
    varied = [name for name in parameters if len(set(map(repr, table[name].dropna()))) > 1]
    # The last notebooks judge the models; the first describe the data.
    metrics.sort(key=lambda name: (-int(number) if (number := name[:2]).isdecimal() else 0, name))
    return table[[*FACTS, *varied, *metrics]]


def _fitting(shown: pd.DataFrame, width: int) -> pd.DataFrame:
    """Return as many of the first columns as fit into a line."""
    widths = [2 + max(map(len, [name, *shown[name]])) for name in shown.columns]
    count = int((np.cumsum(widths) <= width + 2).sum())
    return shown.iloc[:, : max(count, 1 + len(FACTS))]


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the values of a table as short text."""
    return table.map(_cell)


def _cell(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if _is_missing(value):
        return "-"
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_missing(value: Any) -> bool:
    return value is None or (not isinstance(value, tuple) and bool(pd.isna(value)))


def as_json(table: pd.DataFrame) -> str:
    """Return the rows as a list of objects without missing values."""
    rows = [
        {name: one for name, one in row.items() if not _is_missing(one)}
        for row in table.to_dict("records")
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value.item()
