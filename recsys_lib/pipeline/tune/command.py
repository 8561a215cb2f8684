"""``recsys tune``: one line a trial, and the best settings as a file for `recsys run -f`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys_lib.tuning.results import SearchResult

__all__ = ["add_parser"]

_TRIALS = 30
# In the folder of the run, beside its artifacts.
_STUDIES = "studies.sqlite"


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command; it sets `command` to a function of the options."""
    tune = commands.add_parser(
        "tune", parents=[shared], help="search the settings of a model on the data of a run"
    )
    tune.set_defaults(command=_tune)
    tune.add_argument("model", metavar="MODEL", help="such as Autoencoder, EASE or MultVAE")
    tune.add_argument("--run", default="default", metavar="NAME", help="whose data (%(default)s)")
    tune.add_argument("--metric", help="such as rmse or ndcg@10 (default: rmse or ndcg@10)")
    tune.add_argument(
        "--trials", type=int, metavar="N", help=f"budget, of all workers (default: {_TRIALS})"
    )
    tune.add_argument("--seconds", type=float, metavar="S", help="budget in seconds of work")
    tune.add_argument(
        "-p",
        dest="texts",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a hyper-parameter to begin with, or to hold fixed; may be repeated",
    )
    tune.add_argument("--space", type=Path, metavar="FILE", help="ranges from YAML")
    tune.add_argument(
        "--storage", metavar="PATH|URL", help=f"of the study (default: runs/NAME/{_STUDIES})"
    )
    tune.add_argument("--study", metavar="NAME", help="of the study (default: MODEL-METRIC)")
    tune.add_argument("--seed", type=int, default=0, help="of the proposals (default: %(default)s)")
    tune.add_argument("--like-from", type=float, help="lowest rating liked")
    tune.add_argument(
        "-o", dest="output", type=Path, metavar="FILE", help="the best as parameters of a notebook"
    )


def _tune(options: argparse.Namespace) -> int:
    from recsys_lib.artifacts import check_replaceable
    from recsys_lib.pipeline.project import Project
    from recsys_lib.pipeline.tune.question import pose
    from recsys_lib.tuning import Space, search
    from recsys_lib.tuning.results import is_best, notebook_parameters, write_best

    project = Project.find()
    asked = pose(
        project,
        options.model,
        run=options.run,
        metric=options.metric,
        settings=dict(options.texts),
        like_from=options.like_from,
    )
    space = Space.read(options.space) if options.space else Space.of(asked.model)
    if options.output:  # told now, not after the search
        notebook_parameters(options.model, dict.fromkeys(space.ranges))
        check_replaceable(options.output, ours=is_best)
    unlimited = options.trials is None and options.seconds is None
    trials = _TRIALS if unlimited else options.trials
    storage = options.storage or project.run_folder(options.run) / _STUDIES
    _write(f"{options.model} on {asked.part} of run {options.run}: {asked.metric}")
    found = search(
        asked.model,
        asked.split,
        asked.metric,
        trials=trials,
        seconds=options.seconds,
        space=space,
        storage=storage,
        study=options.study or f"{options.model}-{asked.metric}",
        seed=options.seed,
        on_trial=lambda row: _write(_line(row, asked.metric, list(space.ranges))),
        **asked.rules,
    )
    _write(_closing(found))
    if options.output:
        write_best(found, options.output)
        _write(f"Written: {options.output}   use it: recsys run -f {options.output}")
    return 0


def _line(row: dict[str, Any], metric: str, names: list[str]) -> str:
    """Return the line of a trial."""
    if row["state"] == "complete":
        said = f"{metric} {row[metric]:.4f}  best {row['best']:.4f}"
    elif row["state"] == "pruned":
        said = f"given up after epoch {row['epochs_run']:.0f}"
    else:
        said = f"failed: {row['error']}"
    settings = ", ".join(f"{name}={_short(row[name])}" for name in names)
    return f"{row['trial']:>4}  {said}  {row['seconds']:.1f} s  {settings}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _closing(found: "SearchResult") -> str:
    from recsys_lib.tuning.results import as_call

    counts = found.trials["state"].value_counts()
    how = ", ".join(f"{counts[state]} {state}" for state in counts.index)
    return (
        f"\n{as_call(found.space.model, found.settings)}\n"
        f"{found.metric} {found.value:.4f} on validation, {found.first_value:.4f} as given; "
        f"{len(found.trials)} trials ({how}) in study {found.study} of {found.place}"
    )


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
