"""What the two contestants that do it as Faust's guide shows have in common.

Faust ships no types for its models and decorators: where mypy is told to look away here and there, that is why.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import faust

from bench.contestants import SUMS_TABLE
from schemas.corridor import CorridorMap
from schemas.loader import load_map
from streams.runtime.settings import Settings, load_settings


def create_app(settings: Settings) -> faust.App:
    """An app with Faust's own defaults."""
    return faust.App(
        settings.worker_group,
        broker=f"kafka://{settings.kafka}",
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        datadir=Path(settings.data_dir),
    )


def sums_table(app: faust.App, settings: Settings, default: Callable[[], Any], event_time: Any) -> Any:
    """A windowed Table of 10 seconds of event time."""
    table = app.Table(SUMS_TABLE, default=default, partitions=settings.partitions)
    return table.tumbling(10.0, expires=timedelta(hours=1)).relative_to_field(event_time)


def work(create: Callable[[Settings, CorridorMap, int], faust.App]) -> None:
    """Run the worker as `faust worker` does; the argument is the number of the last event."""
    settings = load_settings()
    app = create(settings, load_map(settings.map), int(sys.argv[1]))
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()
