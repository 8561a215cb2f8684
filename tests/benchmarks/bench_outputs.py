"""Networks on wide catalogs: a sample of the outputs beside all of them; seconds, memory, quality.

Both sides of a comparison take turns in one process. An epoch of 100,000 users is measured on
1,000 and on 5,000 of them: what one more update takes, and what an epoch takes in any case.
The data of the plot, seconds of an epoch against events, are printed as a table. ::

    python tests/benchmarks/bench_outputs.py quality      # hours: ndcg@100 of all and 2,000 outputs

`RECSYS_DATASETS` names the folder that holds ``splits/`` for it.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

N_ITEMS, N_USERS, MEASURED = 200_000, 100_000, (1_000, 5_000)
OUTPUTS = 2_000
GB = 1e9


def events(n_users: int, n_items: int, per_user: int, seed: int = 0) -> sparse.csr_array:
    """Rows of a long-tailed catalog."""
    rng = np.random.default_rng(seed)
    tail = np.floor(n_items ** rng.random(n_users * per_user)).astype(np.int64) - 1
    items = np.where(rng.random(len(tail)) < 0.5, tail, rng.integers(0, n_items, len(tail)))
    users = np.repeat(np.arange(n_users), per_user)
    ones = np.ones(len(items), dtype=np.float32)
    x = sparse.csr_array((ones, (users, items)), shape=(n_users, n_items))
    x.data[:] = 1.0
    return x


def epochs_of(models: dict[str, object], x: sparse.csr_array, *, turns: int = 2) -> dict:
    """Return the median seconds of an epoch of each model, which take turns of two epochs."""
    trainers = {name: model._begin(x) for name, model in models.items()}  # type: ignore[attr-defined]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(1, turns + 1):
        for name, model in models.items():
            rows = model._rows(x)  # type: ignore[attr-defined]
            # The first epoch of a turn is compiled.
            history = trainers[name].fit(rows, epochs=3 * turn)
            seconds[name] += [record["seconds"] for record in history[-2:]]
    return {name: float(np.median(found)) for name, found in seconds.items()}


def test_an_epoch_of_mult_dae_at_200_000_items() -> None:
    from recsys_lib.models import MultDAE

    models = {"all": MultDAE(), "sample": MultDAE(outputs=OUTPUTS)}
    few, more = (epochs_of(models, events(n_users, N_ITEMS, per_user=20)) for n_users in MEASURED)
    times = (N_USERS - MEASURED[0]) / (MEASURED[1] - MEASURED[0])
    found = {name: few[name] + times * (more[name] - few[name]) for name in models}
    print(
        f"\nMultDAE(200), epoch of {N_USERS:,} x {N_ITEMS:,}: {found['all']:.0f} s with "
        f"all outputs, {found['sample']:.0f} s with {OUTPUTS:,}: "
        f"{found['all'] / found['sample']:.1f} times as fast (bar 8)"
    )


def test_an_epoch_grows_with_the_events() -> None:
    from recsys_lib.models import ELSA, MultDAE

    sizes = [(n_items, per_user) for n_items in (20_000, 200_000) for per_user in (10, 40, 160)]
    print("\nitems  events  seconds of an epoch: MultDAE, ELSA")
    for n_items, per_user in sizes:
        x = events(1000, n_items, per_user)
        models = {"MultDAE": MultDAE(outputs=OUTPUTS), "ELSA": ELSA(outputs=OUTPUTS)}
        found = epochs_of(models, x)
        print(f"{n_items:7,} {x.nnz:8,}  {found['MultDAE']:.3f} {found['ELSA']:.3f}")


@pytest.mark.parametrize(
    ("model", "n_items"),
    [
        ("MultDAE()", N_ITEMS),
        (f"MultDAE(outputs={OUTPUTS})", N_ITEMS),
        (f"ELSA(outputs={OUTPUTS})", 1_000_000),
    ],
)
def test_memory_of_a_fit(model: str, n_items: int) -> None:
    command = [sys.executable, __file__, "memory", model, str(n_items)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"\n{model}, {n_items:,} items, a fit and a list: {done.stdout.strip()} GB (bar 6)")


def memory(model: str, n_items: str) -> None:
    """Fit one epoch, recommend for one person and print the peak of this process."""
    from recsys_lib import models

    x = events(MEASURED[0], int(n_items), per_user=20)
    made = eval(model, vars(models) | {name: getattr(models, name) for name in models.MODELS})
    made.epochs = 1
    made.fit(x).recommend(x[:1])
    # VmHWM belongs to this program; ru_maxrss remembers the parent before it.
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    print(f"{int(peak[1]) * 1024 / GB:.2f}")


def quality() -> None:
    """Print test ndcg@100 of all outputs beside 2,000, settings and split as in measurements.md."""
    folder = Path(os.environ["RECSYS_DATASETS"]) / "splits"
    os.environ["BENCH_DATA"] = str(folder)
    sys.path.insert(0, str(folder))
    import protocol

    from recsys_lib import ELSA, Fold, MultDAE, MultVAE, evaluate

    quick, patient = {"patience": 8, "epochs": 100}, {"patience": 25, "epochs": 200}
    kinds = {
        ELSA: {"patience": 5, "epochs": 60},
        MultDAE: {**quick, "targets": "hidden"},
        MultVAE: {**quick, **patient, "targets": "hidden", "anneal_steps": 6375},
    }
    for name in ("ml1m", "citeulike"):
        split = protocol.Split(name)
        train, *rest = (sparse.csr_array(getattr(split, part)) for part in protocol.PARTS)
        validation, test = (Fold(fold_in=rest[i], targets=rest[i + 1]) for i in (0, 2))
        for kind, settings in kinds.items():
            for outputs in ("all", OUTPUTS):
                began = time.perf_counter()
                model = kind(**settings, outputs=outputs).fit(train, validation=validation)
                value = evaluate(model, test, metrics=("ndcg@100",))["ndcg@100"]
                seconds = time.perf_counter() - began
                print(f"{name} {kind.__name__}, outputs={outputs}: {value:.4f}, {seconds:.0f} s")


if __name__ == "__main__":
    if sys.argv[1] == "memory":
        memory(*sys.argv[2:])
    else:
        quality()
