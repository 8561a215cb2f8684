"""How notebooks are written: what a reader, papermill, nbval and git rely on."""

import ast
import json
import re
from pathlib import Path

import pytest

from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.lab import METADATA

PROJECT = Project.find(Path(__file__))
STEPS = load_steps(PROJECT)
NODES = {step.name: json.loads(step.path.read_text(encoding="utf-8")) for step in STEPS}
each_notebook = pytest.mark.parametrize("name", list(NODES))

MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|Users|work|mnt|opt|var)/\w")
# What executed code may not do where others rerun it: shell, magics that reload, silenced warnings.
FORBIDDEN = re.compile(r"^\s*[!%]|filterwarnings|simplefilter|autoreload|np\.random\.seed", re.M)


def cells(name, kind="code"):
    found = [cell for cell in NODES[name]["cells"] if cell["cell_type"] == kind]
    return [("".join(cell["source"]), cell) for cell in found]


def code_lines(source):
    lines = [line.strip() for line in source.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def outputs(name):
    return [one for _, cell in cells(name) for one in cell["outputs"]]


def output_text(output):
    data = output.get("data", {"text/plain": output.get("text", "")})
    return "".join("".join(data.get(kind, "")) for kind in ("text/plain", "text/html"))


def test_every_notebook_is_in_the_chain():
    found = {path.name for path in PROJECT.notebooks.rglob("*.ipynb")}
    hidden = {name for name in found if name.endswith("-checkpoint.ipynb")}
    assert found - hidden == {step.path.name for step in STEPS}


def test_the_numbers_follow_one_another():
    assert [int(step.number) for step in STEPS] == list(range(1, len(STEPS) + 1))


def test_a_parameter_of_several_notebooks_has_one_default():
    defaults = {}
    for step in STEPS:
        for parameter in step.parameters.values():
            defaults.setdefault(parameter.name, set()).add(repr(parameter.default))
    assert {name: values for name, values in defaults.items() if len(values) > 1} == {}


@each_notebook
def test_the_first_cell_says_what_to_expect(name):
    first = NODES[name]["cells"][0]
    text = "".join(first["source"])
    assert first["cell_type"] == "markdown"
    assert re.match(rf"# {name[:2]} · \S", text)
    assert re.search(r"^> .*\?$", text, re.M | re.S)
    for part in ("**You will see**", "**Reads**", "**Writes**", "**Takes**"):
        assert part in text


@each_notebook
def test_the_first_cell_names_the_artifacts_that_the_code_reads_and_writes(name):
    text = "".join(NODES[name]["cells"][0]["source"])
    reads, writes = re.search(
        r"\*\*Reads\*\*(.*?)\*\*Writes\*\*(.*?)\*\*Takes\*\*", text, re.S
    ).groups()
    code = "\n".join(source for source, _ in cells(name))
    named = re.compile(r"`([a-z0-9_]+)`")
    written = set(re.findall(r'session\.(?:save|writing)\(\s*"([a-z0-9_]+)"', code))
    read = set(re.findall(r'session\.(?:read|find)\(\s*"([a-z0-9_]+)"', code))
    assert set(named.findall(reads)) == read - written
    assert set(named.findall(writes)) == written


@each_notebook
def test_parameters_are_literals_with_a_unit_each(name):
    step = next(step for step in STEPS if step.name == name)
    assert {"RUN", "SEED"} <= step.parameters.keys()
    assert step.parameters["RUN"].default == "lab"
    assert [one.name for one in step.parameters.values() if not one.comment] == []
    tagged = [
        i
        for i, (_, cell) in enumerate(cells(name))
        if "parameters" in cell["metadata"].get("tags", [])
    ]
    assert tagged == [1], "imports, then the parameters, then what is derived from them"


@each_notebook
def test_the_session_begins_right_below_the_parameters(name):
    assert f'notebook.start("{name}", globals())' in cells(name)[2][0]


@each_notebook
def test_it_is_short_enough_to_be_read(name):
    sizes = [len(code_lines(source)) for source, _ in cells(name)]
    assert 16 <= len(NODES[name]["cells"]) <= 27
    besides_parameters = sizes[:1] + sizes[2:]
    assert max(besides_parameters) < 15
    assert sum(besides_parameters) <= 100


@each_notebook
def test_headings_ask_questions(name):
    headings = re.findall(
        r"^## (.*)$", "\n".join(text for text, _ in cells(name, "markdown")), re.M
    )
    assert len(headings) >= 3
    assert [one for one in headings if not one.rstrip().endswith("?")] == []


@each_notebook
def test_it_leads_to_the_next(name):
    last = "".join(NODES[name]["cells"][-1]["source"])
    later = [step.path.name for step in STEPS if step.name > name][:1]
    assert NODES[name]["cells"][-1]["cell_type"] == "markdown"
    assert all(file in last for file in later)


@each_notebook
def test_links_between_notebooks_and_to_files_lead_somewhere(name):
    text = "\n".join(source for source, _ in cells(name, "markdown"))
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not (PROJECT.notebooks / link).exists()] == []


@each_notebook
def test_code_runs_anywhere_and_hides_nothing(name):
    for source, _ in cells(name):
        assert not FORBIDDEN.search(source), source
        assert not MACHINE_PATH.search(source), source


@each_notebook
def test_logic_lives_in_the_library(name):
    for source, _ in cells(name):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno < 10, node.name


@each_notebook
def test_prose_states_no_number_that_a_cell_computes(name):
    """A decimal fraction or a percentage in prose is such a number; in code spans it is quoted."""
    for text, _ in cells(name, "markdown"):
        prose = re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$|\]\([^)]*\)", "", text, flags=re.S)
        assert re.findall(r"\b\d+\.\d+\b|\b\d+ ?%", prose) == [], text


@each_notebook
def test_committed_outputs_are_those_of_a_whole_clean_run(name):
    node = NODES[name]
    assert node["metadata"] == METADATA
    ran = [cell for source, cell in cells(name) if source.strip()]
    assert [cell["execution_count"] for cell in ran] == list(range(1, len(ran) + 1))
    assert [cell["id"] for cell in node["cells"]] == [
        f"{name[:2]}-{i:02d}" for i in range(1, len(node["cells"]) + 1)
    ]
    assert [cell for cell in node["cells"] if cell["metadata"].keys() - {"tags"}] == []
    assert (PROJECT.notebooks / f"{name}.ipynb").stat().st_size < 1_000_000


@each_notebook
def test_no_output_is_an_error_noise_or_of_one_machine(name):
    kinds = [one["output_type"] for one in outputs(name)]
    assert "error" not in kinds
    assert [one["text"] for one in outputs(name) if one.get("name") == "stderr"] == []
    for one in outputs(name):
        text = output_text(one)
        assert not MACHINE_PATH.search(text), text
        assert not re.search(r"\bat 0x[0-9a-f]+", text), text


@each_notebook
def test_it_shows_a_figure_and_checks_a_number(name):
    kinds = {kind for one in outputs(name) for kind in one.get("data", {})}
    assert "image/png" in kinds
    assert any("session.check(" in source for source, _ in cells(name))


@each_notebook
def test_no_table_of_all_test_people_and_all_items_is_made(name):
    code = "\n".join(source for source, _ in cells(name))
    assert not re.search(r"(targets|fold_in)\.toarray\(|\.score\((rows|.*\.fold_in)\)", code)


@pytest.mark.parametrize("number", ["09", "10", "11"])
def test_a_large_table_of_ones_own_gets_the_sparse_closed_form(number):
    name = next(name for name in NODES if name.startswith(number))
    code = "\n".join(source for source, _ in cells(name))
    assert re.search(r"<= 8_000 else .*SparseEASE", code)
    assert not re.search(r"models\.(EASE|EDLAE)\(", code)
