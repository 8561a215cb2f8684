"""``recsys runs``, ``recsys runs compare`` and ``recsys runs export``."""

import argparse
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys_lib.pipeline.manifest import Manifest

__all__ = ["add_parsers", "joined"]

# Words that make `recsys runs` another command; a run of such a name is listed as ./compare.
_VERBS = ("compare", "export")
_FORMATS = ("table", "csv", "json")


def add_parsers(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the three commands; each sets `command` to a function of the options."""
    some = argparse.ArgumentParser(add_help=False, parents=[shared])
    some.add_argument("names", nargs="*", metavar="NAME", help="runs, sweeps or patterns: 'lr/*'")
    form = argparse.ArgumentParser(add_help=False)
    form.add_argument("--format", choices=_FORMATS, default="table", help="(default: table)")

    runs = commands.add_parser("runs", parents=[some, form], help="list runs: filter, sort, export")
    runs.set_defaults(command=_list)
    runs.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="such as 'EPOCHS>=10' or status=failed; all must hold",
    )
    runs.add_argument("--sort", metavar="COLUMN", help="metrics from the best down, others upwards")
    runs.add_argument("--columns", default="", metavar="A,B", help="show these beside the name")

    compare = commands.add_parser(
        "runs compare", parents=[shared, form], help="what differs, what moved, more than noise?"
    )
    compare.set_defaults(command=_compare)
    compare.add_argument("a", metavar="A", help="the run to start from")
    compare.add_argument("b", metavar="B", help="the run to go to")

    export = commands.add_parser("runs export", parents=[some], help="write runs to MLflow")
    export.set_defaults(command=_export)
    export.add_argument("--mlflow", action="store_true", required=True, help="to a tracking store")
    export.add_argument("--to", metavar="URI", help="of the store (default: runs/mlflow.db)")


def _list(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.project import Project
    from recsys_lib.pipeline.runs.reading import find_runs
    from recsys_lib.pipeline.runs.table import filtered, ordered, table_of
    from recsys_lib.pipeline.runs.texts import listing

    found, damaged = find_runs(Project.find(), options.names)
    for error in damaged:
        sys.stderr.write(f"Left out: {error}\n")
    if not options.names:
        found = _outer(found)
    if not found:
        sys.stderr.write("No run has left a manifest yet; `recsys run` leaves one.\n")
        return 0
    table = filtered(table_of(found), options.where)
    if options.sort:
        table = ordered(table, options.sort)
    columns = [name.strip() for name in options.columns.split(",") if name.strip()]
    width = shutil.get_terminal_size().columns
    _write(listing(table, columns=columns, form=options.format, width=width))
    return 0


def _outer(found: "list[Manifest]") -> "list[Manifest]":
    """Leave out the runs that a notebook of another run has made, and say so."""
    names = {one.run for one in found}
    inner = [one for one in found if one.run.rpartition("/")[0] in names]
    for outer, count in Counter(one.run.rpartition("/")[0] for one in inner).items():
        sys.stderr.write(f"{count} more inside run {outer!r}: `recsys runs {outer}` lists them.\n")
    return [one for one in found if one not in inner]


def _compare(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.runs.comparison import compare_runs
    from recsys_lib.pipeline.runs.texts import comparison_text

    _write(comparison_text(compare_runs(options.a, options.b), form=options.format))
    return 0


def _export(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.project import Project
    from recsys_lib.pipeline.runs.mlflow_export import export_runs, local_store

    # That it makes its tables is nothing that anybody asked for.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    project = Project.find()
    for run, done in export_runs(options.names, to=options.to, project=project).items():
        _write(f"{run}  {done}")
    _write(f"Store: {options.to or local_store(project)}")
    return 0


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def joined(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the two words of a command such as ``runs compare`` as one.

    Examples
    --------
    >>> joined(["runs", "compare", "a", "b"]), joined(["runs", "a"])
    (['runs compare', 'a', 'b'], ['runs', 'a'])
    """
    if list(arguments[:1]) == ["runs"] and arguments[1:2] and arguments[1] in _VERBS:
        return [" ".join(arguments[:2]), *arguments[2:]]
    return list(arguments)
