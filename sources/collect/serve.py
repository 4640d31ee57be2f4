"""The collector as a running program: socket, TLS, limits of the connection, orderly end."""

import gc
import logging
import os
import signal
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from schemas.errors import StopProcess, UsageError
from sources.collect import keys_file
from sources.collect.acknowledge import Acknowledger
from sources.collect.app import Collector
from sources.collect.limits import Limits
from sources.collect.protocol import timed
from sources.privacy import Edge
from streams.runtime.listen import address, is_loopback, listen
from streams.runtime.settings import Settings

log = logging.getLogger("corredor.collect")

#: Of the shutdown's time, the share for the requests in flight; then they are told to come again.
_GRACE_SHARE = 0.6
_INSTEAD = "choose another --host or --port (0 takes a free one)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and as whom."""

    host: str
    port: int
    keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


def serve(settings: Settings, place: Place, limits: Limits, ready: Callable[[str], None]) -> None:
    """Run until SIGTERM or Ctrl-C; `settings.kafka` is an address. `ready` gets one line once the port listens.

    SIGTERM ends it in order: no new connections, what is in flight is answered, then it returns. If that takes longer
    than `settings.shutdown_timeout`, the process ends at once with 0: what got no 202 was never promised.
    Raises UsageError for files, ports and addresses that cannot be used, StopProcess if the Kafka client broke.
    """
    if (place.tls_cert is None) != (place.tls_key is None):
        raise UsageError("TLS needs both --tls-cert and --tls-key")
    if place.keys is None and not is_loopback(place.host):
        raise UsageError(
            f"without keys anyone could send events to {place.host}: name a keys file with --keys "
            "(`corredor collect --new-key NAME` makes an entry), or listen on 127.0.0.1"
        )
    keys, hooks = keys_file.without_file() if place.keys is None else keys_file.load(place.keys)
    broken: list[str] = []

    def on_fatal(message: str) -> None:
        broken.append(message)
        server.should_exit = True

    acknowledger = Acknowledger(settings, limits.acknowledge_s, on_fatal)
    config = uvicorn.Config(
        Collector(keys, hooks, acknowledger, limits, Edge.of(settings)).app(),
        http=timed(limits.header_timeout_s),
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=limits.header_bytes,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout * _GRACE_SHARE)),
        ssl_certfile=place.tls_cert,
        ssl_keyfile=place.tls_key,
    )
    _load(config, place)
    server = _Server(config, settings.shutdown_timeout)
    # For a signal before uvicorn listens to them; at its end uvicorn raises the one that ended it once more.
    signal.signal(signal.SIGTERM, server.handle_exit)
    acknowledger.start()
    try:
        with listen(place.host, place.port, "the collector", _INSTEAD) as listener:
            scheme = "http" if place.tls_cert is None else "https"
            who = "none (this machine only, any source)" if place.keys is None else place.keys
            ready(f"collect ready url={scheme}://{address(place.host, listener)} kafka={settings.kafka} keys={who}")
            gc.collect()
            gc.freeze()
            server.run([listener])
    finally:
        acknowledger.stop()
    if broken:
        raise StopProcess(broken[0])


class _Server(uvicorn.Server):
    """uvicorn's server, which has to end within `deadline_s` of the first signal."""

    def __init__(self, config: uvicorn.Config, deadline_s: float) -> None:
        super().__init__(config)
        self._deadline_s = deadline_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if not self.should_exit:
            timer = threading.Timer(self._deadline_s, _end, (self._deadline_s,))
            timer.daemon = True
            timer.start()
        super().handle_exit(sig, frame)


def _end(after_s: float) -> None:
    log.critical("the shutdown took longer than %.0f s; ending without it", after_s)
    logging.shutdown()
    os._exit(0)


def _load(config: uvicorn.Config, place: Place) -> None:
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"TLS cannot be set up with {place.tls_cert} and {place.tls_key}: {error}; "
            "name PEM files: the certificate with its chain, and its key without a password"
        ) from None
