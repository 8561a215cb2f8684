"""What notebooks read and write, according to the calls in their cells."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_lib.pipeline.chain import Step, select

__all__ = ["Flow", "flow_of", "makes_own_worlds", "sources_of", "steps_for"]

_READ = re.compile(r"""\bsession\.(read|find)\(\s*(?:["'](\w+)["'])?""")
_WRITE = re.compile(r"""\bsession\.(?:save|writing)\(\s*["'](\w+)["']""")
# Passed to a function, which may read whatever it likes; those that import read no artifacts.
_PASSED = re.compile(r"(?<!import_dataset)(?<!import_table)[(,=]\s*session\s*[,)\n]")


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
