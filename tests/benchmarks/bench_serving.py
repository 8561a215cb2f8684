"""The service under load: latency, saturation beside two peers, swaps, a soak, and a fuzz.

The load comes from wrk (a Debian package), which shares the cores with what it measures.
`RECSYS_CORNAC` names a Python with Cornac and Flask, `RECSYS_ML1M` a table of MovieLens 1M (its
`ratings.dat`, or pairs), `RECSYS_SOAK` the minutes of a soak, and `RECSYS_FUZZ` the number of
bodies (100,000 by default).
"""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from recsys_lib import EASE, Autoencoder, Bundle, load_dataset, make_world
from tests.serving.conftest import Service
from tests.serving.test_serving import fuzzed

WORKERS = "2"
SECONDS = int(os.environ.get("RECSYS_BENCH_SECONDS", 10))
pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")

SCRIPT = """
local names = {{}}
for line in io.lines("{users}") do names[#names + 1] = line end
math.randomseed({seed})
request = function()
  local user = names[math.random({n_users})]
  {request}
end
{delay}
"""
GET = 'return wrk.format("GET", string.format("{path}", user))'
INVOCATION = """wrk.headers["Content-Type"] = "application/json"
  local body = string.format('{"dataframe_records": [{"user": "%s"}]}', user)
  return wrk.format("POST", "/invocations", nil, body)"""
OURS = GET.format(path="/users/%s/recommendations?k=10")


def wrk(url, folder, bundle, connections, *, request=OURS, rate=None, latency=0.0, users=None):
    """Return requests/s, p50, p99 in ms and failures under load; `rate` holds requests back."""
    ids = bundle.dataset.user_ids
    (folder / "users.txt").write_text("\n".join(map(str, ids)))
    pause = 0 if rate is None else max(0.0, 1e3 * connections / rate - latency)
    delay = f"function delay() return math.random() * {2 * pause:.2f} end" if pause else ""
    script = SCRIPT.format(
        users=folder / "users.txt",
        seed=time.time_ns() % 10**6,
        n_users=users or len(ids),
        request=request,
        delay=delay,
    )
    (folder / "load.lua").write_text(script)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s"]
    done = subprocess.run([*command, str(folder / "load.lua"), url], capture_output=True, text=True)
    said = done.stdout
    failed = sum(
        int(n) for n in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", said)
    )
    return (
        float(re.search(r"Requests/sec: +([\d.]+)", said)[1]),
        *(_ms(re.search(rf"{share}% +(\S+)", said)[1]) for share in (50, 99)),
        failed,
    )


def _ms(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def world_bundle(model=None):
    dataset = make_world().dataset()
    if model is not None:
        return Bundle(model=model.fit(dataset.user_items), dataset=dataset, like=7)
    model = EASE(l2=100.0).fit(dataset.likes(7).user_items)
    return Bundle(model=model, dataset=dataset, like=7, inputs="likes")


def movielens_bundle():
    dataset = load_dataset(os.environ["RECSYS_ML1M"])
    like = None if dataset.rating_scale is None else 4
    model = EASE(l2=300.0).fit(dataset.likes(like).user_items)
    return Bundle(model=model, dataset=dataset, like=like, inputs="likes")


BUNDLES = {
    "EASE, default world": world_bundle,
    "Autoencoder, default world": lambda: world_bundle(Autoencoder(epochs=2)),
    "EASE, MovieLens 1M": movielens_bundle,
}


# Answered anew each time, or mostly from what is kept.
KEPT = {"anew": ("--limit", "kept", "0"), "again": ()}


@contextmanager
def serving(folder, *options):
    service = Service(folder, *options)
    try:
        yield service
    finally:
        service.stop()


@pytest.mark.parametrize("name", BUNDLES)
def test_latency_at_sixty_percent_of_saturation(name, tmp_path):
    if "MovieLens" in name and "RECSYS_ML1M" not in os.environ:
        pytest.skip("RECSYS_ML1M is not set")
    bundle = BUNDLES[name]()
    bundle.save(tmp_path / "bundle")
    for kind, kept in KEPT.items():
        with serving(tmp_path / "bundle", "--workers", WORKERS, *kept) as service:
            for connections in (1, 64):
                if kind == "again":
                    wrk(service.url, tmp_path, bundle, connections)
                full, p50, *_ = wrk(service.url, tmp_path, bundle, connections)
                told, rate = (full, p50), 0.6 * full
                for _ in range(4):  # the fewer requests, the sooner each is answered
                    told = wrk(
                        service.url, tmp_path, bundle, connections, rate=rate, latency=told[1]
                    )
                    if told[0] <= 1.05 * rate:
                        break
                print(
                    f"\n{name}, {connections} connections, {kind}: saturation {full:,.0f}/s; at "
                    f"{told[0]:,.0f}/s p50 {told[1]:.1f} ms, p99 {told[2]:.1f} ms, {told[3]} failed"
                )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def peer(command, port, **environment):
    process = subprocess.Popen(command, env={**os.environ, **environment}, **QUIET)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()


QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
CORNAC = """
import sys, pandas as pd, cornac
rows = pd.read_csv(sys.argv[1], dtype={"user_id": str, "item_id": str})
data = cornac.data.Dataset.from_uir(rows.itertuples(index=False))
model = cornac.models.EASE(lamb=100.0, posB=False).fit(data)
print(model.save(sys.argv[2], save_trainset=True))
"""


def test_saturation_beside_the_service_of_cornac_and_the_server_of_mlflow(tmp_path):
    bundle = world_bundle()
    bundle.save(tmp_path / "bundle")
    found = {}
    for kind, kept in KEPT.items():
        with serving(tmp_path / "bundle", "--workers", WORKERS, *kept) as service:
            for _ in range(2):  # warm, and with all answers that are kept
                found[f"ours, {kind}"] = wrk(service.url, tmp_path, bundle, 64)
    bundle.to_mlflow(tmp_path / "mlflow")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(tmp_path / "mlflow")]
    command += ["-p", str(port), "--env-manager", "local", "--workers", WORKERS]
    # It looks for uvicorn on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with peer(command, port, PATH=path) as url:
        found["MLflow"] = wrk(url, tmp_path, bundle, 64, request=INVOCATION)
    if python := os.environ.get("RECSYS_CORNAC"):
        likes = bundle.dataset.likes(7)
        rows, columns = likes.user_items.nonzero()
        table = np.stack([likes.user_ids[rows], likes.item_ids[columns], np.ones(len(rows))], 1)
        text = "\n".join(",".join(map(str, row)) for row in table)
        (tmp_path / "likes.csv").write_text(f"user_id,item_id,value\n{text}\n")
        arguments = [str(tmp_path / "likes.csv"), str(tmp_path / "cornac")]
        done = subprocess.run([python, "-c", CORNAC, *arguments], capture_output=True, text=True)
        port, place = free_port(), done.stdout.split()[-1]
        flask = [python, "-m", "flask", "--app", "cornac.serving.app", "run", "-p", str(port)]
        model = {"MODEL_PATH": place, "MODEL_CLASS": "cornac.models.EASE"}
        with peer(flask, port, **model) as url:
            request = GET.format(path="/recommend?uid=%s&k=10&remove_seen=true")
            found["Cornac"] = wrk(url, tmp_path, bundle, 64, request=request)
    for name, (rate, p50, p99, failed) in found.items():
        others = "; ".join(f"{rate / one[0]:.1f} x {n}" for n, one in found.items() if n != name)
        print(
            f"\n{name}: {rate:,.0f}/s, p50 {p50:.1f}, p99 {p99:.1f} ms, {failed} failed; {others}"
        )


def test_twenty_bundles_are_swapped_under_load(tmp_path):
    bundles = [world_bundle(), Bundle.load(saved(world_bundle(), tmp_path / "other"))]
    bundles[1].handover = 2.0
    place = saved(bundles[0], tmp_path / "bundle")
    with serving(place, "--workers", WORKERS) as service:
        rest = subprocess.Popen(
            [sys.executable, "-c", SWAPS, str(place), str(saved(bundles[1], tmp_path / "other"))]
        )
        failed = 0
        while rest.poll() is None:
            failed += wrk(service.url, tmp_path, bundles[0], 16)[3]
        taken = sum("took up a bundle" in line for line in service.lines)
        print(
            f"\n20 swaps under load: taken up {taken} times by {WORKERS} workers, {failed} failed"
        )
        assert failed == 0


SWAPS = """
import sys, time
from recsys_lib import Bundle
one, other = (Bundle.load(folder) for folder in sys.argv[1:])
for place in range(20):
    (other, one)[place % 2].save(sys.argv[1])
    time.sleep(4)
"""


def saved(bundle, folder):
    bundle.save(folder)
    return folder


@pytest.mark.skipif("RECSYS_SOAK" not in os.environ, reason="RECSYS_SOAK is not set")
def test_memory_stays_over_a_soak(tmp_path):
    bundle, minutes = world_bundle(), float(os.environ["RECSYS_SOAK"])
    with serving(saved(bundle, tmp_path / "bundle")) as service:
        begun, failed, points = time.monotonic(), 0, []
        while (now := time.monotonic() - begun) < 60 * minutes:
            failed += wrk(service.url, tmp_path, bundle, 32)[3]
            points.append((now / 60, psutil.Process(service.process.pid).memory_info().rss / 1e6))
        warm = np.array(points[len(points) // 3 :])
        slope = np.polyfit(*warm.T, 1)[0]
    print(f"\n{minutes:g} minutes at saturation: {slope:+.2f} MB/min, {failed} failed")


def test_many_fuzzed_bodies_get_only_documented_statuses(tmp_path):
    n, chance = int(os.environ.get("RECSYS_FUZZ", 100_000)), random.Random(1)
    with serving(saved(world_bundle(), tmp_path / "bundle")) as service:
        manual = service.client.get("/openapi.json").json()
        known = {int(one) for one in manual["paths"]["/recommendations"]["post"]["responses"]}
        counts = dict.fromkeys(known, 0)
        for _ in range(n):
            answer = service.client.post(
                "/recommendations",
                content=fuzzed(chance),
                headers={"content-type": "application/json"},
            )
            counts[answer.status_code] += 1  # KeyError: not documented
            assert answer.status_code < 500, answer.text
            assert "Traceback" not in answer.text
        print(f"\n{n:,} bodies: {json.dumps({key: n for key, n in counts.items() if n})}")


def test_schemathesis_finds_only_what_the_manual_says(tmp_path):
    st = shutil.which("st") or str(Path(sys.executable).with_name("st"))
    if not Path(st).exists():
        pytest.skip("schemathesis is not installed")
    with serving(saved(world_bundle(), tmp_path / "bundle")) as service:
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,"
        checks += "response_schema_conformance"
        command = [st, "run", f"{service.url}/openapi.json", "--checks", checks, "-n", "300"]
        command += ["--request-timeout", "60"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        print(f"\n{done.stdout[-2500:]}")
        assert httpx.get(f"{service.url}/health/ready").status_code == 200
        assert done.returncode == 0
