"""The command line, in its own process where signals and exit codes matter."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from recsys_lib import Bundle, Dataset, Popularity
from recsys_lib.cli import _print_list, main, recsys
from recsys_lib.pipeline import Manifest

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
RUN_WITH_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from recsys_lib.cli import main
raise SystemExit(main(["run"]))
"""
PARAMETERS = 'RUN = "lab"  # name\nSEED = 0  # seed'


def write(folder, name, *sources, parameters=PARAMETERS):
    start = f"from recsys_lib import notebook\nsession = notebook.start({name!r}, globals())"
    cells = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "id": f"c{i}",
         "execution_count": None}
        for i, source in enumerate((parameters, start, *sources))
    ]  # fmt: skip
    cells[0]["metadata"] = {"tags": ["parameters"]}
    node = {"cells": cells, "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebooks" / f"{name}.ipynb").write_text(json.dumps(node))


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recsys_lib.pipeline.store.Library.fingerprint", lambda *_: "the library")
    return tmp_path


@pytest.fixture
def bundle(project):
    write(project, "01_make")
    users = ["nle", "nle", "kro", "kro", "nelly"]
    frame = pd.DataFrame({"user_id": users, "item_id": ["a", "b", "b", "c", "d"]})
    items = pd.DataFrame({"title": ["Alpha", "Beta", "Gamma", "Delta"]}, index=list("abcd"))
    items["track"] = ["NET", "NET", "NET", "SEC"]
    dataset = Dataset.from_frame(frame, value=None, items=items)
    model = Popularity().fit(dataset.user_items)
    Bundle(model=model, dataset=dataset).save(project / "runs/default/artifacts/bundle")


def wait_for(path, seconds=90):
    end = time.monotonic() + seconds
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.05)
    return path.read_text()


def gone(pid, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_each_notebook_is_a_line_with_what_it_wrote(project, capsys):
    write(project, "01_make", 'session.save("facts", [SEED]);')
    assert main(["run", "-p", "SEED", "3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("01_make      3 cells")
    assert out[0].endswith(" s  facts")
    assert main(["run", "-p", "SEED", "3"]) == 0
    assert "unchanged, skipped  facts" in capsys.readouterr().out


def test_a_failing_notebook_is_exit_1_with_notebook_cell_error_and_copy(project, capsys):
    write(project, "01_fail", "1 / 0")
    assert main(["run"]) == 1
    said = capsys.readouterr()
    assert "FAILED" in said.out
    assert "01_fail stopped in cell 3 of 3: ZeroDivisionError: division by zero" in said.err
    assert f"Executed up to there: {project / 'runs/default/01_fail.ipynb'}" in said.err
    assert "Traceback" not in said.err


def test_bad_input_found_by_a_notebook_is_exit_2(project, capsys):
    write(
        project,
        "01_read",
        "from recsys_lib import Dataset\nimport pandas as pd",
        'Dataset.from_frame(pd.DataFrame({"user_id": [1]}))',
    )
    assert main(["run"]) == 2
    assert (
        "stopped in cell 4 of 4: Column 'item_id' must be in the table" in capsys.readouterr().err
    )
    assert main(["run", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_argument_that_the_library_refuses_is_bad_input_and_other_value_errors_are_not(
    project, capsys
):
    write(
        project,
        "01_rank",
        "import numpy as np\nfrom recsys_lib.ranking import top_k",
        "top_k(np.ones((1, 2)), SEED - 1)",
    )
    assert main(["run"]) == 2
    said = capsys.readouterr().err
    assert "01_rank stopped in cell 4 of 4: `k` must be" in said
    assert "Traceback" not in said
    write(project, "01_rank", "raise ValueError('x must be y')")
    assert main(["run"]) == 1
    assert "ValueError: x must be y" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommned"], "No such command 'recommned'. Did you mean 'recommend'?"),
        (["run", "--ony", "01"], "No such option '--ony'. Did you mean '--only'?"),
        (["run", "--timeout", "-1"], "'--timeout': -1.0 is not in the range x>=0"),
        (["recommend", "nle", "-k", "0"], "'-k': 0 is not in the range x>=1"),
        (["sweep"], "Missing option '-f'"),
        ([], "Usage: recsys [OPTIONS] COMMAND"),
    ],
)
def test_a_wrong_command_or_option_is_exit_2_with_the_near_name(capsys, arguments, message):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_each_command_is_listed_with_a_whole_sentence(capsys):
    assert main(["--help"]) == 0
    commands = capsys.readouterr().out.partition("Commands:")[2]
    assert commands
    assert "..." not in commands


def test_a_run_may_be_named_like_a_command_of_runs_and_a_pattern_too(project, capsys):
    write(project, "01_read", "1")
    assert main(["run", "--name", "compared"]) == 0
    for name in ("compared", "compare*"):
        assert main(["runs", name]) == 0
    assert "compared" in capsys.readouterr().out


def test_every_command_has_help(capsys):
    for words in (
        [],
        ["run"],
        ["sweep"],
        ["runs"],
        ["runs", "compare"],
        ["runs", "prune"],
        ["tune"],
    ):
        assert main([*words, "--help"]) == 0
        assert "Usage: recsys" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("recsys ")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("recsys r", {"run", "runs", "recommend"}),
        ("recsys runs ", {"list", "compare", "export", "prune"}),
        ("recsys runs compare sw", {"sweep/a", "sweep/b"}),
        ("recsys sweep --backend ", {"local", "loky", "dask"}),
        ("recsys recommend --r", {"--run"}),
        ("recsys recommend --run def", {"default"}),
    ],
)
def test_the_shell_completes_commands_options_and_runs(project, capsys, monkeypatch, words, found):
    write(project, "01_make")
    for name in ("default", "sweep/a", "sweep/b"):
        Manifest(run=name, status="done").save(project / "runs" / name)
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "_RECSYS_COMPLETE" in capsys.readouterr().out
    monkeypatch.setenv("_RECSYS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert main([]) == 0
    completed = {line.partition(",")[2] for line in capsys.readouterr().out.splitlines()}
    assert found <= completed
    assert len(completed) <= len(found) + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "SED", "1"], "Did you mean 'SEED'"),
        (["-p", "SEED", "one"], "SEED must be of type int, like 0; got 'one' (str)"),
        (["-f", "no.yaml"], "parameter file no.yaml must be readable"),
        (["--only", "07"], "--only must name notebooks by number"),
        (["--from", "99"], "--from must name notebooks by number, like 02 or 01-03; got '99'"),
        (["--name", "../x"], "name of a run"),
    ],
)
def test_a_wrong_request_is_exit_2_before_anything_runs(project, capsys, arguments, message):
    write(project, "01_make", "open('ran', 'w')")
    assert main(["run", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (project / "runs").exists()


def test_a_killed_run_goes_on_where_it_stopped(project, capsys):
    write(project, "01_make", 'session.save("facts", [1]);')
    write(
        project,
        "02_hang",
        'facts, place = session.read("facts"), session.project.root / "pid"',
        "import os, time\nplace.exists() or (place.write_text(str(os.getpid())), time.sleep(600))",
        'session.save("more", [2]);',
    )
    command = [sys.executable, "-m", "recsys_lib", "run"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL) as process:
        kernel = int(wait_for(project / "pid"))
        process.kill()
    assert gone(kernel), "the kernel outlived its run"
    # The killed run saw the real library; here it must be what it saw.
    record = json.loads((project / "runs/default/state/01_make.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys_lib.pipeline.store.Library.fingerprint", lambda *_: record["library"])
        assert main(["run"]) == 0
    out = capsys.readouterr().out
    assert out.count("unchanged, skipped") == 1
    assert "unchanged, skipped  facts" in out
    assert json.loads((project / "runs/default/artifacts/more.json").read_text()) == [2]
    assert not [path for path in project.rglob(".*") if ".part" in path.name]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_takes_its_kernel_along(project, sent):
    write(
        project,
        "01_hang",
        "import os, time",
        'pid = (session.project.root / "pid").write_text(str(os.getpid())); time.sleep(600)',
    )
    # What was started in the background inherits that SIGINT is ignored; a terminal's does not.
    command = [sys.executable, "-c", RUN_WITH_CTRL_C]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        kernel = int(wait_for(project / "pid"))
        process.send_signal(sent)
        try:
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.startswith("Interrupted.")
    assert gone(kernel, seconds=1)


def test_a_list_has_titles_and_leaves_out_what_was_used(bundle, capsys):
    assert main(["recommend", "kro", "-k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "item_id", "probability", "rung", "title"]
    assert len(lines) == 3
    assert {line.split()[-1] for line in lines[1:]} == {"Alpha", "Delta"}
    for column, text in (("title", lines[1].split()[-1]), ("rung", "history")):
        assert lines[0].index(column) == lines[1].index(text)


TRAIN = """import pandas as pd
from recsys_lib import Bundle, Dataset, EASE, strong_generalization
dataset = Dataset.from_frame(pd.read_csv(SOURCE), value=None)
split = strong_generalization(dataset, validation_users=5, test_users=40, fold_in=0.5, seed=SEED)
model = EASE(l2=5.0).fit(split.train)
session.save("ranking_split", split)
session.save("bundle", Bundle(model=model, dataset=dataset, handover=0.0))"""


def test_a_bundle_is_trained_anew_and_the_better_one_stays(project, capsys):
    rng = np.random.default_rng(0)

    def table(name, n_users, taste):
        """People of two groups, each with half of the items; without taste, with all of them."""
        users, items = np.indices((n_users, 30))
        alike = (users - items) % 2 == 0
        used = rng.random(alike.shape) < (alike * 0.6 if taste else 0.3)
        frame = pd.DataFrame({"user_id": users[used], "item_id": [f"i{i}" for i in items[used]]})
        frame.to_csv(name, index=False)
        return str(project / name)

    parameters = f'{PARAMETERS}\nSOURCE = ""  # path of a table'
    write(project, "01_make", TRAIN, parameters=parameters)
    write(project, "02_other", "raise ValueError('not to be run')", parameters=parameters)
    read = 'assert recsys_lib.Bundle.load(session.read("bundle")).dataset.n_users == 200'
    write(project, "03_page", "import recsys_lib", read)
    noise, taste = table("noise.csv", 100, False), table("taste.csv", 200, True)
    assert main(["run", "--only", "01", "-p", "SOURCE", noise]) == 0
    folder = project / "runs/default/artifacts/bundle"
    before = (folder / "manifest.json").read_text()
    assert main(["retrain", "-p", "SOURCE", taste]) == 0
    said = capsys.readouterr().out
    assert "new leads old" in said
    assert (
        "The new bundle answers now in run 'default'; the candidate is run 'default.next'" in said
    )
    taken = (folder / "manifest.json").read_text()
    assert taken != before
    assert Bundle.load(folder).dataset.n_users == 200
    # So does the page, a notebook of the run.
    assert main(["run", "--only", "03"]) == 0
    # Once more on the same data there is nothing that the bundle has not seen.
    assert main(["retrain", "-p", "SOURCE", taste]) == 0
    said = capsys.readouterr().out
    assert "must have something that the old bundle has not seen; 0 have" in said
    assert "The old bundle stays in run 'default'" in said
    assert (folder / "manifest.json").read_text() == taken
    assert main(["retrain", "--run", "other"]) == 2
    assert "Run 'other' must have made `bundle`" in capsys.readouterr().err
    assert main(["retrain", "-p", "SUORCE", taste]) == 2
    assert "SOURCE" in capsys.readouterr().err
    # The run makes the bundle of its own data again.
    assert main(["run", "--only", "01", "-p", "SOURCE", noise]) == 0
    assert Bundle.load(folder).dataset.n_users == 100


def test_a_user_is_asked_for_where_none_is_given(bundle, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or " nle ")
    assert main(["recommend"]) == 0
    assert asked == ["User name: "]
    assert "Gamma" in capsys.readouterr().out


def test_a_list_longer_than_the_catalog_says_that_it_is_all(bundle, capsys):
    assert main(["recommend", "nle", "-k", "300"]) == 0
    assert "Items left for user 'nle': 2." in capsys.readouterr().out


def test_rules_are_typed_as_in_a_file(bundle, capsys):
    assert main(["recommend", "nle", "--where", "{track: [SEC]}"]) == 0
    said = capsys.readouterr().out
    assert "Delta" in said
    assert "Gamma" not in said
    assert "Items left for user 'nle' under these rules: 1." in said
    assert main(["recommend", "nle", "--promote", "d", "--limit-per", '{"track": 1}', "-k2"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "Delta",
        "Gamma",
    ]
    assert main(["recommend", "nle", "--never", "c", "--where", "track: NET"]) == 0
    assert capsys.readouterr().out == "Items left for user 'nle' under these rules: 0.\n"


def test_everybody_is_written_to_a_file(bundle, project, capsys):
    (project / "some.txt").write_text("kro\nnle\n")
    assert main(["recommend", "--all", "-k", "1", "-o", "all.csv"]) == 0
    assert capsys.readouterr().out == "3 rows: all.csv\n"
    assert pd.read_csv("all.csv")["user_id"].tolist() == ["kro", "nelly", "nle"]
    command = ["recommend", "--users", "some.txt", "-o", "duckdb:///l.db", "--table", "lists"]
    assert main([*command, "--where", "{track: SEC}"]) == 0
    assert capsys.readouterr().out == "2 rows: duckdb:///l.db, table lists\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nle", "--where", "track=NET"], "--where must be a mapping, such as '{track: [NET"),
        (["nle", "--where", "{track: ["], "--where must be a mapping"),
        (["nle", "--where", "{trak: NET}"], "got 'trak'. Near: 'track'"),
        (["nle", "--where", "{track: NETT}"], "got 'NETT'. Near: 'NET'"),
        (["--where", "{trak: NET}"], "got 'trak'. Near: 'track'"),
        (["nle", "--all", "-o", "x.csv"], "one user is answered here"),
        (["nle", "-o", "x.csv"], "Lists of many are written with --all"),
        (["--all"], "Lists of many are written with --all"),
        (["--users", "none.txt", "-o", "x.csv"], "none.txt must be a list of user ids; [Errno 2]"),
        (["--all", "-o", "x.xlsx"], "must be a path that ends in .parquet or .csv"),
        (["--all", "-o", "duckdb:///x.db"], "needs the name of a table"),
        (["nlee"], "got 'nlee'. Near: 'nle'."),
        (["nle", "--run", "other"], "Run 'other' must have made `bundle`"),
        (["--all", "--users", "some.txt", "-o", "x.csv"], "are written with --all or --users"),
        (["--all", "-o", "x.csv", "--table", "lists"], "the output 'x.csv' is a file"),
        (["nle", "--run", ".."], "name of a run"),
    ],
)
def test_a_wrong_question_is_exit_2_with_one_line(bundle, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr("builtins.input", lambda text: "nle")
    assert main(["recommend", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1


def test_an_id_is_named_with_all_its_blanks(project, capsys):
    write(project, "01_make")
    frame = pd.DataFrame({"user_id": ["a  b", "c"], "item_id": ["x", "y"]})
    dataset = Dataset.from_frame(frame, value=None)
    model = Popularity().fit(dataset.user_items)
    Bundle(model=model, dataset=dataset).save(project / "runs/default/artifacts/bundle")
    assert main(["recommend", "a b"]) == 2
    assert "Near: 'a  b'." in capsys.readouterr().err
    assert main(["recommend", "a  b", "-k", "1000000000000"]) == 0  # as long as there are items
    assert "Items left for user 'a  b': 1." in capsys.readouterr().out


def test_no_name_at_all_is_an_answer_too(bundle, capsys, monkeypatch):
    def at_end(_):
        raise EOFError

    monkeypatch.setattr("builtins.input", at_end)
    assert main(["recommend"]) == 2
    assert "A user name must be given" in capsys.readouterr().err


def test_an_argument_that_the_library_refuses_is_told_without_its_type(bundle, capsys):
    assert main(["serve", "--limit", "body", "0"]) == 2
    assert capsys.readouterr().err == "recsys: `body` must be > 0; got 0.0.\n"


def test_a_damaged_bundle_is_named(bundle, project, capsys):
    (project / "runs/default/artifacts/bundle/manifest.json").write_text("{")
    assert main(["recommend", "nle"]) == 2
    assert "manifest.json must be a readable artifact" in capsys.readouterr().err


def test_the_doctor_tells_versions_backend_devices_memory_and_disk(project, capsys):
    assert main(["doctor"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["numpy"].startswith("2.")
    assert rows["backend"] in ("tensorflow", "jax")
    assert "CPU" in rows["devices"]
    assert "GiB free of" in rows["memory"]
    assert "GiB free of" in rows["disk"]


def test_outside_a_project_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run"]) == 2
    assert "must be inside the project" in capsys.readouterr().err


def test_a_run_that_compares_models_prints_the_comparison_best_first(project, capsys):
    rows = "rows = [[name, value, 'model', 'ndcg@9'] for name, value in (('knn', .2), ('vae', .3))]"
    make = "import pandas as pd\n"
    make += "table = pd.DataFrame(rows, columns=['model', 'value', 'role', 'metric'])"
    make += ".assign(low=float('nan'))"
    write(project, "01_compare", rows, make, "session.save('comparison_table', table)")
    assert main(["run"]) == 0
    said = capsys.readouterr().out
    assert "Comparison of models, ndcg@9\n" in said
    assert re.search(r"vae 0.3000 +–\nknn 0.2000 +–\n", said)


OWN = f'{PARAMETERS}\nSOURCE = ""  # path of a table'
TAKE = 'session.save("dataset", [open(session.input(SOURCE)).read() if SOURCE else ""]);'


@pytest.fixture
def on_data(project):
    """A chain that takes data, and a notebook that makes its own."""
    write(project, "01_take", TAKE, parameters=OWN)
    write(
        project, "02_use", 'session.read("dataset");', parameters=f"{PARAMETERS}\nEPOCHS = 2  # n"
    )
    write(
        project, "03_worlds", 'session.save("worlds", [1]);', parameters=f"{PARAMETERS}\nN = 1  # n"
    )
    for name in ("a.csv", "b.csv"):
        (project / name).write_text(name)
    return project


def test_a_failure_lists_what_was_not_run_and_the_command_that_goes_on(on_data, capsys):
    write(on_data, "02_use", 'session.read("dataset")', "assert False", "session.save('x', [1])")
    write(on_data, "04_last", "session.read('x')")
    assert main(["run", "--name", "mine", "-p", "SOURCE", "a.csv", "-p", "SEED", "3"]) == 1
    said = capsys.readouterr()
    assert "not run: 02_use failed" in said.out
    assert "02_use stopped in cell 4 of 5: AssertionError: it gives no reason" in said.err
    assert "Not run, as they read from it: 04_last" in said.err
    assert "goes on from there: recsys run --name mine -p SOURCE a.csv -p SEED 3\n" in said.err
    assert main(["runs"]) == 0
    assert " failed " in capsys.readouterr().out


def test_one_fault_of_the_data_is_told_once(on_data, capsys):
    refuse = "from recsys_lib.errors import DataError\nraise DataError('a.csv must have users.')"
    for name in ("01_take", "04_own", "05_scale"):
        write(on_data, name, refuse, parameters=OWN)
    assert main(["run", "-p", "SOURCE", "a.csv", "--workers", "1"]) == 2
    said = capsys.readouterr().err
    assert said.count("a.csv must have users.") == 1
    assert "01_take stopped in cell 3 of 3: a.csv" in said
    assert "Stopped for the same reason: 04_own, 05_scale" in said


def test_what_makes_its_own_worlds_is_left_out_on_own_data_unless_asked_for(on_data, capsys):
    source = ["-p", "SOURCE", "a.csv", "--name"]

    def made(run):
        return (on_data / f"runs/{run}/artifacts/worlds.json").exists()

    assert main(["run", *source, "a"]) == 0
    assert "03_worlds  skipped: makes its own worlds; --only 03 runs it" in capsys.readouterr().out
    assert not made("a")
    assert main(["run", *source, "a", "--only", "03"]) == 0
    assert main(["run", *source, "b", "-p", "N", "2"]) == 0
    assert main(["run"]) == 0
    assert made("a")
    assert made("b")
    assert made("default")


def test_the_data_of_a_run_is_replaced_only_on_demand(on_data, capsys):
    assert main(["run", "--only", "01", "-p", "SOURCE", "a.csv"]) == 0
    for other in (["-p", "SOURCE", "b.csv"], []):
        assert main(["run", "--only", "01", *other]) == 2
        assert "Run 'default' must keep its data; it was made from" in capsys.readouterr().err
    assert main(["run", "--only", "01-02", "-p", "SOURCE", "a.csv", "-p", "SEED", "1"]) == 0
    assert main(["run", "--only", "01", "-p", "SOURCE", "b.csv", "--replace"]) == 0


def test_a_part_of_a_run_of_own_data_takes_no_other_source_for_want_of_one(on_data, capsys):
    write(on_data, "04_own", "SOURCE or 'a world of its own'", parameters=OWN)
    assert main(["run", "--name", "a", "-p", "SOURCE", "a.csv"]) == 0
    capsys.readouterr()
    assert main(["run", "--name", "a", "--from", "03"]) == 2
    said = capsys.readouterr().err
    assert "and this command takes the default world. Give -p SOURCE" in said
    source = said.partition("-p SOURCE ")[2].partition(",")[0]
    assert main(["run", "--name", "a", "--from", "03", "-p", "SOURCE", source]) == 0
    assert main(["run", "--name", "a", "--only", "02"]) == 0  # reads none


def test_a_run_whose_data_come_from_no_source_is_run_again(on_data):
    write(on_data, "01_take", 'session.save("dataset", [1]);')
    write(on_data, "04_own", "SOURCE or 'a world of its own'", parameters=OWN)
    assert main(["run", "--name", "a"]) == 0
    assert main(["run", "--name", "a", "--only", "01,04", "--force"]) == 0


@pytest.mark.parametrize("source", [[], ["-p", "SOURCE", ""]])
def test_a_catalog_of_no_source_is_not_passed_over(on_data, capsys, source):
    write(on_data, "01_take", TAKE, parameters=f'{OWN}\nITEMS = ""  # path of your catalog')
    assert main(["run", "-p", "ITEMS", "b.csv", *source]) == 2
    assert "ITEMS must come with SOURCE, which it describes" in capsys.readouterr().err
    assert not (on_data / "runs").exists()
    assert main(["run", "-p", "ITEMS", "b.csv", "-p", "SOURCE", "a.csv"]) == 0


def test_parameters_of_the_whole_chain_are_taken_by_a_part_of_it(on_data, capsys):
    same = ["--name", "a", "-p", "SOURCE", "a.csv", "-p", "EPOCHS", "3"]
    assert main(["run", *same]) == 0
    assert main(["run", *same, "--from", "02"]) == 0
    capsys.readouterr()
    assert main(["run", "--name", "a", "-p", "EPOCHS", "4", "--only", "03"]) == 2
    said = capsys.readouterr().err
    assert "EPOCHS must be set where it is read; 02_use is not to run, and ran with 3." in said


def test_a_run_without_a_bundle_says_its_own_command(on_data, capsys):
    assert main(["run", "--name", "mine", "-p", "SOURCE", "a.csv", "--only", "01"]) == 0
    assert main(["recommend", "nle", "--run", "mine"]) == 2
    command = f"`recsys run --name mine -p SOURCE {on_data / 'a.csv'}`"
    assert f"it has not come so far. Make it with {command}, or" in capsys.readouterr().err
    assert main(["recommend", "nle", "--run", "mime"]) == 2
    assert "there is no such run. Did you mean 'mine'? Make it" in capsys.readouterr().err


def test_a_mistyped_name_is_asked_for_again(bundle, capsys, monkeypatch):
    typed = iter(["nlee", "nle"])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    assert main(["recommend"]) == 0
    said = capsys.readouterr()
    assert "got 'nlee'. Near: 'nle'." in said.err
    assert "Gamma" in said.out


def test_runs_inside_a_run_are_counted_and_not_listed(project, capsys):
    write(project, "01_make")
    for name in ("default", "default/a", "default/b", "sweep/c"):
        Manifest(run=name, status="done").save(project / "runs" / name)
    assert main(["runs"]) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()[1:3]] == ["default", "sweep/c"]
    assert "2 more inside run 'default': `recsys runs default` lists them." in said.err
    assert main(["runs", "default"]) == 0
    assert "default/b" in capsys.readouterr().out


def test_a_terminal_without_the_letters_of_a_title_shows_the_rest(bundle, project):
    frame = pd.DataFrame({"user_id": ["nle", "kro"], "item_id": ["a", "Zoë Ω"]})
    dataset = Dataset.from_frame(frame, value=None)
    model = Popularity().fit(dataset.user_items)
    Bundle(model=model, dataset=dataset).save(project / "runs/default/artifacts/bundle")
    command = [sys.executable, "-m", "recsys_lib", "recommend", "nle"]
    done = subprocess.run(
        command, cwd=project, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Zo? ?" in done.stdout


def test_a_bundle_that_needs_no_network_does_not_start_one(bundle, project):
    code = "import sys; from recsys_lib.cli import main; main(['recommend', 'nle']);"
    code += "print([name for name in ('tensorflow', 'keras', 'jax') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_comes_at_once(project):
    code = "import sys; import recsys_lib.cli; print({'pandas', 'numpy'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "set()\n"


def test_someone_who_has_used_everything_is_told_so_instead_of_an_empty_table(capsys):
    _print_list(pd.DataFrame(columns=["rank", "item_id", "title", "probability", "rung"]), "p1", 10)
    assert capsys.readouterr().out == "Items left for user 'p1': 0.\n"


@pytest.mark.parametrize("command", ["app", "lab", "serve"])
def test_a_port_that_no_machine_has_is_refused(command, capsys):
    [port] = [one for one in recsys.commands[command].params if one.name == "port"]
    assert port.type.max == 65_535  # of 70000 the rest was taken, and another address was told
    assert main([command, "--port", "70000"]) == 2
    assert "70000 is not in the range" in capsys.readouterr().err
