"""/metrics, /health, /ready and what else a process shows, served by a daemon thread.

/ready tells whether the process does its work right now, and if not, what it waits for. /health answers as long as the
process lives: one that makes no sense to keep ends by itself (see watchdog).
"""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.errors import UsageError

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
#: The open incidents, a JSON list of `schemas.incident.Incident` with `links`: for those who have no Prometheus.
INCIDENTS = "/incidents"


class Server:
    """A running server: `port` it listens on, `close()` to end it."""

    def __init__(
        self,
        host: str,
        port: int,
        ready: Callable[[], str | None],
        metrics: Callable[[], bytes],
        documents: Mapping[str, Callable[[], bytes]],
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            """Answers GET, quietly."""

            def do_GET(self) -> None:
                """Route the request."""
                match path := self.path.partition("?")[0]:
                    case "/metrics":
                        self._answer(200, metrics(), CONTENT_TYPE_LATEST)
                    case "/health":
                        self._answer(200, b"ok\n", _TEXT)
                    case "/ready":
                        reason = ready()
                        self._answer(200 if reason is None else 503, f"{reason or 'ready'}\n".encode(), _TEXT)
                    case _ if path in documents:
                        self._answer(200, documents[path](), _JSON)
                    case _:
                        there = ", ".join(("/metrics", "/health", "/ready", *documents))
                        self._answer(404, f"not found; there are {there}\n".encode(), _TEXT)

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not logged: Prometheus asks every few seconds."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served on {host}:{port}: {error.strerror}; "
                "set CORREDOR_METRICS_PORT to another port, or to 0 for a free one"
            ) from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def serve(
    host: str,
    port: int,
    ready: Callable[[], str | None],
    metrics: Callable[[], bytes] = generate_latest,
    documents: Mapping[str, Callable[[], bytes]] = MappingProxyType({}),
) -> Server:
    """Serve on `host`:`port` (0 takes a free port) until `close()`. Raises UsageError if the port cannot be had.

    `ready` says why the process is not ready, or None when it is; `metrics` gives the text of /metrics, by default
    everything registered in this process; `documents` gives JSON by path.
    """
    return Server(host, port, ready, metrics, documents)
