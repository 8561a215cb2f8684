"""A sweep from Python, as a notebook runs one."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.sweeping.driver import Options, run_sweep
from recsys_lib.pipeline.sweeping.grid import parse_grid
from recsys_lib.pipeline.sweeping.planning import plan
from recsys_lib.pipeline.sweeping.state import SweepState

__all__ = ["sweep"]


def sweep(
    grid: Mapping[str, Any],
    *,
    name: str,
    workers: int | None = None,
    only: str | None = None,
    progress: Callable[[SweepState], None] | None = None,
    project: Project | None = None,
) -> pd.DataFrame:
    """Run the chain for each setting of a grid, in parallel, and return one row for each.

    What a sweep of this name has finished before is skipped; steps that settings have in common
    are run once. A setting that fails does not stop the others.

    Parameters
    ----------
    grid : mapping
        As a grid file holds it: ``{"EPOCHS": [10, 20], "only": "01-03"}``.
    name : str
        The settings become the runs ``<name>/<setting>``.
    workers : int, optional
        Settings at once; as many as cores and memory allow by default.
    only : str, optional
        Which notebooks, such as ``"01-03"``; wins over the grid's own.
    progress : callable, optional
        Told the state twice a second.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    DataFrame
        Indexed by setting: a column for each varied parameter, ``status`` ("done" or "failed"),
        ``seconds``, ``peak_gb``, and each metric of the manifests, such as ``03.test_rmse``.

    Raises
    ------
    ConfigError
        If the grid is wrong, told before anything runs; or a sweep of this name is at work.

    Examples
    --------
    ``sweep({"EPOCHS": [10, 20]}, name="epochs", only="01-03")[["EPOCHS", "03.test_rmse"]]``
    """
    it = plan(project or Project.find(), parse_grid(grid), name, only=only)
    return run_sweep(it, Options(workers=workers), progress).table()
