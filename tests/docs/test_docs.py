"""What the site shows: it builds, links lead somewhere, public names and words are told."""

import ast
import builtins
import doctest
import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pygments.lexers import get_lexer_by_name

import recsys_lib

ROOT = Path(recsys_lib.__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\(([^()\s]+)\)")
CODE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.M | re.S)


def prose(path: Path) -> str:
    """Return the text of a page or notebook without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    # The words of the glossary stand in a fenced block, and are prose all the same.
    return CODE.sub(lambda block: block[0] if block[0].startswith("```{glossary}") else "", text)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.*)$", prose(path), re.M)
    plain = (re.sub(r"[^\w\- ]", "", head.lower()).strip() for head in heads)
    return {head.replace(" ", "-") for head in plain}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    # A copy, since pages of the reference are written beside the others.
    folder = tmp_path / "project"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "_build", "prepared", "runs")
    shutil.copytree(ROOT, folder, ignore=left_out)
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", ".", "site"]
    done = subprocess.run(build, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in ("docs/index", "docs/api/index", "notebooks/01_synthesize_data", "search"):
        assert (folder / "site" / f"{page}.html").exists()


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(prose(path)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if file == "api/index.rst":  # written when the site is built
            continue
        assert found.exists(), f"{path.name} links to {target}"
        assert found.is_relative_to(ROOT), f"{path.name} links out of the project: {target}"
        if anchor:
            assert anchor in anchors(found), f"{path.name} links to {target}"


def test_every_page_and_notebook_is_in_the_navigation() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    trees = re.findall(r"```\{toctree\}(.*?)```", text, re.S)
    lines = {line.strip() for tree in trees for line in tree.splitlines()}
    named = {re.sub(r"^.* <(.*)>$", r"\1", line) for line in lines}
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    outside = {f"../{path.stem}" for path in ROOT.glob("*.md")}
    assert pages | outside | {"api/index", "../notebooks/*"} <= named


def test_the_readme_names_every_notebook() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [path.name for path in NOTEBOOKS if f"(notebooks/{path.name})" not in text]
    assert not missing, "name it in the table of README.md"


def test_the_glossary_tells_thirty_words_in_two_sentences_with_a_link_each() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    block = text.split("```{glossary}\n")[1].split("```")[0]
    terms = re.findall(r"^(\S.*)\n((?:  .*\n)+)", block, re.M)
    assert len(terms) >= 30
    assert [term.lower() for term, _ in terms] == sorted(term.lower() for term, _ in terms)
    for term, told in terms:
        assert LINK.search(told), f"{term} links to nowhere"
        sentences = re.split(r"[.:](?:\s|$)", LINK.sub("]", told).strip())
        assert len([one for one in sentences if len(one) > 12]) >= 2, term


@pytest.fixture(scope="module")
def settings() -> ModuleType:
    """Return docs/conf.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_conf", ROOT / "docs" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_describes_every_public_name_once(settings: ModuleType) -> None:
    pages = {package: set(settings.documented(package)) for package in settings.packages()}
    assert {"recsys_lib", "recsys_lib.models", "recsys_lib.pipeline"} <= pages.keys()
    described = [name.split(".")[-1] for names in pages.values() for name in names]
    everything = {name for package in pages for name in settings.public_names(package)}
    assert {name.split(".")[-1] for name in everything} == set(described)
    for package, names in pages.items():
        for name in names:
            found = settings._object(f"{package}.{name}")
            # The type of a constant has a docstring, which says nothing about the constant.
            is_data = not inspect.isclass(found) and not callable(found)
            told = settings.words_on_data(package, name) if is_data else found.__doc__
            assert told, f"{package}.{name} says nothing"


def test_functions_say_what_they_take_and_return(settings: ModuleType) -> None:
    amiss = set()
    for package in settings.packages():
        for name in settings.documented(package):
            found = settings._object(f"{package}.{name}")
            if inspect.isroutine(found):
                told, signature = inspect.getdoc(found) or "", inspect.signature(found)
                wanted = ["Parameters"] if signature.parameters else []
                wanted += [] if signature.return_annotation is None else ["Returns|Yields"]
                for section in wanted:
                    if not re.search(rf"^({section})\n---", told, re.M):
                        amiss.add(f"{package}.{name}: {section}")
    assert not amiss


def test_the_reference_has_every_name_that_notebooks_import(settings: ModuleType) -> None:
    described = {f"{p}.{name}" for p in settings.packages() for name in settings.documented(p)}
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").count(".") == 2:
                for one in node.names:
                    assert f"{node.module}.{one.name}" in described, f"{path.name}: {one.name}"


def unknown_names(code: str, known: set[str]) -> set[str]:
    """Return the names that code reads and neither makes itself nor is given."""
    nodes = list(ast.walk(ast.parse(code)))
    made = {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            made.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(one.asname or one.name).split(".")[0] for one in node.names}
    names = [node for node in nodes if isinstance(node, ast.Name)]
    made |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return {node.id for node in names} - made - known - set(dir(builtins))


def test_the_imports_on_a_page_are_all_that_its_examples_need(settings: ModuleType) -> None:
    finder, amiss = doctest.DocTestFinder(), {}
    for package in settings.packages():
        known: dict[str, object] = {}
        exec("\n".join(settings.imports_of_examples(package)), known)
        for name in settings.documented(package):
            found = settings._object(f"{package}.{name}")
            if not inspect.isclass(found) and not inspect.isroutine(found):
                continue
            for test in finder.find(found, name, sys.modules[found.__module__]):
                code = "".join(example.source for example in test.examples)
                if unknown := unknown_names(code, set(known)):
                    amiss[f"{package}: {test.name}"] = unknown
    assert not amiss


FENCED = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.M | re.S)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_code_block_can_be_highlighted(path: Path) -> None:
    # Sphinx warns of a block that its language's lexer cannot read, and `make docs` then fails.
    for language, code in FENCED.findall(path.read_text(encoding="utf-8")):
        lexer = get_lexer_by_name(language)
        lexer.add_filter("raiseonerror")
        assert list(lexer.get_tokens(code)), f"{path.name} has an empty block of {language}"
