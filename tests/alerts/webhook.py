"""A receiver of Alertmanager's webhooks that keeps what it is told."""

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification: the path it was posted to, and when (monotonic seconds)."""

    path: str
    at: float
    payload: dict[str, Any]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return list(self.payload["alerts"])

    def about(self, status: str, **labels: str) -> list[dict[str, Any]]:
        """Its alerts with this status and these labels."""
        return [
            alert for alert in self.alerts if alert["status"] == status and labels.items() <= alert["labels"].items()
        ]


class Webhook:
    """Listens on a free loopback port while it is used as a context manager; any path will do."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        notices = self.notices

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                notices.append(Notice(self.path, time.monotonic(), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def first(self, path: str, status: str, **labels: str) -> tuple[Notice, dict[str, Any]] | None:
        """The first notification at `path` with such an alert, and that alert; None if there was none."""
        for notice in list(self.notices):
            if notice.path == path:
                for alert in notice.about(status, **labels):
                    return notice, alert
        return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
