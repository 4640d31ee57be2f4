"""`corredor sink`: from Kafka into ClickHouse."""

from typing import Annotated

import typer


def command(
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics; 0 takes a free one.")] = None,
    query_port: Annotated[
        int | None, typer.Option(help="Port of ClickHouse's HTTP interface in front of chDB; 0 takes a free one.")
    ] = None,
) -> None:
    """Write events, rejections, slices and scores from Kafka to ClickHouse.

    Applies pending migrations first. On chDB it also answers read-only queries over ClickHouse's HTTP interface.
    Ctrl-C writes and acknowledges what is buffered, then ends; what it cannot write comes again at the next start.
    """
    import logging
    import signal
    import threading

    from command.output import out
    from sinks.service import serve
    from streams.runtime.settings import load_settings
    from streams.runtime.watchdog import end_process

    settings = load_settings(metrics_port=metrics_port, query_port=query_port)
    if settings.kafka in ("embedded", "local"):
        from streams.runtime.endpoints import resolve

        running = resolve(settings)
        settings = settings.model_copy(update={"kafka": running.kafka, "kafka_paced": running.kafka_paced})
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve(
        settings,
        stop,
        lambda line: out.print(line, markup=False, highlight=False, soft_wrap=True),
        lambda message: end_process(message, blocked=True),
    )
