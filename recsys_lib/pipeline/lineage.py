"""What the artifacts of a run were made from, and whether that is still what is there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys_lib.artifacts import fingerprint
from recsys_lib.errors import ArtifactError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.flow import flow_of
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.record import ABSENT, Record

__all__ = ["again", "outdated", "records_of", "unwritten_error", "upstream_rows", "writer_of"]


def records_of(project: Project, run: str) -> list[Record]:
    """Return the records of a run that can be read, in the order of the chain."""
    found = (Record.find(project.record(run, path.stem)) for path in project.chain())
    return [record for record in found if record]


def writer_of(records: Sequence[Record], name: str, before: str) -> Record | None:
    """Return the record of the last notebook before `before` that wrote the artifact `name`."""
    found = (one for one in reversed(records) if one.notebook < before and name in one.writes)
    return next(found, None)


def outdated(
    records: Sequence[Record], record: Record, _known: dict[str, dict[str, str]] | None = None
) -> dict[str, str]:
    """Return what has changed beneath a notebook since it ran.

    Parameters
    ----------
    records : sequence of Record
        Of its run, in the order of the chain.
    record : Record
        Of the notebook.

    Returns
    -------
    dict of str to str
        Notebooks to run again, in order, each with what it read and what has changed since: the
        notebook itself and those that it rests on. Empty if nothing has changed.
    """
    known = {} if _known is None else _known
    if record.notebook in known:
        return known[record.notebook]
    found: dict[str, str] = {}
    for name, seen in record.reads.items():
        if name in record.writes:
            continue
        source = writer_of(records, name, record.notebook)
        beneath = outdated(records, source, known) if source else {}
        found = {**beneath, **found}
        now = source.writes[name]["fingerprint"] if source else ABSENT
        if beneath or now != seen:
            found.setdefault(record.notebook, name)
    for path, seen in record.inputs.items():
        # A file that has been moved away says nothing of what was made from it.
        if Path(path).exists() and fingerprint(Path(path)) != seen:
            found.setdefault(record.notebook, Path(path).name)
    known[record.notebook] = dict(sorted(found.items()))
    return known[record.notebook]


def again(name: str, changed: dict[str, str]) -> str:
    """Return what is wrong with the artifact `name`, and which notebooks are to run again.

    Examples
    --------
    >>> again("autoencoder", {"02_split": "dataset", "03_train": "split"})
    '`autoencoder` was made from another `dataset`. Run 02 and 03 again.'
    """
    numbers = [notebook[:2] for notebook in changed]
    run = " and ".join(filter(None, [", ".join(numbers[:-1]), numbers[-1]]))
    return f"`{name}` was made from another `{next(iter(changed.values()))}`. Run {run} again."


def unwritten_error(
    project: Project, records: Sequence[Record], reader: Record, name: str
) -> ArtifactError:
    """Return the error that a run has no artifact `name`, with the notebook that writes it."""
    steps = [step for step in load_steps(project) if step.name < reader.notebook]
    known = [key for one in records if one.notebook <= reader.notebook for key in one.writes]
    writers = [step.name for step in steps if name in flow_of(step).writes]
    return ArtifactError(
        f"The artifact {name!r} must have been written in run {reader.run!r}; it holds "
        f"{', '.join(known) or 'none'}.{did_you_mean(name, known)} Run "
        f"{writers[-1] if writers else 'the notebooks before this one'} first."
    )


def upstream_rows(project: Project, reader: Record) -> dict[str, tuple[Any, str]]:
    """Return what earlier notebooks were told that is not the committed value.

    Returns
    -------
    dict of str to tuple
        Rows for the table of parameters: ``"EPOCHS in 03"`` -> value and meaning, of the notebooks
        that made what `reader` reads.
    """
    records = records_of(project, reader.run)
    step = next(one for one in load_steps(project) if one.name == reader.notebook)
    rows = {}
    for name in sorted(flow_of(step).needs | flow_of(step).asks):
        writer = writer_of(records, name, reader.notebook)
        for place, value in (writer.changed if writer else {}).items():
            number, _, key = place.partition(".")
            if reader.parameters.get(key) != value:
                rows[f"{key} in {number}"] = (value, f"not the committed value; it made `{name}`")
    return rows
