"""Apache Kafka on this machine: KRaft mode, broker and controller in one Java process, jars from Maven Central."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from string import Template
from types import MappingProxyType, TracebackType
from typing import Self
from xml.etree import ElementTree

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import StopProcess, UsageError
from streams.runtime.leash import leashed

HERE = Path(__file__).resolve().parents[2] / "deploy" / "kafka"
MINIMUM_JAVA = 17
#: Any identifier will do: one broker, one folder.
CLUSTER_ID = "Y29ycmVkb3ItbG9jYWwtaw"
HEAP = "-Xmx512m"
#: Halves the CPU seconds of a start; a broker on one machine does not need the optimising compiler.
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
START_S = 60.0
STOP_S = 10.0
FETCH_S = 600.0
_TAIL_LINES = 15


def kafka_version() -> str:
    """The version of Apache Kafka that deploy/kafka/pom.xml names; UsageError without that file."""
    pom = HERE / "pom.xml"
    try:
        found = ElementTree.parse(pom).findtext(".//{*}kafka.version")
    except (OSError, ElementTree.ParseError) as error:
        raise UsageError(f"local Kafka needs {pom}: {error}; run from a source tree of Corredor") from None
    if found is None:
        raise UsageError(f"{pom} has no <kafka.version>")
    return found


def jar_folder() -> Path:
    """Where the jars are kept between runs: `$CORREDOR_CACHE`, else `~/.cache/corredor`, and below it the version."""
    cache = os.environ.get("CORREDOR_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "corredor") / f"kafka-{kafka_version()}"


def java() -> str:
    """Path of a Java 17 or later: `$JAVA_HOME/bin/java`, else `java` on the path. UsageError without one."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if path is None:
        raise UsageError("local Kafka needs Java 17 or later; install a JDK or JRE, or set CORREDOR_KAFKA=embedded")
    said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    version = said.partition('"')[2].partition('"')[0]
    major = version.removeprefix("1.").partition(".")[0].partition("-")[0]
    if not major.isdigit() or int(major) < MINIMUM_JAVA:
        raise UsageError(f"local Kafka needs Java 17 or later; {path} is Java {version or said.strip()}")
    return path


def fetch_jars() -> Path:
    """The folder with Kafka's jars, fetched by Maven the first time (about 40 MB). UsageError if that fails."""
    folder = jar_folder()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise UsageError("local Kafka needs Maven (`mvn`) once, to fetch its jars; install it, then try again")
    # Other processes may be doing the same: each fetches into a folder of its own, and the first rename wins.
    fetched = folder.with_name(f"{folder.name}.{os.getpid()}")
    command = [maven, "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*command, f"-DoutputDirectory={fetched}"], capture_output=True, text=True, timeout=FETCH_S, check=False
        )
        if done.returncode != 0:
            raise UsageError(f"Maven could not fetch the jars of Apache Kafka:\n{_tail(done.stdout + done.stderr)}")
        if not folder.is_dir():
            fetched.rename(folder)
    except subprocess.TimeoutExpired:
        raise UsageError(f"Maven did not fetch the jars of Apache Kafka within {FETCH_S:.0f} s; try again") from None
    except OSError as error:
        raise UsageError(f"the jars of Apache Kafka cannot be kept in {folder}: {error}; set CORREDOR_CACHE") from None
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return folder


class LocalKafka:
    """One broker on loopback ports, its files in `data_dir`/kafka; a context manager.

    `port` 0 takes a free one, kept over `restart()`. The data survive a restart and a new object on the same folder.
    `properties` are settings of the broker beside those of deploy/kafka, or in their place; `jvm` options of its Java.
    Entering raises UsageError where Java or the jars are missing, StopProcess when the broker does not answer in 60 s.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        properties: Mapping[str, str] = MappingProxyType({}),
        jvm: Sequence[str] = (),
    ) -> None:
        self.folder = data_dir.absolute() / "kafka"
        self.log_file = self.folder / "kafka.log"
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._properties = properties
        self._jvm = jvm

    @property
    def bootstrap(self) -> str:
        """The address that clients connect to."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the broker and return once it answers."""
        program, jars = java(), fetch_jars()
        if self.port and listens(self.port):
            raise StopProcess(f"something else answers on {self.bootstrap} already; end it, or set CORREDOR_KAFKA_PORT")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, controller_port = _free_ports(self.port)
        config = self.folder / "server.properties"
        logs = self.folder / "logs"
        values = {"port": self.port, "controller_port": controller_port, "log_dir": logs}
        # Of a property that is there twice, Java takes the last.
        lines = [f"{name}={Template(value).safe_substitute(values)}\n" for name, value in self._properties.items()]
        text = Template((HERE / "server.properties").read_text()).substitute(values)
        config.write_text(text + "\n" + "".join(lines))
        run = [program, HEAP, *QUICK_START, *self._jvm, f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"]
        run += ["-cp", f"{jars}/*"]
        if not (logs / "meta.properties").exists():
            self._format(run, config)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                leashed([*run, "kafka.Kafka", str(config)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers(self.process)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Ask the broker to stop, kill it after `timeout_s`. Does nothing when it does not run."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End the broker at once, as a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Stop and start again: same port, same data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _format(self, run: list[str], config: Path) -> None:
        """Prepare the storage folder; Kafka starts on no other."""
        arguments = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(config)]
        done = subprocess.run([*run, *arguments], capture_output=True, text=True, timeout=START_S, check=False)
        if done.returncode != 0:
            raise StopProcess(f"Kafka could not format {self.folder}:\n{_tail(done.stdout + done.stderr)}")

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        while not listens(self.port):
            if process.poll() is not None:
                tail = _tail(self.log_file.read_text(errors="replace"))
                raise StopProcess(
                    f"Kafka ended while starting, with code {process.returncode}; {self.log_file}:\n{tail}"
                )
            if time.monotonic() > deadline:
                raise StopProcess(f"Kafka did not answer on {self.bootstrap} in {START_S:.0f} s; see {self.log_file}")
            time.sleep(0.05)
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2, "reconnect.backoff.max.ms": 200})
        try:
            client.list_topics(timeout=max(1.0, deadline - time.monotonic()))
        except KafkaException as error:
            raise StopProcess(
                f"Kafka listens on {self.bootstrap} but does not answer: {error}; {self.log_file}"
            ) from None


def _free_ports(port: int) -> tuple[int, int]:
    """`port`, or a free one for 0, and a free port for the controller."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        free = [int(each.getsockname()[1]) for each in sockets]
    return port or free[0], free[1]


def listens(port: int) -> bool:
    """True if something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])
