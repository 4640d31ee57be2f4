"""The sink as a running program: migrations, delivery, metrics, and for chDB the query interface."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from prometheus_client import start_http_server

from schemas.errors import UsageError
from sinks.clickhouse import ClickHouse, StoreAway, chdb_path, shown
from sinks.deliver import Deliver, consumer
from sinks.http_query import QueryServer
from sinks.migrate import migrate
from sinks.retriable import Backoff
from streams.runtime import clients
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)


def serve(settings: Settings, stop: threading.Event, ready: Callable[[str], None]) -> None:
    """Run until `stop`; `settings.kafka` is an address. `ready` gets one line once everything listens.

    Raises StopProcess and UsageError with what to do. If the shutdown takes longer than its timeout, or a query still
    runs in the engine at its end, the process ends at once: nothing is lost, for what was not acknowledged comes again.
    """
    store = _open(settings.clickhouse_dsn, stop)
    if store is None:
        return
    for migration in migrate(store):
        log.info("applied migration %03d_%s", migration.version, migration.name)
    places = [f"kafka={settings.kafka}", f"clickhouse={shown(store.dsn)}"]
    metrics_server = _metrics(settings)
    places.append(f"metrics=http://{settings.metrics_host}:{metrics_server.server_port}/metrics")
    queries = None
    folder = chdb_path(store.dsn)
    if folder is not None:
        queries = QueryServer(folder, settings.query_port)
        queries.start()
        places.append(f"query={queries.dsn}")
    ended = threading.Event()
    threading.Thread(target=_end_in_time, args=(settings.shutdown_timeout, stop, ended), daemon=True).start()
    deliver = Deliver(settings, store, consumer(settings), clients.producer(settings))
    ready(f"sink ready {' '.join(places)}")
    try:
        deliver.run(stop)
    finally:
        # Now the deadline counts also when it was an error that ended the delivery.
        stop.set()
        idle = queries.stop(settings.shutdown_timeout / 4) if queries is not None else True
        metrics_server.shutdown()
        metrics_server.server_close()
        if idle:
            store.close()
        ended.set()
    if not idle:
        log.warning("a query still runs; ending without it")
        logging.shutdown()
        os._exit(0)


def _open(dsn: str, stop: threading.Event) -> ClickHouse | None:
    """Connect, waiting for a server as long as it takes; None if told to stop meanwhile."""
    backoff = Backoff()
    while not stop.is_set():
        try:
            return ClickHouse.open(dsn)
        except StoreAway as away:
            delay = backoff.delay()
            log.warning("%s; next attempt in %.1f s", away, delay)
            stop.wait(delay)
    return None


def _metrics(settings: Settings) -> Any:
    try:
        server, _ = start_http_server(settings.metrics_port, addr=settings.metrics_host)
    except OSError as error:
        raise UsageError(
            f"/metrics cannot listen on {settings.metrics_host}:{settings.metrics_port}: {error.strerror}; "
            f"choose another port with --metrics-port or CORREDOR_METRICS_PORT (0 takes a free one)"
        ) from error
    return server


def _end_in_time(timeout: float, stop: threading.Event, ended: threading.Event) -> None:
    stop.wait()
    if not ended.wait(timeout):
        log.critical("the shutdown took longer than %.0f s; ending without it", timeout)
        logging.shutdown()
        os._exit(1)
