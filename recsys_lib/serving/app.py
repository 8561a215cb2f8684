"""The endpoints: recommendations, similar items, the catalog, the model, health and metrics.

They answer from the bundle at a place on disk; the next one takes its place there.
"""

import asyncio
import contextlib
import gc
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import orjson
import prometheus_client as prometheus
from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline
from prometheus_client import multiprocess
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys_lib import __version__
from recsys_lib.artifacts import MANIFEST, read_json
from recsys_lib.bundle import Bundle
from recsys_lib.errors import ArtifactError, RecsysError
from recsys_lib.naming import folded
from recsys_lib.serving import shapes
from recsys_lib.serving.guard import Guard, Limits, Refusal

logger = logging.getLogger(__name__)

Said = TypeVar("Said")

_ABOUT = """Recommendations for known users, for a history, for a profile, or for nobody in
particular. Errors are problem documents (RFC 9457) whose `detail` says what must hold, what was
found and what to do. The same question gets the same list as long as `bundle` stays the same.
Where keys are set, send `Authorization: Bearer KEY`."""
# People of one body answered at a time; between blocks the clock is looked at.
_BLOCK = 50
# Questions about one person that are answered at a time: more would make the first ones wait.
_TOGETHER = 16
# Seconds between two looks at the folder of the bundle.
_LOOK = 1.0


class Loaded:
    """A bundle, verified and warm.

    Parameters
    ----------
    folder : Path
        Where `Bundle.save` wrote it.
    kept : int
        Answers kept for those who come back.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self.manifest: dict[str, Any] = read_json(folder / MANIFEST)
        self.fingerprint: str = self.manifest["manifest"]
        self.written = datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, UTC)
        self.bundle = Bundle.load(folder)
        #: What was answered at an address, and by which route.
        self.answers, self._most = dict[Any, tuple[Any, bytes]](), kept
        dataset = self.bundle.dataset
        everything = self.bundle.recommend(k=dataset.n_items)
        texts = (everything["item_id"].astype(str) + " " + everything["title"]).map(folded)
        #: Id, title and the text that a search looks through, of each item, popular ones first.
        self.names = list(zip(everything["item_id"], everything["title"], texts, strict=True))
        # Whatever is made once is made now; short and long histories are scored in other blocks.
        lengths = np.diff(dataset.user_items.indptr)
        for row in {lengths.argmin(), lengths.argmax(), 0}:
            self.bundle.recommend_records([dataset.user_ids[row]], k=1)
        for n_people in (4, 16):
            self.bundle.recommend_records(dataset.user_ids[:n_people].tolist(), k=1)

    def keep(self, address: Any, answer: tuple[Any, bytes]) -> None:
        """Keep an answer, in the place of the oldest one."""
        self.answers[address] = answer
        if len(self.answers) > self._most:
            self.answers.pop(next(iter(self.answers)), None)


class Live:
    """The bundle at a place on disk, whichever is there at the time.

    Parameters
    ----------
    folder : Path
    kept : int
        As of `Loaded`.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self.folder, self._kept = folder, kept
        self._tried: Any = None
        self.current: Loaded | None = None

    def load(self) -> None:
        """Load what is there; `ArtifactError` if it is damaged or changes meanwhile."""
        self._tried = self._stamp()
        loaded = Loaded(self.folder, self._kept)
        if self._stamp() != self._tried:
            raise ArtifactError(
                f"{self.folder} must stay as it is while it is read; it has changed. Write the "
                "bundle elsewhere, and move it into place."
            )
        self.current = loaded
        # What stays need not be looked through again for garbage, which would take .2 s at times.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    async def watch(self) -> None:
        """Take up each bundle that is put into the place; a damaged one is logged and left."""
        while True:
            await self._look()
            await asyncio.sleep(_LOOK)

    async def _look(self) -> None:
        try:
            if self._stamp() in ([], self._tried):  # nothing is there while another one comes
                return
            await asyncio.to_thread(self.load)
        except Exception as error:  # whatever is wrong with it, the old one serves on
            logger.error("refused a bundle: %s", error, extra={"facts": {"bundle": "refused"}})
        else:
            assert self.current is not None
            facts = {"bundle": self.current.fingerprint}
            logger.info("took up a bundle", extra={"facts": facts})

    def _stamp(self) -> list[tuple[str, int, int]]:
        """Return name, time and size of each file."""
        stats = [(str(file), file.stat()) for file in sorted(self.folder.rglob("*.*"))]
        return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]


def create_app(
    folder: Path | str,
    *,
    limits: Limits | None = None,
    keys: Iterable[str] = (),
    origins: Iterable[str] = (),
    hosts: Sequence[str] | None = None,
    shared: bool = False,
) -> FastAPI:
    """Return the service as an ASGI application.

    Parameters
    ----------
    folder : Path or str
        Where `Bundle.save` wrote the bundle; a new one put there is taken up.
    limits : Limits, optional
    keys : iterable of str
        One of them must come with each request; without any, everybody may ask.
    origins : iterable of str
        Pages elsewhere that may ask from a browser, such as ``"https://shop.example"``.
    hosts : sequence of str, optional
        Names under which the service may be called; any by default.
    shared : bool
        Whether other processes serve at the same address; connections then move to idle ones.

    Returns
    -------
    FastAPI
        Loads the bundle when it starts; `ArtifactError` then, if there is none.

    Notes
    -----
    Whatever the process holds after a bundle is loaded is left out of garbage collection
    (`gc.freeze`): a full collection would stop all requests for a fifth of a second.
    """
    limits, keys = limits or Limits(), list(keys)
    live = Live(Path(folder), int(limits.kept))
    service = _Service(live, limits.seconds, shared)
    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        redirect_slashes=False,
        title="recsys_lib",
        version=__version__,
        description=_ABOUT,
        lifespan=service.lifespan,
        responses=_PROBLEMS,
    )
    app.add_middleware(_Kept, live=live)
    app.add_middleware(Guard, limits=limits, keys=keys, hosts=hosts, shared=shared)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    service.route(app)
    if keys:  # the manual takes one, to try with
        manual, key = app.openapi(), {"type": "http", "scheme": "bearer"}
        manual["components"]["securitySchemes"], manual["security"] = {"key": key}, [{"key": []}]
    return app


_PROBLEM = {"schema": shapes.Problem.model_json_schema()}
_STATUSES = (400, 401, 404, 405, 408, 413, 421, 422, 500, 503)
_PROBLEMS: dict[int | str, Any] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": _PROBLEM},
    }
    for status in _STATUSES
}


class _Together:
    """Questions about one person: those that come while others are answered share one call.

    Sixteen people together cost a third each of what one costs alone.
    """

    def __init__(self, thread: ThreadPoolExecutor, live: Live) -> None:
        self._thread, self._live = thread, live
        self._waiting = asyncio.Queue[tuple[dict[str, Any], asyncio.Future[Any]]]()

    async def ask(self, asked: dict[str, Any]) -> bytes:
        """Return the answer to one question, as `Bundle.recommend_records` gives it alone."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((asked, answer))
        said: bytes | Exception = await answer
        if isinstance(said, Exception):
            raise said
        return said

    async def work(self) -> None:
        """Answer those who wait, as long as the service runs."""
        while True:
            waiting = [await self._waiting.get()]
            while len(waiting) < _TOGETHER and not self._waiting.empty():
                waiting.append(self._waiting.get_nowait())
            waiting = [one for one in waiting if not one[1].done()]  # somebody still waits
            now = self._live.current
            assert now is not None  # else nobody could ask
            asked = partial(_answered, now, [one for one, _ in waiting])
            for (_, answer), said in zip(waiting, await _beside(self._thread, asked), strict=True):
                if not answer.done():
                    answer.set_result(said)
            # Answers are sent before the next ones are made, which would take the processor from
            # them.
            await asyncio.sleep(0)


def _answered(now: Loaded, everybody: list[dict[str, Any]]) -> list[bytes | Exception]:
    """Return the answer to each; what is wrong with a question is said to nobody else."""
    try:
        lists = now.bundle.recommend_records(everybody)
    except Exception as error:
        if len(everybody) == 1:
            return [error]
        return [answer for one in everybody for answer in _answered(now, [one])]
    return [_dumped({"recommendations": one, "bundle": now.fingerprint}) for one in lists]


def _answers(now: Loaded, everybody: list[dict[str, Any]], end: float) -> bytes:
    """Answer block by block, as long as somebody waits."""
    found: list[bytes] = []
    for start in range(0, len(everybody), _BLOCK):
        if time.monotonic() > end:
            break
        block = _answered(now, everybody[start : start + _BLOCK])
        for place, answer in enumerate(block, start + 1):
            if isinstance(answer, RecsysError):
                raise RecsysError(f"Person {place} of {len(everybody)}: {answer}")
            if isinstance(answer, Exception):
                raise answer
            found.append(answer)
    return b"[%b]" % b",".join(found)


class _Kept:
    """Middleware that gives the answers given before: a bundle answers an address always alike.

    To find an endpoint and to check its parameters takes twice as long as all the rest.
    """

    def __init__(self, app: ASGIApp, live: Live) -> None:
        self._app, self._live = app, live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        now = self._live.current if scope["type"] == "http" else None
        if now and (kept := now.answers.get(_address(scope))):
            scope["route"], answer = kept  # the route is for the log
            await Response(answer, media_type="application/json")(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _address(scope: Scope) -> tuple[Any, ...]:
    return scope["method"], scope["path"], scope["query_string"]


class _Service:
    """The endpoints, as methods on the bundle that is live."""

    def __init__(self, live: Live, seconds: float, shared: bool) -> None:
        self._live, self._seconds, self._shared = live, seconds, shared
        # One after the other is soonest done, on the cores that there are; questions about many
        # wait in a line of their own, and hold up nobody who asks for one.
        self._one, self._many = (ThreadPoolExecutor(1, name) for name in ("one", "many"))
        self._together = _Together(self._one, live)

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Load the bundle before the first request, and watch for the next one."""
        if not self._shared:
            await asyncio.to_thread(self._live.load)
        tasks = [asyncio.create_task(one) for one in (self._live.watch(), self._together.work())]
        while self._live.current is None:  # to fail would end the others that serve meanwhile
            await asyncio.sleep(0.1)
        yield
        for task in tasks:
            task.cancel()
        for line in (self._one, self._many):
            line.shutdown(wait=False, cancel_futures=True)

    @property
    def _now(self) -> Loaded:
        if self._live.current is None:
            raise Refusal(503, "A bundle must be loaded; it is not yet.", {"retry-after": "1"})
        return self._live.current

    async def _answer(self, work: Awaitable[bytes], status: int = 422) -> Response:
        """Send what is made; what the library says of a wrong question is the detail."""
        try:
            return Response(await work, media_type="application/json")
        except RecsysError as error:
            raise Refusal(status, str(error)) from None

    def route(self, app: FastAPI) -> None:
        """Give each endpoint its address."""
        get = app.get
        get("/users/{user_id:path}/recommendations", response_model=shapes.Answer)(
            self.user_recommendations
        )
        answers = shapes.Answer | list[shapes.Answer]
        app.post("/recommendations", response_model=answers)(self.recommendations)
        get("/items/{item_id:path}/similar", response_model=shapes.SimilarItems)(self.similar_items)
        get("/items", response_model=shapes.Items)(self.items)
        get("/model", response_model=shapes.Model)(self.model)
        get("/health/live", response_model=shapes.State)(self.live)
        get("/health/ready", response_model=shapes.State)(self.ready)
        get("/metrics", response_class=Response)(self.metrics)

    async def user_recommendations(
        self, user_id: shapes.UserId, request: Request, told: Annotated[shapes.OneList, Query()]
    ) -> Response:
        """Recommend for a known user."""
        now = self._now
        asked = {"user": user_id, **told.model_dump(exclude_defaults=True)}
        answer = await self._answer(self._together.ask(asked), 404)
        now.keep(_address(request.scope), (request.scope["route"], bytes(answer.body)))
        return answer

    async def recommendations(
        self, questions: Annotated[shapes.Questions, Body()], request: Request
    ) -> Response:
        """Recommend for one person, or for up to 1,000 in one body, by all the rules."""
        now, end = self._now, time.monotonic() + self._seconds
        if isinstance(questions, shapes.Question):
            asked = questions.model_dump(exclude_unset=True)
            return await self._answer(self._together.ask(asked))
        everybody = [one.model_dump(exclude_unset=True) for one in questions]
        return await self._answer(_beside(self._many, partial(_answers, now, everybody, end)))

    async def similar_items(
        self, item_id: shapes.ItemId, told: Annotated[shapes.Length, Query()]
    ) -> Response:
        """List the items most like one."""
        now = self._now

        def ask() -> bytes:
            items = now.bundle.similar(item_id, k=told.k).to_dict("records")
            return _dumped({"items": items, "bundle": now.fingerprint})

        return await self._answer(_beside(self._one, ask), 404)

    async def items(self, told: Annotated[shapes.Search, Query()]) -> Response:
        """Find items of which the id or the title has the text."""
        now, wanted = self._now, folded(told.search)

        def ask() -> bytes:
            found = [(one, title) for one, title, text in now.names if wanted in text]
            items = [{"item_id": one, "title": title} for one, title in found[: told.limit]]
            return _dumped({"items": items, "bundle": now.fingerprint})

        return await self._answer(_beside(self._one, ask))

    async def model(self) -> Response:
        """Tell which model answers, how it was set and trained, and on what."""
        now, dataset = self._now, self._now.bundle.dataset
        history = getattr(now.bundle.model, "history_", None)
        said = {
            "model": now.manifest["model"],
            "bundle": now.fingerprint,
            "written": now.written.isoformat(timespec="seconds"),
            "n_users": dataset.n_users,
            "n_items": dataset.n_items,
            "settings": now.bundle.model.config(),
            "metrics": {} if history is None or history.empty else history.iloc[-1].to_dict(),
            "manifest": now.manifest,
        }
        return Response(_dumped(said), media_type="application/json")

    async def live(self) -> shapes.State:
        """Say that the process lives."""
        return shapes.State(status="live")

    async def ready(self) -> shapes.State:
        """Say whether a bundle is loaded."""
        assert self._now
        return shapes.State(status="ready")

    async def metrics(self) -> Response:
        """Count requests and seconds, in the text format of Prometheus."""
        registry = prometheus.REGISTRY
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = prometheus.generate_latest(registry)
        return Response(text, media_type=prometheus.CONTENT_TYPE_LATEST)


def _beside(line: ThreadPoolExecutor, work: Callable[[], Said]) -> Awaitable[Said]:
    """Work beside the event loop, after what waits in the same line."""
    return asyncio.get_running_loop().run_in_executor(line, work)


def _dumped(value: Any) -> bytes:
    """Return JSON in which unknown numbers are null."""
    return orjson.dumps(value, str, orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


# What pydantic puts between the names of fields: the form of a value.
_FORM = re.compile(r"(one|many|float|bool)$|constrained-|(list|dict)\[|\[key\]")


async def _invalid(_: Request, error: Exception) -> Response:
    """Say what is wrong with the first wrong thing, as the library would."""
    assert isinstance(error, RequestValidationError)
    # Each form that a value may have says what it misses; the deepest was meant.
    first = max(error.errors(), key=lambda one: len(one["loc"]))
    if first["type"] == "json_invalid" or isinstance(first.get("input"), bytes):
        said = first.get("ctx", {}).get("error", "it must be declared as application/json")
        raise Refusal(400, f"The body must be JSON; {said}. See /docs.")
    where = ".".join(part for part in map(str, first["loc"][1:]) if not _FORM.match(part))
    says = re.sub(r"^\w+ should", "must", first["msg"]).replace(" after validation", "")
    raise Refusal(
        422, f"`{where or 'body'}` {says[0].lower()}{says[1:]}; got {first['input']!r:.80}."
    )


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        400: "The body must be JSON in UTF-8 of ordinary depth and numbers; it is not. See /docs.",
        404: "The address must be one of this service; it is not. See /docs.",
        405: "The method must be one that the address takes; it is not. See /docs.",
    }.get(error.status_code, str(error.detail))
    raise Refusal(error.status_code, detail, error.headers)
