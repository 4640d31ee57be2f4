from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from schemas import topics
from schemas.errors import StopProcess
from streams.runtime import clients, topics_admin
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from streams.runtime.topics_admin import configure, delete_topics, describe_topics, ensure_topics
from tests.conftest import need_apache_kafka, wait_until


def test_all_topics_are_there_and_as_they_should_be(settings: Settings) -> None:
    states = ensure_topics(settings)
    assert [state.name for state in states] == [topic.name for topic in topics.ALL]
    assert {state.partitions for state in states} == {4}
    assert not any(state.differences for state in states)


def test_a_missing_topic_has_no_partitions_and_ensuring_brings_it_back(local_kafka: LocalKafka) -> None:
    settings = load_settings(kafka=local_kafka.bootstrap, partitions=3)
    client = AdminClient({"bootstrap.servers": local_kafka.bootstrap})
    delete_topics(client, [topics.SCORED.name])
    wait_until(lambda: [s.name for s in describe_topics(settings) if not s.partitions] == [topics.SCORED.name])
    assert {state.name: state.partitions for state in ensure_topics(settings)}[topics.SCORED.name] == 3


def test_a_topic_with_other_settings_is_reported_and_not_altered(local_kafka: LocalKafka) -> None:
    settings = load_settings(kafka=local_kafka.bootstrap)
    client = AdminClient({"bootstrap.servers": local_kafka.bootstrap})
    configure(client, topics.EVENTS.name, {"retention.ms": "1000"})
    expected = (("retention.ms", "1000", str(topics.EVENTS.retention_ms)),)
    wait_until(lambda: describe_topics(settings)[0].differences == expected)
    assert ensure_topics(settings)[0].differences == expected
    assert describe_topics(settings)[0].differences == expected


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_admin, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(clients, "bootstrap", lambda s: {"bootstrap.servers": s.kafka, "log_level": 0})
    with pytest.raises(StopProcess, match=r"127\.0\.0\.1:1 does not answer"):
        describe_topics(load_settings(kafka="127.0.0.1:1"))


@pytest.mark.kafka
def test_a_broker_that_is_fenced_is_waited_for(tmp_path: Path) -> None:
    # Fenced five seconds after each heartbeat, back with the next.
    fenced = {"broker.session.timeout.ms": "5000", "broker.heartbeat.interval.ms": "8000"}
    need_apache_kafka()
    with LocalKafka(tmp_path, properties=fenced) as broker:
        settings = load_settings(kafka=broker.bootstrap)
        ensure_topics(settings)
        wait_until(lambda: clients.admin(settings).list_topics(timeout=30).controller_id == -1)
        delete_topics(clients.admin(settings), [topics.SCORED.name])
        assert [state.name for state in describe_topics(settings) if not state.partitions] == [topics.SCORED.name]
