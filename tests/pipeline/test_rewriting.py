"""Committed outputs: the same bytes for the same results."""

import nbformat

from recsys_lib.pipeline.lab import clean, rewrite

FIGURE = """
import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(2, 2))
axes.plot([SEED, 1, 2])
session.figure(figure, "01_line")
"""


def test_rewriting_twice_gives_the_same_bytes(project, write, run):
    path = write("01_draw", FIGURE, "import sys\nfor i in range(3):\n    print(i)", "session")
    first = rewrite(project, run("lab", force=True))
    bytes_then = path.read_bytes()
    assert first == [path]
    assert rewrite(project, run("lab", force=True)) == []
    assert path.read_bytes() == bytes_then

    node = nbformat.reads(bytes_then.decode(), as_version=4)
    assert node.metadata.keys() == {"kernelspec", "language_info"}
    assert [cell.id for cell in node.cells] == [f"01-0{i}" for i in range(1, 6)]
    assert [cell.execution_count for cell in node.cells] == [1, 2, 3, 4, 5]
    assert node.cells[3].outputs == [
        nbformat.v4.new_output("stream", name="stdout", text="0\n1\n2\n")
    ]
    assert node.cells[0].metadata == {"tags": ["parameters"]}


def test_times_are_rewritten_only_when_something_else_is(project, write, run):
    path = write("01_time", "import time", "print(time.time_ns())", "print('a result')")
    node = nbformat.read(path, as_version=4)
    node.cells[3].metadata.tags = ["timing"]
    nbformat.write(node, path)
    assert rewrite(project, run("lab", force=True)) == [path]
    assert rewrite(project, run("lab", force=True)) == []

    node = nbformat.read(path, as_version=4)
    before = node.cells[3].outputs
    node.cells[4].outputs[0].text = "another result\n"
    nbformat.write(node, path)
    assert rewrite(project, run("lab", force=True)) == [path]
    assert nbformat.read(path, as_version=4).cells[3].outputs != before


def test_what_papermill_added_goes():
    cells = [
        nbformat.v4.new_code_cell("RUN = 'x'", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("y", metadata={"papermill": {"duration": 1}, "collapsed": True}),
    ]
    node = clean(nbformat.v4.new_notebook(cells=cells), "04")
    assert [(cell.source, cell.metadata, cell.id) for cell in node.cells] == [("y", {}, "04-01")]
