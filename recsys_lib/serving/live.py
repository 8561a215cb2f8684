"""The bundle that answers, and how the next one takes its place."""

import asyncio
import gc
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recsys_lib.artifacts import MANIFEST, read_json
from recsys_lib.bundle import Bundle
from recsys_lib.errors import ArtifactError

logger = logging.getLogger(__name__)


class Loaded:
    """A bundle, verified and warm.

    Parameters
    ----------
    folder : Path
        Where `Bundle.save` wrote it.
    kept : int
        Answers kept for those who come back.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self.manifest: dict[str, Any] = read_json(folder / MANIFEST)
        self.fingerprint: str = self.manifest["manifest"]
        self.written = datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, UTC)
        self.bundle = Bundle.load(folder)
        self._answers, self._most = dict[Any, tuple[Any, bytes]](), kept
        dataset = self.bundle.dataset
        everything = self.bundle.recommend(k=dataset.n_items)
        texts = (everything["item_id"].astype(str) + " " + everything["title"]).str.casefold()
        #: Id, title and the text that a search looks through, of each item, popular ones first.
        self.names = list(zip(everything["item_id"], everything["title"], texts, strict=True))
        # Whatever is made once is made now; short and long histories are scored in other blocks.
        lengths = np.diff(dataset.user_items.indptr)
        for row in {lengths.argmin(), lengths.argmax(), 0}:
            self.bundle.recommend(dataset.user_ids[row], k=1)
        for n_people in (4, 16):
            self.bundle.recommend_records(dataset.user_ids[:n_people].tolist(), k=1)

    def kept(self, address: Any) -> tuple[Any, bytes] | None:
        """Return the answer that was given at an address, and its route."""
        return self._answers.get(address)

    def keep(self, address: Any, answer: tuple[Any, bytes]) -> None:
        """Keep an answer, in the place of the oldest one."""
        self._answers[address] = answer
        if len(self._answers) > self._most:
            self._answers.pop(next(iter(self._answers)), None)


class Live:
    """The bundle at a place on disk, whichever is there at the time.

    Parameters
    ----------
    folder : Path
    kept : int
        As of `Loaded`.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self.folder, self._kept = folder, kept
        self._tried: Any = None
        self.current: Loaded | None = None

    def load(self) -> None:
        """Load what is there; `ArtifactError` if it is damaged or changes meanwhile."""
        self._tried = self._stamp()
        loaded = Loaded(self.folder, self._kept)
        if self._stamp() != self._tried:
            raise ArtifactError(
                f"{self.folder} must stay as it is while it is read; it has changed. Write the "
                "bundle elsewhere, and move it into place."
            )
        self.current = loaded
        # What stays need not be looked through again for garbage, which would take .2 s at times.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    async def watch(self, seconds: float) -> None:
        """Take up each bundle that is put into the place; a damaged one is logged and left."""
        while True:
            await asyncio.sleep(seconds)
            stamp = self._stamp()
            if not stamp or stamp == self._tried:
                continue
            try:
                await asyncio.to_thread(self.load)
            except Exception as error:  # whatever is wrong with it, the old one serves on
                logger.error("refused a bundle: %s", error, extra={"facts": {"bundle": "refused"}})
            else:
                assert self.current is not None
                facts = {"bundle": self.current.fingerprint}
                logger.info("took up a bundle", extra={"facts": facts})

    def _stamp(self) -> list[tuple[str, int, int]]:
        """Return name, time and size of each file; nothing while a folder takes another's place."""
        try:
            stats = [(str(file), file.stat()) for file in sorted(self.folder.rglob("*.*"))]
            (self.folder / MANIFEST).stat()
        except OSError:
            return []
        return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]
