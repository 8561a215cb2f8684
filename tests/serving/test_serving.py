"""The service as a process of its own: lists, refusals, limits, new bundles, the end."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import get_args

import httpx
import mlflow.pyfunc
import nbformat
import pandas as pd
import psutil
import pytest
from nbclient import NotebookClient

from recsys_lib import Bundle, Dataset, Popularity, make_world
from recsys_lib._system import limited_threads
from recsys_lib.cli import main
from recsys_lib.errors import ArtifactError, ConfigError, RecsysError
from recsys_lib.serving import Limits, serve, shapes
from recsys_lib.serving.app import Loaded
from recsys_lib.serving.server import is_loopback
from tests.serving.conftest import Service

KEYS = {"RECSYS_API_KEY": "first-key, second-key dritter-schlüssel"}
FIELDS = ["rank", "item_id", "title", "probability", "rung", "because"]


def rows_of(frame):
    """Return a list as an answer tells it: unknown numbers are null."""
    found = frame[FIELDS].astype(object)
    return found.where(found.notna(), None).to_dict("records")


def listed(service, question):
    answer = service.client.post("/recommendations", json=question)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- the lists


def test_a_user_gets_the_same_list_everywhere(
    service, world_bundle, bundle_folder, capsys, monkeypatch, tmp_path
):
    """From the bundle, over HTTP, on the command line, in a notebook and from MLflow."""
    user = str(world_bundle.dataset.user_ids[3])
    wanted = rows_of(world_bundle.recommend(user, k=5))
    answer = service.client.get(f"/users/{user}/recommendations", params={"k": 5}).json()
    assert answer["recommendations"] == wanted
    assert answer["bundle"] == json.loads((bundle_folder / "manifest.json").read_text())["manifest"]
    again = service.client.get(f"/users/{user}/recommendations", params={"k": 5}).json()
    assert again == answer  # from what is kept
    fewer = service.client.get(f"/users/{user}/recommendations", params={"k": 2}).json()
    assert fewer["recommendations"] == wanted[:2]
    assert listed(service, {"user": user, "k": 5}) == answer
    monkeypatch.chdir(bundle_folder.parents[3])
    assert main(["recommend", user, "-k", "5"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[1] for line in shown.splitlines()[1:] if line.split()[0].isdigit()] == [
        row["item_id"] for row in wanted
    ]
    cell = f"""
import json
from recsys_lib import Bundle
print(Bundle.load({str(bundle_folder)!r}).recommend({user!r}, k=5).to_json(orient="records"))
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(book, timeout=300).execute()
    in_notebook = json.loads("".join(out["text"] for out in book.cells[0].outputs))
    approximately = [row | {"probability": pytest.approx(row["probability"])} for row in wanted]
    assert in_notebook == approximately  # `to_json` writes ten digits
    world_bundle.to_mlflow(tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    said = model.predict(pd.DataFrame({"user": [user]}), params={"k": 5})
    assert said["recommendations"][0] == wanted


def test_those_who_ask_at_once_get_what_each_would_get_alone(bundle_folder, world_bundle):
    users, items = (
        ids.astype(str) for ids in (world_bundle.dataset.user_ids, world_bundle.dataset.item_ids)
    )
    questions = [{"user": user, "k": 3 + at % 5} for at, user in enumerate(users[:40])]
    questions += [{"history": [item, items[0]], "diversity": 0.2} for item in items[1:10]]
    questions += [{"profile": {"role": "nobody's"}}, {"user": "nobody"}, {}]
    service = Service(bundle_folder, "--limit", "kept", "0")
    try:
        with ThreadPoolExecutor(24) as threads:
            ask = partial(service.client.post, "/recommendations")
            answers = list(threads.map(lambda one: ask(json=one), questions * 3))
    finally:
        assert service.stop() == 0
    for question, answer in zip(questions * 3, answers, strict=True):
        if answer.status_code == 200:
            assert answer.json()["recommendations"] == rows_of(world_bundle.recommend(**question))
        else:
            with pytest.raises(RecsysError, match=re.escape(answer.json()["detail"])):
                world_bundle.recommend(**question)
    assert [one.status_code for one in answers] == ([200] * 49 + [422, 422, 200]) * 3


def test_busy_workers_let_connections_go_where_there_are_others(service, bundle_folder):
    def closed(url: str) -> int:
        with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(16) as threads:
            answers = threads.map(lambda _: client.get("/items?search=a&limit=9"), range(400))
            return sum(one.headers.get("connection") == "close" for one in answers)

    assert closed(service.url) == 0
    several = Service(bundle_folder, "--workers", "2")
    try:
        assert 0 < closed(several.url) < 200
    finally:
        assert several.stop() == 0


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"history": {"ITEM": 9.0}, "k": 4},
        {"history": ["ITEM"], "exclude": ["OTHER"], "diversity": 0.3},
        {"profile": {"role": "ROLE"}, "limit_per": {"track": 1}},
        {"where": {"track": ["TRACK"], "duration_minutes": {"max": 90}}, "promote": ["OTHER"]},
        {"user": "USER", "never": ["ITEM"], "only": ["ITEM", "OTHER"]},
        {"user": "USER", "exclude": None, "never": None, "promote": None, "diversity": None},
    ],
)
def test_every_rule_reaches_the_bundle(service, world_bundle, question):
    dataset = world_bundle.dataset
    names = {
        "USER": dataset.user_ids[0],
        "ITEM": dataset.item_ids[0],
        "OTHER": dataset.item_ids[7],
        "ROLE": dataset.users["role"].iloc[0],
        "TRACK": dataset.items["track"].iloc[7],
    }
    text = json.dumps(question)
    for name, value in names.items():
        text = text.replace(name, str(value))
    question = json.loads(text)
    assert listed(service, question)["recommendations"] == rows_of(
        world_bundle.recommend(**question)
    )


def test_many_people_are_answered_in_their_order(service, world_bundle):
    people = [{"user": str(user), "k": 3} for user in world_bundle.dataset.user_ids[:40]]
    people *= 2  # more than one block
    people.append({"only": []})
    people.append({"history": [str(world_bundle.dataset.item_ids[0])], "k": 2})
    answers = listed(service, people)
    lists = [world_bundle.recommend(**one) for one in people]
    assert [one["recommendations"] for one in answers] == [rows_of(one) for one in lists]


def test_bodies_with_many_people_hold_up_nobody_who_asks_for_one(service, world_bundle):
    users = world_bundle.dataset.user_ids
    many = [{"user": str(user), "k": 50} for user in users.repeat(1_000 // len(users) + 1)[:1_000]]
    with ThreadPoolExecutor(3) as threads:
        bodies = [
            threads.submit(service.client.post, "/recommendations", json=many) for _ in range(3)
        ]
        time.sleep(0.1)
        assert service.client.get(f"/users/{users[-1]}/recommendations?k=7").status_code == 200
        assert not all(one.done() for one in bodies)
    assert [len(one.result().json()) for one in bodies] == [1_000] * 3


def test_items_are_found_by_id_and_title(service, world_bundle):
    items = world_bundle.dataset.items
    item, title = items.index[4], items["title"].iloc[4]
    for text in (item.lower(), title.upper()):
        found = service.client.get("/items", params={"search": text}).json()["items"]
        assert {"item_id": item, "title": title} in found
    assert len(service.client.get("/items", params={"limit": 7}).json()["items"]) == 7


def test_similar_items_are_those_of_the_bundle(service, world_bundle):
    item = str(world_bundle.dataset.item_ids[4])
    said = service.client.get(f"/items/{item}/similar", params={"k": 3}).json()
    wanted = world_bundle.similar(item, k=3)
    assert said["items"] == [
        {**row, "similarity": pytest.approx(row["similarity"])} for row in wanted.to_dict("records")
    ]
    assert service.client.get("/items/nothing/similar").status_code == 404


def test_the_model_tells_what_it_is(service, world_bundle):
    said = service.client.get("/model").json()
    assert (said["model"], said["n_items"], said["n_users"]) == ("EASE", 40, 120)
    assert said["settings"]["l2"] == 20.0
    assert said["manifest"]["kind"] == "bundle"


# --- refusals


@pytest.mark.parametrize(
    ("method", "address", "content", "status", "part"),
    [
        ("GET", "/users/nobody-here/recommendations", None, 404, "The user must be one of the 120"),
        ("GET", "/users/%2e%2e%2f%2e%2e%2fetc%2f/recommendations", None, 404, "The user must"),
        ("GET", "/static-offline-docs/..%2f..%2fsetup.py", None, 404, "The address must be one"),
        ("GET", "/etc/passwd", None, 404, "The address must be one of this service"),
        ("DELETE", "/recommendations", None, 405, "The method must be one that"),
        ("GET", "/items?limit=0", None, 422, "`limit` must be greater than or equal to 1; got '0'"),
        ("GET", f"/items?search={'x' * 9000}", None, 422, "`search` must have at most 200"),
        ("POST", "/recommendations", b'{"k": 1001}', 422, "`k` must be less than or equal to 1000"),
        ("POST", "/recommendations", b'{"kk": 1}', 422, "`kk` extra inputs are not permitted"),
        ("GET", "/items?serach=a", None, 422, "`serach` extra inputs are not permitted; got"),
        ("GET", "/items/a/similar?kk=3", None, 422, "`kk` extra inputs"),
        ("GET", "/users/nle/recommendations?where=x", None, 422, "`where` extra inputs"),
        ("POST", "/recommendations", b"", 422, "`body` field required; got None."),
        ("POST", "/recommendations", b"3", 422, "`body` must be a valid dictionary"),
        ("POST", "/recommendations", b'{"history": {"a": NaN}}', 422, "`history"),
        ("POST", "/recommendations", b'{"user": 1' + b"0" * 400 + b"}", 422, "`user"),
        ("POST", "/recommendations", b'{"user": 1' + b"0" * 9000 + b"}", 400, "The body must be"),
        ("POST", "/recommendations", b'{"user": "\xff"}', 400, "The body must be JSON in UTF-8"),
        ("POST", "/recommendations", b"[" * 100_000, 400, "The body must be JSON"),
        ("POST", "/recommendations", b'{"user": ', 400, "The body must be JSON; "),
        ("POST", "/recommendations", b"[]", 422, "at least 1 item"),
        ("POST", "/recommendations", json.dumps([{}] * 1001).encode(), 422,
         "`body` must have at most 1000 items, not 1001; got"),
        ("POST", "/recommendations", b'{"history": {"a": null}}', 422, "`history.a` must be"),
        ("POST", "/recommendations", b'{"user": ["a"]}', 422, "`user` must be a valid string; got"),
        ("POST", "/recommendations", b'{"where": {"a": {"mn": 1}}}', 422, "`where.a.mn` must"),
        ("POST", "/recommendations", b'[{"k": 0}]', 422, "`0.k` must be greater"),
        ("POST", "/recommendations", b'{"history": ["nothing"]}', 422, "The item must be one of"),
        ("POST", "/recommendations", b'[{}, {"user": "x"}]', 422, "Person 2 of 2: The user must"),
        ("POST", "/recommendations", b'{"where": {"trak": 1}}', 422, "'track'"),
        ("POST", "/recommendations", b" " * 2_000_001, 413, "The body must be at most 2,000,000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_problem_document(
    service, method, address, content, status, part
):
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=60)
    with closing(connection):
        # Not by httpx, which would tidy the address up.
        connection.request(method, address, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
    assert (answer.status, said["status"]) == (status, status), said
    assert part in said["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert said.keys() == {"type", "title", "status", "detail", "instance"}
    assert said["instance"] == answer.headers["x-request-id"]
    assert "Traceback" not in said["detail"]


def test_a_head_is_that_of_get_without_the_body(service, world_bundle):
    user = world_bundle.dataset.user_ids[8]
    for address in (
        "/health/ready",
        "/docs",
        f"/users/{user}/recommendations?k=4",
        "/items/x/similar",
    ):
        for _ in range(2):  # the second time from what is kept
            head, answer = service.client.head(address), service.client.get(address)
            assert head.status_code == answer.status_code
            assert head.content == b""
            for name in ("content-length", "content-type"):
                assert head.headers[name] == answer.headers[name]
    assert service.client.head("/recommendations").status_code == 405


def test_a_slash_at_the_end_is_passed_over(service, world_bundle):
    user = world_bundle.dataset.user_ids[8]
    for address in (f"/users/{user}/recommendations", "/users/50%25%3F%23/recommendations"):
        answer, other = service.client.get(address), service.client.get(f"{address}/")
        assert other.status_code == answer.status_code
        assert other.json() | {"instance": ""} == answer.json() | {"instance": ""}
    assert service.client.post("/recommendations/", json={"k": 1}).status_code == 200


def test_no_answer_is_to_be_kept_on_the_way(service, world_bundle):
    for address in (f"/users/{world_bundle.dataset.user_ids[9]}/recommendations", "/nothing"):
        for _ in range(2):
            assert service.client.get(address).headers["cache-control"] == "no-store"


def test_a_body_that_is_not_declared_as_json_is_told(service):
    answer = service.client.post("/recommendations", content=b'{"k": 1}')
    assert answer.status_code == 400
    assert "must be declared as application/json" in answer.json()["detail"]


def test_near_names_are_few(service, world_bundle):
    wrong = str(world_bundle.dataset.user_ids[3])[:-1] + "~"
    said = service.client.get(f"/users/{wrong}/recommendations").json()["detail"]
    shown = [user for user in world_bundle.dataset.user_ids if f"'{user}'" in said]
    assert 1 <= len(shown) <= 3


def test_any_few_hundred_bodies_are_answered_or_refused_in_order(service):
    chance = random.Random(0)
    statuses = set()
    for content in (fuzzed(chance) for _ in range(300)):
        headers = {"content-type": "application/json"}
        answer = service.client.post("/recommendations", content=content, headers=headers)
        assert answer.status_code in {200, 400, 422}, content
        assert "Traceback" not in answer.text
        statuses.add(answer.status_code)
    assert statuses == {200, 400, 422}


VALUES = [
    "",
    "x",
    "\x00",
    "é😀",
    -1,
    0,
    3,
    1e300,
    2**64,
    None,
    True,
    [],
    {},
    [[]],
    {"a": {}},
    "track",
]
NAMES = ["user", "history", "profile", "k", "exclude", "only", "where", "available", "limit_per"]
NAMES += ["promote", "never", "diversity", "nonsense"]


def fuzzed(chance: random.Random) -> bytes:
    """Return a body that is nearly a question."""

    def value(depth=0):
        kind = chance.random()
        if depth < 3 and kind < 0.2:
            return [value(depth + 1) for _ in range(chance.randrange(4))]
        if depth < 3 and kind < 0.4:
            return {chance.choice([*NAMES, "track", "max"]): value(depth + 1) for _ in range(2)}
        return chance.choice(VALUES)

    names = chance.sample(NAMES, chance.randrange(4))
    text = json.dumps({name: value() for name in names}, ensure_ascii=chance.random() < 0.5)
    content = text.encode(errors="surrogatepass")
    if chance.random() < 0.2:
        place = chance.randrange(len(content))
        content = content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
    return content


# --- who may ask, and how much


@pytest.fixture(scope="module")
def strict(bundle_folder):
    limits = ("--limit", "seconds", "1.5", "--limit", "body", "1000", "--limit", "in_flight", "1")
    service = Service(bundle_folder, *limits, keys=KEYS["RECSYS_API_KEY"])
    yield service
    service.stop()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer first"}, 401),
        ({"authorization": "Basic first-key"}, 401),
        ({"authorization": "Bearer first-key"}, 200),
        ({"authorization": "bearer second-key"}, 200),
        ({"x-api-key": "second-key"}, 200),
        ({"authorization": "Bearer dritter-schlüssel".encode()}, 200),
    ],
)
def test_a_key_is_asked_for_where_keys_are_set(strict, world_bundle, headers, status):
    kept = f"/users/{world_bundle.dataset.user_ids[0]}/recommendations"
    assert strict.client.get(kept, headers={"x-api-key": "second-key"}).status_code == 200
    for address in ("/model", "/items", "/metrics", kept):
        answer = strict.client.get(address, headers=headers)
        assert answer.status_code == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
    assert strict.client.get("/health/ready").status_code == 200


def test_a_slow_body_is_given_up_and_holds_nobody_up_for_longer(strict):
    host, port = strict.url.removeprefix("http://").split(":")
    head = "POST /recommendations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += "X-API-Key: first-key\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(head.encode())
        time.sleep(0.2)
        # One request is in work, so the next is told to come back.
        full = strict.client.get("/model", headers={"x-api-key": "first-key"})
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert "has 1 requests in work" in full.json()["detail"]
        assert b"408 Request Timeout" in slow.recv(100)
    assert strict.client.get("/model", headers={"x-api-key": "first-key"}).status_code == 200


def test_the_length_of_a_body_is_counted_also_where_it_is_not_told(strict):
    def pieces():
        for _ in range(20):
            yield b" " * 100

    answer = strict.client.post(
        "/recommendations", content=pieces(), headers={"x-api-key": "first-key"}
    )
    assert answer.status_code == 413


def test_a_bundle_is_warmed_on_the_shortest_and_the_longest_history(tmp_path, monkeypatch):
    answer, asked = Bundle.recommend_records, list[str]()

    def noted(self, people, **rules):
        asked.extend(people)
        return answer(self, people, **rules)

    monkeypatch.setattr(Bundle, "recommend_records", noted)
    used = {f"u{n:02}": 5 for n in range(40)} | {"u30": 1, "u35": 9}
    pairs = [(user, item) for user, n in used.items() for item in range(n)]
    dataset = Dataset.from_frame(pd.DataFrame(pairs, columns=["user_id", "item_id"]), value=None)
    Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset).save(tmp_path / "bundle")
    Loaded(tmp_path / "bundle", 0)
    # Networks are traced anew for longer rows, which took the first of them 80 ms.
    assert {"u30", "u35"} <= set(asked)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org"])
def test_others_may_ask_only_with_a_key(bundle_folder, host, monkeypatch, capsys):
    monkeypatch.delenv("RECSYS_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="must ask for a key"):
        serve(bundle_folder, host=host)
    assert main(["serve", "--bundle", str(bundle_folder), "--host", host]) == 2
    told = capsys.readouterr()
    assert "Set RECSYS_API_KEY, or say --insecure" in told.err
    assert "Serving" not in told.out
    assert f"//{f'[{host}]' if ':' in host else host}:8000/docs" in told.out
    assert not is_loopback(host)


def test_a_port_in_use_is_told_before_anything_is_loaded(bundle_folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(["serve", "--bundle", str(bundle_folder), "--port", port]) == 2
    assert f"port {port}, must be free to listen at; " in (said := capsys.readouterr().err)
    assert "Give another --port" in said


@pytest.mark.skipif(sys.platform != "linux", reason="one address of the loopback there")
def test_any_address_of_the_loopback_answers_by_its_name(bundle_folder):
    service = Service(bundle_folder, "--host", "127.0.0.2")
    try:
        assert service.client.get("/model").status_code == 200
    finally:
        service.stop()


def test_a_page_that_points_its_own_name_here_is_turned_away(service):
    answer = service.client.get("/model", headers={"host": "evil.example:8000"})
    assert answer.status_code == 421
    said = answer.json()["detail"]
    assert "got 'evil.example'. Call 127.0.0.1, or set keys in RECSYS_API_KEY" in said


def test_pages_elsewhere_may_ask_only_when_named(service, bundle_folder):
    headers = {"origin": "https://shop.example"}
    assert (
        "access-control-allow-origin" not in service.client.get("/model", headers=headers).headers
    )
    other = Service(bundle_folder, "--allow-origin", "https://shop.example")
    try:
        allowed = other.client.get("/model", headers=headers).headers
        assert allowed["access-control-allow-origin"] == "https://shop.example"
        # A browser asks first whether it may send JSON.
        before = headers | {"access-control-request-method": "POST"}
        assert other.client.options("/recommendations", headers=before).status_code == 200
    finally:
        assert other.stop() == 0


def test_a_missing_or_damaged_bundle_is_said_before_anything_starts(
    tmp_path, bundle_folder, capsys
):
    assert main(["serve", "--bundle", str(tmp_path / "none")]) == 2
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle_folder, damaged)
    next(damaged.glob("model/*.npz")).write_bytes(b"broken")
    with pytest.raises(ArtifactError, match="fingerprint differs"):
        serve(damaged)
    said = capsys.readouterr().err
    assert "none must be the folder of a bundle; no manifest.json is there" in said


def test_limits_must_be_positive():
    with pytest.raises(ValueError, match="`in_flight` must be > 0; got 0"):
        Limits(in_flight=0)


# --- the manual, the log, the metrics


def test_the_manual_needs_nothing_from_elsewhere(service):
    page = service.client.get("/docs").text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(parts) == 3
    for part in parts:
        assert part.startswith("/")
        assert service.client.get(part).status_code == 200
    manual = service.client.get("/openapi.json").json()
    assert "http" not in re.sub(r'"(description|title)": "[^"]*"', "", json.dumps(manual))
    for address, methods in manual["paths"].items():
        for told in methods.values():
            assert told["description"], address
            assert told["responses"].keys() >= {"200", "422", "503"}
            for one in told.get("parameters", ()):
                assert one["description"], (address, one["name"])
                assert one["in"] == "query" or one["examples"], (address, one["name"])
    for question in (manual["components"]["schemas"]["Question"]["properties"]).values():
        assert question["description"]


def test_the_examples_of_the_manual_are_answered_by_the_default_world():
    dataset = make_world().dataset()
    bundle = Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset)
    for question in shapes.Question.model_config["json_schema_extra"]["examples"]:
        assert len(bundle.recommend(**question))
    user, item = (
        get_args(one)[1].openapi_examples["one"]["value"] for one in (shapes.UserId, shapes.ItemId)
    )
    assert len(bundle.recommend(user))
    assert len(bundle.similar(item))
    fields = shapes.Recommendation.model_fields
    listed, title = (fields[name].examples[0] for name in ("item_id", "title"))
    assert dataset.items.loc[listed, "title"] == title
    assert fields["because"].examples[0] in set(dataset.items["title"])


def test_the_manual_takes_a_key_where_keys_are_set(service, strict):
    assert "security" not in service.client.get("/openapi.json").json()
    manual = strict.client.get("/openapi.json").json()
    [name] = manual["security"][0]
    assert manual["components"]["securitySchemes"][name]["scheme"] == "bearer"


def test_the_log_is_json_and_says_nothing_of_people(service, world_bundle):
    user, item = str(world_bundle.dataset.user_ids[5]), str(world_bundle.dataset.item_ids[5])
    before = len(service.lines)
    service.client.get(f"/users/{user}/recommendations", headers={"x-request-id": "my-own.id"})
    listed(service, {"history": [item]})
    service.client.get(f"/users/{user}~/recommendations", headers={"x-request-id": "bad id!"})
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    upgrade |= {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==", "x-request-id": "no-socket"}
    service.client.get(f"/users/{user}/recommendations", headers=upgrade)
    service.client.get("/health/live", headers={"x-request-id": "the-last-one"})
    service.wait_for("the-last-one")
    lines = [json.loads(line) for line in service.lines[before:]]
    # A busy machine reads the lines of earlier questions late.
    lines = lines[[line.get("id") for line in lines].index("my-own.id") :]
    assert [line["route"] for line in lines[:2]] == [
        "/users/{user_id}/recommendations",
        "/recommendations",
    ]
    assert lines[0].keys() == {"time", "level", "message", "id", "method", "route", "status", "ms"}
    assert lines[0]["id"] == "my-own.id"
    assert lines[2]["id"] != "bad id!"
    text = "".join(service.lines)
    assert user not in text
    assert item not in text


def test_metrics_count_requests_by_route(service, world_bundle):
    user = world_bundle.dataset.user_ids[6]
    pattern = re.compile(
        r'^recsys_requests_total\{method="GET",route="/users/\{user_id\}/recommendations",'
        r'status="200"\} (.*)$',
        re.M,
    )

    def count():
        found = pattern.search(service.client.get("/metrics").text)
        return float(found[1]) if found else 0.0

    before = count()
    for _ in range(3):
        service.client.get(f"/users/{user}/recommendations")
    assert count() == before + 3


# --- new bundles, and the end


def test_a_new_bundle_is_taken_up_under_load_without_a_failed_request(
    world_bundle, bundle_folder, tmp_path
):
    place, link = tmp_path / "first", tmp_path / "current"
    shutil.copytree(bundle_folder, place)
    link.symlink_to(place)
    model = Popularity().fit(world_bundle.dataset.user_items)
    other = Bundle(model=model, dataset=world_bundle.dataset)
    service = Service(link)
    statuses, fingerprints, done = [], [], threading.Event()

    def ask(seed):
        chance = random.Random(seed)
        with httpx.Client(base_url=service.url, timeout=60) as client:
            while not done.is_set():
                user = chance.choice(world_bundle.dataset.user_ids)
                answer = client.get(f"/users/{user}/recommendations")
                statuses.append(answer.status_code)
                fingerprints.append(answer.json()["bundle"])

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, seed) for seed in range(3)]
        try:
            for times, bundle in enumerate((other, world_bundle), start=1):
                bundle.save(place)
                service.wait_for("took up a bundle", times)
            place = tmp_path / "second"  # as a release is put into the place of the one before
            other.save(place)
            (tmp_path / "next").symlink_to(place)
            (tmp_path / "next").replace(link)
            service.wait_for("took up a bundle", 3)
            next(place.glob("model/*.npz")).write_bytes(b"broken")
            assert "fingerprint differs" in service.wait_for("refused a bundle")
            seen = len(statuses)
            while len(statuses) < seen + 20:
                time.sleep(0.01)
        finally:
            done.set()
    for one in asking:
        one.result()
    assert set(statuses) == {200}
    last = json.loads((place / "manifest.json").read_text())["manifest"]
    assert fingerprints[-1] == last  # what had been taken up serves on
    assert len(set(fingerprints)) >= 2
    assert service.stop() == 0


def test_the_end_is_told_to_come_after_what_is_in_work(bundle_folder, world_bundle):
    service = Service(bundle_folder)
    users = world_bundle.dataset.user_ids
    people = [{"user": str(user), "k": 40, "diversity": 0.3} for user in users] * 8
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(service.client.post, "/recommendations", json=people)
        time.sleep(0.2)
        assert not asked.done()
        service.process.send_signal(signal.SIGTERM)
        assert len(asked.result().json()) == len(people)
    assert service.process.wait(timeout=60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/health/live")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_others_serve_on_where_a_worker_is_killed(bundle_folder, world_bundle, tmp_path):
    place = tmp_path / "bundle"
    shutil.copytree(bundle_folder, place)
    service = Service(place, "--workers", "2")
    user = world_bundle.dataset.user_ids[0]
    try:
        workers = [
            one
            for one in psutil.Process(service.process.pid).children()
            if "spawn_main" in " ".join(one.cmdline())
        ]
        assert len(workers) == 2
        threads = [one.environ()["TF_NUM_INTRAOP_THREADS"] for one in workers]
        assert threads == [limited_threads(2)["TF_NUM_INTRAOP_THREADS"]] * 2
        (place / "manifest.json").rename(tmp_path / "aside")  # the other one cannot start yet
        workers[0].kill()
        workers[0].wait(60)  # until the service has looked after it
        service.wait_for("Waiting for application startup.", times=3)
        for _ in range(20):
            assert httpx.get(f"{service.url}/users/{user}/recommendations").status_code == 200
            time.sleep(0.05)
        (tmp_path / "aside").rename(place / "manifest.json")
        service.wait_for("Application startup complete.", times=3)  # another one in its place
        # Counted over all workers, the one that is gone included.
        text = httpx.get(f"{service.url}/metrics").text
        assert re.search(r'route="/users/\{user_id\}/recommendations".*\} 20.0', text)
    finally:
        assert service.stop() == 0


def test_closed_forms_are_served_without_keras(bundle_folder):
    code = f"""
import asyncio, sys
from recsys_lib.serving import create_app
app = create_app({str(bundle_folder)!r})
async def main():
    async with app.router.lifespan_context(app):
        print(sorted({{"keras", "tensorflow", "jax"}} & set(sys.modules)))
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert done.stdout.strip() == "[]"
