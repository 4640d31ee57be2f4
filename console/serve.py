"""The console as a running program: socket, orderly end, and who may not be let in by mistake."""

import signal
from collections.abc import Callable

import uvicorn

from console.app import create_app
from console.store import Results
from schemas.errors import UsageError
from schemas.loader import load_map
from streams.runtime import http
from streams.runtime.listen import address, is_loopback, listen
from streams.runtime.settings import Settings

#: Connections at a time; each viewer keeps one open.
_CONNECTIONS = 1000


def serve(settings: Settings, metrics_port: int | None, ready: Callable[[str], None]) -> None:
    """Run until SIGTERM or Ctrl-C. `ready` gets one line once the port listens; with `metrics_port` there is /metrics.

    Raises UsageError for an address, map or setting that cannot be used.
    """
    if not is_loopback(settings.console_host) and not (
        settings.console_password.get_secret_value() or settings.console_proxy_header
    ):
        raise UsageError(
            f"without a login anyone could read the results at {settings.console_host}: set CORREDOR_CONSOLE_PASSWORD, "
            "or CORREDOR_CONSOLE_PROXY_HEADER behind a login proxy, or listen on 127.0.0.1"
        )
    chart = load_map(settings.map)
    results = Results(settings)
    server: uvicorn.Server
    app = create_app(settings, chart, results, lambda: server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout / 2)),
        )
    )
    # For a signal before uvicorn listens to them.
    signal.signal(signal.SIGTERM, server.handle_exit)
    listener = listen(
        settings.console_host,
        settings.console_port,
        "the console",
        "choose another --port or CORREDOR_CONSOLE_PORT (0 takes a free one)",
    )
    metrics = http.serve(settings.metrics_host, metrics_port, lambda: None) if metrics_port is not None else None
    try:
        ready(f"console ready url=http://{address(settings.console_host, listener)}")
        server.run([listener])
    finally:
        if metrics is not None:
            metrics.close()
        listener.close()
        results.close()
