"""What notebooks read and write, as their text tells it, and which of them are the same step."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.freshness import source_fingerprint
from recsys_lib.pipeline.sweeping.labels import digest

__all__ = ["Flow", "flow_of", "step_keys", "unwritten", "working_order"]

_READ = re.compile(r"""\bsession\.(read|find)\(\s*(?:["'](\w+)["'])?""")
_WRITE = re.compile(r"""\bsession\.(?:save|writing)\(\s*["'](\w+)["']""")
# Handed to a function, which may read whatever it likes; `import_dataset` reads no artifacts.
_HANDED = re.compile(r"(?<!import_dataset)[(,=]\s*session\s*[,)\n]")


@dataclass(frozen=True)
class Flow:
    """The artifacts of one notebook.

    Attributes
    ----------
    needs, asks, writes : frozenset of str
        What it reads, what it reads where it is there, what it writes.
    plain : bool
        Whether every name it reads by stands in its text.
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
        plain=all(name for _, name in calls) and not _HANDED.search(text),
    )


def step_keys(steps: Sequence[Step], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return a key for each step: equal keys promise equal results.

    It is made of the cells, the parameters and the keys of the steps that wrote what is read. A
    promise only: whether a result can be taken over is decided by the fingerprints of what was
    really read (`adopt`), so a notebook that hides its reading costs time, never truth.

    Parameters
    ----------
    steps : sequence of Step
        The chain, in order.
    parameters : mapping
        Overrides of one setting.
    """
    keys: dict[str, str] = {}
    sources = _sources(steps)
    for step in steps:
        values = {
            name: parameters.get(name, one.default)
            for name, one in step.parameters.items()
            if name != "RUN"
        }
        before = [keys[name] for name in sources[step.name]]
        keys[step.name] = digest([source_fingerprint(step), values, before], 16)
    return keys


def _sources(steps: Sequence[Step]) -> dict[str, list[str]]:
    """Return for each step, in order, the steps before it that it reads from."""
    found: dict[str, list[str]] = {}
    writers: dict[str, str] = {}
    for step in steps:
        flow = flow_of(step)
        names = flow.needs | flow.asks
        # What nobody is seen to write may come from any of those before.
        known = flow.plain and names <= writers.keys()
        found[step.name] = sorted({writers[name] for name in names}) if known else list(found)
        writers |= dict.fromkeys(flow.writes, step.name)
    return found


def working_order(steps: Sequence[Step], common: Collection[str], turn: float) -> list[Step]:
    """Return the steps in the order in which one setting runs them beside others.

    First what only this setting has, with all that it rests on, as in the chain. The rest is
    common: each setting begins it at another place, to make something rather than to wait.

    Parameters
    ----------
    steps : sequence of Step
        The chain, in order.
    common : collection of str
        Names of the steps that other settings have as well.
    turn : float
        From 0 to below 1, different for settings that are at work together.
    """
    sources = _sources(steps)
    first: set[str] = set()
    for step in reversed(steps):
        if step.name not in common or step.name in first:
            first |= {step.name, *sources[step.name]}
    ordered = [step for step in steps if step.name in first]
    rest = [step for step in steps if step.name not in first]
    begin = int(turn * len(rest))
    rest = rest[begin:] + rest[:begin]
    while rest:
        made = {step.name for step in ordered}
        ready = next(step for step in rest if made.issuperset(sources[step.name]))
        rest.remove(ready)
        ordered.append(ready)
    return ordered


def unwritten(steps: Sequence[Step], chain: Sequence[Step]) -> list[tuple[Step, str, Step]]:
    """Return what `steps` read that only notebooks left out of them write.

    Parameters
    ----------
    steps : sequence of Step
        Those that will run, in order.
    chain : sequence of Step
        All of the project.

    Returns
    -------
    list of (reader, artifact, writer)
    """
    missing: list[tuple[Step, str, Step]] = []
    written: set[str] = set()
    for step in steps:
        for name in sorted(flow_of(step).needs - written):
            writers = [one for one in chain if one.name < step.name and name in flow_of(one).writes]
            if writers and writers[-1] not in steps:
                missing.append((step, name, writers[-1]))
        written |= flow_of(step).writes
    return missing
