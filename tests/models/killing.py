"""Kill a fit again and again at seeded moments, let it go on, and compare with one that was not.

Run as ``python killing.py MODEL FOLDER KILLS SEED``; prints one JSON object. Each life is a process
of its own, forked after the imports (which take longer than the fit) and before TensorFlow has
started, so that twenty lives take seconds.
"""

import hashlib
import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models import model_class
from recsys_lib.models.networks import rating, variational  # noqa: F401  the slow imports
from recsys_lib.training import Checkpoints
from recsys_lib.training.trainer import Trainer  # noqa: F401

SETTINGS = {
    "Autoencoder": {"hidden_dims": (16,), "average": 0.8},
    "MultDAE": {"latent_dim": 8, "average": 0.8},
    "MultVAE": {"latent_dim": 8, "hidden_dims": (16,), "average": 0.8, "anneal_steps": 500},
    "RecVAE": {"latent_dim": 8, "hidden_dim": 16, "average": 0.8},
    "VASP": {"latent_dim": 8, "hidden_dim": 16, "average": 0.8, "encoder_layers": 2},
}
EPOCHS = 250  # more than twenty lives can make


def rows(seed: int) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    ratings = rng.integers(1, 6, (300, 40)) * (rng.random((300, 40)) < 0.3)
    return sparse.csr_array(ratings.astype(np.float32))


def fit(name: str, folder: Path | None, pipe: int) -> None:
    """Fit, telling each epoch, and at last what the model has become, by `pipe`."""
    held_out = Fold(fold_in=rows(1), targets=rows(2), users=np.arange(300))
    model = model_class(name)(epochs=EPOCHS, patience=EPOCHS, batch_size=64, **SETTINGS[name])
    checkpoint = None if folder is None else Checkpoints(folder, every_epochs=1)
    model.fit(
        rows(0),
        validation=held_out,
        checkpoint=checkpoint,
        on_epoch=lambda record: os.write(pipe, f"{record['epoch']}\n".encode()),
    )
    arrays = [model.score(rows(3)), *(w.numpy() for w in variables(model))]
    history = model.history_.drop(columns="seconds").to_csv()
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays) + history.encode())
    os.write(pipe, f"end {digest.hexdigest()}\n".encode())


def variables(model: object) -> list:
    network = getattr(model.network_, "network", None)
    return model._weights() if network is None else network.variables


class Life:
    """A forked process that fits."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self.pipe, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                fit(name, folder, writing)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        os.close(writing)
        self.said = ""

    def wait_for(self, n_lines: int, seconds: float) -> bool:
        """Read until so many lines are there; False if that takes longer, or life has ended."""
        until = time.monotonic() + seconds
        while self.said.count("\n") < n_lines:
            ready, _, _ = select.select([self.pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return False
            chunk = os.read(self.pipe, 65536)
            if not chunk:
                return False
            self.said += chunk.decode()
        return True

    def end(self) -> str:
        """Let it live, and return what it became."""
        self.wait_for(10**9, 600)
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, "a fit that was taken up again has failed; its error is above"
        return self.said.split()[-1]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pipe)
        assert os.WIFSIGNALED(status), "the fit had ended before it was killed"

    def told(self) -> list[int]:
        """Return the epochs that it told of."""
        return [int(line) for line in self.said.splitlines() if line.isdigit()]


def last_on_disk(folder: Path) -> int:
    return max((int(path.name[-6:]) for path in folder.glob("epoch_*")), default=0)


def main(name: str, folder: Path, n_kills: int, seed: int) -> dict[str, object]:
    rng, began = random.Random(seed), time.monotonic()
    whole = Life(name, None).end()
    resumed, lost, while_writing, reached = 0, 0, 0, 0
    for _ in range(n_kills):
        before, life = last_on_disk(folder), Life(name, folder)
        if rng.random() < 0.8:  # else at some moment of the start: reading, compiling
            life.wait_for(1 + rng.randrange(4), 120)
        life.wait_for(10**9, rng.random() * 0.04)
        life.kill()
        while_writing += any(folder.glob(".epoch_*"))
        if told := life.told():
            resumed += told[0] == before + 1 > 1
            lost += max(0, reached - told[0] + 1)
            reached = told[-1]
    before, life = last_on_disk(folder), Life(name, folder)
    end, told = life.end(), life.told()
    return {
        "model": name,
        "kills": n_kills,
        "while_writing": while_writing,
        "resumed": resumed + (told[0] == before + 1 > 1),
        "epochs_lost": lost + max(0, reached - told[0] + 1),
        "epochs_before_the_last_life": before,
        "same": end == whole,
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
