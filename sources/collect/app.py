"""The collector's routes. A request is taken when Kafka has acknowledged all its events, and then answered with 202."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.errors import RejectEvent, RetryLater
from sources.collect import cloudevents, metrics, openapi
from sources.collect.acknowledge import Acknowledger
from sources.collect.contract import Checked, Sent, check
from sources.collect.keys import Client, Keys
from sources.collect.limits import Bodies, Limits
from sources.collect.refusals import PROBLEM, Fault, Refused, fault, faulty
from sources.collect.webhooks import Hook
from sources.privacy import Edge

_HERE = Path(__file__).parent
_JSON = "application/json"
_PREFLIGHT_S = "7200"
_HEADERS = "authorization, content-type, x-corredor-key, " + ", ".join(f"ce-{name}" for name in openapi.ATTRIBUTES)
Handler = Callable[[Request], Awaitable[Response]]


class Collector:
    """Answers requests. `acknowledger` brings events to Kafka; who may send what is up to `keys` and `hooks`."""

    def __init__(
        self, keys: Keys, hooks: Mapping[str, Hook], acknowledger: Acknowledger, limits: Limits, edge: Edge
    ) -> None:
        self._keys = keys
        self._hooks = hooks
        self._acknowledger = acknowledger
        self._limits = limits
        self._bodies = Bodies(limits)
        self._edge = edge

    def app(self) -> Starlette:
        """The ASGI application."""
        document = openapi.render(sorted(self._hooks), self._limits)
        files = {
            "/": ((_HERE / "index.html").read_bytes(), "text/html; charset=utf-8"),
            "/openapi.json": (document, _JSON),
            "/beacon.js": ((_HERE / "beacon.js").read_bytes(), "text/javascript; charset=utf-8"),
        }
        routes = [
            Route("/events", partial(self._answer, "events", self._events), methods=["POST"]),
            Route("/hooks/{name}", partial(self._answer, "hooks", self._hook), methods=["POST"]),
            Route("/events", self._preflight, methods=["OPTIONS"]),
            Route("/health", _health),
            Route("/ready", self._ready),
            Route("/metrics", _metrics),
            *(Route(path, partial(_file, content, kind)) for path, (content, kind) in files.items()),
        ]
        return Starlette(routes=routes)

    async def _answer(self, route: str, handler: Handler, request: Request) -> Response:
        """Run a handler, turn what it raises into an answer, measure it, and let browsers read it."""
        began = time.perf_counter()
        try:
            response = await handler(request)
        except RetryLater as later:
            headers = {"Retry-After": f"{later.after_s:.0f}"}
            refused = Refused(503, "unavailable", str(later), "send it again after Retry-After", headers=headers)
            response = _problem(refused)
        except Refused as refused:
            response = _problem(refused)
        except asyncio.CancelledError:
            # The collector ends, and what it waited for did not come in time.
            again = {"Retry-After": "5", "Connection": "close"}
            response = _problem(
                Refused(503, "ending", "the collector ends", "send it again after Retry-After", headers=again)
            )
        origin = request.headers.get("origin")
        if origin and self._keys.knows_origin(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        metrics.SECONDS.labels(route).observe(time.perf_counter() - began)
        return response

    async def _events(self, request: Request) -> Response:
        """CloudEvents in structured, binary or batched mode."""
        client = self._client(request)
        client.bucket.take()
        headers, content_type = request.headers.raw, request.headers.get("content-type", "")
        # What navigator.sendBeacon sends without a preflight; from browsers only, so that nobody else gets used to it.
        beacon = client.browser and "origin" in request.headers and content_type.lower().startswith("text/plain")
        mode = "batched" if beacon else cloudevents.mode_of(content_type, headers)
        body = await self._bodies.read(request)
        try:
            sent = cloudevents.read(mode, content_type, headers, body, self._limits.batch_events)
        except RejectEvent as error:
            raise _unreadable(error) from None
        skip = request.query_params.get("faulty") == "skip"
        accepted, faults = _check(sent, self._edge)
        if faults and not (skip and accepted):
            raise faulty(faults, len(sent))
        client.check(accepted)
        if accepted:
            await self._acknowledger.publish(accepted)
        metrics.ACCEPTED.labels(client.name, mode).inc(len(accepted))
        return _accepted(len(accepted), faults)

    async def _hook(self, request: Request) -> Response:
        """A webhook."""
        hook = self._hooks.get(request.path_params["name"])
        if hook is None:
            names = ", ".join(sorted(self._hooks)) or "none"
            raise Refused(404, "unknown_hook", "there is no such webhook here", f"there are {names}")
        if hook.signatures is None and self._client(request) is not hook.client:
            raise Refused(
                403, "foreign_hook", "this webhook is another key's", "use the key that the webhook stands in"
            )
        body = await self._bodies.read(request)
        signature = hook.claim(request.headers, body)
        try:
            # After the signature: a stranger must not use up the sender's rate.
            hook.client.bucket.take()
            count = await self._take(hook, body)
        except (Refused, RetryLater):
            hook.release(signature)
            raise
        return _accepted(count, [])

    async def _take(self, hook: Hook, body: bytes) -> int:
        try:
            sent = hook.events(body)
        except RejectEvent as error:
            raise _unreadable(error) from None
        accepted, faults = _check(sent, self._edge)
        if faults:
            raise faulty(faults, len(sent))
        hook.client.check(accepted)
        if accepted:
            await self._acknowledger.publish(accepted)
        else:
            metrics.IGNORED.labels(hook.name).inc()
        metrics.ACCEPTED.labels(hook.client.name, "webhook").inc(len(accepted))
        return len(accepted)

    def _client(self, request: Request) -> Client:
        """Who sends. Raises Refused: 401 for no or a wrong key, 403 for a browser's page that the key is not for."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-corredor-key", "")
        public = "" if token else request.query_params.get("key", "")
        client = self._keys.find(token or public)
        if public and not client.browser:
            raise Refused(401, "key_in_address", "a secret key stands in the address", "send it in a header; renew it")
        origin = request.headers.get("origin")
        if origin is not None and not client.allows_origin(origin):
            raise Refused(403, "foreign_origin", f"pages of {origin[:100]} may not use this key", "add it to `origins`")
        return client

    async def _preflight(self, request: Request) -> Response:
        origin = request.headers.get("origin", "")
        if not self._keys.knows_origin(origin):
            return Response(status_code=403)
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": _HEADERS,
                "Access-Control-Max-Age": _PREFLIGHT_S,
                "Vary": "Origin",
            },
        )

    async def _ready(self, request: Request) -> Response:
        away = self._acknowledger.away
        return Response(f"{away or 'ready'}\n", 503 if away else 200, media_type="text/plain")


def _check(sent: Sequence[Sent], edge: Edge) -> tuple[list[Checked], list[Fault]]:
    """The events that ingest will accept, and the faults of the others."""
    now = time.time()
    accepted: list[Checked] = []
    faults: list[Fault] = []
    for index, each in enumerate(sent):
        try:
            accepted.append(check(each, now, edge))
        except RejectEvent as error:
            faults.append(fault(index, error))
            metrics.REFUSED_EVENTS.labels(error.reason).inc()
    return accepted, faults


def _unreadable(error: RejectEvent) -> Refused:
    """The answer to a request whose body as a whole cannot be used."""
    metrics.REFUSED_EVENTS.labels(error.reason).inc()
    return faulty([fault(0, error)], 1)


def _accepted(count: int, faults: Sequence[Fault]) -> Response:
    said: dict[str, object] = {"accepted": count}
    if faults:
        said |= {"rejected": len(faults), "errors": faults[:100]}
    return Response(msgspec.json.encode(said), 202, media_type=_JSON)


def _problem(refused: Refused) -> Response:
    metrics.REFUSED.labels(str(refused.status), refused.reason).inc()
    return Response(refused.body(), refused.status, headers=dict(refused.headers), media_type=PROBLEM)


async def _health(request: Request) -> Response:
    return Response("ok\n", media_type="text/plain")


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _file(content: bytes, kind: str, request: Request) -> Response:
    return Response(content, headers={"Content-Type": kind, "Cache-Control": "max-age=300"})
