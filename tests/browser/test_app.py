"""The page that `recsys app` serves, as somebody uses it who has never seen a notebook."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsys_lib import EASE, Bundle, Dataset, notebook
from recsys_lib.artifacts import read_json
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import declared

ROOT = Path(__file__).parents[2]
RUN = "shop/own"
WAIT_S = 300  # on a machine that does much else
NAMED = {"button", "textbox", "combobox", "listbox", "slider", "radio", "image", "heading"}
FOCUS = "2px solid rgb(213, 94, 0)"
FOCUSED = """
const one = document.activeElement, style = getComputedStyle(one);
if (one === document.body) return null;
const words = [one.tagName, one.type, one.className, one.placeholder, one.ariaLabel, one.innerText];
return {
  name: words.filter((word) => word).join(" "),
  outline: `${style.outlineWidth} ${style.outlineStyle} ${style.outlineColor}`,
};
"""
# The ratio of WCAG 2 between the color of an element and what lies behind it.
CONTRAST = """
const light = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const one = document.querySelector(arguments[0]), style = getComputedStyle(one);
let behind = one.parentElement;
const clear = (node) => /, 0\\)$/.test(getComputedStyle(node).backgroundColor);
while (clear(behind)) behind = behind.parentElement;
const color = one.tagName === "circle" ? style.fill : style.backgroundColor;
const pair = [color, getComputedStyle(behind).backgroundColor].map(light).sort();
return (pair[1] + 0.05) / (pair[0] + 0.05);
"""
pytestmark = pytest.mark.slow


def shop() -> Bundle:
    """A bundle of 300 people and 60 courses."""
    rng = np.random.default_rng(0)
    tracks = np.array(["cloud", "network", "security"])
    rows = [
        (f"user-{u}", f"c{i}")
        for u in range(300)
        for i in rng.choice(np.arange(u % 3, 60, 3), rng.integers(3, 9), replace=False)
    ]
    items = pd.DataFrame({"title": [f"Course {i} of {tracks[i % 3]}" for i in range(60)]})
    items.loc[::2, "title"] += "_and_what_else_stands_in_the_way" * 4
    items["track"] = tracks[np.arange(60) % 3]
    items["minutes"] = rng.choice([30, 45, 60, 90], 60)
    items.index = [f"c{i}" for i in range(60)]
    users = pd.DataFrame({"role": tracks[np.arange(300) % 3]}, [f"user-{u}" for u in range(300)])
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"])
    dataset = Dataset.from_frame(frame, value=None, items=items, users=users)
    return Bundle(model=EASE().fit(dataset.user_items), dataset=dataset)


@pytest.fixture(scope="module")
def served(project: Path, chromium: str, serve: Any) -> Iterator[str]:
    """Serve the page of a run that has a bundle; the address."""
    home, name = Project(project), "05_recommend"
    known = declared(read_json(home.notebooks / f"{name}.ipynb"), name)
    values = {key: one.default for key, one in known.items()} | {"RUN": RUN}
    notebook.start(name, values, project=home).save("bundle", shop())
    before = sorted(home.run_folder(RUN).rglob("*"))
    with serve("app", project, "/voila/static/voila.js", "--run", RUN) as url:
        yield url
    assert sorted(home.run_folder(RUN).rglob("*")) == before, "a page must leave its run alone"


class App:
    """The page in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def find(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def texts(self, selector: str) -> list[str]:
        """Return the text of what is in sight, read at one moment."""
        script = """
        const all = [...document.querySelectorAll(arguments[0])];
        return all.filter((one) => one.offsetParent).map((one) => one.innerText.trim());
        """
        return list(self.driver.execute_script(script, selector))

    def titles(self) -> list[str]:
        return [re.sub(r"^\d+\. ", "", head) for head in self.texts(".rs-card h3")]

    def press(self, key: str) -> None:
        """Press a key on whatever has the focus."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(key).perform()

    def tab(self) -> Any:
        """Go to what comes next; what it is, and the line around it, or None at the end."""
        self.press("\ue004")
        return self.driver.execute_script(FOCUSED)

    def status(self) -> str:
        return " ".join(self.texts("[role=status]"))

    def prefer(self, value: str, name: str = "prefers-color-scheme") -> None:
        """Let the system prefer a color scheme, or something else."""
        media = {"features": [{"name": name, "value": value}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def button(self, label: str) -> Any:
        return next(one for one in self.find("button") if one.text == label)

    def until(self, condition: Any) -> float:
        """Wait for a condition, and return the seconds that it took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < WAIT_S, f"not so: {self.status()}"
            time.sleep(0.01)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def app(served: str, chromium: str, open_browser: Any, tmp_path_factory: Any) -> Iterator[App]:
    driver = open_browser(chromium, tmp_path_factory.mktemp("profile"))
    try:
        began = time.monotonic()
        driver.get(served)
        app = App(driver)
        while not app.titles():
            assert time.monotonic() - began < WAIT_S, "no card is shown"
            time.sleep(0.05)
        print(f"first view {time.monotonic() - began:.1f} s")
        yield app
    finally:
        driver.quit()


def test_whoever_is_found_is_chosen_by_the_arrow_down(app: App) -> None:
    search, found = app.find("input[placeholder='Search people']")[0], app.find("select")[0]
    for person in ("user-14", "user-15", "user-16"):  # the first match, also after a choice
        search.send_keys("\ue009", "a", "\ue000", person)  # Control
        app.until(lambda person=person: found.text.startswith(person))
        app.until(lambda: found.get_property("selectedIndex") == -1)
        time.sleep(0.5)
        app.press("\ue004")  # Tab
        app.press("\ue015")  # Down
        time.sleep(1)  # people are no faster; Chromium then goes on from what was chosen before
        app.until(lambda person=person: f"{person} · " in app.status())
    search.send_keys("\ue009", "a", "\ue000", "\ue003")  # Backspace
    app.until(lambda: "300 in all" in app.status())


def test_a_person_is_found_by_typing(app: App) -> None:
    search, found = app.find("input[placeholder='Search people']")[0], app.find("select")[0]
    assert len(found.find_elements("css selector", "option")) == 20
    search.send_keys("user-29")
    searched = app.until(lambda: "11 matches" in app.status())
    option = found.find_elements("css selector", "option")[-1]
    person = option.text
    option.click()
    met = app.until(lambda: f"{person} · " in app.status())
    print(f"search {searched:.2f} s, person {met:.2f} s")


def test_the_focus_is_seen_on_everything_that_takes_it(app: App) -> None:
    app.driver.execute_script("document.querySelector('input').focus();")
    outlines = {}
    while (focused := app.tab()) and len(outlines) < 60:
        name, outline = focused["name"], focused["outline"]
        outlines[f"{len(outlines)} {name}"] = outline
    reached = " ".join(outlines)
    for name in ("radio", "Search people", "SELECT", "minutes from", "variety", "Why?", "Used it"):
        assert name in reached
    # A readout of two values takes no text, and so no focus.
    assert reached.count("widget-readout") == 1
    assert {one: outline for one, outline in outlines.items() if outline != FOCUS} == {}


def test_a_card_opens_by_the_keyboard_and_says_why(app: App) -> None:
    title = app.titles()[0]
    app.button("Why?").send_keys("\ue007")  # Enter
    opened = app.until(lambda: app.find("svg.rs-map[role=img]"))
    print(f"card {opened:.2f} s")
    text = app.texts(".rs-card")[0]
    assert "What speaks for it?" in text
    assert "By what the model has learned" in text
    assert app.titles()[0] == title
    assert len(app.find("circle.rs-listed")) == 10 + 1  # and in the legend
    for scheme in ("dark", "light"):
        app.prefer(scheme)
        for mark in (".rs-bar > div", ".rs-map .rs-listed", ".rs-map .rs-used", ".rs-map .rs-this"):
            assert app.driver.execute_script(CONTRAST, mark) >= 3, (scheme, mark)
    app.prefer("active", "forced-colors")
    assert app.driver.execute_script(CONTRAST, ".rs-bar > div") >= 3
    app.prefer("light")
    app.button("Close").click()
    app.until(lambda: not app.find("svg.rs-map[role=img]"))


def test_filters_and_used_items_move_the_list(app: App) -> None:
    options = [one for one in app.find("option") if one.text in ("cloud", "network", "security")]
    other = next(one for one in options if one.text not in app.titles()[0])
    other.click()
    track = other.text
    filtered = app.until(lambda: all(track in title for title in app.titles()))
    used = app.titles()[0]
    app.button("Used it").click()
    taken = app.until(lambda: used not in app.titles())
    print(f"filter {filtered:.2f} s, used {taken:.2f} s")
    app.until(lambda: f"with {used.rsplit(' ', 1)[0]}" in app.status())


def test_a_visitor_may_tell_a_profile(app: App) -> None:
    next(one for one in app.find("label") if one.text == "A visitor").click()
    app.until(lambda: "A visitor. 0 items used" in app.status())
    roles = next(
        one for one in app.find("select") if one.is_displayed() and "not known" in one.text
    )
    options = roles.find_elements("css selector", "option")
    next(one for one in options if one.text == "network").click()
    app.until(lambda: "A visitor · network" in app.status())


def test_everything_has_a_name_for_screen_readers(app: App) -> None:
    nodes = app.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    seen = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in NAMED
    ]
    assert len(seen) > 30
    assert [role for role, name in seen if not name.strip()] == []
    told = "return [...document.querySelectorAll('[role=slider]')].map((one) => one.ariaValueText);"
    assert app.driver.execute_script(told) == ["30-90", "30-90", "0.0"]
    titles = (
        "return [...document.querySelectorAll('.widget-hslider label')].map((one) => one.title);"
    )
    assert "null" not in app.driver.execute_script(titles)


def test_it_is_dark_where_the_system_is_and_fits_a_phone(app: App) -> None:
    color = "return getComputedStyle(document.body).backgroundColor;"
    assert app.driver.execute_script(color) == "rgb(255, 255, 255)"
    app.prefer("dark")
    assert app.driver.execute_script(color) == "rgb(17, 17, 17)"
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    app.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    width = "return document.documentElement.scrollWidth;"
    assert app.driver.execute_script(width) <= 390
    clipped = "return [...document.querySelectorAll('.rs-card')].filter((one) => one.offsetParent"
    clipped += " && one.scrollWidth > one.clientWidth).map((one) => one.innerText);"
    assert app.driver.execute_script(clipped) == []
    top = "return arguments[0].getBoundingClientRect().top;"
    listed = app.driver.execute_script(top, app.find(".rs-card")[0])
    assert listed < app.driver.execute_script(top, app.find(".rs-asked")[0])


def test_nothing_comes_from_elsewhere_and_the_console_has_no_error(app: App) -> None:
    told = [json.loads(one["message"])["message"] for one in app.driver.get_log("performance")]
    sent = [one["params"] for one in told if one["method"] == "Network.requestWillBeSent"]
    addresses = {one["request"]["url"] for one in sent}
    assert len(addresses) > 10
    assert [
        one for one in addresses if not re.match(r"http://127\.0\.0\.1:|data:|blob:|chrome:", one)
    ] == []
    logged = app.driver.get_log("browser")
    assert [one["message"] for one in logged if one["level"] == "SEVERE"] == []


def test_a_page_says_that_its_kernel_is_gone(app: App) -> None:
    app.driver.refresh()
    app.until(app.titles)
    assert [one.text for one in app.find("[role=alert]")] == [""]
    end = """
    const told = JSON.parse(document.getElementById("jupyter-config-data").textContent);
    const token = document.cookie.match(/_xsrf=([^;]*)/)[1];
    const how = {method: "POST", headers: {"X-XSRFToken": token}};
    fetch(`${told.baseUrl}voila/api/shutdown/${told.kernelId}`, how).then(arguments[0]);
    """
    app.driver.execute_async_script(end)
    app.until(lambda: "Reload it" in app.find("[role=alert]")[0].text)
    app.driver.refresh()
    app.until(app.titles)
    assert [one.text for one in app.find("[role=alert]")] == [""]


def test_a_page_that_is_left_ends_its_kernel(app: App, project: Path) -> None:
    log = project.parent / "app.log"
    ended = log.read_text().count("Kernel shutdown")
    app.driver.get("about:blank")
    app.until(lambda: log.read_text().count("Kernel shutdown") > ended)
