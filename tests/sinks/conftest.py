"""One chDB engine for all tests here: a process can hold only one folder open."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from sinks.clickhouse import ClickHouse, chdb_path
from sinks.http_query import QueryServer
from sinks.migrate import migrate
from streams.runtime.settings import Settings
from tests.conftest import TooLateError

TABLES = (
    "touchpoint_events",
    "rejected_events",
    "experience_slices",
    "experience_scores",
    "journeys",
    "incidents",
    "corridor",
    "forgotten",
)


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    store = ClickHouse.open(f"chdb://{tmp_path_factory.mktemp('chdb')}")
    migrate(store)
    yield store
    store.close()


@pytest.fixture
def store(engine: ClickHouse) -> ClickHouse:
    filled = "SELECT DISTINCT table FROM system.parts WHERE database = 'corredor' AND active"
    for (table,) in engine.rows(filled):
        if table in TABLES:
            engine.command(f"TRUNCATE TABLE corredor.{table}")
    return engine


@pytest.fixture(scope="package")
def folder(engine: ClickHouse) -> Path:
    path = chdb_path(engine.dsn)
    assert path is not None
    return path


@pytest.fixture(scope="package")
def queries(folder: Path) -> Iterator[QueryServer]:
    server = QueryServer(folder, 0)
    server.start()
    yield server
    assert server.stop(5)


@pytest.fixture
def cluster() -> Iterator[str]:
    owner = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1, "log_level": 0})
    yield str(next(iter(owner.list_topics(timeout=10).brokers.values()))).split("/")[0]
    owner.flush(0)


@pytest.fixture
def settings(cluster: str, tmp_path: Path) -> Settings:
    return Settings(kafka=cluster, kafka_paced=True, data_dir=tmp_path, sink_interval=0.05)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TooLateError("the condition did not come true in time")
            time.sleep(0.02)

    return wait
