"""What notebooks read and write, as their text tells it, and which of them are the same step."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.freshness import source_fingerprint
from recsys_lib.pipeline.sweeping.labels import digest

__all__ = ["Flow", "flow_of", "step_keys", "unwritten"]

_READ = re.compile(r"""\bsession\.(read|find)\(\s*(?:["'](\w+)["'])?""")
_WRITE = re.compile(r"""\bsession\.(?:save|writing)\(\s*["'](\w+)["']""")


@dataclass(frozen=True)
class Flow:
    """The artefacts of one notebook.

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
        plain=all(name for _, name in calls),
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
    writers: dict[str, str] = {}
    for step in steps:
        flow = flow_of(step)
        wanted = flow.needs | flow.asks
        before = {name: writers.get(name) for name in wanted} if flow.plain else dict(keys)
        values = {
            name: parameters.get(name, one.default)
            for name, one in step.parameters.items()
            if name != "RUN"
        }
        keys[step.name] = digest([source_fingerprint(step), values, before], 16)
        writers |= dict.fromkeys(flow.writes, keys[step.name])
    return keys


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
    list of (reader, artefact, writer)
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
