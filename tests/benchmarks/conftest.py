"""Benchmarks share helpers that lie beside them, and are scripts of other interpreters as well."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
