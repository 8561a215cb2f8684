"""Train a run's bundle anew on other data, and keep the better of the two."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from recsys_lib.artifacts import fingerprint
from recsys_lib.bundle import Bundle
from recsys_lib.checks import CSR, Floats, Ints
from recsys_lib.dataset import Dataset, Fold, Split, likes_of
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import compare, evaluate, parse_metric
from recsys_lib.evaluation.statistics import FEWEST
from recsys_lib.pipeline.chain import load_steps, resolve, rests_on
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runner import RunResult
from recsys_lib.pipeline.store import changes_of, records_of

_SPLITS = ("ratings_split", "ranking_split")
_REMEDY = "stop it"  # another retraining of the same run, or the run itself


class Retrained(NamedTuple):
    """The outcome: the candidate's run, whether it took the place of the old bundle, and why."""

    result: RunResult
    taken: bool
    verdict: str


def retrain(
    project: Project,
    run: str,
    texts: Mapping[str, str],
    run_steps: Callable[..., RunResult],
    *,
    metric: str = "ndcg@10",
    timeout: float,
) -> Retrained:
    """Make the bundle of a run anew in the run ``NAME.next``, and let the better one answer.

    Parameters
    ----------
    project : Project
    run : str
        Its bundle answers so far; its parameters hold for the candidate too.
    texts : mapping of str to str
        Parameters that are new, such as ``SOURCE``.
    run_steps : callable
        Called with project, steps, parameters, ``name=`` of a run and `timeout`, as `run_chain`.
    metric : str
        Decides, on the held-out people of the candidate and what the old bundle has not seen.
    timeout : float
        Seconds that one notebook may take.

    Returns
    -------
    Retrained

    Raises
    ------
    ConfigError
        If a parameter is unknown, or the metric judges no lists.
    """
    if parse_metric(metric).kind != "list":  # said now, not after the notebooks
        raise ConfigError(
            f"The metric must judge each person's list; got {metric!r}. Try ndcg@10 or recall@20."
        )
    chain = load_steps(project)
    wanted = {next(step.name for step in chain if "bundle" in step.writes)}
    beneath = rests_on(chain)
    while more := {name for one in wanted for name in beneath[one]} - wanted:
        wanted |= more
    steps = [step for step in chain if step.name in wanted]
    parameters = resolve(chain, texts=texts, values=changes_of(project, run))
    name = f"{run.replace('/', '-')}.next"
    with project.locked(name, remedy=_REMEDY), project.locked(run, remedy=_REMEDY):
        pass  # told with what can be done about it
    result = run_steps(project, steps, parameters, name=name, timeout=timeout)
    if result.failed:
        return Retrained(result, False, "")
    made, place = project.artifacts(name), project.artifacts(run) / "bundle"
    # The candidate's bundle and its split must be of one time, and no run may put its own there.
    with project.locked(name, remedy=_REMEDY), project.locked(run, remedy=_REMEDY):
        old, new = Bundle.load(place), Bundle.load(made / "bundle")
        split = next(made / one for one in _SPLITS if (made / one).exists())
        better, verdict = is_better(old, new, Split.load(split).test, metric)
        if better:
            new.save(place, retrained=verdict)
            _record(project, run, place)
    return Retrained(result, better, verdict)


def _record(project: Project, run: str, bundle: Path) -> None:
    """Let the notebooks of a run read the bundle that took the place of their own."""
    for record in records_of(project, run):
        if "bundle" in record.writes:
            record.writes["bundle"]["fingerprint"] = fingerprint(bundle)
            record.done = False  # it wrote another one, and does so again when the run goes on
            record.save(project.record(run, record.notebook))


def is_better(old: Bundle, new: Bundle, fold: Fold, metric: str) -> tuple[bool, str]:
    """Return whether the new bundle may take the old one's place, and the reason.

    Both are asked about the same people, whom the new one was not trained on, and about what the
    old one was not: targets that are in its data count for neither. The new one loses where the
    paired bootstrap over people tells the old one's lead from luck.
    """
    liked = likes_of(fold.targets, new.like) if new.like is not None else fold.targets
    was, now = old.dataset, new.dataset
    people = was.user_ids.get_indexer(now.user_ids[fold.users])
    seen = _taken(was.user_items, people, was.item_ids.get_indexer(now.item_ids))
    seen.data[:] = 1  # also where a rating is 0
    unseen = liked - liked.multiply(seen)
    unseen.eliminate_zeros()
    held_out = replace(fold, targets=sparse.csr_array(unseen, dtype=np.float32))
    asked = int(np.count_nonzero(np.diff(held_out.targets.indptr)))
    if asked < FEWEST:  # of fewer, no lead of the old one could be told from luck
        must = f"At least {FEWEST} held-out people must have something that the old bundle has not"
        return False, f"{must} seen; {asked} have."
    scorers = {"old": _InItemsOf(old, new.dataset), "new": new}
    reports = [evaluate(one, held_out, [metric], name=name) for name, one in scorers.items()]
    found = compare(reports)
    row = found.table.iloc[0]
    return not (row["a"] == "old" and row["distinguishable"]), found.verdict


@dataclass(frozen=True)
class _InItemsOf:
    """A bundle that scores the items of another dataset; what it does not know comes last."""

    bundle: Bundle
    dataset: Dataset

    def score(self, user_items: CSR) -> Floats:
        there = self.dataset.item_ids.get_indexer(self.bundle.dataset.item_ids)
        said = self.bundle.score(_taken(user_items, np.arange(user_items.shape[0]), there))
        scores = np.repeat(said.min(axis=1, keepdims=True) - 1, self.dataset.n_items, axis=1)
        scores[:, there[there >= 0]] = said[:, there >= 0]
        return scores


def _taken(x: CSR, rows: Ints, cols: Ints) -> CSR:
    """Return rows and columns of a matrix by position; -1 stands for an empty one."""
    x = x.copy()
    x.resize((x.shape[0] + 1, x.shape[1] + 1))
    return x[rows][:, cols]


def sentence(done: Retrained, run: str) -> str:
    """Return what became of it, for the command line."""
    place = "The new bundle answers now" if done.taken else "The old bundle stays"
    return f"{done.verdict} {place} in run {run!r}; the candidate is run {done.result.name!r}."
