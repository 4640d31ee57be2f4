"""Ctrl-C ends everything in time, leaves no process behind and loses nothing."""

import signal
from pathlib import Path

import psutil
import pytest

from streams.runtime.local import LocalKafka
from tests.conftest import wait_until
from tests.pipeline.running import Feed, own_settings, running, wait_for_exactly

#: What a user is promised: `shutdown_timeout` is 8 s, the rest is for the processes to go.
WITHIN_S = 10.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def _asked_to_end(pid: int) -> bool:
    """True once SIGTERM is pending for a process that is stopped."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = next(line for line in lines if line.startswith("ShdPnd:")).split()[1]
    return bool(int(pending, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.kafka
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_the_embedded_run_ends_in_time_while_events_flow(tmp_path: Path, number: signal.Signals) -> None:
    with running(own_settings("embedded", tmp_path)) as group, Feed(group.run.kafka) as feed:
        feed.start()
        group.end(number, WITHIN_S)


def test_what_flows_while_a_run_ends_is_counted_once_by_the_next(local_kafka: LocalKafka, tmp_path: Path) -> None:
    settings = own_settings(local_kafka.bootstrap, tmp_path)
    with Feed(settings.kafka) as feed:
        with running(settings) as group:
            feed.start()
            group.end(signal.SIGINT, WITHIN_S)
        published = feed.stop()
        with running(settings) as group:
            wait_for_exactly(published, group.run.clickhouse)
            group.end(signal.SIGINT, WITHIN_S)


def test_a_second_signal_hurries_and_loses_nothing(local_kafka: LocalKafka, tmp_path: Path) -> None:
    settings = own_settings(local_kafka.bootstrap, tmp_path)
    with Feed(settings.kafka) as feed:
        with running(settings, shutdown_timeout=60.0) as group:
            feed.start()
            worker = group.suspended("worker")
            group.process.send_signal(signal.SIGINT)
            wait_until(lambda: _asked_to_end(worker.pid))
            assert group.process.poll() is None, "it waits for the worker"
            group.end(signal.SIGINT, WITHIN_S)
        published = feed.stop()
        with running(settings) as group:
            wait_for_exactly(published, group.run.clickhouse)


def test_a_stopped_worker_and_a_broker_that_is_gone_do_not_hold_up_the_end(
    local_kafka: LocalKafka, tmp_path: Path
) -> None:
    settings = own_settings(local_kafka.bootstrap, tmp_path)
    with Feed(settings.kafka) as feed:
        with running(settings) as group:
            feed.start()
            worker = group.suspended("worker")
            group.end(signal.SIGINT, WITHIN_S)
            assert not psutil.pid_exists(worker.pid)
        with running(settings) as group:
            # Only now, so that both have work in hand.
            local_kafka.kill()
            group.end(signal.SIGINT, WITHIN_S)
        local_kafka.start()
        published = feed.stop()
        with running(settings) as group:
            wait_for_exactly(published, group.run.clickhouse)
