"""Which notebooks of several settings are the same step, and in which order they run."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.flow import flow_of, sources_of
from recsys_lib.pipeline.freshness import source_fingerprint
from recsys_lib.pipeline.sweeping.labels import digest

__all__ = ["step_keys", "unwritten", "working_order"]


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
    for step, its in sources_of(steps).items():
        flow = flow_of(next(one for one in steps if one.name == step))
        # What nobody is seen to write may come from any of those before.
        known = flow.plain and flow.needs | flow.asks <= its.keys()
        found[step] = sorted(set(its.values())) if known else list(found)
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
