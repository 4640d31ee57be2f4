"""Ctrl-C ends everything in time, leaves no process behind and loses nothing."""

import signal
from collections.abc import Iterator

import psutil
import pytest

from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from tests.conftest import Cluster
from tests.pipeline.running import Feed, running, wait_for_exactly

#: What a user is promised: `shutdown_timeout` is 8 s, the rest is for the processes to go.
WITHIN_S = 10.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def fed(settings: Settings) -> Iterator[Feed]:
    feed = Feed(settings.kafka)
    yield feed
    feed.give_up()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_the_embedded_run_ends_in_time_while_events_flow(settings: Settings, number: signal.Signals) -> None:
    with running(settings, kafka="embedded", kafka_paced=False) as group:
        feed = Feed(group.run.kafka)
        try:
            feed.start()
            group.end(number, WITHIN_S)
        finally:
            feed.give_up()


@pytest.fixture
def on_local(local_kafka: LocalKafka, settings_of: Settings) -> Settings:
    return settings_of.model_copy(update={"kafka": local_kafka.bootstrap})
