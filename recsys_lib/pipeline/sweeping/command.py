"""``recsys sweep``: its options, and what it says."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lib.pipeline.options import HOUR, count, gigabytes, seconds

if TYPE_CHECKING:
    from recsys_lib.pipeline.sweeping.state import SweepState

__all__ = ["add_parser"]


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to those of ``recsys``.

    Parameters
    ----------
    commands : as ``ArgumentParser.add_subparsers`` returns it
    shared : ArgumentParser
        Options of all commands.
    """
    parser = commands.add_parser(
        "sweep", parents=[shared], help="run the notebooks for every setting of a grid"
    )
    parser.set_defaults(command=_sweep)
    parser.add_argument(
        "-f", dest="file", type=Path, required=True, metavar="GRID", help="grid of settings, YAML"
    )
    parser.add_argument("--name", help="name of the sweep (default: that of the grid file)")
    parser.add_argument(
        "--only", metavar="NN[-NN]", help="only these notebooks; wins over the grid"
    )
    parser.add_argument(
        "--workers", type=count, metavar="N", help="settings at once (default: by cores, memory)"
    )
    parser.add_argument(
        "--memory", type=gigabytes, metavar="GB", help="what one setting takes at least"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=4 * HOUR,
        metavar="SECONDS",
        help="limit for each notebook; 0 for none (default: 4 hours)",
    )
    parser.add_argument("--backend", choices=("loky", "dask", "ray"), default="loky")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a running Dask or Ray cluster")
    parser.add_argument(
        "--output", metavar="PLACE", help="copies of notebooks and manifests: s3://bucket/prefix"
    )


def _sweep(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.project import Project
    from recsys_lib.pipeline.sweeping.display import SweepLines
    from recsys_lib.pipeline.sweeping.driver import Options, run_sweep
    from recsys_lib.pipeline.sweeping.grid import read_grid
    from recsys_lib.pipeline.sweeping.planning import plan

    name = options.name or options.file.stem
    it = plan(Project.find(), read_grid(options.file), name, only=options.only)
    how = Options(
        workers=options.workers,
        backend=options.backend,
        scheduler=options.scheduler,
        memory=options.memory,
        timeout=options.timeout,
        output=options.output,
    )
    _say(
        f"Sweep {it.name}: {len(it.settings)} settings, {it.n_steps} notebooks to run, "
        f"{it.n_different} of them different\n"
    )
    state = run_sweep(it, how, SweepLines(sys.stdout))
    _close(state)
    return 1 if state.failed else 0


def _close(state: "SweepState") -> None:
    from recsys_lib.pipeline.sweeping.display import closing_table
    from recsys_lib.pipeline.sweeping.state import SWEEP_FILE

    _say(f"\n{closing_table(state)}\n\nAll of it: {state.folder / SWEEP_FILE}\n")
    if state.failed:
        names = ", ".join(one.setting.name for one in state.failed)
        told = f"{len(state.failed)} of {len(state.entries)} settings failed: {names}."
        sys.stderr.write(f"recsys: {told} The same command tries them again.\n")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
