import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from schemas.errors import UsageError
from streams.runtime import endpoints
from streams.runtime.endpoints import Run
from streams.runtime.settings import Settings, load_settings


def _settings(tmp_path: Path, **extra: object) -> Settings:
    return load_settings(data_dir=tmp_path, **extra)


def _run(pid: int | None = None, started: float | None = None, **extra: object) -> Run:
    values: dict[str, object] = {
        "pid": pid or os.getpid(),
        "started": started if started is not None else psutil.Process().create_time(),
        "kafka": "127.0.0.1:4711",
        "kafka_paced": True,
        "clickhouse": "http://127.0.0.1:8123/corredor",
        "metrics": "http://127.0.0.1:9464",
        "processes": {"worker-1": "http://127.0.0.1:5000"},
        **extra,
    }
    return Run(**values)  # type: ignore[arg-type]


def test_a_run_is_found_with_its_addresses(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    endpoints.write(settings, _run())
    resolved = endpoints.resolve(settings)
    assert resolved.kafka == "127.0.0.1:4711"
    assert resolved.kafka_paced
    assert resolved.clickhouse_dsn == "http://127.0.0.1:8123/corredor"


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    endpoints.write(_settings(tmp_path), _run())
    assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("kafka", ["embedded", "local"])
def test_nothing_running_is_a_usage_error_that_says_what_to_do(tmp_path: Path, kafka: str) -> None:
    with pytest.raises(UsageError, match="start it with `corredor run`"):
        endpoints.resolve(_settings(tmp_path, kafka=kafka))


def test_a_cluster_by_address_needs_no_run(tmp_path: Path) -> None:
    settings = _settings(tmp_path, kafka="broker:9092", clickhouse="http://ch:8123/corredor")
    assert endpoints.resolve(settings) == settings


def test_another_cluster_and_server_than_the_runs_stand_as_given(tmp_path: Path) -> None:
    settings = _settings(tmp_path, kafka="broker:9092", clickhouse="http://ch:8123/corredor")
    endpoints.write(settings, _run())
    assert endpoints.resolve(settings) == settings


def test_the_runs_own_address_brings_its_pacing(tmp_path: Path) -> None:
    settings = _settings(tmp_path, kafka="127.0.0.1:4711")
    endpoints.write(settings, _run())
    assert endpoints.resolve(settings).kafka_paced


def test_a_file_left_by_a_dead_process_is_recognised(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    settings = _settings(tmp_path)
    endpoints.write(settings, _run(pid=dead.pid, started=1.0))
    assert endpoints.find(settings) is None
    with pytest.raises(UsageError, match=f"left by process {dead.pid}, which has ended"):
        endpoints.resolve(settings)


def test_a_later_process_with_the_same_pid_is_not_taken_for_the_run(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    endpoints.write(settings, _run(started=psutil.Process().create_time() - 3600))
    assert endpoints.find(settings) is None


def test_removing_leaves_the_file_of_another_run_alone(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    endpoints.write(settings, _run(pid=os.getppid()))
    endpoints.remove(settings)
    assert (tmp_path / "run.json").exists()
    endpoints.write(settings, _run())
    endpoints.remove(settings)
    assert not (tmp_path / "run.json").exists()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json cannot be read"):
        endpoints.find(_settings(tmp_path))
