"""Every notebook in JupyterLab, as a reader runs it: Run All in a fresh kernel, then look."""

import time
from pathlib import Path

import nbformat
import pytest

from recsys_lib.pipeline import Project

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [path.name for path in Project(ROOT).chain()]
SEARCH = "input[placeholder='Search titles and ids']"
WAIT_S = 30
# Cells out of sight are not drawn.
SHOW = """
const notebook = app.shell.currentWidget.content;
const texts = notebook.widgets.map((one) => one.model.sharedModel.getSource());
await notebook.scrollToItem(texts.findIndex((one) => one.includes(text)), "start");
"""
# One server, one run: the notebooks read what those before them have written. `make test` hands out
# whole files to its workers (--dist loadfile).
pytestmark = pytest.mark.slow


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def wait_until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_the_start_page_shows_the_chain(page):
    assert page.troubles() == []
    wait_until(lambda: "not run yet" in page.text(), "no state is shown")
    assert "12 · Compare runs" in page.text()
    page.driver.find_element("link text", "README").click()
    front = "return app.shell.currentWidget.title.label;"
    wait_until(lambda: page.run(front) == "README.md", "the link leads nowhere")
    assert page.console_errors() == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_saving_a_notebook_that_was_only_opened_changes_nothing(page, name):
    path = page.project / "notebooks" / name
    before = path.read_bytes()
    page.open(f"notebooks/{name}")
    page.command("docmanager:save")
    page.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all(page, name):
    path = page.project / "notebooks" / name
    page.open(f"notebooks/{name}")
    began = time.monotonic()
    page.command("notebook:run-all-cells")
    print(f"{path.stem:<28} {time.monotonic() - began:6.1f} s")
    page.command("docmanager:save")
    troubles, console = page.troubles(), page.console_errors()
    page.close()
    counts = [cell.execution_count for cell in code_cells(path) if cell.source.strip()]
    assert troubles == []
    assert console == []
    assert counts == list(range(1, len(counts) + 1))


def test_the_what_if_controls_move_the_list_and_the_saved_notebook_keeps_it(page):
    """After the run of all notebooks: what notebook 05 shows can be operated."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import Select

    name = next(name for name in NOTEBOOKS if name.startswith("05"))
    path = page.project / "notebooks" / name
    page.open(f"notebooks/{name}")
    page.command("notebook:run-all-cells")
    page.run(SHOW, text="what_if(bundle")
    search = page.driver.find_element("css selector", SEARCH)
    cell = search.find_element("xpath", "ancestor::div[contains(@class, 'jp-CodeCell')]")

    def press(label):
        cell.find_element("xpath", f".//button[normalize-space()='{label}']").click()

    def choose():
        """Choose what is found and unused; nothing while the list still follows the typing."""
        try:
            options = Select(cell.find_element("css selector", "select")).options
            texts = [one.text for one in options]
            at = next((at for at, text in enumerate(texts) if not text.endswith(")")), None)
            if at is None or "cloud" not in texts[at].lower():
                return ""
            options[at].click()
            return texts[at].split(" · ")[0]
        except StaleElementReferenceException:
            return ""

    first = cell.text
    assert "What if: without" in first
    assert "dropped" in first

    search.send_keys("cloud")
    wait_until(lambda: "matches" in cell.text, "the search has no answer")
    chosen = [""]
    wait_until(lambda: chosen.append(choose()) or chosen[-1], "nothing unused is found")
    title = chosen[-1]
    wait_until(lambda: "Add" in cell.text, "nothing can be added")
    press("Add")
    wait_until(lambda: f"with {title} (" in cell.text, "the list has not followed")
    press("Reset")
    wait_until(lambda: f"with {title} (" not in cell.text, "the reset has not arrived")

    page.command("docmanager:save")
    page.close()
    assert page.console_errors() == []
    page.open(f"notebooks/{name}")
    assert page.troubles() == []
    assert "What if: without" in "".join(
        str(output) for one in code_cells(path) for output in one.outputs
    )
    page.close()
