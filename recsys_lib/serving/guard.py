"""What stands before the endpoints: keys, limits, ids of requests, the log and the metrics."""

import asyncio
import hashlib
import hmac
import json
import logging
import os
import random
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import prometheus_client as prometheus
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys_lib.checks import check_number, check_positive

logger = logging.getLogger(__name__)

REQUESTS = prometheus.Counter(
    "recsys_requests", "Requests answered.", ["route", "method", "status"]
)
SECONDS = prometheus.Histogram(
    "recsys_request_seconds",
    "Seconds until a request was answered.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Open to everybody: whether it lives, and the manual, in which nothing is said of anybody.
_OPEN = re.compile(r"/health/\w+|/docs|/openapi\.json|/static-offline-docs/[\w.-]+")
# Share of the connections that a busy process closes after an answer.
_MOVED = 0.1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may take, and how many are worked on at a time.

    Parameters
    ----------
    body : number
        Bytes of a body.
    seconds : number
        Until a request is answered, and until its body has arrived.
    in_flight : number
        Requests at a time, in each worker; further ones are told to come back.
    kept : number
        Answers that each worker keeps for those who come back; 0 keeps none.

    Examples
    --------
    >>> Limits(in_flight=0)
    Traceback (most recent call last):
    ValueError: `in_flight` must be > 0; got 0.
    """

    body: float = 2_000_000
    seconds: float = 30
    in_flight: float = 64
    kept: float = 5_000

    def __post_init__(self) -> None:
        for name in ("body", "seconds", "in_flight"):
            check_positive(name, getattr(self, name))
        check_number("kept", self.kept, least=0)


class Refusal(Exception):
    """A request that is not answered, with its status and the sentence that says why."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers

    def answer(self, instance: str) -> JSONResponse:
        """Return the problem document of RFC 9457."""
        content = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        return JSONResponse(content, self.status, self.headers, "application/problem+json")


@dataclass(eq=False)
class Guard:
    """Middleware that lets in what may come in, and writes down how it went.

    Parameters
    ----------
    app : ASGI application
    limits : Limits
    keys : sequence of str
        One of them must be given; without any, everybody may ask.
    hosts : sequence of str, optional
        Names under which the service may be called; a page elsewhere that has pointed its own
        name here is turned away.
    shared : bool
        Whether other processes accept connections at the same address. They come in bursts, and
        most go to whoever wakes first: a busy process closes some, which an idle one takes up.
    """

    app: ASGIApp
    limits: Limits
    keys: Sequence[str]
    hosts: Sequence[str] | None
    shared: bool
    _in_flight: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # HEAD is answered as GET; the server, which has a scope of its own, leaves out the body.
        # A slash at the end is passed over: to redirect would spoil ids with %, ? or # in them.
        method, path = scope["method"].replace("HEAD", "GET"), scope["path"].rstrip("/")
        scope = {**scope, "method": method, "path": path or "/"}
        begun, headers, status = time.perf_counter(), Headers(scope=scope), 0
        given = headers.get("x-request-id", "")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given_back = MutableHeaders(scope=message)
                given_back.update({"x-request-id": name, "cache-control": "no-store"})
                if self.shared and self._in_flight > 1 and random.random() < _MOVED:
                    given_back["connection"] = "close"
            await send(message)

        refusal: Refusal | None = None
        self._in_flight += 1
        try:
            self._check(scope, headers)
            async with asyncio.timeout(self.limits.seconds):
                await self.app(scope, await self._body(scope, receive), send_on)
        except Refusal as error:
            refusal = error
        except TimeoutError:
            refusal = self._busy(f"took longer than {self.limits.seconds:g} s")
        except Exception:
            logger.exception("failed", extra={"facts": {"id": name}})
            text = f"The service must answer; it failed. Report the id {name}, it is logged."
            refusal = Refusal(500, text)
        finally:
            self._in_flight -= 1
        if refusal and not status:
            await refusal.answer(name)(scope, receive, send_on)
        self._write_down(name, scope, status, time.perf_counter() - begun)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Refuse a request by what its head says."""
        host = re.sub(r":\d*$", "", headers.get("host", "")).lower()
        if self.hosts is not None and host not in self.hosts:
            said = f"The service must be called by a name of the loopback; got {host!r:.80}. "
            raise Refusal(421, f"{said}Call 127.0.0.1, or set keys in RECSYS_API_KEY.")
        if _OPEN.fullmatch(scope["path"]):
            return
        if self.keys and not self._knows(headers):
            raise Refusal(
                401,
                "The request must carry a key of this service; it carries none that is known. "
                "Send the header `Authorization: Bearer KEY`.",
                {"www-authenticate": "Bearer"},
            )
        if self._in_flight > self.limits.in_flight:
            raise self._busy(f"has {self.limits.in_flight:g} requests in work")

    def _busy(self, how: str) -> Refusal:
        return Refusal(
            503, f"The service must have room; it {how}. Try again.", {"retry-after": "1"}
        )

    def _knows(self, headers: Headers) -> bool:
        """Compare with every key, each in constant time."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = key if scheme.casefold() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(given.encode("latin-1"))  # the bytes that came: clients send UTF-8
        known = [_digest(os.fsencode(one)) for one in self.keys]
        return sum([hmac.compare_digest(digest, one) for one in known]) > 0

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """Return a `receive` of the whole body, once it has arrived."""
        if scope["method"] == "GET":
            return receive
        arrived, parts = 0, list[bytes]()
        try:
            async with asyncio.timeout(self.limits.seconds / 3):
                async for part in Request(scope, receive).stream():
                    arrived += len(part)
                    # What is too much is dropped: who still sends may not hear an answer.
                    if arrived <= self.limits.body:
                        parts.append(part)
        except TimeoutError:
            raise Refusal(408, "The body must arrive in time.", {"connection": "close"}) from None
        except ClientDisconnect:
            raise Refusal(400, "The body must arrive as a whole.") from None
        if arrived > self.limits.body:
            said = f"The body must be at most {self.limits.body:,.0f} bytes. Ask for fewer people."
            raise Refusal(413, said)
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts)}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay

    def _write_down(self, name: str, scope: Scope, status: int, seconds: float) -> None:
        """Write a line and count; the route, not the path, which would tell who was asked about."""
        route = getattr(scope.get("route"), "path_format", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        REQUESTS.labels(route, method, status).inc()
        SECONDS.labels(route).observe(seconds)
        facts = {
            "id": name,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1e3 * seconds, 2),
        }
        logger.info("request", extra={"facts": facts})


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


class JsonLines(logging.Formatter):
    """Log records as lines of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said = {
            "time": f"{when}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)
