"""A schema registry as far as readers need one, answering as Confluent's REST API documents it.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html: `GET /schemas/ids/{id}` and
`GET /subjects/{subject}/versions/{version}`; error codes 40401, 40402, 40403, 40101.
"""

import base64
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote

USER, PASSWORD = "registry-user", "s3cret-of-the-registry"


def wire(number: int, payload: bytes) -> bytes:
    """A value in Confluent's wire format."""
    return struct.pack(">bI", 0, number) + payload


class RegistryServer:
    """Serves `schemas` (by id) and `subjects` (by subject and version) on `port`, or a free one; a context manager.

    `asked` lists the paths that were asked for. With `status` set it answers everything with that, as a proxy would.
    """

    def __init__(self, port: int = 0, password: str = "") -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[tuple[str, int], dict[str, Any]] = {}
        self.asked: list[str] = []
        self.status: int | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Answers GET."""

            def do_GET(self) -> None:
                server.asked.append(self.path)
                expected = base64.b64encode(f"{USER}:{password}".encode()).decode()
                if server.status is not None:
                    self._answer(server.status, b"<html>a proxy</html>")
                elif password and self.headers.get("Authorization") != f"Basic {expected}":
                    self._problem(401, 40101, "Unauthorized")
                else:
                    self._look_up([unquote(part) for part in self.path.split("/")[1:]])

            def _look_up(self, path: list[str]) -> None:
                match path:
                    case ["schemas", "ids", number] if int(number) in server.schemas:
                        self._answer(200, json.dumps(server.schemas[int(number)]).encode())
                    case ["schemas", "ids", number]:
                        self._problem(404, 40403, f"Schema {number} not found")
                    case ["subjects", subject, "versions", version] if (subject, int(version)) in server.subjects:
                        self._answer(200, json.dumps(server.subjects[subject, int(version)]).encode())
                    case _:
                        self._problem(404, 40401, "Subject not found")

            def _problem(self, status: int, code: int, message: str) -> None:
                self._answer(status, json.dumps({"error_code": code, "message": message}).encode())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        credentials = f"{USER}:{password}@" if password else ""
        self.url = f"http://{credentials}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
