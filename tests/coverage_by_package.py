"""Print the share of lines of each package that the last tests reached: `make coverage`."""

from collections import Counter
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).parents[1] / "recsys_lib"


def by_package() -> dict[str, float]:
    """Return the share for each package of the library, and for the modules beside them."""
    measured = Coverage()
    measured.load()
    lines: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        name = parts[0] if len(parts) > 1 else "root"
        _, statements, _, missing, _ = measured.analysis2(str(path))
        lines[name] += len(statements)
        missed[name] += len(missing)
    return {name: 1 - missed[name] / max(n, 1) for name, n in sorted(lines.items())}


if __name__ == "__main__":
    for name, share in by_package().items():
        print(f"{name:<12} {share:6.1%}")
