"""Runs as text: a table for the terminal, CSV or JSON for other programs."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from recsys_lib.pipeline.runs.comparison import RunComparison
from recsys_lib.pipeline.runs.table import FACTS, find_column

__all__ = ["FORMATS", "comparison_text", "listing"]

FORMATS = ("table", "csv", "json")
_LONGEST = 28  # characters of a value in a table


def listing(
    table: pd.DataFrame, *, columns: Sequence[str] = (), form: str = "table", width: int = 100
) -> str:
    """Return the table of runs as text.

    Parameters
    ----------
    table : DataFrame
        As `list_runs` returns it.
    columns : sequence of str
        Which to show beside the name; as many as fit by default, those first that tell the runs
        apart. CSV and JSON have all by default.
    form : {"table", "csv", "json"}
        JSON is a list of objects without what a run does not have.
    width : int
        Characters of a line of the table.
    """
    chosen = [find_column(table, name) for name in columns]
    if form == "csv":
        return str((table[chosen] if chosen else table).to_csv()).rstrip()
    if form == "json":
        return _as_json(table[chosen] if chosen else table)
    shown = (table[chosen] if chosen else _telling(table)).map(_cell)
    if not chosen:
        shown = _fitting(shown, width)
    text = shown.to_string()
    left_out = table.shape[1] - shown.shape[1]
    return text if chosen or not left_out else f"{text}\n{left_out} more columns: --columns NAMES"


def _telling(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns in the order of what they tell: facts, what was varied, what came out."""
    metrics = [name for name in table.columns if name in table.attrs.get("higher_is_better", {})]
    parameters = [name for name in table.columns if name not in {*FACTS, *metrics}]
    varied = [name for name in parameters if len(set(map(repr, table[name].dropna()))) > 1]
    # The last notebooks judge the models; the first describe the data.
    return table[[*FACTS, *varied, *sorted(metrics, key=_place)]]


def _place(metric: str) -> tuple[int, str]:
    number, _, rest = metric.partition(".")
    return -int(number) if number.isdecimal() else 0, rest


def _fitting(shown: pd.DataFrame, width: int) -> pd.DataFrame:
    """Return as many of the first columns as fit into a line."""
    used = max(map(len, [str(shown.index.name), *shown.index]), default=0)
    kept = 0
    for name in shown.columns:
        used += 2 + max(map(len, [name, *shown[name]]))
        if used > width and kept >= len(FACTS):
            break
        kept += 1
    return shown.iloc[:, :kept]


def _cell(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if value is None or (not isinstance(value, tuple) and pd.isna(value)):
        return "-"
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _as_json(table: pd.DataFrame) -> str:
    rows = []
    for run, row in table.iterrows():
        present = {name: one for name, one in row.items() if _cell(one) != "-"}
        rows.append({"run": run, **{name: _plain(one) for name, one in present.items()}})
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def comparison_text(found: RunComparison, *, form: str = "table") -> str:
    """Return a comparison as text: what differed, what moved, and the summary."""
    if form == "csv":
        return str(found.metrics.to_csv()).rstrip()
    if form == "json":
        parts = {
            "a": found.a,
            "b": found.b,
            "summary": found.summary,
            "differences": _records(found.differences),
            "metrics": _records(found.metrics.reset_index()),
        }
        return json.dumps(parts, indent=2, ensure_ascii=False)
    heads = {"a": found.a, "b": found.b}
    blocks = []
    if len(found.differences):
        table = found.differences.map(_cell).rename(columns=heads)
        blocks.append(f"What differed\n{table.to_string(index=False)}")
    moved = found.metrics[found.metrics["verdict"] != "same"]
    if len(moved):
        table = moved.assign(
            interval=[_interval(*row) for row in moved[["low", "high"]].to_numpy()]
        )
        table = table[["a", "b", "change", "interval", "noise", "verdict"]].map(_cell)
        blocks.append(f"What moved (95 % intervals)\n{table.rename(columns=heads).to_string()}")
    return "\n\n".join([*blocks, found.summary])


def _interval(low: float, high: float) -> str:
    return f"{low:+.3g} to {high:+.3g}" if low == low else "-"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: _plain(one) for name, one in row.items() if _cell(one) != "-"}
        for row in table.to_dict("records")
    ]
