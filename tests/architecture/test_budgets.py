"""Small is a budget: code lines for each package, files, and public names in all.

A code line is a line with code on it: docstrings, comments and blank lines are free. A public name
is one that a package lists in its stub, or a module in ``__all__``, for people, notebooks and the
docs to rely on; what only the library's own modules share is listed nowhere.

Budgets are a ratchet. When a package has become smaller, lower its budget to what it has. Raising
one is a decision: write the reason into the same commit, and first look for the concept that is
there already, for a library, and for what can be deleted. *Goal* is what the design asks for.
"""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

import pytest

import recsys_lib

ROOT = Path(recsys_lib.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# Package: (budget, goal) in code lines; root are the modules beside them without a line here.
# Cleaning, tables and times were in sources and root, whose goals they share.
BUDGETS = {
    "bundle": (1_595, 1_000),
    "cleaning": (284, 0),
    "coldstart": (552, 750),
    "evaluation": (1_716, 1_780),
    "exploration": (217, 215),
    "models": (2_824, 2_600),
    "pipeline": (3_507, 2_400),
    "plots": (1_095, 780),
    "root": (2_014, 990),
    "serving": (913, 1_000),
    "sources": (1_481, 1_420),
    "splitting": (227, 215),
    "synthesis": (1_285, 1_430),
    "tables": (184, 0),
    "times": (149, 0),
    "training": (1_405, 1_170),
    "tuning": (879, 750),
}
ALL = (20_327, 14_000)
FILES = (136, 140)
PUBLIC_NAMES = (238, 300)
REMEDY = "Merge, delete, or raise the budget with the reason in the commit."


def code_lines(source: str) -> int:
    """Count the lines with code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def package(path: Path) -> str:
    """Return whose budget a file counts for: its package, itself, or the root."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else path.stem if path.stem in BUDGETS else "root"


def listed(path: Path) -> set[str]:
    """Return the names in a module's ``__all__``, or those that the stub of a package lists."""
    stub = path.with_suffix(".pyi")
    if stub.exists():
        nodes = ast.parse(stub.read_text(encoding="utf-8")).body
        return {
            one.name for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names
        }
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def public_names() -> set[tuple[str, str]]:
    """Return every public name with its package, once."""
    found = {(package(path), name) for path in MODULES for name in listed(path)}
    # The library itself repeats names of its packages.
    elsewhere = {name for home, name in found if home != "root"}
    return {(home, name) for home, name in found if home != "root" or name not in elsewhere}


@pytest.fixture(scope="module")
def counted() -> Counter[str]:
    found: Counter[str] = Counter()
    for path in MODULES:
        found[package(path)] += code_lines(path.read_text(encoding="utf-8"))
    return found


def test_no_package_has_outgrown_its_budget(counted: Counter[str]) -> None:
    assert counted.keys() <= BUDGETS.keys(), "give the new package a budget"
    over = {
        name: f"{lines:,} code lines, budget {BUDGETS[name][0]:,}"
        for name, lines in counted.items()
        if lines > BUDGETS[name][0]
    }
    assert not over, f"{over}. {REMEDY}"
    assert counted.total() <= ALL[0], f"All has {counted.total():,} lines of {ALL[0]:,}. {REMEDY}"


def test_neither_files_nor_public_names_have_outgrown_theirs() -> None:
    files, names = len(MODULES), len(public_names())
    assert files <= FILES[0], f"{files} files, budget {FILES[0]}. {REMEDY}"
    assert names <= PUBLIC_NAMES[0], f"{names} public names, budget {PUBLIC_NAMES[0]}. {REMEDY}"


def test_lines_are_counted_without_docstrings_comments_and_blanks() -> None:
    source = ['"""Module."""', "", "# comment", "X = (", "    1,  # one", ")", "", "def f():"]
    source += ['    """Doc', "", '    more."""', "    return X", ""]
    assert code_lines("\n".join(source)) == 5
