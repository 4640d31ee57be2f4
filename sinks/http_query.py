"""ClickHouse's HTTP interface in front of chDB, read-only: what BI tools, curl and clickhouse-connect speak.

chDB takes one process at a time, so the process that writes also answers queries. Every request gets an engine
connection of its own (0.3 ms), on which `readonly = 1` is set before the query: the engine itself then refuses writes,
changes of settings and table functions that reach outside, with code 164; `sinks.http_admit` refuses the rest.

Programs on this machine need no password. On another address than loopback the interface listens only if it is told a
password, and asks everyone for it who comes from another machine; the name of the user is not looked at.
"""

import base64
import binascii
import hmac
import ipaddress
import json
import re
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP as HTTP_POLICY
from pathlib import Path
from typing import Any

import chdb
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from schemas.errors import UsageError
from schemas.sql import literal
from sinks.clickhouse import FINAL_READS_LESS
from sinks.http_admit import QueryError, admit, admit_setting, ask
from sinks.http_status import CONTENT_TYPES, status_of

LOOPBACK = "127.0.0.1"
_WRONG_PASSWORD = 516
#: Limits of one query: seconds, bytes of result, bytes of memory, queries at a time.
LIMITS = {
    "max_execution_time": 60,
    "max_result_bytes": 64 * 1024 * 1024,
    "max_memory_usage": 2 * 1024**3,
}
CONCURRENT = 8
_MAX_BODY = 1024 * 1024
#: Parameters of ClickHouse's HTTP interface that are no settings, and those that only its transport knows.
_TRANSPORT = frozenset(
    {
        "query",
        "query_id",
        "database",
        "default_format",
        "user",
        "password",
        "session_id",
        "session_timeout",
        "session_check",
        "quota_key",
        "role",
        "compress",
        "decompress",
        "wait_end_of_query",
        "buffer_size",
        "enable_http_compression",
        "http_zlib_compression_level",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "add_http_cors_header",
        "cancel_http_readonly_queries_on_client_close",
        "http_write_exception_in_output_format",
        "readonly",
    }
)
_connect: Callable[[str], Any] = chdb.connect
_OWN_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """A query's bytes, their format, and what it read."""

    body: bytes
    format: str
    summary: dict[str, str]


class Engine:
    """Answers read-only queries on the chDB folder that this process has open. Safe for use by several threads."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._slots = threading.BoundedSemaphore(CONCURRENT)
        self._running = 0
        self._count = threading.Lock()
        connection = self._open({}, {})
        try:
            answer = connection.query("SELECT version(), timezone()", "TSV").bytes().decode().split()
        finally:
            connection.close()
        self.version, self.timezone = answer[0], answer[1]

    @property
    def busy(self) -> bool:
        """Whether a query runs."""
        return self._running > 0

    def run(
        self, sql: str, *, database: str, default_format: str, settings: dict[str, str], params: dict[str, str]
    ) -> Result:
        """Run one query; QueryError if it is refused or fails."""
        if not self._slots.acquire(timeout=5):
            raise QueryError(202, f"Code: 202. DB::Exception: Too many simultaneous queries: {CONCURRENT}. "
                                  "(TOO_MANY_SIMULTANEOUS_QUERIES)")  # fmt: skip
        with self._count:
            self._running += 1
        try:
            connection = self._open(settings, {"database": database})
            try:
                admit(connection, sql, params)
                result = ask(connection, sql, default_format, params)
                own = _OWN_FORMAT.search(sql)
                return Result(
                    bytes(result.bytes()),
                    own[1] if own else default_format,
                    {
                        "read_rows": str(result.storage_rows_read()),
                        "read_bytes": str(result.storage_bytes_read()),
                        "result_rows": str(result.rows_read()),
                        "elapsed_ns": str(int(result.elapsed() * 1e9)),
                    },
                )
            finally:
                connection.close()
        finally:
            with self._count:
                self._running -= 1
            self._slots.release()

    def _open(self, settings: dict[str, str], where: dict[str, str]) -> Any:
        """A connection of its own: our defaults, the caller's settings, then our limits, then the lock."""
        connection = _connect(self._path)
        try:
            ask(connection, f"SET {FINAL_READS_LESS}", "TSV", {})
            if where:
                ask(connection, "USE {database:Identifier}", "TSV", where)
            for name, value in settings.items():
                admit_setting(name)
                ask(connection, f"SET {name} = {literal(value)}", "TSV", {})
            limits = ", ".join(f"{name} = {value}" for name, value in LIMITS.items())
            ask(connection, f"SET {limits}, result_overflow_mode = 'throw', readonly = 1", "TSV", {})
        except BaseException:
            connection.close()
            raise
        return connection


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The text fields of a multipart form: clickhouse-connect sends long queries so."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    parsed = BytesParser(policy=HTTP_POLICY).parsebytes(head + body)
    fields = {}
    for part in parsed.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode()
    return fields


def _check_password(request: Request, password: str) -> None:
    """QueryError if the request comes from another machine without the password, in any of ClickHouse's ways."""
    client = request.client.host if request.client is not None else ""
    if _is_loopback(client) or any(hmac.compare_digest(one.encode(), password.encode()) for one in _given(request)):
        return
    raise QueryError(_WRONG_PASSWORD, f"Code: {_WRONG_PASSWORD}. DB::Exception: Authentication failed: password is "
                                      "incorrect. (AUTHENTICATION_FAILED)")  # fmt: skip


def _given(request: Request) -> list[str]:
    """The passwords that a request brings, empty ones left out."""
    kind, _, credentials = request.headers.get("authorization", "").partition(" ")
    basic = ""
    if kind.lower() == "basic":
        try:
            basic = base64.b64decode(credentials).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            basic = ""
    found = (basic, request.headers.get("x-clickhouse-key", ""), request.query_params.get("password", ""))
    return [password for password in found if password]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def create_app(engine: Engine, password: str = "") -> Starlette:
    """The HTTP application: `/` takes queries, `/ping` says Ok. Without a password only this machine is answered."""

    async def query(request: Request) -> Response:
        given = dict(request.query_params)
        body = await request.body()
        query_id = given.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": "corredor",
            "X-ClickHouse-Timezone": engine.timezone,
        }
        try:
            _check_password(request, password)
            if len(body) > _MAX_BODY:
                raise QueryError(229, "Code: 229. DB::Exception: The query is longer than 1 MiB. (QUERY_IS_TOO_LARGE)")
            content_type = request.headers.get("content-type", "")
            if content_type.startswith("multipart/form-data"):
                given |= _form(content_type, body)
                body = b""
            sql = "\n".join(part for part in (given.get("query", ""), body.decode()) if part)
            if not sql.strip():
                return PlainTextResponse("Ok.\n")
            result = await run_in_threadpool(
                engine.run,
                sql,
                database=given.get("database") or request.headers.get("x-clickhouse-database") or "default",
                default_format=given.get("default_format")
                or request.headers.get("x-clickhouse-format")
                or "TabSeparated",
                settings={
                    name: value
                    for name, value in given.items()
                    if name not in _TRANSPORT and not name.startswith("param_")
                },
                params={name[6:]: value for name, value in given.items() if name.startswith("param_")},
            )
        except QueryError as error:
            headers["X-ClickHouse-Exception-Code"] = str(error.code)
            text = f"{error} (version {engine.version})\n" if "(version" not in str(error) else f"{error}\n"
            return PlainTextResponse(text, status_of(error.code), headers)
        except UnicodeDecodeError:
            headers["X-ClickHouse-Exception-Code"] = "62"
            return PlainTextResponse("Code: 62. DB::Exception: The query is not UTF-8. (SYNTAX_ERROR)\n", 400, headers)
        headers["X-ClickHouse-Format"] = result.format
        headers["X-ClickHouse-Summary"] = json.dumps(result.summary)
        return Response(result.body, headers=headers, media_type=CONTENT_TYPES.get(result.format, "text/plain"))

    async def ping(_request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    return Starlette(routes=[Route("/", query, methods=["GET", "POST"]), Route("/ping", ping)])


class QueryServer:
    """The interface on a port of the loopback address and of `host`, served by a thread of its own."""

    def __init__(self, path: Path, port: int, host: str = LOOPBACK, password: str = "") -> None:
        """Bind the port (0 takes a free one); UsageError if it is taken, or `host` needs a password and has none."""
        if not _is_loopback(host) and not password:
            raise UsageError(
                f"the query interface shall listen on {host or 'no address'}, where others reach it: set "
                f"CORREDOR_QUERY_PASSWORD, or leave CORREDOR_QUERY_HOST at {LOOPBACK}"
            )
        # Who is told to listen on all addresses listens on loopback too; on any other address not yet.
        hosts = [host] if host == "0.0.0.0" else list(dict.fromkeys((LOOPBACK, host)))
        self._sockets = _bound(hosts, port)
        self.port: int = self._sockets[0].getsockname()[1]
        self._engine = Engine(path)
        # At once: whoever is told the address may come before the server's thread does.
        for listening in self._sockets:
            listening.listen()
        config = uvicorn.Config(
            create_app(self._engine, password),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), name="query", daemon=True)

    @property
    def dsn(self) -> str:
        """Where clients on this machine connect."""
        return f"http://{LOOPBACK}:{self.port}/corredor"

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Stop listening; wait up to `timeout` seconds for queries that run. False: one still runs in the engine."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout)
        for listening in self._sockets:
            listening.close()
        return not self._engine.busy


def _bound(hosts: list[str], port: int) -> list[socket.socket]:
    """Sockets bound to the same port of IPv4 or IPv6 addresses; UsageError if that cannot be."""
    made: list[socket.socket] = []
    host = ""
    try:
        for host in hosts:
            version6 = ipaddress.ip_address(host).version == 6
            made.append(socket.socket(socket.AF_INET6 if version6 else socket.AF_INET, socket.SOCK_STREAM))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if version6:
                made[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made[-1].bind((host, port))
            port = made[0].getsockname()[1]
    except (OSError, ValueError) as error:
        for one in made:
            one.close()
        if isinstance(error, ValueError):
            raise UsageError(f"CORREDOR_QUERY_HOST: `{host}` is no IP address; write one of this machine's") from error
        raise UsageError(
            f"the query interface cannot listen on {host}:{port}: {error.strerror}; "
            f"choose another port with --query-port or CORREDOR_QUERY_PORT (0 takes a free one)"
        ) from error
    return made
