"""Studies outlive their workers, are shared by several, and are about one thing."""

import contextlib
import dataclasses
import importlib
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from recsys_lib._system import this_process
from recsys_lib.dataset import Split
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.models import EASE, EDLAE
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.tuning import Range, Space, search
from recsys_lib.tuning.studies import Ended, Objective, counted, quiet, release_dead

BUDGET = 8
PAUSE = 0.1
# Run in a process of its own, forked where the library is imported already.
WORKER = """
import os, time
from recsys_lib.dataset import Split
from recsys_lib.models import EDLAE
from recsys_lib.tuning import Space, search, studies as one_trial

def work(pipe, folder, storage, trials, pause, count, environment):
    os.environ.update(environment)
    measured = one_trial.evaluate
    def slowly(*arguments, **options):
        (folder / f"begun-{os.getpid()}").touch()
        while len(list(folder.glob("begun-*"))) < count:  # nobody does it all alone
            time.sleep(0.01)
        time.sleep(pause)
        return measured(*arguments, **options)
    one_trial.evaluate = slowly
    split = Split.load(folder / "split")
    pipe.send("ready")
    while not (folder / "go").exists():
        time.sleep(0.01)
    budget = {"trials": trials, "space": Space.of(EDLAE).only("l2", "dropout")}
    tell = lambda row: pipe.send("trial")
    found = search(EDLAE(), split, "ndcg@10", storage=storage, **budget, on_trial=tell)
    pipe.send(repr(found))
"""


class Worker(NamedTuple):
    """A process, and what it says."""

    process: Any
    says: Any

    def next(self) -> str:
        assert self.says.poll(60), "nothing said for a minute"
        return str(self.says.recv())

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


Start = Callable[[int], list[Worker]]


@pytest.fixture(params=["sqlite", "postgres"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A file, and a database of its own on a server."""
    if request.param == "sqlite":
        yield str(tmp_path / "studies.sqlite")
        return
    server = request.getfixturevalue("postgres")
    import psycopg

    monkeypatch.setenv("RECSYS_DB_PASSWORD", server.password)
    name = f"studies_{tmp_path.name}".lower().replace("-", "_")
    where = f"host=127.0.0.1 port={server.port} user=tester dbname=postgres"
    with psycopg.connect(where, password=server.password, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield server.url.replace("/postgres", f"/{name}")


@pytest.fixture
def start(
    tmp_path: Path, likes: Split, storage: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Start workers on one study; once all are ready they wait for the file `go`."""
    likes.save(tmp_path / "split")
    (tmp_path / "worker_of_the_test.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("worker_of_the_test", None)
    work = importlib.import_module("worker_of_the_test").work
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"recsys_lib.tuning.{name}" for name in ("studies", "results")])
    begun: list[Worker] = []

    def start_some(count: int) -> list[Worker]:
        workers = []
        for _ in range(count):
            says, pipe = context.Pipe(duplex=False)
            told = (pipe, tmp_path, storage, BUDGET, PAUSE, count, dict(os.environ))
            process = context.Process(target=work, args=told)
            process.start()
            pipe.close()
            workers.append(Worker(process, says))
        begun.extend(workers)
        assert [worker.next() for worker in workers] == ["ready"] * count
        return workers

    yield start_some
    for worker in begun:
        worker.kill()


@contextlib.contextmanager
def trials_in(storage: str) -> Iterator[list[Any]]:
    """All trials of the study as Optuna itself reads them."""
    url = storage.replace("postgresql:", "postgresql+psycopg:")
    options = {"password": os.environ["RECSYS_DB_PASSWORD"]} if url != storage else {}
    url = url if "://" in url else f"sqlite:///{url}"
    kept = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": options})
    yield optuna.load_study(study_name="EDLAE", storage=kept).trials
    kept.engine.dispose()


def settled(found: Any) -> pd.DataFrame:
    return found.trials.drop(columns="seconds")


def test_killed_again_and_again_it_ends_as_if_it_never_was(
    start: Start, storage: str, likes: Split, tmp_path: Path
) -> None:
    rng = random.Random(0)
    (tmp_path / "go").touch()
    for kills in range(1, BUDGET - 1):  # twice or more, until one has hit a trial
        (worker,) = start(1)
        assert worker.next() == "trial"
        time.sleep(rng.uniform(0, 2 * PAUSE))  # a busy machine begins the next trial late
        worker.kill()
        with trials_in(storage) as trials:
            if kills >= 2 and any(trial.state != TrialState.COMPLETE for trial in trials):
                break
    space = Space.of(EDLAE).only("l2", "dropout")
    found = search(EDLAE(), likes, "ndcg@10", trials=BUDGET, space=space, storage=storage)
    never = search(EDLAE(), likes, "ndcg@10", trials=BUDGET, space=space)
    pd.testing.assert_frame_equal(settled(found), settled(never))
    assert found.settings == never.settings
    with trials_in(storage) as trials:
        states = [trial.state for trial in trials]
    assert states.count(TrialState.COMPLETE) == BUDGET
    assert states.count(TrialState.FAIL) >= 1, "at least one kill hit a trial"
    assert set(states) == {TrialState.COMPLETE, TrialState.FAIL}


def test_two_workers_share_a_budget_and_one_may_die(
    start: Start, storage: str, tmp_path: Path
) -> None:
    workers = start(3)
    (tmp_path / "go").touch()
    assert [worker.next() for worker in workers] == ["trial"] * 3
    workers.pop().kill()
    ends = []
    for worker in workers:
        while (said := worker.next()) == "trial":
            pass
        ends.append(said)
    assert ends[0] == ends[1], "both see the best of all"
    assert f"{BUDGET} trials" in ends[0]
    with trials_in(storage) as trials:
        numbers = [trial.number for trial in trials]
        assert len(set(numbers)) == len(numbers)
        assert len(counted(trials)) == BUDGET
        assert all(trial.state == TrialState.COMPLETE for trial in counted(trials))
        assert len({trial.user_attrs["worker"]["pid"] for trial in counted(trials)}) == 3


def test_a_trial_beyond_the_budget_is_void(likes: Split) -> None:
    """Two workers may both begin the last trial; only one of the two can count."""
    space = Space.of(EASE).fitted_to(EASE(l2=300.0))
    study = optuna.create_study(direction="maximize")
    budget = {"trials": 2, "prune": False}
    objective = Objective(EASE(l2=300.0), space, likes, "ndcg@10", {}, **budget)
    study.optimize(objective, n_trials=4, catch=(Ended,))
    assert [trial.number for trial in counted(study.trials)] == [0, 1]
    assert [trial.params for trial in study.trials[2:]] == [{}, {}]


def test_a_stop_and_a_larger_budget_go_on_as_one(likes: Split, tmp_path: Path) -> None:
    file = tmp_path / "new" / "studies.sqlite"
    rows: list[Any] = []
    search(EASE(l2=300.0), likes, "ndcg@10", trials=3, storage=file, seed=3)
    found = search(
        EASE(l2=300.0), likes, "ndcg@10", trials=8, storage=file, seed=3, on_trial=rows.append
    )
    whole = search(EASE(l2=300.0), likes, "ndcg@10", trials=8, seed=3)
    pd.testing.assert_frame_equal(settled(found), settled(whole))
    assert found.place == str(file)
    assert [row["trial"] for row in rows] == [3, 4, 5, 6, 7], "of this process only"
    finished = search(EASE(l2=300.0), likes, "ndcg@10", trials=8, storage=file, seed=3)
    pd.testing.assert_frame_equal(finished.trials, found.trials)


def test_ctrl_c_loses_the_trial_under_way_only(likes: Split, tmp_path: Path) -> None:
    file = tmp_path / "studies.sqlite"

    class Interrupted(EASE):
        def _fit(self, *arguments: Any) -> None:
            if self.l2 != 300.0:
                raise KeyboardInterrupt
            super()._fit(*arguments)

    Interrupted.__name__ = "EASE"
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            search(Interrupted(l2=300.0), likes, "ndcg@10", trials=4, storage=file)
    found = search(EASE(l2=300.0), likes, "ndcg@10", trials=4, storage=file)
    assert found.trials["state"].tolist() == ["complete"] * 4
    whole = search(EASE(l2=300.0), likes, "ndcg@10", trials=4)
    assert found.trials["l2"].tolist() == whole.trials["l2"].tolist()


def test_a_first_trial_that_was_stopped_is_made_however_long_it_took(
    likes: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = {"seconds": 1e-9, "storage": tmp_path / "studies.sqlite"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EASE, "_fit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        search(EASE(l2=300.0), likes, "ndcg@10", **budget)
    found = search(EASE(l2=300.0), likes, "ndcg@10", **budget)
    assert found.trials["state"].tolist() == ["complete"]


def test_another_search_is_refused_by_what_differs(likes: Split, tmp_path: Path) -> None:
    file = tmp_path / "studies.sqlite"
    search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage=file)
    fewer = dataclasses.replace(likes, train=likes.train[:-1], train_users=likes.train_users[:-1])
    known = dataclasses.replace(likes, validation=likes.validation.take(np.arange(5)))
    narrow = Space("EASE", {"l2": Range(100.0, 500.0)})
    wrapped = OnLikes(model=EASE(l2=300.0), min_value=1.0)
    asked: list[tuple[str, Any, Any, str, dict[str, Any]]] = [
        ("training data", EASE(l2=300.0), fewer, "ndcg@10", {}),
        ("validation data", EASE(l2=300.0), known, "ndcg@10", {}),
        (r"metric \('ndcg@10' there, 'recall@5' here\)", EASE(l2=300.0), likes, "recall@5", {}),
        (
            r"space: l2 \(.*there, \{'low': 100.0",
            EASE(l2=300.0),
            likes,
            "ndcg@10",
            {"space": narrow},
        ),
        (r"settings: l2 \(300.0 there, 50.0 here\)", EASE(l2=50.0), likes, "ndcg@10", {}),
        (r"around the model: name \(None there, 'OnLikes'", wrapped, likes, "ndcg@10", {}),
        (r"seed \(0 there, 1 here\)", EASE(l2=300.0), likes, "ndcg@10", {"seed": 1}),
        (
            r"rules: min_value \(None there, 1.0 here\)",
            EASE(l2=300.0),
            likes,
            "ndcg@10",
            {"min_value": 1.0},
        ),
    ]
    for said, model, split, metric, options in asked:
        with pytest.raises(ConfigError, match=f"'EASE' in .* it differs in {said}"):
            search(model, split, metric, trials=1, storage=file, **options)
    search(EASE(l2=300.0), fewer, "ndcg@10", trials=1, storage=file, study="another")


def test_a_trial_without_a_name_is_given_up_in_the_end(
    likes: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may die after a trial has begun and before it says whose it is."""
    monkeypatch.setattr("recsys_lib.tuning.studies._NAMELESS_S", 0.5)
    file = tmp_path / "studies.sqlite"
    search(EASE(l2=300.0), likes, "ndcg@10", trials=2, storage=file)
    optuna.load_study(study_name="EASE", storage=f"sqlite:///{file}").ask()
    found = search(EASE(l2=300.0), likes, "ndcg@10", trials=4, storage=file)
    whole = search(EASE(l2=300.0), likes, "ndcg@10", trials=4)
    pd.testing.assert_frame_equal(settled(found), settled(whole))


@pytest.mark.filterwarnings("ignore:Heartbeat of", "ignore:Argument ``heartbeat_interval``")
def test_of_another_machine_only_the_heartbeat_tells(
    likes: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study()
    for worker in (
        {**this_process(), "host": "elsewhere"},
        this_process(),
        {**this_process(), "born": 0.0},
    ):
        study.ask().set_user_attr("worker", worker)
    with quiet():
        assert not release_dead(study, {})
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.RUNNING, TrialState.RUNNING, TrialState.FAIL]
    # One that begins the last trial of the budget elsewhere, and is heard of no more.
    file = tmp_path / "studies.sqlite"
    search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage=file)
    kept = optuna.storages.RDBStorage(f"sqlite:///{file}", heartbeat_interval=1)
    last = optuna.load_study(study_name="EASE", storage=kept).ask()
    last.set_user_attr("worker", {**this_process(), "host": "elsewhere"})
    kept.record_heartbeat(last._trial_id)
    monkeypatch.setattr("recsys_lib.tuning.studies._GRACE_S", 1)
    found = search(EASE(l2=300.0), likes, "ndcg@10", trials=2, storage=file)
    assert found.trials["state"].tolist() == ["complete", "complete"]


def test_two_may_release_the_same_trial_at_once() -> None:
    study = optuna.create_study()
    study.ask().set_user_attr("worker", {**this_process(), "born": 0.0})

    class Quicker(optuna.samplers.RandomSampler):
        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    study.sampler = Quicker(seed=0)
    assert not release_dead(study, {})
    assert study.trials[0].state == TrialState.FAIL


def test_no_message_and_no_table_tells_the_password(
    postgres: Any, likes: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="must hold no password") as loud:
        storage = postgres.url.replace("@", f":{postgres.password}@")
        search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage=storage)
    with pytest.raises(ConfigError, match="must hold no password") as option:
        storage = f"{postgres.url}?password={postgres.password}"
        search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage=storage)
    monkeypatch.setenv("RECSYS_DB_PASSWORD", f"wrong-{postgres.password}")
    with pytest.raises(ArtifactError, match="must be kept where it can be read") as wrong:
        search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage=postgres.url)
    monkeypatch.setenv("RECSYS_DB_PASSWORD", postgres.password)
    found = search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage=postgres.url)
    assert found.place == postgres.url
    told = [str(one.value) for one in (loud, option, wrong)]
    assert [
        text for text in [*told, repr(found), repr(vars(found))] if postgres.password in text
    ] == []


def test_a_storage_that_cannot_be_is_told(likes: Split, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for storage in (tmp_path / "file" / "studies.sqlite", tmp_path / "file"):
        with pytest.raises(ArtifactError, match=f"must be kept where .*{storage.name}"):
            search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage=storage)
    with pytest.raises(ArtifactError, match="redis://host/0: .*redis"):
        search(EASE(l2=300.0), likes, "ndcg@10", trials=1, storage="redis://host/0")
