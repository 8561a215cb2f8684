"""Settings of the site that `make docs` builds; the repository itself is the source folder.

So a link from one file to another works on the site as it does in JupyterLab and on GitHub.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import recsys_lib

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api"

project = "recsys_lib"
author = "The recsys_lib developers"
version = release = recsys_lib.__version__
root_doc = "docs/index"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
]
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/*.md",
    "docs/api/*.rst",
    "notebooks/*.ipynb",
]
# Folders that are not even looked into.
exclude_patterns = [".*", "docs/_*", "data", "figures", "recsys_lib", "runs", "tests"]

nb_execution_mode = "off"  # the notebooks are shown as committed
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"
autodoc_typehints = "none"  # numpydoc says the types
autosummary_generate = False  # `write_api` writes one page per package
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "recsys_lib"
html_extra_path = ["_extra"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"README": [], "docs/glossary": []}  # pages that stand alone have no section
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

# Names that notebooks and guides import from a module rather than from its package.
BESIDE = {
    "recsys_lib": ["progress.track", "ranking.TopK", "ranking.top_k"],
    "recsys_lib.bundle": [
        "browse.browse",
        "browse.contributions",
        "browse.item_places",
        "browse.unknowns",
        "what_if.list_by_list",
        "what_if.what_if",
    ],
    "recsys_lib.models": [
        "base.Recommender",
        "on_likes.OnLikes",
        "on_likes.on_likes",
        "variational.annealing_steps",
    ],
    "recsys_lib.pipeline": ["inputs.import_table"],
    "recsys_lib.synthesis": ["world.write_files"],
}


def packages() -> list[str]:
    """Return the packages of the library, the library itself first."""
    names = (f"recsys_lib.{name}" for name in recsys_lib.__all__)
    found = (name for name in names if inspect.ismodule(_object(name)))
    return ["recsys_lib", *(name for name in found if name != "recsys_lib.notebook")]


def public_names(package: str) -> list[str]:
    """Return the public names of a package that are no modules, the classes first."""
    module = importlib.import_module(package)
    names = [*module.__all__, *BESIDE.get(package, [])]
    kept = [name for name in names if not inspect.ismodule(_object(f"{package}.{name}"))]
    return sorted(kept, key=lambda name: (not _is_class(package, name), name.lower()))


def documented(package: str) -> list[str]:
    """Return the names that the page of a package describes: its own, not those of another page."""
    names = public_names(package)
    if package != "recsys_lib":
        return names
    elsewhere = {name for other in packages()[1:] for name in public_names(other)}
    return [name for name in names if name not in elsewhere]


def words_on_data(package: str, name: str) -> str:
    """Return the comment above a constant (``#:``), in whichever module of the package has it."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        if found := re.search(rf"((?:^#:.*\n)+){name}\b", text, re.M):
            return " ".join(line.removeprefix("#:").strip() for line in found[1].splitlines())
    return ""


def imports_of_examples(package: str) -> list[str]:
    """Return the lines that make the names of a page's examples known."""
    lines = ["import numpy as np", "import pandas as pd", "from scipy import sparse"]
    lines += [f"from {name} import *" for name in dict.fromkeys(("recsys_lib", package))]
    for name in BESIDE.get(package, []):
        module, own = f"{package}.{name}".rsplit(".", 1)
        lines.append(f"from {module} import {own}")
    return lines


def write_api(_app: Any = None) -> None:
    """Write the pages of the API, one for each package."""
    API.mkdir(exist_ok=True)
    pages = {f"{package.replace('.', '_')}.rst": _page(package) for package in packages()}
    entries = "".join(f"   {name.removesuffix('.rst')}\n" for name in pages)
    pages["index.rst"] = (
        "API reference\n=============\n\n"
        "Every public name, by package. Each stands with the module that it is imported from.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n{entries}"
    )
    for name, text in pages.items():
        file = API / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    for file in API.glob("*.rst"):
        if file.name not in pages:
            file.unlink()


def _object(path: str) -> Any:
    """Return the object at a dotted path, importing as far as modules go."""
    package, _, name = path.rpartition(".")
    return getattr(importlib.import_module(package), name)


def _is_class(package: str, name: str) -> bool:
    return inspect.isclass(_object(f"{package}.{name}"))


def _page(package: str) -> str:
    module = importlib.import_module(package)
    lines = [package, "=" * len(package), ""]
    lines += [(module.__doc__ or "").split("\n\n")[0].strip(), ""]
    if package == "recsys_lib":
        homes = {name: other for other in packages()[1:] for name in public_names(other)}
        lines += ["Also importable from here:", ""]
        named = sorted(name for name in public_names(package) if name in homes)
        lines += [", ".join(f":py:obj:`~{homes[name]}.{name}`" for name in named) + ".", ""]
    lines += ["The examples need these imports::", ""]
    lines += [f"    {line}" for line in imports_of_examples(package)] + [""]
    names = documented(package)
    constants = [name for name in names if not callable(_object(f"{package}.{name}"))]
    others = [name for name in names if name not in constants]
    lines += [".. autosummary::", "", *(f"   ~{package}.{name}" for name in others), ""]
    for name in others:
        if _is_class(package, name):
            lines += [f".. autoclass:: {package}.{name}", "   :members:", ""]
        else:
            lines += [f".. autofunction:: {package}.{name}", ""]
    for name in constants:
        # The docstring that autodoc would show is that of the type: "Built-in immutable sequence".
        lines += [f".. py:data:: {package}.{name}", "", f"   {words_on_data(package, name)}", ""]
    return "\n".join(lines)


def link_by_last_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link `Fold` or `Recommender.save` where the docstring of another package names it so."""
    from docutils import nodes

    target = node["reftarget"]
    for name, found in env.get_domain("py").objects.items():
        # A word alone may be a parameter that is called as some method or attribute is.
        is_meant = "." in target or found.objtype in ("class", "exception", "function")
        if is_meant and name.startswith("recsys_lib.") and name.endswith(f".{target}"):
            there = app.builder.get_relative_uri(env.docname, found.docname)
            return nodes.reference("", "", content, refuri=f"{there}#{found.node_id}")
    return None


def setup(app: Any) -> None:
    """Write the pages of the API before the sources are read."""
    app.connect("builder-inited", write_api)
    app.connect("missing-reference", link_by_last_name)
