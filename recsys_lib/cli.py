"""The command line: ``recsys run``, ``sweep``, ``runs``, ``tune``, ``recommend``, ``doctor``.

Exit codes: 0 all is well; 1 a notebook failed; 2 what was given is wrong; 130 interrupted.
"""

import argparse
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from recsys_lib import __version__
from recsys_lib.errors import ConfigError, DataError, RecsysError
from recsys_lib.pipeline.options import HOUR, seconds
from recsys_lib.pipeline.runs import command as runs_command
from recsys_lib.pipeline.sweeping import command as sweep_command
from recsys_lib.pipeline.tune import command as tune_command

if TYPE_CHECKING:
    import pandas as pd

    from recsys_lib.pipeline.project import Project
    from recsys_lib.pipeline.runner import RunResult

__all__ = ["main"]

_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130
_SHOWN_USER = "nle"
_COMPARISON = "comparison_table"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may not have all letters of a title
    options = _parser().parse_args(runs_command.joined(given))
    options.given = given
    # A batch system stops a job with SIGTERM: that is to end like Ctrl-C, kernel included.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        _say("Interrupted. What was finished is kept; the same command goes on from there.")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has gone; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RecsysError, ValueError, OSError, MemoryError) as error:
        if options.debug:
            traceback.print_exc()
        _say(f"recsys: {_text(error)}")
        return _BAD_INPUT
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _text(error: BaseException) -> str:
    """Return the message; an error that the library did not foresee also says its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RecsysError) else f"{type(error).__name__}: {text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recsys", description="Notebooks in order, recommendations, and the machine's health."
    )
    parser.add_argument("--version", action="version", version=f"recsys {__version__}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", parents=[shared], help="run the notebooks through papermill")
    run.set_defaults(command=_run)
    run.add_argument("--only", metavar="NN[-NN]", help="only these notebooks: 02, 01-03 or 01,04")
    run.add_argument("--from", dest="first", metavar="NN", help="from this notebook on")
    run.add_argument(
        "-p",
        dest="texts",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter of the notebooks that declare it; may be repeated",
    )
    run.add_argument("-f", dest="file", type=Path, metavar="FILE", help="parameters from YAML")
    run.add_argument("--name", default="default", help="name of the run (default: %(default)s)")
    run.add_argument("--force", action="store_true", help="run also what is unchanged")
    run.add_argument(
        "--replace", action="store_true", help="replace a run that was made from another SOURCE"
    )
    run.add_argument(
        "--timeout",
        type=seconds,
        default=4 * HOUR,
        metavar="SECONDS",
        help="limit for each notebook; 0 for none (default: 4 hours)",
    )

    sweep_command.add_parser(commands, shared)
    runs_command.add_parsers(commands, shared)
    tune_command.add_parser(commands, shared)

    ask = commands.add_parser("recommend", parents=[shared], help="recommend for a user")
    ask.set_defaults(command=_recommend)
    ask.add_argument("user", nargs="?", metavar="USER", help="asked for where it is not given")
    ask.add_argument("-k", type=int, default=10, help="length of the list (default: %(default)s)")
    ask.add_argument("--run", default="default", metavar="NAME", help="run whose model answers")

    lab = commands.add_parser("lab", parents=[shared], help="open JupyterLab on a start page")
    lab.set_defaults(command=_lab)
    lab.add_argument("--port", type=int, metavar="N", help="8888, or the next that is free")
    lab.add_argument("--no-browser", action="store_true", help="only serve, and say where")

    doctor = commands.add_parser("doctor", parents=[shared], help="report versions and machine")
    doctor.set_defaults(command=_doctor)

    author = commands.add_parser(
        "notebooks", parents=[shared], help="for authors: rewrite the committed outputs"
    )
    author.set_defaults(command=_notebooks)
    pins = commands.add_parser(
        "pins", parents=[shared], help="for authors: measure the pinned numbers again"
    )
    pins.set_defaults(command=_pins)
    pins.add_argument("--seeds", type=int, default=5, help="how many (default: %(default)s)")
    pins.add_argument(
        "--only", metavar="NN[-NN]", help="only these notebooks, on what the others left last time"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.chain import load_steps, resolve, select
    from recsys_lib.pipeline.flow import makes_own_worlds
    from recsys_lib.pipeline.parameters import read_file
    from recsys_lib.pipeline.progress import ProgressLines, closing_table
    from recsys_lib.pipeline.project import Project
    from recsys_lib.pipeline.repeating import check_run
    from recsys_lib.pipeline.runner import run_chain

    project = Project.find()
    chain = load_steps(project)
    steps = select(chain, only=options.only, first=options.first)
    values = read_file(options.file) if options.file else {}
    parameters = resolve(chain, texts=dict(options.texts), values=values)
    if not options.replace:
        check_run(project, options.name, chain, steps, parameters)
    apart = [] if options.only else makes_own_worlds(chain, steps, parameters)
    steps = [step for step in steps if step not in apart]
    for step in apart:
        print(f"{step.name}  skipped: makes its own worlds; --only {step.number} runs it")
    result = run_chain(
        project,
        steps,
        parameters,
        ProgressLines(sys.stdout, [step.name for step in steps]),
        name=options.name,
        force=options.force,
        timeout=options.timeout,
    )
    print(f"\n{closing_table(result.outcomes)}\n\n{_places(project, result)}")
    if result.failed:
        return _tell_failures(result, options)
    written = {name for one in result.outcomes for name in one.artifacts}
    if _COMPARISON in written:
        _show_comparison(result.folder)
    if "bundle" not in written:
        return 0
    users = [step.parameters["USER"].default for step in steps if "USER" in step.parameters]
    _show_list(result.folder, str(parameters.get("USER", users[0] if users else _SHOWN_USER)))
    return 0


def _tell_failures(result: "RunResult", options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.runner import BAD_INPUT

    failed = result.ended("failed")
    for outcome in failed:
        failure = outcome.failure
        assert failure is not None
        if options.debug and failure.traceback:
            _say(failure.traceback)
        reason = failure.message.strip() or "it gives no reason; see its last cell"
        if failure.kind not in BAD_INPUT:
            reason = f"{failure.kind}: {reason}"
        _say(f"recsys: {outcome.name} stopped in cell {failure.cell} of {outcome.cells}: {reason}")
        _say(f"Executed up to there: {outcome.copy}")
    if held := result.ended("not run"):
        _say(f"Not run, as they read from it: {', '.join(one.name for one in held)}")
    command = shlex.join(["recsys", *(word for word in options.given if word != "--force")])
    _say(f"Once that is mended, the same command goes on from there: {command}")
    kinds = {outcome.failure.kind for outcome in failed if outcome.failure}
    return _BAD_INPUT if kinds <= BAD_INPUT else _FAILED


def _places(project: "Project", result: "RunResult") -> str:
    folder = result.folder.relative_to(project.root)
    figures = project.figures(result.name).relative_to(project.root)
    return f"Executed notebooks: {folder}   artifacts: {folder}/artifacts   figures: {figures}"


def _show_comparison(folder: Path) -> None:
    """Print the leaderboard that the notebook of the comparison left."""
    from recsys_lib.artifacts import read_table

    table = read_table(folder / "artifacts" / f"{_COMPARISON}.parquet").set_index("model")
    shown = table[::-1].drop(columns=["role", "metric"]).rename_axis(None)
    text = shown.to_string(float_format="{:.4f}".format, na_rep="")
    print(f"\nComparison of models, {table['metric'].iloc[0]}\n{text}")


def _show_list(folder: Path, user: str) -> None:
    """Print the top of the run's list for one user; other data than the world has other users."""
    from recsys_lib.bundle import Bundle
    from recsys_lib.errors import DataError

    bundle = Bundle.load(folder / "artifacts" / "bundle")
    try:
        rows = bundle.recommend(user, k=10)
    except DataError:
        first = str(bundle.dataset.user_ids[0])
        if user:
            print(f"\nThese data have no user {user!r}; `recsys recommend USER` asks for another.")
        user, rows = first, bundle.recommend(first, k=10)
    print(f"\nTop {len(rows)} for user {user!r}\n{_list_table(rows)}")


def _list_table(rows: "pd.DataFrame") -> str:
    shown = rows[["rank", "item_id", "title", "probability", "rung"]].copy()
    # Pandas aligns every column to the right; text reads better from the left.
    for column in ("item_id", "title", "rung"):
        text = shown[column].astype(str)
        width = max(int(text.str.len().max()) if len(text) else 0, len(column))
        shown[column] = text.str.ljust(width)
        shown = shown.rename(columns={column: column.ljust(width)})
    text = shown.to_string(index=False, float_format="{:.3f}".format, na_rep="unknown")
    return "\n".join(line.rstrip() for line in str(text).splitlines())


def _recommend(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.project import Project

    project = Project.find()
    folder = project.artifacts(options.run) / "bundle"
    if options.k < 1:
        raise ConfigError(f"-k must be a whole number >= 1; got {options.k}. Try 10.")
    if not folder.exists():
        raise _no_bundle(project, options.run)
    user = options.user if options.user is not None else _ask()
    if sys.stderr.isatty():
        _say("Loading the model ...")  # a network takes seconds
    _tell_stale(project, options.run)
    from recsys_lib.bundle import Bundle

    bundle, rows = Bundle.load(folder), None
    while rows is None:
        try:
            rows = bundle.recommend(user, k=options.k)
        except DataError as error:
            if options.user is not None:
                raise
            _say(_text(error))
            user = _ask()
    print(_list_table(rows) if len(rows) else f"User {user!r} has used every item already.")
    if 0 < len(rows) < options.k:
        print(f"These are all: no more than {len(rows)} items are left for user {user!r}.")
    return 0


def _no_bundle(project: "Project", run: str) -> ConfigError:
    from recsys_lib.pipeline.lineage import records_of
    from recsys_lib.pipeline.project import LAB_RUN
    from recsys_lib.pipeline.repeating import command_of

    there = "it has not come so far" if records_of(project, run) else "there is no such run"
    how = f"Make it with `{command_of(project, run)}`"
    if run == LAB_RUN:
        how = "Run the notebooks up to 05 in JupyterLab, or name another run with --run"
    return ConfigError(f"Run {run!r} must have made a bundle; {there}. {how}.")


def _tell_stale(project: "Project", run: str) -> None:
    from recsys_lib.pipeline.lineage import again, outdated, records_of

    records = records_of(project, run)
    for record in records:
        if "bundle" in record.writes and (changed := outdated(records, record)):
            _say(f"Careful: {again('bundle', changed)}")


def _ask() -> str:
    try:
        user = input("User name: ").strip()
    except EOFError:
        print()
        user = ""
    if not user:
        raise ConfigError(
            "A user name must be given; the input was empty. Type one, or give it as an argument: "
            "`recsys recommend USER`."
        )
    return user


def _lab(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.lab import launch
    from recsys_lib.pipeline.project import Project

    launch(Project.find(), port=options.port, browser=not options.no_browser)
    return 0


def _doctor(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command has one shape
    from recsys_lib.pipeline.doctor import report

    for name, value in report():
        print(f"{name:<12} {value}")
    return 0


def _notebooks(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.chain import load_steps
    from recsys_lib.pipeline.progress import ProgressLines
    from recsys_lib.pipeline.project import LAB_RUN, Project
    from recsys_lib.pipeline.rewriting import rewrite
    from recsys_lib.pipeline.runner import run_chain

    project = Project.find()
    steps = load_steps(project)
    lines = ProgressLines(sys.stdout, [step.name for step in steps])
    # All of them, always: the committed outputs must come from one and the same state.
    result = run_chain(project, steps, {}, lines, name=LAB_RUN, force=True)
    if result.failed:
        return _tell_failures(result, options)
    changed = rewrite(project, result)
    print("Rewritten: " + (", ".join(path.name for path in changed) or "none, all were the same"))
    return 0


def _pins(options: argparse.Namespace) -> int:
    from recsys_lib.pipeline.chain import load_steps, select
    from recsys_lib.pipeline.measuring import measure
    from recsys_lib.pipeline.pins import read_pins, write_pins
    from recsys_lib.pipeline.progress import ProgressLines
    from recsys_lib.pipeline.project import Project

    project = Project.find()
    chain = load_steps(project)
    steps = select(chain, only=options.only)
    lines = ProgressLines(sys.stdout, [step.name for step in steps])
    pins = measure(project, steps, lines, n_seeds=options.seeds)
    kept = {step.name: read_pins(project.expected, step.name) for step in chain}
    write_pins(project.expected, {book: its for book, its in (kept | pins).items() if its})
    for book, its in pins.items():
        for name, pin in its.items():
            print(f"{book}  {name:<32} {pin.value:>12.6g} within {pin.tolerance:.2g}")
    return 0
