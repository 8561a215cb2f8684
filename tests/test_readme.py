"""The README's Python, as printed there, on a table of one's own."""

import re
from pathlib import Path

import pytest

from recsys_lib import make_world

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ratings.csv from 1 to 5 with the ids that the README names, in the working directory."""
    ratings = make_world(n_users=300, n_items=60).ratings
    numbers = {name: ratings[name].factorize()[0] + 1 for name in ("user_id", "item_id")}
    table = ratings.assign(**numbers, value=(ratings["value"] + 1) // 2)
    table["user_id"] = table["user_id"].replace(1, 196)
    table["item_id"] = table["item_id"].replace({1: 242, 2: 302})
    table = table.drop_duplicates(["user_id", "item_id"]).rename(columns={"value": "rating"})
    table.to_csv(tmp_path / "ratings.csv", index=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("own_table")
@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("import ")[1][:12])
def test_the_snippets_run_as_printed(snippet: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert ("EASE leads Popularity" in printed) or ("probability" in printed)


def test_there_are_two_snippets_of_at_most_eight_lines() -> None:
    assert len(SNIPPETS) == 2
    for snippet in SNIPPETS:
        statements = [line for line in snippet.splitlines() if line and "import" not in line]
        assert len(statements) <= 7


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target
