"""A console over real results: chDB with an hour of one corridor in it, behind ClickHouse's HTTP interface."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
import uvicorn

from console.app import create_app
from console.store import Results
from schemas.loader import load_map
from sinks.clickhouse import ClickHouse
from sinks.http_query import QueryServer
from sinks.migrate import migrate
from streams.runtime.settings import DEFAULT_MAP, Settings, load_settings
from tests.console import rows


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("chdb")
    store = ClickHouse.open(f"chdb://{folder}")
    migrate(store)
    for table, made in rows.tables().items():
        store.insert(table, b"\n".join(msgspec.json.encode(row) for row in made))
    yield folder
    store.close()


@pytest.fixture(scope="package")
def queries(folder: Path) -> Iterator[QueryServer]:
    server = QueryServer(folder, 0)
    server.start()
    yield server
    assert server.stop(5)


@pytest.fixture
def settings(queries: QueryServer, tmp_path: Path) -> Settings:
    runbooks = str(DEFAULT_MAP.parents[2] / "docs" / "runbooks")
    return load_settings(clickhouse=queries.dsn, data_dir=tmp_path, runbooks=runbooks)


@contextmanager
def browse(settings: Settings, **headers: str) -> Iterator[httpx.Client]:
    """A client of a console with these settings, that follows no redirects."""
    results = Results(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server: uvicorn.Server
        app = create_app(settings, load_map(settings.map), results, lambda: server.should_exit)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(30)
            results.close()


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with browse(settings) as client:
        yield client
