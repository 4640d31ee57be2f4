import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from schemas.errors import StopProcess, UsageError
from streams.runtime import endpoints, supervisor
from streams.runtime.federation import get
from streams.runtime.settings import Settings, load_settings
from streams.runtime.supervisor import Child, Supervisor
from tests.conftest import wait_until

#: Stands in for `corredor`: serves /ready, notes its settings and the order in which it is told to stop.
PROGRAM = """
import os, pathlib, signal, sys, threading
from streams.runtime import http

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
folder = pathlib.Path(os.environ["CORREDOR_DATA_DIR"])
name = sys.argv[1]
print(f"{name} with Kafka at {os.environ['CORREDOR_KAFKA']}, paced {os.environ['CORREDOR_KAFKA_PACED']}")
if (folder / f"{name}.refuses").exists():
    print("this map is wrong")
    sys.exit(2)
if name in ("worker", "sink"):
    http.serve("127.0.0.1", int(os.environ["CORREDOR_METRICS_PORT"]), lambda: None)
stop.wait()
if (folder / f"{name}.hangs").exists():
    threading.Event().wait()
with (folder / "stopped").open("a") as out:
    out.write(name + "\\n")
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return [sys.executable, str(file)]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Settings:
    """Settings for a cluster that is somewhere else: nothing is started or asked for it."""
    monkeypatch.setattr(supervisor, "ensure_topics", lambda _: [])
    monkeypatch.setattr(supervisor, "BACKOFF_S", 0.05)
    return load_settings(kafka="127.0.0.1:1", data_dir=data_dir, metrics_port=0, query_port=0, workers=2)


@pytest.fixture
def embedded(data_dir: Path) -> Settings:
    return load_settings(data_dir=data_dir, metrics_port=0, query_port=0)


def _child(group: Supervisor, name: str) -> Child:
    return next(child for child in group.children if child.name == name)


def _pid(group: Supervisor, name: str) -> int:
    process = _child(group, name).process
    assert process is not None
    return process.pid


def test_everything_is_ready_and_described_after_the_start(cluster: Settings, program: list[str]) -> None:
    with Supervisor(cluster, program=program) as group:
        run = endpoints.find(cluster)
        assert run is not None
        assert (run.pid, run.kafka, run.metrics) == (os.getpid(), "127.0.0.1:1", group.metrics_url)
        assert set(run.processes) == {"sink", "worker-1", "worker-2"}
        assert get(f"{group.metrics_url}/ready") == (200, "ready\n")
        assert 'corredor_process_up{process="worker-2"} 1.0' in get(f"{group.metrics_url}/metrics")[1]
    assert endpoints.find(cluster) is None


def test_publishers_end_first_then_workers_then_the_sink(cluster: Settings, program: list[str], data_dir: Path) -> None:
    with Supervisor(cluster, program=program, publishers=[["simulate"]]) as group:
        log = _child(group, "simulate-1").log_file
        wait_until(lambda: log.exists() and "simulate with" in log.read_text())
        pids = [_pid(group, child.name) for child in group.children]
    assert (data_dir / "stopped").read_text().split() == ["simulate", "worker", "worker", "sink"]
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_on_a_cluster_a_killed_worker_is_started_again_and_counted(cluster: Settings, program: list[str]) -> None:
    told: list[str] = []
    with Supervisor(cluster, program=program, tell=told.append) as group:
        pid = _pid(group, "worker-1")
        os.kill(pid, signal.SIGKILL)

        def again() -> bool:
            group.check()
            return _child(group, "worker-1").running and _pid(group, "worker-1") != pid and group.not_ready() is None

        wait_until(again)
        text = get(f"{group.metrics_url}/metrics")[1]
        assert 'corredor_process_restarts_total{process="worker-1"} 1.0' in text
    assert "worker-1 ended with code -9" in told[0]


def test_the_wait_before_a_restart_doubles(cluster: Settings, program: list[str]) -> None:
    with Supervisor(cluster, program=program) as group:
        child = _child(group, "worker-1")
        waits = []
        for _ in range(3):
            os.kill(_pid(group, "worker-1"), signal.SIGKILL)
            wait_until(lambda: not child.running)
            group.check()
            waits.append(child.backoff_s)
            child.due = 0.0
            group.check()
    assert waits == [2.0, 4.0, 8.0]


def test_on_the_embedded_kafka_a_death_ends_the_run(embedded: Settings, program: list[str]) -> None:
    with Supervisor(embedded, program=program) as group:
        os.kill(_pid(group, "worker-1"), signal.SIGKILL)
        with pytest.raises(StopProcess, match="keeps nothing on disk"):
            group.watch()


def test_the_embedded_kafka_takes_one_worker(embedded: Settings, program: list[str]) -> None:
    two = embedded.model_copy(update={"workers": 2})
    with pytest.raises(UsageError, match="takes one worker, not 2"), Supervisor(two, program=program):
        pass


def test_children_on_the_embedded_kafka_know_that_it_is_short(embedded: Settings, program: list[str]) -> None:
    with Supervisor(embedded, program=program) as group:
        assert f"Kafka at {group.settings.kafka}, paced True" in _child(group, "worker-1").tail()


def test_a_child_that_refuses_its_input_ends_the_run_with_its_words(
    cluster: Settings, program: list[str], data_dir: Path
) -> None:
    (data_dir / "worker.refuses").touch()
    with pytest.raises(UsageError, match="this map is wrong"), Supervisor(cluster, program=program):
        pass
    assert endpoints.find(cluster) is None


def test_a_child_that_hangs_is_killed_in_time(cluster: Settings, program: list[str], data_dir: Path) -> None:
    (data_dir / "worker.hangs").touch()
    quick = cluster.model_copy(update={"shutdown_timeout": 1.0})
    with Supervisor(quick, program=program) as group:
        pid = _pid(group, "worker-1")
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert not psutil.pid_exists(pid)


def test_a_second_request_does_not_wait_for_a_hanging_child(
    cluster: Settings, program: list[str], data_dir: Path
) -> None:
    (data_dir / "worker.hangs").touch()
    patient = cluster.model_copy(update={"shutdown_timeout": 100.0})
    with Supervisor(patient, program=program) as group:
        threading.Timer(0.3, group.hurry.set).start()
        began = time.monotonic()
    assert time.monotonic() - began < 10


def test_two_runs_do_not_share_a_folder(cluster: Settings, program: list[str]) -> None:
    with Supervisor(cluster, program=program):
        with pytest.raises(UsageError, match="is in use by `corredor run`"):
            Supervisor(cluster, program=program).start()


def test_children_have_a_session_of_their_own(cluster: Settings, program: list[str]) -> None:
    with Supervisor(cluster, program=program) as group:
        assert os.getsid(_pid(group, "worker-1")) != os.getsid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; from streams.runtime.leash import leashed; "
        "child = subprocess.Popen(leashed([sys.executable, '-c', 'import time; time.sleep(60)']), "
        "start_new_session=True); print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: "time.sleep(60)" in " ".join(psutil.Process(pid).cmdline()[-1:]))
        parent.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_the_console_starts_when_the_others_are_ready_and_its_end_ends_nothing(
    embedded: Settings, program: list[str]
) -> None:
    settings = embedded.model_copy(update={"console": True, "console_port": 0})
    with Supervisor(settings, program=program) as group:
        console = _child(group, "console")
        assert group.console == f"http://127.0.0.1:{console.environment['CORREDOR_CONSOLE_PORT']}"
        assert not group.console.endswith(":0")
        assert console.arguments == ["console", "--metrics-port", console.environment["CORREDOR_METRICS_PORT"]]
        run = endpoints.find(settings)
        assert run is not None and run.processes["console"] == console.url
        first = _pid(group, "console")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not console.running)
        group.check()
        assert console.due is not None and group.not_ready() is None
        console.due = time.monotonic()
        group.check()
        assert _pid(group, "console") != first and console.restarts == 1


def test_without_being_asked_for_there_is_no_console(embedded: Settings, program: list[str]) -> None:
    with Supervisor(embedded, program=program) as group:
        assert group.console == "" and all(child.role != "console" for child in group.children)
