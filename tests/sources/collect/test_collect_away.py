"""What is answered with 202 is in Kafka: while Kafka goes and comes, when the collector is killed, when it ends."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from tests.conftest import wait_until
from tests.sources.collect.load import Load
from tests.sources.collect.running import Collector, collecting, contact, published


class Id(msgspec.Struct):
    id: str


_id = msgspec.json.Decoder(Id).decode


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[tuple[Settings, EmbeddedKafka]]:
    """Not paced: nobody reads along here, and what is sent fits into the short log."""
    with EmbeddedKafka() as broker:
        yield load_settings(kafka=broker.bootstrap, data_dir=tmp_path / "data"), broker


def switch(broker: EmbeddedKafka, up: bool) -> None:
    """Let the broker go away, or come back with all that it had."""
    function = getattr(broker._library, f"rd_kafka_mock_broker_set_{'up' if up else 'down'}")
    function.restype, function.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]
    assert function(broker._cluster, 1) == 0


def ids(settings: Settings) -> set[str]:
    return {_id(message.value() or b"").id for message in published(settings)}


def test_with_kafka_away_it_says_come_again_and_then_takes_it(
    embedded: tuple[Settings, EmbeddedKafka],
) -> None:
    settings, broker = embedded
    with collecting(settings) as collector:
        assert collector.batch([contact(1)]).status_code == 202
        switch(broker, up=False)
        wait_until(lambda: collector.batch([contact(2)]).status_code == 503)
        wait_until(lambda: not collector.ready())
        answer = collector.batch([contact(3)])
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert collector.http.get("/health").status_code == 200
        switch(broker, up=True)
        wait_until(collector.ready)
        assert collector.batch([contact(4)]).status_code == 202
        assert {"id-1", "id-4"} <= ids(settings)


@pytest.mark.slow
def test_apache_kafka_restarted_under_load_loses_nothing_acknowledged(local_kafka: LocalKafka, tmp_path: Path) -> None:
    settings = load_settings(kafka=local_kafka.bootstrap, data_dir=tmp_path / "data")
    with collecting(settings) as collector:
        load = Load(collector.url, threads=2)
        load.start()
        wait_until(lambda: len(load.acknowledged) > 500)
        local_kafka.kill()
        wait_until(lambda: 503 in load.statuses)
        local_kafka.start()
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + 500, 60)
        load.stop()
    assert load.statuses == {202, 503}
    assert load.acknowledged <= ids(settings)


def test_killed_under_load_nothing_acknowledged_is_missing(embedded: tuple[Settings, EmbeddedKafka]) -> None:
    settings, _ = embedded
    with collecting(settings) as collector:
        load = Load(collector.url)
        load.start()
        wait_until(lambda: len(load.acknowledged) >= 2000)
        collector.process.kill()
        load.stop()
    assert load.statuses == {202}
    assert load.acknowledged <= ids(settings)


def test_sigterm_answers_what_is_in_flight_and_ends_with_0(embedded: tuple[Settings, EmbeddedKafka]) -> None:
    settings, _ = embedded
    with collecting(settings) as collector:
        load = Load(collector.url)
        load.start()
        wait_until(lambda: len(load.acknowledged) >= 500)
        collector.process.send_signal(signal.SIGTERM)
        assert collector.process.wait(60) == 0
        load.stop()
    assert load.statuses == {202}
    assert load.acknowledged <= ids(settings)


def test_sigterm_with_kafka_away_ends_with_0_within_the_deadline(embedded: tuple[Settings, EmbeddedKafka]) -> None:
    settings, broker = embedded
    with collecting(settings, environment={"CORREDOR_SHUTDOWN_TIMEOUT": "3"}) as collector:
        switch(broker, up=False)
        answers: list[int] = []
        waiting = threading.Thread(target=lambda: answers.append(collector.batch([contact()]).status_code))
        waiting.start()
        wait_until(lambda: in_flight(collector) or answers)
        collector.process.send_signal(signal.SIGTERM)
        assert collector.process.wait(60) == 0
        waiting.join(30)
    assert answers == [503]


def in_flight(collector: Collector) -> bool:
    rows = collector.http.get("/metrics").text.splitlines()
    return any(row.startswith("corredor_collect_in_flight_bytes ") and float(row.split()[1]) > 0 for row in rows)


def test_on_a_short_log_it_waits_for_the_readers(tmp_path: Path) -> None:
    with EmbeddedKafka() as broker:
        settings = load_settings(kafka=broker.bootstrap, kafka_paced=True, data_dir=tmp_path / "data")
        with collecting(settings) as collector:
            padding = "x" * 10_000
            sent = 0

            def full() -> bool:
                nonlocal sent
                batch = [contact(sent + step, subject="one", padding=padding) for step in range(50)]
                answer = collector.batch(batch)
                sent += 50 * (answer.status_code == 202)
                return answer.status_code == 503 and "behind" in answer.json()["detail"]

            wait_until(full)
        assert 0 < sent * 10_000 < 5 * 2**20
        messages = published(settings)
        assert len(messages) == sent, "nothing was dropped from the log unread"
