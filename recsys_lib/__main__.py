"""``python -m recsys_lib`` is ``recsys``."""

import sys

from recsys_lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
