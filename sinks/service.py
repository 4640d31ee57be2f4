"""The sink as a running program: migrations, delivery, metrics, and for chDB the query interface."""

import logging
import os
import threading
from collections.abc import Callable

from schemas import retention
from schemas.loader import load_map
from sinks import bi
from sinks.clickhouse import INSERT_TIMEOUT_S, ClickHouse, StoreAway, chdb_path, shown
from sinks.cluster import spread
from sinks.deliver import Deliver, consumer
from sinks.hangs import WatchedStore
from sinks.http_query import QueryServer
from sinks.migrate import migrate
from sinks.retention import keep
from sinks.retriable import Backoff
from streams.runtime import clients, http
from streams.runtime.settings import Settings
from streams.runtime.waiting import WAITS

log = logging.getLogger(__name__)


def serve(
    settings: Settings, stop: threading.Event, ready: Callable[[str], None], hangs: Callable[[str], None]
) -> None:
    """Run until `stop`; `settings.kafka` is an address. `ready` gets one line once everything listens.

    For an insert that does not end `hangs` is called with a message, from another thread; it has to end the process.
    Raises StopProcess and UsageError with what to do. If the shutdown takes longer than its timeout, or a query still
    runs in the engine at its end, the process ends at once: nothing is lost, for what was not acknowledged comes again.
    """
    readiness = _Readiness()
    server = http.serve(settings.metrics_host, settings.metrics_port, lambda: readiness.reason())
    store = _open(settings.clickhouse_dsn, stop, readiness)
    if store is None:
        return
    schema = spread(store, settings.clickhouse_cluster)
    for migration in migrate(schema):
        log.info("applied migration %03d_%s", migration.version, migration.name)
    for change in keep(schema, retention.parse(settings.retention)):
        log.info("%s: rows are kept for %s, before for %s", change.table, change.after, change.before)
    for sentence in bi.prepare(schema, load_map(settings.map)):
        log.info("%s", sentence)
    places = [f"kafka={settings.kafka}", f"clickhouse={shown(store.dsn)}"]
    places.append(f"metrics=http://{settings.metrics_host}:{server.port}/metrics")
    queries = None
    folder = chdb_path(store.dsn)
    if folder is not None:
        queries = QueryServer(
            folder, settings.query_port, settings.query_host, settings.query_password.get_secret_value()
        )
        queries.start()
        places.append(f"query={queries.dsn}")
    ended = threading.Event()
    threading.Thread(target=_end_in_time, args=(settings.shutdown_timeout, stop, ended), daemon=True).start()
    # A server's insert may take its whole timeout and then be put off: only what lasts longer hangs.
    watched = WatchedStore(store, INSERT_TIMEOUT_S + settings.stall_timeout, hangs)
    watched.start()
    deliver = Deliver(settings, watched, consumer(settings), clients.producer(settings))
    readiness.reason = lambda: deliver.not_ready() or watched.reason()
    ready(f"sink ready {' '.join(places)}")
    try:
        deliver.run(stop)
    finally:
        # Now the deadline counts also when it was an error that ended the delivery.
        stop.set()
        watched.stop()
        idle = queries.stop(settings.shutdown_timeout / 4) if queries is not None else True
        server.close()
        if idle:
            store.close()
        ended.set()
    if not idle:
        log.warning("a query still runs; ending without it")
        logging.shutdown()
        os._exit(0)


class _Readiness:
    """Who says why the sink is not ready changes as it starts."""

    def __init__(self) -> None:
        self.because("it is starting")

    def because(self, reason: str) -> None:
        """Not ready for this reason, until another is given."""
        self.reason: Callable[[], str | None] = lambda: reason


def _open(dsn: str, stop: threading.Event, readiness: _Readiness) -> ClickHouse | None:
    """Connect, waiting for a server as long as it takes; None if told to stop meanwhile."""
    backoff = Backoff()
    while not stop.is_set():
        try:
            return ClickHouse.open(dsn)
        except StoreAway as away:
            delay = backoff.delay()
            readiness.because(f"waits for ClickHouse: {away}")
            log.warning("%s; next attempt in %.1f s", away, delay)
            with WAITS.on("clickhouse", str(away)):
                stop.wait(delay)
    return None


def _end_in_time(timeout: float, stop: threading.Event, ended: threading.Event) -> None:
    stop.wait()
    if not ended.wait(timeout):
        log.critical("the shutdown took longer than %.0f s; ending without it", timeout)
        logging.shutdown()
        os._exit(1)
