"""ClickHouse's HTTP interface in front of chDB, read-only: what BI tools, curl and clickhouse-connect speak.

chDB takes one process at a time, so the process that writes also answers queries. Every request gets an engine
connection of its own (0.3 ms), on which `readonly = 1` is set before the query: the engine itself then refuses writes,
changes of settings and table functions that reach outside, with code 164. What the engine lets through although it
reaches the file system or this process (INTO OUTFILE, the functions `file` and `python`) is refused by looking at the
parsed query first. Loopback only: there are no users and passwords here.
"""

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
from sinks.http_status import CONTENT_TYPES, status_of

READONLY = 164
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
_NAME = re.compile(r"\w+")
_CODE = re.compile(r"Code: (\d+)")
_OWN_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_AST_OUTSIDE = re.compile(r"^ *Function (file|python) ", re.MULTILINE | re.IGNORECASE)


class QueryError(Exception):
    """An error as ClickHouse would answer it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


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
                _admit(connection, sql, params)
                result = _ask(connection, sql, default_format, params)
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
        """A connection of its own: the caller's settings, then our limits, then the lock."""
        connection = _connect(self._path)
        try:
            if where:
                _ask(connection, "USE {database:Identifier}", "TSV", where)
            for name, value in settings.items():
                if not _NAME.fullmatch(name):
                    raise QueryError(115, f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
                quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                _ask(connection, f"SET {name} = '{quoted}'", "TSV", {})
            limits = ", ".join(f"{name} = {value}" for name, value in LIMITS.items())
            _ask(connection, f"SET {limits}, result_overflow_mode = 'throw', readonly = 1", "TSV", {})
        except BaseException:
            connection.close()
            raise
        return connection


def _ask(connection: Any, sql: str, fmt: str, params: dict[str, str]) -> Any:
    try:
        return connection.query(sql, fmt, params=params)
    except RuntimeError as error:
        raise _query_error(str(error)) from error


def _query_error(message: str) -> QueryError:
    message = message[max(message.find("Code: "), 0) :].strip()
    code = _CODE.search(message)
    return QueryError(int(code[1]) if code else 1002, message)


def _admit(connection: Any, sql: str, params: dict[str, str]) -> None:
    """Refuse what is not one plain read."""
    report = connection._conn.classify_query(sql, "corredor")
    kind, statements = report["query_class"].name, int(report["statement_count"])
    if kind == "UNKNOWN":
        # The engine parses it without running it, so that its words about the error come back.
        _ask(connection, "SELECT formatQuery({corredor_sql:String})", "TSV", {"corredor_sql": _escaped(sql)})
        raise QueryError(62, "Code: 62. DB::Exception: Syntax error: not a single statement. (SYNTAX_ERROR)")
    if statements != 1:
        raise QueryError(62, "Code: 62. DB::Exception: Syntax error: Multi-statements are not allowed. (SYNTAX_ERROR)")
    if kind != "READ_ONLY":
        raise _read_only("Cannot execute query in readonly mode.")
    tree = _ask(connection, f"EXPLAIN AST {sql}", "TSVRaw", params).bytes().decode(errors="replace")
    outside = _AST_OUTSIDE.search(tree)
    if outside:
        raise _read_only(f"Function {outside[1]} reaches outside the database, which is read-only here.")


def _read_only(message: str) -> QueryError:
    return QueryError(READONLY, f"Code: {READONLY}. DB::Exception: {message} (READONLY)")


def _escaped(text: str) -> str:
    """A String parameter's value travels in TSV escaping."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


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


def create_app(engine: Engine) -> Starlette:
    """The HTTP application: `/` takes queries, `/ping` says Ok."""

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
    """The interface on a port of the loopback address, served by a thread of its own."""

    def __init__(self, path: Path, port: int) -> None:
        """Bind the port (0 takes a free one); UsageError if it is taken."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise UsageError(
                f"the query interface cannot listen on 127.0.0.1:{port}: {error.strerror}; "
                f"choose another port with --query-port or CORREDOR_QUERY_PORT (0 takes a free one)"
            ) from error
        self._engine = Engine(path)
        # At once: whoever is told the address may come before the server's thread does.
        self._socket.listen()
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            create_app(self._engine),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="query", daemon=True)

    @property
    def dsn(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}/corredor"

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Stop listening; wait up to `timeout` seconds for queries that run. False: one still runs in the engine."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._socket.close()
        return not self._engine.busy
