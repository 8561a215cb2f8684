"""Trials of dead workers are returned to the budget, wherever the workers ran."""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

__all__ = ["ERROR", "VOID", "WORKER", "Watch", "counted", "myself", "rank_of"]

#: Attribute of a trial whose settings could not be fitted: it counts, as failed.
ERROR = "error"
#: Attribute of a trial that ended for no fault of its settings: it does not count.
VOID = "void"
#: Attribute of a trial: who works on it.
WORKER = "worker"

# A process that dies over the same settings this often dies of them, of memory most likely.
_DEATHS = 3
# Seconds after which a trial that nobody has put a name to is given up.
_NAMELESS_S = 15.0


def counted(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count toward the budget, by number.

    Left out are those that ended for no fault of their settings: interrupted, beyond the budget,
    or with the death of their process. Who dies three times of the same settings has failed.
    """
    deaths: Counter[str] = Counter()
    found = []
    for trial in sorted(trials, key=lambda one: one.number):
        if trial.state != TrialState.FAIL or ERROR in trial.user_attrs:
            found.append(trial)
        elif VOID not in trial.user_attrs and trial.params:
            settings = repr(sorted(trial.params.items()))
            deaths[settings] += 1
            if deaths[settings] == _DEATHS:
                found.append(trial)
    return found


def rank_of(study: optuna.Study, number: int) -> int:
    """Return the rank of a trial in the budget: how many counted trials precede it.

    The number itself will not do: a trial repeated after a death has another number, and must be
    the same trial all the same.
    """
    before = [one for one in study.get_trials(deepcopy=False) if one.number < number]
    return len(counted(before))


def myself() -> dict[str, Any]:
    """Return an identity of this process, as plain data."""
    born = psutil.Process().create_time()
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": born}


class Watch:
    """Monitors the trials of other workers in a study, and releases those of dead ones.

    Of a worker on this machine the system knows whether it lives. Of one on another machine the
    heartbeat in the storage tells.

    Parameters
    ----------
    study : optuna.Study
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._seen: dict[int, float] = {}

    def settle(self) -> None:
        """Wait until each running trial has a known worker or is released.

        A process may die between the beginning of a trial and the moment it puts its name to it.
        """
        while self.release_dead():
            time.sleep(0.2)

    def release_dead(self) -> bool:
        """Release the trials of dead workers; return whether any trial has no known worker yet."""
        optuna.storages.fail_stale_trials(self._study)
        nameless = False
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get(WORKER)
            since = self._seen.setdefault(trial.number, time.monotonic())
            if worker is None and time.monotonic() - since < _NAMELESS_S:
                nameless = True
            elif worker is None or _is_dead(worker):
                self._give_up(trial.number)
        return nameless

    def _give_up(self, number: int) -> None:
        try:
            self._study.tell(number, state=TrialState.FAIL)
        except ValueError:  # somebody else was quicker
            return


def _is_dead(worker: dict[str, Any]) -> bool:
    if worker["host"] != socket.gethostname():
        return False
    try:
        return bool(abs(psutil.Process(worker["pid"]).create_time() - worker["born"]) > 1)
    except psutil.NoSuchProcess:
        return True
