"""What stands before every page: security headers, no foreign forms, and who may look."""

from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.login import Login

#: Nothing from elsewhere, no script or style inside a page, never inside another's frame.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_STRICT_TRANSPORT = "max-age=31536000"
#: Served to anyone: none of it shows a result.
_OPEN = ("/choose", "/login", "/ready", "/static/")


class Guard:
    """The console behind its headers and its login. Without a login only hosts of this machine's name are answered."""

    def __init__(self, app: ASGIApp, login: Login, hosts: frozenset[str]) -> None:
        """`hosts`: the names it answers to, empty for all; a page elsewhere could rebind its own name to us."""
        self._app, self._login, self._hosts = app, login, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; websockets are closed."""
        if scope["type"] != "http":
            return
        request = Request(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
            await send(message)

        refusal = self._refusal(request)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        """What to answer instead, or None to let it through."""
        if self._hosts and request.url.hostname not in self._hosts:
            return PlainTextResponse("This console answers on this machine only; ask for it as 127.0.0.1.\n", 421)
        if request.method == "POST" and _foreign(request):
            return PlainTextResponse("This form was sent from another site; send it from the console's page.\n", 403)
        path = request.url.path
        if path.startswith(_OPEN) or self._login.admits(request):
            return None
        if path == "/live" or not self._login.by_password:
            return PlainTextResponse("Log in first: the login proxy before the console has named nobody.\n", 401)
        return RedirectResponse(f"/login?next={quote(path, safe='/')}", 303)


def _foreign(request: Request) -> bool:
    """Whether a page of another origin sent it. Browsers say so in Sec-Fetch-Site, older ones in Origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin", "null")
    return origin != "null" and urlsplit(origin).netloc != request.headers.get("host")


def local_path(path: str) -> str:
    """A path of this console to lead back to; `/` for anything that leads elsewhere."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(char) < 33 for char in path):
        return "/"
    return path
