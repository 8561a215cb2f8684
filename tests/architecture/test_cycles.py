"""No module imports itself by way of others, inside a package either.

Imports inside functions count: they run as any other. What only a type checker reads does not.
"""

import ast
from pathlib import Path

import recsys_lib

ROOT = Path(recsys_lib.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def statements(tree: ast.AST) -> list[ast.AST]:
    """Every node of a module that runs: without the blocks for type checkers."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        found += [node, *statements(node)]
    return found


def lazy_names(package: str) -> dict[str, str]:
    """Return the module that each lazy name of a package comes from, by its stub."""
    stub = FILES[package].with_suffix(".pyi")
    if not stub.exists():
        return {}
    nodes = [one for one in ast.parse(stub.read_text("utf-8")).body if hasattr(one, "names")]
    return {
        alias.name: ".".join(filter(None, (package, node.module)))
        for node in nodes
        for alias in node.names
    }


def home(module: str, name: str) -> str:
    """Return the module that ``from module import name`` runs for the sake of the name."""
    if f"{module}.{name}" in FILES:
        return f"{module}.{name}"
    source = lazy_names(module).get(name) if FILES[module].name == "__init__.py" else None
    return module if source in (None, module) else home(str(source), name)


def imported(module: str) -> set[str]:
    """Return the modules of the library that a module imports."""
    found = set()
    for node in statements(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recsys_lib":
            found |= {home(str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in FILES}
    return found - {module, "recsys_lib"}


def test_no_module_imports_itself_by_way_of_others() -> None:
    left = {module: imported(module) for module in FILES}
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    # Whatever is left is in a cycle or imports one; show the shortest way around.
    assert not left, "a cycle of imports: " + " -> ".join(way_around(left))


def way_around(left: dict[str, set[str]]) -> list[str]:
    """Return one cycle of a graph in which every module imports another one of it."""
    way = [min(left)]
    while way[-1] not in way[:-1]:
        way.append(min(left[way[-1]] & left.keys()))
    return way[way.index(way[-1]) :]
