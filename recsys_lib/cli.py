"""The command line: ``recsys run``, ``sweep``, ``runs``, ``tune``, ``recommend``, ``doctor``.

Exit codes: 0 success; 1 a notebook failed; 2 the input is wrong; 130 interrupted.
"""

import contextlib
import functools
import logging
import math
import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import argument, option
from click.shell_completion import get_completion_class, shell_complete

import recsys_lib
from recsys_lib import pipeline, serving  # whose names are loaded on first use
from recsys_lib.errors import ConfigError, DataError, RecsysError

if TYPE_CHECKING:
    import pandas as pd

    from recsys_lib.pipeline.chain import Step
    from recsys_lib.pipeline.runner import RunResult
    from recsys_lib.pipeline.store import Failure

__all__ = ["main"]

_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130
_LIBRARY = Path(__file__).parent
_COMPARISON = "comparison_table"
_COMPLETE = "_RECSYS_COMPLETE"


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
            stream.reconfigure(errors="replace")  # a terminal may lack letters of a title
    if instruction := os.environ.get(_COMPLETE):
        return shell_complete(recsys, {}, "recsys", _COMPLETE, instruction)
    # A batch system stops a job with SIGTERM, which must end it like Ctrl-C, kernel included.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _one_line_warnings(), recsys.make_context("recsys", given, obj=given) as context:
            return recsys.invoke(context) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return _BAD_INPUT
    except KeyboardInterrupt:
        _tell("Interrupted. What was finished is kept; the same command goes on from there.")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, is gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RecsysError, ValueError, OSError, MemoryError) as error:
        if "--debug" in given:
            traceback.print_exc()
        _tell(f"recsys: {_text(error)}")
        return _BAD_INPUT
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Show what the library warns of as a line, without a place in its code."""

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if category is UserWarning:
            _tell(str(message))
        else:  # not the library's
            before(message, category, *place)

    with warnings.catch_warnings():
        before, warnings.showwarning = warnings.showwarning, show  # type: ignore[assignment]
        yield


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _text(error: BaseException) -> str:
    """Return the message; an error that the library did not foresee also says its type."""
    text = re.sub(r"\s*[\r\n]\s*", " ", str(error).strip())  # blanks inside an id stay
    files = [Path(one.filename) for one in traceback.extract_tb(error.__traceback__)]
    refused = " must " in text and files[-1].is_relative_to(_LIBRARY)
    return text if isinstance(error, RecsysError) or refused else f"{type(error).__name__}: {text}"


class _Command(click.Command):
    """A command with the option ``--debug``."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        text = "show the traceback of an error"
        self.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help=text))


class _Group(click.Group):
    """Commands with the option ``--debug``."""

    command_class = _Command


class _Runs(_Group):
    """Lists runs, unless the first word is a command such as ``compare``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        incomplete = ctx.resilient_parsing and not args
        if not incomplete and next(iter(args), "") not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _run_names(_context: click.Context, _option: Any, incomplete: str) -> list[str]:
    """Return the runs whose name begins so, without loading pandas."""
    from recsys_lib.pipeline.project import Project

    with contextlib.suppress(ConfigError):  # outside a project there are none
        return [name for name in Project.find().run_names() if name.startswith(incomplete)]
    return []


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_COUNT = click.IntRange(1)
_PORT = click.IntRange(0, 65_535)
_FILE = click.Path(path_type=Path)
_LIMIT = click.Choice(["body", "seconds", "in_flight", "kept"])

_names = argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_run_names)
_only = option("--only", metavar="NN[-NN]", help="only these notebooks: 02, 01-03 or 01,04")
_timeout = option(
    "--timeout",
    type=click.FloatRange(0),
    default=4 * 3600,
    metavar="SECONDS",
    help="limit for each notebook; 0 for none",
    callback=lambda _context, _option, seconds: seconds or math.inf,
)
_where = option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="for DataFrame.query, such as 'EPOCHS >= 10'; all must hold",
)


def _run(text: str) -> _Decorator:
    return option("--run", default="default", metavar="NAME", help=text, shell_complete=_run_names)


def _texts(text: str) -> _Decorator:
    return option("-p", "texts", type=(str, str), multiple=True, metavar="NAME VALUE", help=text)


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(recsys_lib.__version__, prog_name="recsys", message="%(prog)s %(version)s")
def recsys() -> None:
    """Notebooks in order, recommendations, and the machine's health."""


@recsys.command()
@_only
@option("--from", "first", metavar="NN", help="from this notebook on")
@_texts("set a parameter of the notebooks that declare it; may be repeated")
@option("-f", "file", type=_FILE, metavar="FILE", help="parameters from YAML")
@option("--name", default="default", metavar="NAME", help="name of the run")
@option("--force", is_flag=True, help="run also what is unchanged")
@option("--replace", is_flag=True, help="replace a run that was made from another SOURCE")
@option("--workers", type=_COUNT, metavar="N", help="notebooks at once; up to 4, by cores")
@_timeout
def run(name: str, file: Path | None, **options: Any) -> int:
    """Run the notebooks through papermill."""
    from recsys_lib.pipeline.chain import check_paths, load_steps, resolve, steps_for
    from recsys_lib.pipeline.runner import check_run
    from recsys_lib.yaml_files import read_mapping

    project = pipeline.Project.find()
    chain = load_steps(project)
    values = read_mapping(file, "parameter file") if file else {}
    parameters = resolve(chain, texts=dict(options["texts"]), values=values)
    steps, apart = steps_for(chain, parameters, only=options["only"], first=options["first"])
    check_paths([*steps, *apart], parameters)
    if not options["replace"]:
        check_run(project, name, chain, steps, parameters)
    for step in apart:
        print(f"{step.name}  skipped: makes its own worlds; --only {step.number} runs it")
    how = {one: options[one] for one in ("force", "workers", "timeout")}
    result = _run_steps(project, steps, parameters, name=name, **how)
    folder = result.folder.relative_to(project.root)
    figures = project.figures(name).relative_to(project.root)
    print(f"\nExecuted notebooks: {folder}   artifacts: {folder}/artifacts   figures: {figures}")
    if result.failed:
        return _tell_failures(result)
    _show_results(result, str(parameters.get("USER", "")))
    return 0


def _run_steps(
    project: "pipeline.Project", steps: "Sequence[Step]", parameters: dict[str, Any], **how: Any
) -> "RunResult":
    """Run notebooks with a line for each."""
    from recsys_lib.pipeline.progress import ProgressLines
    from recsys_lib.pipeline.runner import run_chain

    with ProgressLines(sys.stdout, [step.name for step in steps]) as lines:
        return run_chain(project, steps, parameters, lines, **how)


def _tell_failures(result: "RunResult") -> int:
    from recsys_lib.pipeline.runner import BAD_INPUT

    code, given = _BAD_INPUT, click.get_current_context().obj
    told: dict[str, list[str]] = {}  # one fault of the data stops all that read them
    for outcome in result.ended("failed"):
        failure = outcome.failure
        assert failure is not None
        if "--debug" in given and failure.traceback:
            _tell(failure.traceback)
        reason = failure.message.strip() or "it gives no reason; see its last cell"
        if failure.kind not in BAD_INPUT and not _is_argument_error(failure):
            code, reason = _FAILED, f"{failure.kind}: {reason}"
        where = f"{outcome.name} stopped in cell {failure.cell} of {outcome.record.cells}"
        lines = f"recsys: {where}: {reason}\nExecuted up to there: {outcome.copy}"
        found = told.setdefault(reason, [])
        found.append(outcome.name if found else lines)
    for first, *others in told.values():
        _tell(f"{first}\nStopped for the same reason: {', '.join(others)}" if others else first)
    if held := result.ended("not run"):
        _tell(f"Not run, as they read from it: {', '.join(one.name for one in held)}")
    command = shlex.join(["recsys", *(word for word in given if word != "--force")])
    _tell(f"Once that is mended, the same command goes on from there: {command}")
    return code


def _is_argument_error(failure: "Failure") -> bool:
    """Whether the library refused an argument, such as a parameter of the notebook."""
    files = re.findall(r"^File (.+?):\d+", failure.traceback, re.M)
    inside = bool(files) and Path(files[-1]).expanduser().is_relative_to(_LIBRARY)
    return failure.kind == "ValueError" and " must " in failure.message and inside


def _show_results(result: "RunResult", user: str) -> None:
    """Print the leaderboard and the list for one user, if the run made them."""
    from recsys_lib.artifacts import read_table

    folder = result.folder / "artifacts"
    written = {name for one in result.outcomes for name in one.record.writes}
    if _COMPARISON in written:
        table = read_table(folder / f"{_COMPARISON}.parquet").set_index("model")
        shown = table[::-1].drop(columns=["role", "metric"]).rename_axis(None)
        text = shown.to_string(float_format="{:.4f}".format, na_rep="–")
        print(f"\nComparison of models, {table['metric'].iloc[0]}\n{text}")
    if "bundle" not in written:
        return
    bundle = recsys_lib.Bundle.load(folder / "bundle")
    user = user or str(bundle.dataset.user_ids[0])
    rows = bundle.recommend(user, k=10)
    print(f"\nTop {len(rows)} for user {user!r}")
    _print_list(rows, user, k=10)


def _print_list(rows: "pd.DataFrame", user: str, k: int, rules: str = "") -> None:
    """Print a list, and say so where there is no more to list."""
    from recsys_lib.pipeline.progress import text_table

    if len(rows):
        shown = rows[["rank", "item_id", "probability", "rung", "title"]]  # which may be long
        shown = shown.assign(probability=shown["probability"].map("{:.3f}".format, "ignore"))
        shown = shown.astype(object).fillna("unknown").astype(str)
        print(text_table(shown, right=["rank", "probability"]))
    if len(rows) < k:
        print(f"Items left for user {user!r}{rules}: {len(rows)}.")


@recsys.command()
@option("-f", "file", type=_FILE, required=True, metavar="GRID", help="grid of settings, YAML")
@option("--name", metavar="NAME", help="name of the sweep; that of the grid file by default")
@option("--only", metavar="NN[-NN]", help="only these notebooks; wins over the grid")
@option("--workers", type=_COUNT, metavar="N", help="settings at once; by cores and memory")
@_timeout
@option("--backend", type=click.Choice(["local", "loky", "dask"]), default="local")
@option("--scheduler", metavar="ADDRESS", help="of a running Dask cluster")
@option("--output", metavar="PLACE", help="copies of notebooks and manifests: s3://bucket/prefix")
def sweep(file: Path, name: str | None, **how: Any) -> int:
    """Run the notebooks for every setting of a grid."""
    from recsys_lib.pipeline.progress import SweepLines
    from recsys_lib.pipeline.runs import listing
    from recsys_lib.pipeline.sweeps import SWEEP_FILE, plan, run_sweep
    from recsys_lib.yaml_files import read_mapping

    grid = read_mapping(file, "grid")
    planned = plan(pipeline.Project.find(), grid, name or file.stem, origin=str(file), **how)
    print(f"Sweep {planned.name}: {len(planned.settings)} settings", flush=True)
    with SweepLines(sys.stdout, planned) as lines:
        run_sweep(planned, lines)
    with contextlib.suppress(ConfigError):  # none has come so far as to leave a manifest
        print(f"\nrecsys runs {planned.name}\n{listing(planned.table())}")
    print(f"\nAll of it: {planned.folder / SWEEP_FILE}")
    if not planned.failed:
        return 0
    names = ", ".join(one.name for one in planned.failed)
    _tell(
        f"recsys: {len(planned.failed)} of {len(planned.settings)} settings failed: {names}. "
        "The same command tries them again."
    )
    return _FAILED


@recsys.group(cls=_Runs)
def runs() -> None:
    """List runs; compare, export or prune them."""


@runs.command("list", epilog="`list` may be left out. Also: recsys runs compare | export | prune.")
@_names
@_where
@option("--sort", metavar="COLUMN", help="metrics from the best down, others upwards")
@option("--columns", default="", metavar="A,B", help="show these beside the name")
def list_(names: tuple[str, ...], where: tuple[str, ...], **how: str) -> None:
    """List runs: filter and sort. A NAME is a run, a sweep or a pattern: 'lr/*'."""
    from recsys_lib.pipeline.runs import listing, ordered

    found, table = _select(names, where)
    if not found and not where:
        return
    table = ordered(table, how["sort"]) if how["sort"] else table
    chosen = [name.strip() for name in how["columns"].split(",") if name.strip()]
    print(listing(table, columns=chosen))


def _select(
    names: Sequence[str], where: Sequence[str]
) -> "tuple[list[pipeline.Manifest], pd.DataFrame]":
    """Return the runs that meet the conditions, also as a table.

    Without names, those that another run has made are left out.
    """
    from recsys_lib.pipeline.runs import filtered, find_runs, table_of

    found = find_runs(project := pipeline.Project.find(), names)
    if not found and not project.run_names():
        _tell("No run has left a manifest yet; `recsys run` leaves one.")
    outer = {one.run: one.run.rpartition("/")[0] for one in found}
    if not names:
        found = [one for one in found if outer[one.run] not in outer]
        for name, count in Counter(outer.values()).items():
            if name in outer:
                _tell(f"{count} more inside run {name!r}: `recsys runs {name}` lists them.")
    table = filtered(table_of(found), where if found else ())
    return [one for one in found if one.run in table.index], table


@runs.command()
@argument("a", metavar="A", shell_complete=_run_names)
@argument("b", metavar="B", shell_complete=_run_names)
def compare(a: str, b: str) -> None:
    """Compare run B with run A: what differs, what moved, and is it more than noise."""
    print(pipeline.compare_runs(a, b).text())


@runs.command()
@_names
@option("--mlflow", is_flag=True, expose_value=False, help="to a tracking store: the only way")
@option("--to", metavar="URI", help="of the store (default: runs/mlflow.db)")
def export(names: tuple[str, ...], to: str | None) -> None:
    """Write runs to MLflow."""
    from recsys_lib.pipeline.runs import export_runs, local_store

    # That it makes its tables is of no interest.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    project = pipeline.Project.find()
    exported = export_runs(names, to=to, project=project)
    print(f"{', '.join(exported)}\nStore: {to or local_store(project)}")


@runs.command()
@_names
@_where
@option("--yes", is_flag=True, help="remove them; without it nothing is removed")
def prune(names: tuple[str, ...], where: tuple[str, ...], yes: bool) -> None:
    """Remove runs, or say what that would free. Files that no run wrote stay."""
    from recsys_lib.pipeline.runs import freed_bytes, remove_runs

    if yes and not names and not where:
        raise ConfigError(
            "The runs to remove must be chosen: `recsys runs prune 'lr/*' --yes`, or --where."
        )
    project, (found, _) = pipeline.Project.find(), _select(names, where)
    for one in found:
        print(one.run)
    size = freed_bytes(project, found) / 1e6
    total = f"{len(found)} run{'s' * (len(found) != 1)}, {size:.1f} MB"
    if not yes:
        print(f"{total}. Nothing is removed without --yes.")
        return
    for path in remove_runs(project, found):
        print(f"Kept, as no run wrote it: {path.relative_to(project.root)}")
    print(f"Removed: {total}.")


@recsys.command()
@argument("model", metavar="MODEL")
@_run("whose data")
@option("--metric", metavar="METRIC", help="such as rmse or ndcg@10 (default: one of these)")
@option("--trials", type=int, metavar="N", help="budget, of all workers (default: 30)")
@option("--seconds", type=float, metavar="S", help="budget in seconds of work")
@_texts("a hyper-parameter to begin with, or to hold fixed; may be repeated")
@option("--space", type=_FILE, metavar="FILE", help="ranges from YAML")
@option("--storage", metavar="PATH|URL", help="of the study (default: runs/NAME/studies.sqlite)")
@option("--study", metavar="NAME", help="of the study (default: MODEL-METRIC)")
@option("--seed", type=int, default=0, metavar="SEED", help="of the proposals")
@option("--like-from", type=float, metavar="RATING", help="lowest rating liked")
@option("-o", "output", type=_FILE, metavar="FILE", help="the best as notebook parameters")
def tune(model: str, **options: Any) -> None:
    """Search the settings of a model on a run's data. MODEL is a class: EASE, MultVAE ..."""
    from recsys_lib.pipeline.tune import run_search

    run_search(model, say=functools.partial(print, flush=True), **options)


def _rule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the rules of a question to a command; see `recsys_lib.bundle.rules`."""
    for decorate in (
        option("--diversity", type=float, default=0.0, metavar="0..1", help="0 lists the best"),
        option("--never", multiple=True, metavar="ITEM", help="never listed; may be repeated"),
        option("--promote", multiple=True, metavar="ITEM", help="listed first; may be repeated"),
        option("--limit-per", metavar="MAPPING", help="of a value at most: '{track: 3}'"),
        option("--available", metavar="COLUMN", help="of true and false: what can be had"),
        option("--where", metavar="MAPPING", help="'{track: [NET, SEC], duration: {max: 90}}'"),
    ):
        command = decorate(command)
    return command


@recsys.command()
@argument("user", required=False, metavar="[USER]")
@option("-k", type=_COUNT, default=10, metavar="K", help="length of the list")
@_run("run whose model answers")
@option("--all", "everybody", is_flag=True, help="the lists of everybody, into -o")
@option("--users", type=_FILE, metavar="FILE", help="of these, one id a line, into -o")
@option("-o", "output", metavar="FILE|URL", help="lists.parquet, lists.csv, duckdb:///lists.db")
@option("--table", metavar="NAME", help="of the database")
@_rule_options
def recommend(
    user: str | None, run: str, everybody: bool, users: Path | None, **rules: Any
) -> None:
    """Recommend for a user or everybody. A user who is not given is asked for."""
    from recsys_lib.yaml_files import parse_mapping

    k, output, table = (rules.pop(name) for name in ("k", "output", "table"))
    for name in ("where", "limit_per"):
        if rules[name] is not None:
            rules[name] = parse_mapping(rules[name], f"--{name.replace('_', '-')}")
    _, folder = _find_bundle(run)
    many = everybody or users is not None
    if many != (output is not None) or (many and user is not None) or (everybody and users):
        raise ConfigError(
            "Lists of many are written with --all or --users, and -o; one user is answered here."
        )
    if output is None:
        _answer_one(folder, user, k, rules)
        return
    from recsys_lib.serving.batch import read_ids, write_lists

    ids = None if users is None else read_ids(users)
    rows = write_lists(folder, output, users=ids, k=k, table=table, **rules)
    print(f"{rows:,} rows: {output}{f', table {table}' if table else ''}")


def _answer_one(folder: Path, user: str | None, k: int, rules: dict[str, Any]) -> None:
    name = _ask() if user is None else user
    if sys.stderr.isatty():
        _tell("Loading the model ...")  # a network takes seconds
    bundle, rows = recsys_lib.Bundle.load(folder), None
    if user is None:  # only the name is asked for again
        bundle.recommend_many([], **rules)
    while rows is None:
        try:
            rows = bundle.recommend(name, k=k, **rules)
        except DataError as error:
            if user is not None:
                raise
            _tell(_text(error))
            name = _ask()
    _print_list(rows, name, k, " under these rules" if any(rules.values()) else "")


@recsys.command()
@_run("run whose bundle is trained anew")
@_texts("a parameter that is new, such as SOURCE; the others are those of the run")
@option("--metric", default="ndcg@10", metavar="METRIC", help="decides, on the held-out people")
@_timeout
def retrain(run: str, texts: Any, metric: str, timeout: float) -> int:
    """Train a run's bundle anew. The old one is kept where the new one loses."""
    from recsys_lib.pipeline import retrain as work

    project, _ = _find_bundle(run)
    done = work.retrain(project, run, dict(texts), _run_steps, metric=metric, timeout=timeout)
    if done.result.failed:
        return _tell_failures(done.result)
    print(work.sentence(done, run))
    return 0


@recsys.command()
@_run("run whose bundle answers")
@option("--bundle", "folder", type=_FILE, metavar="FOLDER", help="a bundle elsewhere, instead")
@option("--host", default="127.0.0.1", metavar="HOST", help="address to listen on")
@option("--port", type=_PORT, default=8000, metavar="N", help="0: a free one")
@option("--workers", type=_COUNT, default=1, metavar="N", help="processes")
@option("--allow-origin", "origins", multiple=True, metavar="URL", help="pages that may ask")
@option("--insecure", is_flag=True, help="let everybody ask who reaches the host")
@option("--limit", "limits", type=(_LIMIT, float), multiple=True, help="see docs/serving.md")
def serve(run: str, folder: Path | None, workers: int, limits: Any, **how: Any) -> None:
    """Answer over HTTP; the manual is at /docs."""
    if folder is None:
        _, folder = _find_bundle(run)
    host = f"[{how['host']}]" if ":" in how["host"] else how["host"]
    print(f"Loading {folder}; its manual will be at http://{host}:{how['port']}/docs")
    serving.serve(folder, workers=workers, limits=serving.Limits(**dict(limits)), **how)


def _find_bundle(run: str) -> "tuple[pipeline.Project, Path]":
    """Return the project and the bundle of a run; what has changed since it was made is told."""
    from recsys_lib.pipeline.store import again, find_artifact, outdated, records_of

    project = pipeline.Project.find()
    folder, records = find_artifact(project, run, "bundle"), records_of(project, run)
    for record in records:
        if "bundle" in record.writes and (changed := outdated(records, record)):
            _tell(f"Careful: {again('bundle', changed)}")
    return project, folder


def _ask() -> str:
    try:
        user = input("User name: ").strip()
    except EOFError:
        user = ""
    if not user:
        raise ConfigError(
            "A user name must be given; the input was empty. Type it: `recsys recommend USER`."
        )
    return user


@recsys.command()
@option("--port", type=_PORT, metavar="N", help="8888, or the next that is free")
@option("--no-browser", is_flag=True, help="only serve, and say where")
def lab(port: int | None, no_browser: bool) -> None:
    """Open JupyterLab on a start page."""
    from recsys_lib.pipeline.lab import launch

    launch(pipeline.Project.find(), port=port, browser=not no_browser)


@recsys.command()
@_run("run whose model answers")
@option("--port", type=_PORT, metavar="N", help="8866, or the next that is free")
@option("--no-browser", is_flag=True, help="only serve, and say where")
def app(run: str, port: int | None, no_browser: bool) -> None:
    """Open a page to browse recommendations."""
    from recsys_lib.pipeline.lab import launch_page

    project, _ = _find_bundle(run)
    launch_page(project, run, port=port, browser=not no_browser)


@recsys.command()
def doctor() -> None:
    """Report versions and machine."""
    from recsys_lib.pipeline.machine import report

    for name, value in report():
        print(f"{name:<12} {value}")


@recsys.command()
@argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell. Use it by eval "$(recsys completion bash)"."""
    found = get_completion_class(shell)
    assert found is not None
    print(found(recsys, {}, "recsys", _COMPLETE).source())


@recsys.command()
def notebooks() -> int:
    """For authors: rewrite the committed outputs."""
    from recsys_lib.pipeline.chain import load_steps
    from recsys_lib.pipeline.lab import rewrite
    from recsys_lib.pipeline.project import LAB_RUN

    project = pipeline.Project.find()
    # All of them, always: the committed outputs must come from one and the same state. One after
    # the other: seconds are those of a quiet machine.
    result = _run_steps(project, load_steps(project), {}, name=LAB_RUN, force=True, workers=1)
    if result.failed:
        return _tell_failures(result)
    changed = rewrite(project, result)
    print(f"Rewritten: {', '.join(path.name for path in changed) or 'none, all were the same'}")
    return 0


@recsys.command()
@option("--seeds", type=int, default=5, metavar="N", help="how many")
@option("--only", metavar="NN[-NN]", help="only these notebooks, on what the others left last time")
def pins(seeds: int, only: str | None) -> None:
    """For authors: measure the pinned numbers again."""
    from recsys_lib.pipeline import pins as pinned
    from recsys_lib.pipeline.chain import load_steps, select

    project = pipeline.Project.find()
    steps = select(load_steps(project), only=only)
    run = functools.partial(_run_steps, project, steps)
    found = pinned.measure(steps, run, n_seeds=seeds)
    pinned.write_pins(project.expected, found, pinned.parameters_of(steps))
    print(f"Written: {project.expected}")
