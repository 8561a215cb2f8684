"""The notebooks: what each reads and writes, which run, in which order, with which parameters."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lib.errors import ConfigError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.parameters import (
    Parameter,
    check_value,
    declared,
    parse_option,
    parse_text,
)
from recsys_lib.pipeline.project import Project
from recsys_lib.sources.sql import split_url

_READ = re.compile(r"""\bsession\.(read|find)\(\s*(?:["'](\w+)["'])?""")
_WRITE = re.compile(r"""\bsession\.(?:save|writing)\(\s*["'](\w+)["']""")
# Passed to a function, which may read whatever it likes; those that import read no artifacts.
_PASSED = re.compile(r"(?<!import_dataset)(?<!import_table)[(,=]\s*session\s*[,)\n]")


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
    """

    path: Path
    sources: tuple[str, ...]
    parameters: dict[str, Parameter]

    @property
    def name(self) -> str:
        """The file's name without ``.ipynb``."""
        return self.path.stem

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that its results rest on: the given ones, or else its own.

        The name of the run is one of them only where the cells use it.
        """
        uses = re.findall(r"\bRUN\b", "\n".join(self.sources))
        found = {name: given.get(name, one.default) for name, one in self.parameters.items()}
        return {name: value for name, value in found.items() if name != "RUN" or len(uses) > 1}

    @property
    def number(self) -> str:
        """The two digits that it begins with."""
        return self.path.name[:2]


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
        parts = [_span(part.strip(), numbers, "--only") for part in only.split(",")]
        wanted &= set().union(*parts)
    if first is not None:
        wanted &= _span(f"{first}-{numbers[-1]}", numbers, "--from")
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
    folder: Path | None = None,
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
    folder : Path, optional
        Where relative paths are looked for first; the working directory by default.

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
            if name in texts:
                resolved[name] = parse_text(parameter, value)
            else:
                resolved[name] = check_value(parameter, value)
            if parameter.is_path:
                resolved[name] = _existing(name, resolved[name], step, folder)
            if "://" in str(resolved[name]):
                split_url(str(resolved[name]))  # a password would be written into the copy
    return resolved


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
            f"Parameter {name!r} must be declared by a notebook; none declares it.{near}"
        )


def _existing(name: str, value: str, step: Step, folder: Path | None) -> str:
    if not value:
        return value
    try:
        return Project(step.path.resolve().parents[1]).find_source(value, folder)
    except ConfigError as error:
        raise ConfigError(f"{name} = {error}") from error


@dataclass(frozen=True)
class Flow:
    """The artifacts of one notebook.

    Attributes
    ----------
    needs, asks, writes : frozenset of str
        What it reads, what it reads if it is there, what it writes.
    plain : bool
        Whether all names that it reads by are literals in its cells.
    """

    needs: frozenset[str]
    asks: frozenset[str]
    writes: frozenset[str]
    plain: bool


def flow_of(step: Step) -> Flow:
    """Return what a notebook reads and writes, from the calls in its cells.

    Examples
    --------
    >>> from pathlib import Path
    >>> cells = ('split = session.read("split")', 'session.save("model", fit(split))')
    >>> flow = flow_of(Step(Path("03_train.ipynb"), cells, {}))
    >>> sorted(flow.needs), sorted(flow.writes)
    (['split'], ['model'])
    """
    text = "\n".join(step.sources)
    calls = _READ.findall(text)
    return Flow(
        needs=frozenset(name for call, name in calls if call == "read" and name),
        asks=frozenset(name for call, name in calls if call == "find" and name),
        writes=frozenset(_WRITE.findall(text)),
        plain=all(name for _, name in calls) and not _PASSED.search(text),
    )


def sources_of(
    steps: Sequence[Step], *, hidden: Mapping[str, Collection[str]] | None = None
) -> dict[str, dict[str, str]]:
    """Return for each step the artifacts that it reads, each with the earlier step that writes it.

    Parameters
    ----------
    steps : sequence of Step
        Those of one run.
    hidden : mapping of str to collection of str, optional
        Step -> further artifacts that it reads, such as its record says.
    """
    found: dict[str, dict[str, str]] = {}
    writers: dict[str, str] = {}
    for step in sorted(steps, key=lambda one: one.name):
        flow = flow_of(step)
        names = flow.needs | flow.asks | set((hidden or {}).get(step.name, ()))
        found[step.name] = {name: writers[name] for name in sorted(names & writers.keys())}
        writers |= dict.fromkeys(flow.writes, step.name)
    return found


def rests_on(steps: Sequence[Step]) -> dict[str, list[str]]:
    """Return for each step the names of those before it that it may have read from."""
    found: dict[str, list[str]] = {}
    for step, its in sources_of(steps).items():
        flow = flow_of(next(one for one in steps if one.name == step))
        # What nobody is seen to write may come from any of those before.
        known = flow.plain and flow.needs | flow.asks <= its.keys()
        found[step] = sorted(set(its.values())) if known else list(found)
    return found


def makes_own_worlds(
    chain: Sequence[Step], steps: Sequence[Step], parameters: Mapping[str, Any]
) -> list[Step]:
    """Return the steps that have nothing to say about the data in ``SOURCE``.

    They neither read an artifact of the run nor declare ``SOURCE``; one of which a parameter is
    set that no other notebook declares was asked for.

    Parameters
    ----------
    chain : sequence of Step
        All of the project.
    steps : sequence of Step
        Those that would run.
    parameters : mapping
        Overrides.
    """
    if not parameters.get("SOURCE"):
        return []
    found = []
    for step in steps:
        others = {name for one in chain if one.name != step.name for name in one.parameters}
        flow = flow_of(step)
        reads = flow.needs or flow.asks or not flow.plain or "SOURCE" in step.parameters
        if not reads and not (step.parameters.keys() - others) & parameters.keys():
            found.append(step)
    return found


def steps_for(chain: Sequence[Step], only: str | None, parameters: Mapping[str, Any]) -> list[Step]:
    """Return the steps that `only` names, or else all that rest on the data."""
    steps = select(chain, only=only)
    apart = [] if only else makes_own_worlds(chain, steps, parameters)
    return [step for step in steps if step not in apart]
