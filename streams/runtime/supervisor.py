"""One group of processes: Kafka, then sink and workers, console, publishers; ended in the opposite order.

Each child runs in a session of its own, so that Ctrl-C in the terminal reaches only the supervisor, and dies with it.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil
from pydantic import SecretStr

from schemas.errors import StopProcess, UsageError
from streams.runtime import endpoints, http
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.federation import Federation, get
from streams.runtime.leash import leashed
from streams.runtime.local import LocalKafka, listens
from streams.runtime.settings import Settings
from streams.runtime.topics_admin import ensure_topics

Role = Literal["console", "publisher", "worker", "sink"]
#: Order of stopping, and each stage's part of `shutdown_timeout`: nobody may lose the one that reads after it.
STAGES: tuple[tuple[Role, float], ...] = (("console", 0.05), ("publisher", 0.1), ("worker", 0.45), ("sink", 0.3))
KAFKA_SHARE = 0.1
READY_S = 90.0
BACKOFF_S, BACKOFF_LIMIT_S = 1.0, 30.0
#: A child that has run this long counts as recovered: its next restart comes after the shortest wait again.
STEADY_S = 60.0
_LOOK_S = 0.1
_TAIL_LINES = 12
_USAGE = 2

#: The program whose subcommands the children are; `-P` keeps the working folder out of the import path.
PROGRAM = (sys.executable, "-P", "-c", "from command.main import main; main()")


@dataclass(slots=True)
class Child:
    """One child process, over its restarts."""

    name: str
    role: Role
    arguments: list[str]
    environment: dict[str, str]
    log_file: Path
    #: Base URL of its /metrics and /ready; empty for a publisher, which has none.
    url: str = ""
    restarts: int = 0
    backoff_s: float = BACKOFF_S
    started: float = 0.0
    #: When to start it again, monotonic seconds; only while it is down.
    due: float | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self, program: Sequence[str]) -> None:
        """Start it; what it writes goes to its log file."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                leashed([*program, *self.arguments]),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started, self.due = time.monotonic(), None

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self.process is not None and self.process.poll() is None

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log_file.read_text(errors="replace").strip().splitlines()[-_TAIL_LINES:])


class Supervisor:
    """`start()`, then `watch()` until `stop_asked` is set, then `stop()`; as a context manager it starts and stops.

    `tell` gets messages for the user. `publishers` are command lines of `corredor` that write events, such as
    `["simulate"]`, started when all else is ready. Call it from one thread that lives to the end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        publishers: Sequence[list[str]] = (),
        tell: Callable[[str], None] = lambda message: None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.settings = settings
        self.stop_asked = threading.Event()
        self.hurry = threading.Event()
        self.metrics_url = ""
        #: DSN of ClickHouse for other processes; empty without a sink.
        self.clickhouse = ""
        #: URL of the console; empty where none runs.
        self.console = ""
        self.children: list[Child] = []
        self._publishers = publishers
        self._tell = tell
        self._program = program
        self._kafka: EmbeddedKafka | LocalKafka | None = None
        self._server: http.Server | None = None

    def __enter__(self) -> "Supervisor":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return when it is ready, or when `stop_asked` is set.

        Raises UsageError if a run lives in the data folder already, StopProcess if something does not come up.
        """
        other = endpoints.find(self.settings)
        if other is not None:
            raise UsageError(
                f"{self.settings.data_dir.absolute()} is in use by `corredor run`, process {other.pid}; "
                "end that one, or set CORREDOR_DATA_DIR to another folder"
            )
        self._start_kafka()
        ensure_topics(self.settings)
        self._server = self._serve()
        self.metrics_url = f"http://{self.settings.metrics_host}:{self._server.port}"
        for child in self._plan():
            self.children.append(child)
            child.start(self._program)
        self._wait_until_ready()
        endpoints.write(self.settings, self._describe())
        if self.settings.console:
            self._start_console()
        for number, arguments in enumerate(self._publishers, 1):
            child = self._child("publisher", f"{arguments[0]}-{number}", arguments)
            self.children.append(child)
            child.start(self._program)

    def watch(self) -> None:
        """Keep the children alive until `stop_asked`. Raises StopProcess when one cannot be replaced."""
        while not self.stop_asked.wait(_LOOK_S):
            self.check()

    def check(self) -> None:
        """One look at the children, for a caller with a loop of its own: see `watch`."""
        for child in self.children:
            if child.due is not None:
                if time.monotonic() >= child.due:
                    child.restarts += 1
                    child.start(self._program)
            elif not child.running:
                self._ended(child)

    def stop(self) -> None:
        """End publishers, workers, sinks and Kafka in this order, each stage within its time; then SIGKILL."""
        for role, share in STAGES:
            self._stop_stage([each for each in self.children if each.role == role], share)
        if isinstance(self._kafka, LocalKafka):
            self._kafka.stop(max(1.0, self.settings.shutdown_timeout * KAFKA_SHARE))
        elif self._kafka is not None:
            self._kafka.close()
        self._kafka = None
        if self._server is not None:
            self._server.close()
            self._server = None
        endpoints.remove(self.settings)
        self.children = []

    def not_ready(self) -> str | None:
        """Why the whole is not ready, or None when it is. The console only looks on: it does not count."""
        reasons = []
        for child in self.children:
            if child.role == "console":
                continue
            if not child.running:
                reasons.append(f"{child.name} does not run")
            elif child.url:
                status, text = get(f"{child.url}/ready")
                if status != 200:
                    reasons.append(f"{child.name}: {text.strip()}")
        return "; ".join(reasons) or None

    def _start_kafka(self) -> None:
        settings = self.settings
        if settings.kafka == "embedded":
            if settings.workers > 1:
                # librdkafka's mock coordinator refuses a member that syncs after the leader, and aiokafka gives up.
                raise UsageError(
                    f"the embedded Kafka takes one worker, not {settings.workers}: its consumer groups do not share; "
                    "set CORREDOR_WORKERS=1, or CORREDOR_KAFKA=local or to a cluster"
                )
            embedded = EmbeddedKafka(settings.partitions)
            self._kafka = embedded
            self.settings = settings.model_copy(update={"kafka": embedded.bootstrap, "kafka_paced": True})
        elif settings.kafka == "local":
            address = f"127.0.0.1:{settings.kafka_port}"
            if settings.kafka_port and listens(settings.kafka_port):
                self._tell(f"using the Kafka that answers at {address}")
            else:
                self._tell("starting Apache Kafka")
                local = LocalKafka(settings.data_dir, settings.kafka_port)
                self._kafka = local
                local.start()
                address = local.bootstrap
            self.settings = settings.model_copy(update={"kafka": address})

    def _serve(self) -> http.Server:
        federation = Federation(
            lambda: {child.name: (child.url, child.restarts) for child in self.children if child.url}
        )
        return http.serve(
            self.settings.metrics_host,
            self.settings.metrics_port,
            self.not_ready,
            federation.text,
            {http.INCIDENTS: lambda: federation.joined(http.INCIDENTS)},
        )

    def _plan(self) -> list[Child]:
        children = []
        if self.settings.sink:
            port = self.settings.query_port or free_port()
            self.settings = self.settings.model_copy(update={"query_port": port})
            dsn = self.settings.clickhouse_dsn
            self.clickhouse = f"http://127.0.0.1:{port}/corredor" if dsn.startswith("chdb:") else dsn
            children.append(self._child("sink", "sink", ["sink"]))
        children += [self._child("worker", f"worker-{n}", ["worker"]) for n in range(1, self.settings.workers + 1)]
        return children

    def _start_console(self) -> None:
        """It finds the rest by their description, and nobody waits for it: where it ends, the others go on."""
        port = self.settings.console_port or free_port()
        self.settings = self.settings.model_copy(update={"console_port": port})
        host = self.settings.console_host
        self.console = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        child = self._child("console", "console", ["console"])
        child.arguments += ["--metrics-port", child.environment["CORREDOR_METRICS_PORT"]]
        self.children.append(child)
        child.start(self._program)
        endpoints.write(self.settings, self._describe())

    def _child(self, role: Role, name: str, arguments: list[str]) -> Child:
        port = 0 if role == "publisher" else free_port()
        shutdown = self.settings.shutdown_timeout * dict(STAGES)[role] * 0.9
        environment = {
            **os.environ,
            **as_environment(self.settings),
            "CORREDOR_METRICS_HOST": "127.0.0.1",
            "CORREDOR_METRICS_PORT": str(port),
            "CORREDOR_SHUTDOWN_TIMEOUT": f"{shutdown:.2f}",
            "PYTHONUNBUFFERED": "1",
        }
        if role not in ("sink", "console") and self.clickhouse:
            environment["CORREDOR_CLICKHOUSE"] = self.clickhouse
        log_file = self.settings.data_dir.absolute() / "logs" / f"{name}.log"
        return Child(name, role, arguments, environment, log_file, f"http://127.0.0.1:{port}" if port else "")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while not self.stop_asked.is_set():
            self.check()
            reason = self.not_ready()
            if reason is None:
                return
            if time.monotonic() > deadline:
                raise StopProcess(f"not ready after {READY_S:.0f} s: {reason}; the logs are in {self._logs()}")
            self.stop_asked.wait(_LOOK_S)

    def _ended(self, child: Child) -> None:
        """A child ended unasked: start it again later, or end the run."""
        code = child.process.returncode if child.process is not None else 0
        what = f"{child.name} ended with code {code}; {child.log_file}:\n{child.tail()}"
        if code == _USAGE:
            raise UsageError(what)
        if child.role == "publisher":
            self.children.remove(child)
            if code != 0:
                raise StopProcess(what)
            return
        if self.settings.kafka_paced and child.role != "console":
            raise StopProcess(
                f"{what}\nThe embedded Kafka keeps nothing on disk, so its state cannot be read back and the run ends; "
                "with CORREDOR_KAFKA=local or a cluster it would go on"
            )
        if time.monotonic() - child.started > STEADY_S:
            child.backoff_s = BACKOFF_S
        self._tell(f"{what}\nstarting it again in {child.backoff_s:.0f} s")
        child.due = time.monotonic() + child.backoff_s
        child.backoff_s = min(child.backoff_s * 2, BACKOFF_LIMIT_S)

    def _stop_stage(self, children: list[Child], share: float) -> None:
        alive = [child.process for child in children if child.process is not None and child.process.poll() is None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + self.settings.shutdown_timeout * share
        while any(process.poll() is None for process in alive) and time.monotonic() < deadline:
            if self.hurry.wait(0.02):
                break
        for process in alive:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _describe(self) -> endpoints.Run:
        return endpoints.Run(
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            kafka=self.settings.kafka,
            kafka_paced=self.settings.kafka_paced,
            clickhouse=self.clickhouse,
            metrics=self.metrics_url,
            processes={child.name: child.url for child in self.children if child.url},
        )

    def _logs(self) -> Path:
        return self.settings.data_dir.absolute() / "logs"


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings as `CORREDOR_...` variables, so that a child has exactly these, whatever file lies about."""
    values: dict[str, object] = settings.model_dump()
    values |= {"clickhouse": settings.clickhouse_dsn}
    return {f"CORREDOR_{name.upper()}": _as_text(value) for name, value in values.items()}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value.absolute())
    return "" if value is None else str(value)


_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody has right now, and that was not given before: its owner may not have taken it yet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
