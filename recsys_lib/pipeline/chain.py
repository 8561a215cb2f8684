"""The notebooks: what each declares, reads and writes, which run, in which order, with what.

A parameter is a literal of the `parameters` cell, with type and unit.
"""

import ast
import io
import json
import math
import re
import threading
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from recsys_lib.artifacts import digest_of
from recsys_lib.errors import ConfigError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.project import Project
from recsys_lib.sources.sql import split_url

if TYPE_CHECKING:
    from recsys_lib.pipeline.store import Record

TAG = "parameters"
_READ = re.compile(r"""\bsession\.(read|find)\(\s*(?:["'](\w+)["'])?""")
_WRITE = re.compile(r"""\bsession\.(?:save|writing)\(\s*["'](\w+)["']""")
# Passed to a function, which may read whatever it likes; those of `inputs` read no artifacts.
_INPUTS = "(?<!import_table)(?<!inspect_table)(?<!import_what_can_be_read)"
_PASSED = re.compile(rf"{_INPUTS}[(,=]\s*session\s*[,)\n]")
_PARSING = threading.Lock()


def parsed(text: str | bytes) -> ast.Module:
    """Return the tree of Python code; for one thread after the other.

    Python 3.11 counts the depth of a tree for all threads together, and gives up where they mix.
    """
    with _PARSING:
        return ast.parse(text)


@dataclass(frozen=True)
class Parameter:
    """One literal of the `parameters` cell.

    Attributes
    ----------
    name : str
        In capitals.
    default : object
        The literal; its type is the type that is asked of every other value.
    comment : str
        The comment on its line: unit and meaning. One that begins with ``path`` marks a file.
    """

    name: str
    default: Any
    comment: str

    @property
    def is_path(self) -> bool:
        """Whether the value names a file or folder."""
        return isinstance(self.default, str) and self.comment.lower().startswith("path")


def declared(notebook: Mapping[str, Any], name: str) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares, in order.

    Parameters
    ----------
    notebook : mapping
        The notebook as parsed JSON (or an ``nbformat`` node).
    name : str
        How to call it in messages.

    Returns
    -------
    dict of str to Parameter
        Empty where no cell is tagged ``parameters``.

    Raises
    ------
    ConfigError
        If the cell holds anything but ``NAME = literal``.

    Examples
    --------
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": "EPOCHS = 20  # passes"}
    >>> declared({"cells": [cell]}, "03_train")["EPOCHS"]
    Parameter(name='EPOCHS', default=20, comment='passes')
    """
    for cell in notebook["cells"]:
        if TAG in cell["metadata"].get("tags", ()):
            return _parse("".join(cell["source"]), name)
    return {}


def _parse(source: str, name: str) -> dict[str, Parameter]:
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for statement in parsed(source).body:
        try:
            target, default = _literal(statement)
        except ValueError as error:
            raise ConfigError(
                f"The parameters cell of {name} must hold lines NAME = literal; line "
                f"{statement.lineno} is {ast.unparse(statement)!r}. Move it below the cell."
            ) from error
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        comment = " ".join(comments[line] for line in lines if line in comments)
        found[target] = Parameter(target, default, comment)
    return found


def _literal(statement: ast.stmt) -> tuple[str, Any]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=target)], value=value):
            return target, ast.literal_eval(value)
        case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value):
            return target, ast.literal_eval(value)
    raise ValueError("not an assignment of a literal")


def parse_text(parameter: Parameter, text: str) -> Any:
    """Return the value that `text`, as typed on a command line, means for `parameter`.

    Text stays text for a text parameter; for the others it is a Python literal, or YAML.

    Raises
    ------
    ConfigError
        If it is of another type than the notebook's literal.

    Examples
    --------
    >>> parse_text(Parameter("LEARNING_RATE", 0.001, ""), "1e-2")
    0.01
    >>> parse_text(Parameter("HIDDEN_DIMS", (128, 64), ""), "[256, 32]")
    (256, 32)
    """
    if parameter.default is None and text.strip().lower() in ("", "none", "null"):
        return None
    return check_value(parameter, text if isinstance(parameter.default, str) else meaning(text))


def parse_option(text: str) -> Any:
    r"""Return the value of one entry of a mapping, as typed: text, a list, true, false or none.

    Examples
    --------
    >>> parse_option(";"), parse_option(r"\t"), parse_option("[who, what]"), parse_option("none")
    (';', '\t', ['who', 'what'], None)
    """
    words = {"true": True, "false": False, "none": None, r"\t": "\t"}
    if text.lower() in words:
        return words[text.lower()]
    return yaml.safe_load(text) if text.startswith("[") else text


def meaning(text: str) -> Any:
    """Return the value that a text stands for: a number, a Python literal, else YAML.

    Examples
    --------
    >>> meaning("1e-3"), meaning("[8, 4]"), meaning("true"), meaning("adam")
    (0.001, [8, 4], True, 'adam')
    """
    # YAML 1.1 takes 1e-3 for text and 010 for eight, so Python's own rules come first.
    readings: tuple[Callable[[str], Any], ...] = (int, float, ast.literal_eval, yaml.safe_load)
    for reading in readings:
        try:
            return reading(text)
        except (ValueError, SyntaxError, yaml.YAMLError):
            continue
    return text


def check_value(parameter: Parameter, value: Any) -> Any:
    """Return `value` in the type of the parameter's literal, or raise `ConfigError`.

    A whole number passes for a decimal one and a list for a tuple; nothing else is converted.
    A parameter whose literal is None takes anything.
    """
    default = parameter.default
    converted = value if default is None else _converted(default, value)
    if converted is _WRONG:
        remedy = "Put it in quotes." if isinstance(default, str) else "Write it like that."
        if isinstance(default, list | tuple):
            remedy = "In a grid, lists that vary stand in a list of lists: [[128, 64]]."
        raise ConfigError(
            f"Parameter {parameter.name} must be of type {type(default).__name__}, like "
            f"{default!r}; got {value!r} ({type(value).__name__}). {remedy}"
        )
    return converted


_WRONG = object()


def _converted(default: Any, value: Any) -> Any:
    """Return `value` in the type of `default`, or `_WRONG`."""
    if isinstance(default, bool) or isinstance(value, bool):
        return value if isinstance(default, bool) and isinstance(value, bool) else _WRONG
    if isinstance(default, float) and isinstance(value, int | float):
        return float(value) if math.isfinite(value) else _WRONG
    if isinstance(default, tuple | list) and isinstance(value, tuple | list):
        if default:
            value = [_converted(default[0], one) for one in value]
        return _WRONG if any(one is _WRONG for one in value) else type(default)(value)
    return value if isinstance(value, type(default)) else _WRONG


@dataclass(frozen=True)
class Step:
    """A notebook of the chain.

    Attributes
    ----------
    path : Path
        The committed notebook.
    sources : tuple of str
        The source of each cell.
    parameters : dict of str to Parameter
        What it declares.

    Examples
    --------
    >>> cells = ('split = session.read("split")', 'session.save("model", fit(split))')
    >>> step = Step(Path("03_train.ipynb"), cells, {})
    >>> sorted(step.reads), sorted(step.writes)
    (['split'], ['model'])
    """

    path: Path
    sources: tuple[str, ...]
    parameters: dict[str, Parameter]

    @property
    def name(self) -> str:
        """The file's name without ``.ipynb``."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The two digits that it begins with."""
        return self.path.name[:2]

    @cached_property
    def fingerprint(self) -> str:
        """That of the cells' sources; outputs and metadata don't count."""
        return f"sha256:{digest_of(self.sources)}"

    @cached_property
    def _text(self) -> str:
        return "\n".join(self.sources)

    @cached_property
    def _calls(self) -> list[tuple[str, str]]:
        return _READ.findall(self._text)

    @cached_property
    def reads(self) -> frozenset[str]:
        """The artifacts that it reads, from the calls in its cells."""
        return frozenset(name for _, name in self._calls if name)

    @cached_property
    def writes(self) -> frozenset[str]:
        """The artifacts that it writes."""
        return frozenset(_WRITE.findall(self._text))

    @cached_property
    def is_plain(self) -> bool:
        """Whether all names that it reads by are literals in its cells."""
        return all(name for _, name in self._calls) and not _PASSED.search(self._text)

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that its results rest on: the given ones, or else its own.

        The name of the run is one of them only where the cells use it.
        """
        uses = re.findall(r"\bRUN\b", self._text)
        found = {name: given.get(name, one.default) for name, one in self.parameters.items()}
        return {name: value for name, value in found.items() if name != "RUN" or len(uses) > 1}


def load_steps(project: Project) -> list[Step]:
    """Return all notebooks of the project, in order; `ConfigError` if one is not a notebook."""
    return [_load(path) for path in project.chain()]


def _load(path: Path) -> Step:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sources = tuple("".join(cell["source"]) for cell in content["cells"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} must be a notebook; {type(error).__name__}: {error}. Restore it."
        ) from error
    return Step(path, sources, declared(content, path.stem))


def select(
    steps: Iterable[Step], *, only: str | None = None, first: str | None = None
) -> list[Step]:
    """Return the steps that `only` ("03", "01-03", "01,04") names, from number `first` on.

    Raises
    ------
    ConfigError
        If a number is of no notebook, or nothing is left.

    Examples
    --------
    >>> steps = [Step(Path(f"0{i}_step.ipynb"), (), {}) for i in (1, 2, 3)]
    >>> [step.number for step in select(steps, only="01-02")]
    ['01', '02']
    """
    steps = list(steps)
    numbers = [step.number for step in steps]
    wanted = set(numbers)
    if only is not None:
        wanted &= set().union(*(_span(part.strip(), numbers, "--only") for part in only.split(",")))
    if first is not None:
        wanted &= {number for number in numbers if number >= min(_span(first, numbers, "--from"))}
    if not wanted:
        raise ConfigError(f"--only {only} and --from {first} must leave a notebook; none is left.")
    return [step for step in steps if step.number in wanted]


def _span(text: str, numbers: list[str], option: str) -> set[str]:
    ends = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", text)
    low, high = (end.zfill(2) for end in (ends[1], ends[2] or ends[1])) if ends else ("", "")
    if low not in numbers or high not in numbers or low > high:
        raise ConfigError(
            f"{option} must name notebooks by number, like 02 or 01-03; got {text!r}. "
            f"There are {', '.join(numbers)}."
        )
    return {number for number in numbers if low <= number <= high}


def resolve(
    steps: Iterable[Step],
    *,
    texts: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the overrides in their types; a name that no step declares is an error.

    Parameters
    ----------
    steps : iterable of Step
        Those that may declare the parameters.
    texts : mapping of str to str, optional
        As typed on the command line; they win over `values`. ``READING.encoding`` is one entry of
        the mapping ``READING``.
    values : mapping of str to object, optional
        As read from a parameter file.

    Returns
    -------
    dict
        Name -> value, paths made absolute.

    Raises
    ------
    ConfigError
        If a name is unknown or reserved, a value is of another type than the literal in any of
        the steps, a path leads nowhere, or a URL holds a password.
    """
    known: dict[str, list[tuple[Step, Parameter]]] = {}
    for step in steps:
        for parameter in step.parameters.values():
            known.setdefault(parameter.name, []).append((step, parameter))
    resolved = {}
    values, texts = _fold_options(values or {}, texts or {})
    for name, value in {**values, **texts}.items():
        _check_name(name, known)
        for step, parameter in known[name]:
            read = parse_text if name in texts else check_value
            resolved[name] = read(parameter, value)
            if parameter.is_path:
                resolved[name] = _existing(name, resolved[name], step)
            if "://" in str(resolved[name]):
                split_url(str(resolved[name]))  # a password would be written into the copy
    return resolved


def check_paths(steps: Iterable[Step], parameters: Mapping[str, Any]) -> None:
    """Refuse files that describe no ``SOURCE``: without one a notebook reads none of them.

    Raises
    ------
    ConfigError
        If one of `steps` reads a ``SOURCE``, none is given, and another of its paths is.
    """
    for step in steps:
        paths = [one.name for one in step.parameters.values() if one.is_path]
        given = [name for name in paths if parameters.get(name)]
        if "SOURCE" in paths and given and "SOURCE" not in given:
            raise ConfigError(
                f"{given[0]} must come with SOURCE, which it describes. Give SOURCE too."
            )


def _fold_options(
    values: Mapping[str, Any], texts: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Fold dotted names, such as ``READING.encoding``, into the mapping that they are part of."""
    values, plain = dict(values), {}
    for name, text in texts.items():
        whole, dot, option = name.partition(".")
        if dot:
            values[whole] = {**dict(values.get(whole) or {}), option: parse_option(text)}
        else:
            plain[name] = text
    return values, plain


def _check_name(name: str, known: Mapping[str, Any]) -> None:
    if name == "RUN":
        raise ConfigError("Parameter RUN is the name of the run; give it with --name.")
    if name not in known:
        names = sorted(known.keys() - {"RUN"})
        near = did_you_mean(name, names) or f" There are: {', '.join(names) or 'none'}."
        raise ConfigError(
            f"Parameter {name!r} must be declared by a notebook that runs; none declares it.{near}"
        )


def _existing(name: str, value: str, step: Step) -> str:
    if not value:
        return value
    try:
        return Project(step.path.resolve().parents[1]).find_source(value)
    except ConfigError as error:
        raise ConfigError(f"{name} = {error}") from error


# A notebook, or the record of one.
AnyWriter = TypeVar("AnyWriter", Step, "Record")


def writer_of(writers: Sequence[AnyWriter], name: str, before: str) -> AnyWriter | None:
    """Return the last notebook before `before`, or its record, that writes the artifact `name`."""
    found = (one for one in reversed(writers) if one.name < before and name in one.writes)
    return next(found, None)


def rests_on(steps: Sequence[Step]) -> dict[str, list[str]]:
    """Return for each step the names of those before it that it may have read from."""
    found = dict[str, list[str]]()
    for step in steps:
        writers = {name: writer_of(steps, name, step.name) for name in step.reads}
        # What nobody is seen to write may come from any of those before.
        known = all(one or name in step.writes for name, one in writers.items())
        seen = {one.name for one in writers.values() if one}
        found[step.name] = sorted(seen) if known and step.is_plain else list(found)
    return found


def steps_for(
    chain: Sequence[Step],
    parameters: Mapping[str, Any],
    *,
    only: str | None = None,
    first: str | None = None,
) -> tuple[list[Step], list[Step]]:
    """Return the selected steps, and those left out for they say nothing of the data in ``SOURCE``.

    These neither read an artifact of the run nor declare ``SOURCE``; one that `only` names, or of
    which a parameter is set that no other notebook declares, was asked for.

    Parameters
    ----------
    chain : sequence of Step
        All of the project.
    parameters : mapping
        Overrides.
    only, first : str, optional
        As of `select`.
    """
    steps = select(chain, only=only, first=first)
    apart = []
    for step in steps if parameters.get("SOURCE") and not only else ():
        others = {name for one in chain if one.name != step.name for name in one.parameters}
        reads = step.reads or not step.is_plain or "SOURCE" in step.parameters
        if not reads and not (step.parameters.keys() - others) & parameters.keys():
            apart.append(step)
    return [step for step in steps if step not in apart], apart
