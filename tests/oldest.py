"""Print the oldest versions that pyproject.toml promises, as constraints for pip: `make oldest`.

What only tests and the site need is promised to nobody, and stays as new as it comes.
"""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
LOWEST = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)")


def oldest() -> list[str]:
    """Return one constraint for each package that is named with a lowest version."""
    extras = PROJECT["optional-dependencies"].items()
    promised = [requirements for name, requirements in extras if name not in ("dev", "docs")]
    lists = [PROJECT["dependencies"], *promised]
    found = [LOWEST.match(line) for requirements in lists for line in requirements]
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


if __name__ == "__main__":
    print(*oldest(), sep="\n")
