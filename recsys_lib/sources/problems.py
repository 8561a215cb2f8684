"""Problems in a table: all found at once, then raised, dropped or listed."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import DataError
from recsys_lib.sources.tables import Table, list_places

#: "strict" raises at the first problem; "lenient" drops the affected rows and warns.
Mode = Literal["strict", "lenient"]


@dataclass(frozen=True)
class Problem:
    """One kind of problem in one column, with the rows that have it.

    Attributes
    ----------
    check : str
        Short name, such as ``"not a number"``.
    column : str
        The column, as the table calls it.
    requirement : str
        What must hold; the start of the error message.
    evidence : str
        What the first affected row has instead.
    remedy : str
        What to do.
    rows : ndarray of int64
        0-based positions of the affected rows, ascending.
    fatal : bool
        Whether dropping rows would not fix it.
    warning : bool
        Whether it may be intended: reported, never raised and never dropped.
    """

    check: str
    column: str
    requirement: str
    evidence: str
    remedy: str
    rows: NDArray[np.int64]
    fatal: bool = False
    warning: bool = False

    def message(self, table: Table) -> str:
        """Return the error: requirement; evidence with its place. Remedy."""
        place = f"; {list_places(table, self.rows)}" if len(self.rows) else ""
        evidence = f" has {self.evidence}" if len(self.rows) else f"; {self.evidence}"
        if len(self.rows) > 1:
            evidence = f" (the first has {self.evidence})"
        return f"{self.requirement}{place}{evidence}. {self.remedy}"


def settle(
    frame: pd.DataFrame, problems: Sequence[Problem], table: Table, mode: Mode
) -> pd.DataFrame:
    """Raise the first problem, or return the frame without the affected rows and warn.

    Parameters
    ----------
    frame : DataFrame
        One row a record of the table, in its order.
    problems : sequence of Problem
    table : Table
        Tells where the rows are.
    mode : {"strict", "lenient"}

    Returns
    -------
    DataFrame
        With a RangeIndex.

    Raises
    ------
    DataError
        In strict mode for any problem, in lenient mode for one that dropping rows would not fix.
    """
    serious = [problem for problem in problems if not problem.warning]
    fatal = [problem for problem in serious if problem.fatal]
    if fatal or (serious and mode == "strict"):
        first = (fatal or serious)[0]
        others = len(serious) - 1
        more = f" {others} other problems: see validate_interactions(...)." if others else ""
        raise DataError(first.message(table) + more)
    if not serious:
        return frame
    drop = np.unique(np.concatenate([problem.rows for problem in serious]))
    kept = frame.drop(index=drop).reset_index(drop=True)
    if kept.empty:
        most = max(serious, key=lambda problem: len(problem.rows))
        raise DataError(
            f"{table.name} must have rows without problems; all {len(frame):,} have some, "
            f"{len(most.rows):,} of them this: {most.message(table)}"
        )
    what = ", ".join(f"{len(problem.rows):,} {problem.check}" for problem in serious)
    warnings.warn(
        f"{table.name}: {len(drop):,} of {len(frame):,} rows dropped ({what}).", stacklevel=4
    )
    return kept


def report(problems: Sequence[Problem], table: Table) -> pd.DataFrame:
    """Return the problems as a table: check, column, severity, rows, places, first, remedy."""
    rows = [
        {
            "check": problem.check,
            "column": problem.column,
            "severity": "warning" if problem.warning else "error",
            "rows": len(problem.rows),
            "places": list_places(table, problem.rows) if len(problem.rows) else "",
            "first": problem.evidence,
            "remedy": problem.remedy,
        }
        for problem in problems
    ]
    names = ["check", "column", "severity", "rows", "places", "first", "remedy"]
    return pd.DataFrame(rows, columns=names)
