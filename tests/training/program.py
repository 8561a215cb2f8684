"""A program of a job of one or more processes: fits, and writes what it became.

``python program.py OUT CHECKPOINTS [DIES]``; with DIES, the second process kills itself after the
third epoch.
"""

import os
import signal
import sys

import numpy as np
from scipy import sparse

from recsys_lib.models import ELSA, MultDAE
from recsys_lib.training import Checkpoints
from recsys_lib.training.processes import is_first


def main(out: str, folder: str, *dies: str) -> None:
    # Here, because doctest imports this module where Keras runs on TensorFlow.
    from recsys_lib.training import backend_jax

    # So that these small weights are divided like large ones, which don't come out even.
    backend_jax._LARGE = 30
    x = sparse.csr_array((np.random.default_rng(0).random((30, 17)) < 0.3).astype(np.float32))
    plain = {"latent_dim": 4, "batch_size": 8, "learning_rate": 0.02, "epochs": 6}
    found = {}
    for model in (ELSA(**plain), MultDAE(**plain, outputs=6)):

        def die(record: dict[str, float]) -> None:
            if dies and record["epoch"] == 3 and not is_first():
                os.kill(os.getpid(), signal.SIGKILL)

        name = f"{type(model).__name__}_{model.outputs}"
        model.fit(x, checkpoint=Checkpoints(f"{folder}/{name}", every_epochs=1), on_epoch=die)
        found[f"{name}_losses"] = model.history_.drop(columns=["epoch", "seconds"]).to_numpy()
        found[f"{name}_scores"] = model.score(x)
        found |= {f"{name}_{i}": weight.numpy() for i, weight in enumerate(model._weights())}
    if is_first():
        np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
