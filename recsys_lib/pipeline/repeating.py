"""The command that makes a run, and what another command must not do to it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.lineage import records_of
from recsys_lib.pipeline.project import DEFAULT_RUN, Project

__all__ = ["check_run", "command_of"]


def command_of(project: Project, run: str) -> str:
    """Return the command that makes a run with the parameters that it has had."""
    words = ["recsys", "run", *([] if run == DEFAULT_RUN else ["--name", run])]
    changed: dict[str, Any] = {}
    for record in records_of(project, run):
        for place, value in record.changed.items():
            number, _, name = place.partition(".")
            if number == record.notebook[:2]:
                changed.setdefault(name, value)
    for name, value in changed.items():
        entries = {name: value}
        if isinstance(value, dict):
            entries = {f"{name}.{key}": one for key, one in value.items()}
        for key, one in entries.items():
            words += ["-p", key, one if isinstance(one, str) else json.dumps(one)]
    return shlex.join(words)


def check_run(
    project: Project,
    run: str,
    chain: Sequence[Step],
    steps: Sequence[Step],
    parameters: Mapping[str, Any],
) -> None:
    """Refuse what would silently replace the data of a run, or have no effect on it.

    Parameters
    ----------
    project : Project
    run : str
        Its name.
    chain, steps : sequence of Step
        All of the project, and those that would run.
    parameters : mapping
        Overrides.

    Raises
    ------
    ConfigError
        If the run was made from another ``SOURCE``, or a parameter is one of notebooks that would
        not run and have run with another value.
    """
    records = {record.notebook: record for record in records_of(project, run)}
    chosen = {step.name for step in steps}
    set_here = {name for step in steps for name in step.parameters}
    for step in chain:
        if (record := records.get(step.name)) is None:
            continue
        made = record.parameters
        if step.name in chosen and "SOURCE" in made and "dataset" in record.writes:
            _check_source(run, made["SOURCE"], parameters.get("SOURCE", ""))
        for name in step.parameters.keys() & parameters.keys() - set_here:
            if made.get(name) != json.loads(json.dumps(parameters[name])):
                raise ConfigError(
                    f"{name} must be set where it is read; {step.name} is not to run, and ran with "
                    f"{made.get(name)!r}. Begin there: --from {step.number}."
                )


def _check_source(run: str, before: str, now: str) -> None:
    if before != now:
        raise ConfigError(
            f"Run {run!r} must keep its data; it was made from {before or 'the default world'}, "
            f"and this command takes {now or 'the default world'}. Choose another --name, or give "
            "--replace."
        )
