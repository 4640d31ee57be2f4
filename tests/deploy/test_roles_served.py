"""Each role for real, under the conditions of its container: all is read-only but the data folder, no home, user 10001,
no capabilities. What the probes ask is asked, and /metrics has what the rules go by.

Namespaces stand in for the container: `unshare`, as root on Linux. Elsewhere the tests are skipped.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from sources.collect.keys import entry, new_key
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import free_port
from streams.runtime.topics_admin import ensure_topics
from tests.conftest import wait_until
from tests.deploy.manifests import DEPLOY, ROOT, of_kind, read

BASE = DEPLOY / "kubernetes" / "base"
RULES = "".join(file.read_text() for file in (DEPLOY / "prometheus" / "rules").glob("*.yaml"))
HEALTH: dict[str, Any] = runpy.run_path(str(DEPLOY / "image" / "health.py"))
#: Everything read-only; the data folder (first argument) fresh and writable; then neither root nor capabilities.
_CONTAINER = """
mount -o remount,bind,ro /
mount -t tmpfs -o mode=1777 tmpfs "$1"
shift
exec unshare --user --map-user=10001 --map-group=10001 -- "$@"
"""
_LOOK = """
import os, pathlib, sys
assert os.getuid() == 10001, os.getuid()
pathlib.Path(sys.argv[2], "file").write_text("")
try:
    pathlib.Path(sys.argv[1], "file").write_text("")
except OSError as error:
    sys.exit(error.errno != 30)
sys.exit(1)
"""


@dataclass(frozen=True, slots=True)
class Role:
    """A running role; `probes` are the paths of its Deployment, `log` what it wrote."""

    process: "subprocess.Popen[bytes]"
    base: str
    probes: dict[str, str]
    log: Path

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body; 0 while nothing answers. AssertionError once the process has ended."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urlopen(f"{self.base}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""


def contained(data: Path, command: list[str]) -> list[str]:
    """The command under the conditions of a container that may write to `data` alone."""
    return ["unshare", "--mount", "sh", "-euc", _CONTAINER, "sh", str(data), *command]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder; skipped where a container's conditions cannot be made."""
    folder = tmp_path / "data"
    folder.mkdir()
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs `unshare` and root to make a container's conditions")
    look = contained(folder, [sys.executable, "-c", _LOOK, str(tmp_path), str(folder)])
    if subprocess.run(look, capture_output=True, timeout=60, check=False).returncode != 0:
        pytest.skip("this machine lets nobody make a container's conditions")
    return folder


@pytest.fixture
def kafka() -> Iterator[str]:
    with EmbeddedKafka() as embedded:
        ensure_topics(load_settings(kafka=embedded.bootstrap, kafka_paced=True))
        yield embedded.bootstrap


@contextmanager
def running(role: str, kafka: str, data: Path, **more: str) -> Iterator[Role]:
    """The role as its Deployment starts it, on a free port and on `kafka`, which is the embedded one."""
    (deployment,) = of_kind(read(BASE / f"{role}.yaml"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    port = str(free_port())
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "TMPDIR": str(data),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
        "CORREDOR_DATA_DIR": str(data),
        "CORREDOR_KAFKA": kafka,
        "CORREDOR_KAFKA_PACED": "true",
        "CORREDOR_SINK": "false",
        "CORREDOR_METRICS_PORT": port,
        "CORREDOR_QUERY_PORT": "0",
        "CORREDOR_COLLECT_HOST": "0.0.0.0",
        "CORREDOR_COLLECT_PORT": port,
        "CORREDOR_CONSOLE_PORT": port,
        "CORREDOR_CONSOLE_HOST": "0.0.0.0",
        **more,
    }
    log = data.parent / f"{role}.log"
    corredor = str(Path(sys.executable).with_name("corredor"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            contained(data, [corredor, *container["args"]]),
            env=environment, cwd="/", stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        # The health check of the image asks the same.
        asked = HEALTH["address"](["corredor", *container["args"]], environment, "ready")
        assert asked == f"http://127.0.0.1:{port}{probes['readinessProbe']}"
        yield Role(process, f"http://127.0.0.1:{port}", probes, log)
    finally:
        process.terminate()
        try:
            code = process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, log.read_text()


def is_well(role: Role) -> None:
    """Every probe of the role is answered with 200, in time."""
    for path in (role.probes["startupProbe"], role.probes["livenessProbe"], role.probes["readinessProbe"]):
        wait_until(lambda path=path: role.ask(path)[0] == 200, 60)  # type: ignore[misc]


@pytest.mark.parametrize(("role", "store"), [("worker", "memory"), ("worker", "rocksdb"), ("sink", "memory")])
def test_worker_and_sink_need_nothing_to_write_to_but_their_data_folder(
    role: str, store: str, kafka: str, data: Path
) -> None:
    with running(role, kafka, data, CORREDOR_STATE_STORE=store) as started:
        is_well(started)
        status, exposition = started.ask("/metrics")
        assert status == 200
        served = set(re.findall(r"^# TYPE (corredor_\w+) ", exposition, re.MULTILINE))
        prefix = "corredor_sink_" if role == "sink" else "corredor_checkpoint"
        ruled = {name for name in re.findall(rf"\b{prefix}\w+", RULES) if not re.search(r"_(bucket|count|sum)$", name)}
        assert ruled <= served | {name.removesuffix("_total") for name in served}


def test_the_collector_needs_nothing_to_write_to(kafka: str, data: Path, tmp_path: Path) -> None:
    token, digest = new_key()
    keys = tmp_path / "keys.yaml"
    keys.write_text("keys:\n" + entry("shop", digest))
    with running("collector", kafka, data, CORREDOR_COLLECT_KEYS=str(keys)) as started:
        is_well(started)
        assert started.ask("/metrics")[0] == 200
        assert token not in started.log.read_text()


def test_the_console_reads_its_password_from_a_file_and_needs_nothing_to_write_to(
    kafka: str, data: Path, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "corredor_console_password").write_text("the-password-of-the-console")
    # Nothing listens there: the console is up all the same, and says so on its pages.
    (secrets / "corredor_clickhouse").write_text(f"http://reader:x@127.0.0.1:{free_port()}/corredor")
    with running("console", kafka, data, CORREDOR_SECRETS=str(secrets)) as started:
        is_well(started)
        status, page = started.ask("/")
        assert status == 200
        assert 'name="password"' in page


def test_without_keys_or_password_nothing_listens_beyond_this_machine(kafka: str, data: Path) -> None:
    for arguments, told in ((["collect"], "without keys"), (["console"], "without a login")):
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "CORREDOR_KAFKA": kafka, "CORREDOR_DATA_DIR": str(data),
            "CORREDOR_COLLECT_HOST": "0.0.0.0", "CORREDOR_CONSOLE_HOST": "0.0.0.0",
        }  # fmt: skip
        corredor = str(Path(sys.executable).with_name("corredor"))
        done = subprocess.run(
            contained(data, [corredor, *arguments]), env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 2
        assert told in done.stderr
