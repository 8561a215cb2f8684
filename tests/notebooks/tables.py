"""Tables as people bring them, of every kind that the chain has to bear.

``python tests/notebooks/tables.py FOLDER`` writes them; ``python tests/notebooks/tables.py FOLDER
01-05`` also runs the notebooks on each and says how it ends, which is what the acceptance run does.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

# Parameters beside SOURCE; ITEMS is written where the table has a catalog.
PARAMETERS: dict[str, dict[str, str]] = {"clicks of a world": {"VIEW": "clicks"}}

# Kinds of which no recommender can be made, and what the one sentence says that they lack.
LACKING = {"one rating each": "two interactions", "one review a person": "two interactions"}

_DAY = pd.Timestamp("2024-01-01", tz="UTC")


def pairs(
    n_users: int, n_items: int, per_user: Callable[[int], int], *, taste: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Return who used what, when, and how much they would like it, from -2 to 2 or so."""
    rng = np.random.default_rng(seed)
    people, things = rng.normal(size=(n_users, 3)), rng.normal(size=(n_items, 3))
    liking = taste * people @ things.T / 3**0.5
    liking += rng.normal(0, 0.4, (n_users, 1)) + rng.normal(0, 0.4, n_items)
    fame = -np.log(1 + np.arange(n_items))
    rows = []
    for user in range(n_users):
        odds = fame + 0.7 * liking[user] + rng.gumbel(size=n_items)
        rows += [(user, item) for item in np.argsort(-odds)[: per_user(user)]]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"])
    frame["liking"] = liking[frame["user_id"], frame["item_id"]] + rng.normal(0, 0.5, len(frame))
    frame["timestamp"] = _DAY + pd.to_timedelta(rng.integers(0, 300 * 86_400, len(frame)), unit="s")
    return frame


def stars(frame: pd.DataFrame, low: float = 1, high: float = 5, step: float = 1) -> pd.DataFrame:
    """Return the pairs with ratings on a ladder."""
    middle = (low + high) / 2
    raw = middle + frame["liking"] * (high - low) / 5
    rating = (np.round((raw.clip(low, high) - low) / step) * step + low).round(2)
    return frame.assign(rating=rating)


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with ids of text."""
    return frame.assign(
        user_id="p" + frame["user_id"].astype(str).str.zfill(4),
        item_id="game-" + frame["item_id"].astype(str).str.zfill(3),
    )


def games(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a catalog of the items: titles that share first words, and a column of categories."""
    ids = np.sort(frame["item_id"].unique())
    rng = np.random.default_rng(1)
    first, second = ["Golden", "Clever", "Frozen", "Lost"], ["Harbor", "Orchard", "Empire", "Line"]
    return pd.DataFrame(
        {
            "item_id": ids,
            "title": [
                f"{rng.choice(first)} {rng.choice(second)} {place + 1}" for place in range(len(ids))
            ],
            "category": rng.choice(["party", "family", "strategy", "cards", "dice"], len(ids)),
            "year": rng.integers(1995, 2024, len(ids)),
        }
    )


def _some(low: int, high: int, seed: int = 3) -> Callable[[int], int]:
    rng = np.random.default_rng(seed)
    return lambda user: int(rng.integers(low, high))


def _structure() -> pd.DataFrame:
    return named(stars(pairs(200, 80, _some(12, 34), taste=1.6)))


def _plays() -> pd.DataFrame:
    frame = named(pairs(200, 60, _some(5, 16), taste=1.5))
    plays = np.ceil(np.exp(2.2 + 1.3 * frame["liking"] + frame["liking"].rank(pct=True) * 2))
    return frame.assign(plays=plays.clip(1, 5000).astype(int)).drop(columns="liking")


#: Name of a kind -> its table; what is not a column of interactions is dropped on writing.
TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "structure": _structure,
    "no structure": lambda: named(stars(pairs(80, 40, _some(6, 14)))),
    "thirty users": lambda: named(stars(pairs(30, 40, _some(8, 16), taste=1.0))),
    "six items": lambda: named(stars(pairs(60, 6, _some(3, 7), taste=1.0))),
    "constant ratings": lambda: named(pairs(120, 40, _some(6, 14), taste=1.5)).assign(rating=1),
    "likes": lambda: named(pairs(200, 60, _some(6, 20), taste=1.8)),
    "likes without times": lambda: named(pairs(200, 60, _some(6, 20), taste=1.8)).drop(
        columns="timestamp"
    ),
    "play counts": _plays,
    "tenths": lambda: named(stars(pairs(150, 50, _some(8, 20), taste=1.3), 0, 10, 0.1)),
    "floats": lambda: named(stars(pairs(150, 50, _some(8, 20), taste=1.3), -9.93, 9.91, 0.01)),
    "five ratings a person": lambda: named(stars(pairs(600, 300, lambda user: 5, taste=1.0))),
    "one rating each": lambda: named(stars(pairs(200, 40, lambda user: 1))),
    "one review a person": lambda: named(stars(pairs(300, 300, lambda user: 1 + (user < 2)))),
    "three ratings a person": lambda: named(stars(pairs(300, 60, lambda user: 3, taste=1.0))),
    "no times": lambda: _structure().drop(columns="timestamp"),
    "numeric ids": lambda: stars(pairs(150, 50, _some(8, 20), taste=1.3)),
    "twelve thousand items": lambda: stars(pairs(800, 12_000, _some(20, 40), taste=1.0)),
}
WITH_CATALOG = ("structure", "likes", "play counts")


def write_table(kind: str, folder: Path) -> dict[str, str]:
    """Write a table, and return the parameters of a run on it."""
    frame = TABLES[kind]()
    stem = folder / kind.replace(" ", "_")
    frame.drop(columns="liking", errors="ignore").to_csv(f"{stem}.csv", index=False)
    given = {"SOURCE": f"{stem}.csv"}
    if kind in WITH_CATALOG:
        games(frame).to_csv(f"{stem}_items.csv", index=False)
        given["ITEMS"] = f"{stem}_items.csv"
    return given


def run(kind: str, given: dict[str, str], only: str, timeout: float = 900) -> tuple[int, str]:
    """Run notebooks on a table; return the exit code and what was last said."""
    texts = [part for name, value in given.items() for part in ("-p", name, value)]
    name = "table-" + kind.replace(" ", "-")
    command = [sys.executable, "-m", "recsys_lib", "run", "--name", name, "--only", only, *texts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def main() -> None:
    """Write all tables, and where notebooks are named run them and say how each ends."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[3:] or [*TABLES, "clicks of a world", "null", "mission"]
    for kind in wanted:
        given = write_table(kind, folder.resolve()) if kind in TABLES else PARAMETERS.get(kind)
        if len(sys.argv) > 2:
            code, said = run(kind, given or {"PRESET": kind}, sys.argv[2])
            last = [line for line in said.splitlines() if line.strip()][-2:]
            sys.stdout.write(f"{kind}: exit {code}: {' | '.join(last)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
