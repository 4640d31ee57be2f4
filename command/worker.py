"""`corredor worker`: the agents `ingest` and `score`."""

from typing import Annotated

import typer


def command(
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics; 0 takes a free one.")] = None,
) -> None:
    """Score touchpoint events: one worker process. Start more of them, here or elsewhere, to share the partitions.

    Ctrl-C makes a last checkpoint, then ends; what it did not acknowledge is done again by the next worker.
    """
    from streams.app import run_worker
    from streams.runtime.settings import load_settings

    settings = load_settings(metrics_port=metrics_port)
    if settings.kafka in ("embedded", "local"):
        from streams.runtime.endpoints import resolve

        settings = resolve(settings)
    run_worker(settings)
