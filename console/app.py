"""The console as an ASGI application: pages, live signal, login, and what it says when something is wrong."""

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from console.language import LANGUAGES
from console.login import Login
from console.pages import Pages, read_form
from console.security import Guard, local_path
from console.shared import Shared
from console.store import Results
from console.view import THEMES, Templates
from schemas.corridor import CorridorMap
from schemas.errors import RetryLater, StopProcess
from streams.runtime.settings import Settings

log = logging.getLogger("corredor.console")

#: How often a viewer's stream looks whether something changed; the look itself is shared. Seconds.
LOOK_S = 0.5
#: A line is sent at least this often, so that proxies keep the stream open. Seconds.
HEARTBEAT_S = 15.0
#: Characters of an error that a page shows.
MOST_DETAIL = 400
_YEAR_S = 365 * 86400
_STATIC = Path(__file__).parent / "static"
#: Names of this machine, which are all it answers to without a login.
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def create_app(
    settings: Settings, chart: CorridorMap, results: Results, stopping: Callable[[], bool] = lambda: False
) -> ASGIApp:
    """The console for one corridor map. `stopping` ends the live streams, which would otherwise never end."""
    login = Login(settings.console_password.get_secret_value(), settings.console_proxy_header)
    templates = Templates(chart, logs_out=login.by_password)
    pages = Pages(settings, chart, results, Shared(), templates)
    doors = _Doors(login, templates)
    errors = _Errors(templates)

    async def live(request: Request) -> Response:
        tenant = request.query_params.get("tenant", "default")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_changes(pages, tenant, stopping), media_type="text/event-stream", headers=headers)

    async def ready(_request: Request) -> Response:
        return PlainTextResponse("ready\n")

    app = Starlette(
        routes=[
            *pages.routes(),
            Route("/live", live),
            Route("/choose", doors.choose),
            Route("/login", doors.login, methods=["GET", "POST"]),
            Route("/logout", doors.logout, methods=["POST"]),
            Route("/ready", ready),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        exception_handlers={
            HTTPException: errors.http,
            RetryLater: errors.away,
            StopProcess: errors.refused,
            Exception: errors.broken,
        },
    )
    return Guard(app, login, LOCAL_HOSTS if login.open else frozenset())


async def _changes(pages: Pages, tenant: str, stopping: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events: `change` whenever the corridor looks different, `away` while ClickHouse does not answer."""
    last, quiet_s = "", 0.0
    while not stopping():
        try:
            now = (await pages.snapshot(tenant)).digest
        except (RetryLater, StopProcess):
            now = "away"
        if now != last:
            yield f"event: {'away' if now == 'away' else 'change'}\ndata: {now}\n\n"
            last, quiet_s = now, 0.0
        elif (quiet_s := quiet_s + LOOK_S) >= HEARTBEAT_S:
            yield ": still here\n\n"
            quiet_s = 0.0
        await anyio.sleep(LOOK_S)


class _Doors:
    """In and out, and what a reader chooses."""

    def __init__(self, login: Login, templates: Templates) -> None:
        self._login, self._templates = login, templates

    async def login(self, request: Request) -> Response:
        """The login by password."""
        view = self._templates.view(request)
        back = local_path(request.query_params.get("next", "/"))
        if not self._login.by_password:
            return RedirectResponse("/", 303)
        wrong, wait_s = False, 0.0
        if request.method == "POST":
            address = request.client.host if request.client else ""
            form = await read_form(request)
            back = local_path(form.get("next", "/"))
            wait_s = self._login.wait_s(address)
            if not wait_s and self._login.right(form.get("password", ""), address):
                response: Response = RedirectResponse(back, 303)
                self._login.let_in(response, https=request.url.scheme == "https")
                return response
            wrong = True
        status = 429 if wait_s else 401 if wrong else 200
        headers = {"Retry-After": f"{wait_s:.0f}"} if wait_s else None
        return self._templates.page("login", view, status, headers, page="", back=back, wrong=wrong, wait_s=wait_s)

    async def logout(self, _request: Request) -> Response:
        """End a login."""
        response = RedirectResponse("/login", 303)
        self._login.let_out(response)
        return response

    async def choose(self, request: Request) -> Response:
        """Remember language or theme, then lead back."""
        response = RedirectResponse(local_path(request.query_params.get("back", "/")), 303)
        for name, allowed in (("lang", LANGUAGES), ("theme", THEMES)):
            if (value := request.query_params.get(name, "")) in allowed:
                https = request.url.scheme == "https"
                response.set_cookie(name, value, _YEAR_S, samesite="lax", httponly=True, secure=https)
        return response


class _Errors:
    """Pages that say what is wrong and what to do."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    async def http(self, request: Request, error: Exception) -> Response:
        """Not found, not allowed, too long."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        key = {404: "not_found", 405: "not_allowed", 413: "too_long"}.get(status, "broken")
        headers = dict(error.headers) if isinstance(error, HTTPException) and error.headers else None
        return self._page(request, status, key, headers=headers)

    async def away(self, request: Request, error: Exception) -> Response:
        """ClickHouse is not there; the page asks again by itself."""
        log.warning("%s", error)
        return self._page(request, 503, "away", str(error), {"Retry-After": "3"})

    async def refused(self, request: Request, error: Exception) -> Response:
        """ClickHouse does not do what was asked: another version, or rights that are missing."""
        log.error("%s", error)
        return self._page(request, 500, "refused", str(error))

    async def broken(self, request: Request, error: Exception) -> Response:
        """A mistake of ours."""
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return self._page(request, 500, "broken")

    def _page(
        self, request: Request, status: int, key: str, detail: str = "", headers: dict[str, str] | None = None
    ) -> Response:
        view = self._templates.view(request)
        again = key == "away" and request.method == "GET"
        return self._templates.page(
            "error",
            view,
            status,
            headers,
            page="",
            key=key,
            detail=" ".join(detail.split())[:MOST_DETAIL],
            again=again,
        )
