"""A step that several settings have in common is run by the first and taken over by the others."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recsys_lib._system import lock_file
from recsys_lib.artifacts import read_json, write_json
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.execution import Failure
from recsys_lib.pipeline.freshness import is_fresh
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runner import Outcome
from recsys_lib.pipeline.sweeping.adopting import adopt

__all__ = ["Sharing"]

# A kernel that dies says something of the machine, not of the step: the next one tries again.
_BAD_LUCK = "DeadKernel"
_PAUSE = 0.2  # seconds between two looks at a step that another setting is making


@dataclass
class Sharing:
    """The claim (see `run_chain`) of one setting on the steps that it shares with others.

    Parameters
    ----------
    project : Project
    run : str
        ``sweep/setting``.
    keys : mapping of str to str
        Notebook -> key of `step_keys`, of the steps that are shared.
    token : str
        Of this start of the sweep: what failed in an earlier one is tried again.
    stop : threading.Event
        Ends waiting, as with Ctrl-C.
    on_wait : callable
        Told the name of a step that another setting is making.
    """

    project: Project
    run: str
    keys: Mapping[str, str]
    token: str
    stop: threading.Event
    on_wait: Callable[[str], None]
    _heard: Outcome | None = None

    def hear(self, outcome: Outcome) -> None:
        """Take down how a step ended; called inside the claim on it."""
        self._heard = outcome

    @contextlib.contextmanager
    def claim(
        self, step: Step, parameters: dict[str, Any], library: str
    ) -> Iterator[Failure | None]:
        """Wait for whoever makes the step, take it over if that is right, hold it otherwise."""
        if step.name not in self.keys:
            yield None
            return
        note = self.project.run_folder(self.run).parent / ".sweep" / f"{self.keys[step.name]}.json"
        with contextlib.ExitStack() as held:
            held.enter_context(self._holding(note.with_suffix(".lock"), step.name))
            found = _found(note)
            donor = str(found.get("run", ""))
            if self._has(step, parameters, library, donor):
                held.close()  # nothing to be made: nobody has to wait for the checks that follow
                yield None
            elif found.get("failure") and found.get("token") == self.token:
                yield _told_by(donor, found["failure"])
                return
            else:
                if donor and not found.get("failure"):
                    # What was made is not what this setting needs: others need not wait for it.
                    held.close()
                yield None
            self._publish(note)

    def _has(self, step: Step, parameters: dict[str, Any], library: str, donor: str) -> bool:
        if is_fresh(self.project, self.run, step, parameters, library):
            return True
        if not donor or donor == self.run:
            return False
        return adopt(self.project, step, parameters, library, run=self.run, donor=donor)

    def _publish(self, note: Path) -> None:
        outcome = self._heard
        if outcome is None or (outcome.status == "skipped" and note.exists()):
            return
        if outcome.failure and outcome.failure.kind == _BAD_LUCK:
            return
        failure = asdict(outcome.failure) if outcome.failure else None
        write_json(note, {"run": self.run, "failure": failure, "token": self.token})

    @contextlib.contextmanager
    def _holding(self, path: Path, name: str) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The operating system's lock ends with whoever holds it, however that ends.
        with path.open("a", encoding="utf-8") as handle:
            while not self._try(handle):
                self.on_wait(name)
                if self.stop.wait(_PAUSE):
                    raise KeyboardInterrupt
            yield

    @staticmethod
    def _try(handle: Any) -> bool:
        try:
            return lock_file(handle)
        except OSError:
            # A file system without locks: two settings may make one step, which is only slower.
            return True


def _found(note: Path) -> dict[str, Any]:
    try:
        found = read_json(note)
    except ArtifactError:
        return {}
    return found if isinstance(found, dict) else {}


def _told_by(donor: str, failure: dict[str, Any]) -> Failure:
    setting = donor.rpartition("/")[2]
    told = Failure(**failure)
    return Failure(told.cell, told.kind, f"{told.message} (shared with {setting})", told.traceback)
