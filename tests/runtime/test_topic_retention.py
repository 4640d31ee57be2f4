"""Topics keep their records as long as the setting says: on Apache Kafka; the embedded cluster has no such settings."""

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from command.topics import command
from schemas import topics
from schemas.errors import UsageError
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from streams.runtime.topics_admin import (
    RETENTION,
    TopicState,
    apply_retention,
    delete_topics,
    describe_topics,
    ensure_topics,
)
from tests.conftest import Cluster, wait_until

DAY_MS = 86_400_000


def retention_ms(kafka: str, name: str) -> int:
    resource = ConfigResource(ResourceType.TOPIC, name)
    client = AdminClient({"bootstrap.servers": kafka})
    (answer,) = client.describe_configs([resource]).values()
    return int(answer.result()[RETENTION].value)


def differing(settings: Settings) -> dict[str, TopicState]:
    return {state.name: state for state in describe_topics(settings) if state.differences}


def test_new_topics_are_made_with_it_and_others_keep_their_default(local_kafka: LocalKafka) -> None:
    client = AdminClient({"bootstrap.servers": local_kafka.bootstrap})
    gone = [topics.SCORED.name, topics.JOURNEYS.name]
    delete_topics(client, gone)
    settings = load_settings(kafka=local_kafka.bootstrap, retention="touchpoint.scored=36h")
    wait_until(lambda: {state.name for state in describe_topics(settings) if not state.partitions} == set(gone))
    ensure_topics(settings)
    assert retention_ms(local_kafka.bootstrap, topics.SCORED.name) == 1.5 * DAY_MS
    assert retention_ms(local_kafka.bootstrap, topics.JOURNEYS.name) == topics.JOURNEYS.retention_ms
    assert differing(settings) == {}


def test_existing_topics_differ_until_it_is_applied(local_kafka: LocalKafka) -> None:
    settings = load_settings(kafka=local_kafka.bootstrap, retention="touchpoint.events=2d,experience.slices=4d")
    expected = {
        topics.EVENTS.name: ((RETENTION, str(topics.EVENTS.retention_ms), str(2 * DAY_MS)),),
        topics.SLICES.name: ((RETENTION, str(topics.SLICES.retention_ms), str(4 * DAY_MS)),),
    }
    assert {name: state.differences for name, state in differing(settings).items()} == expected
    ensure_topics(settings)
    assert differing(settings).keys() == expected.keys()
    assert {state.name for state in apply_retention(settings)} == expected.keys()
    wait_until(lambda: not differing(settings))
    assert retention_ms(local_kafka.bootstrap, topics.EVENTS.name) == 2 * DAY_MS
    assert apply_retention(settings) == []


def test_slices_have_to_hold_the_longest_window_and_the_maps_lateness() -> None:
    settings = load_settings(kafka="127.0.0.1:1", retention="experience.slices=24h")
    with pytest.raises(
        UsageError, match=r"CORREDOR_RETENTION: experience.slices=1d is too short: .* give at least 25h"
    ):
        ensure_topics(settings)


def test_where_topics_have_no_settings_nothing_is_applied(kafka: Cluster, settings: Settings) -> None:
    asked = settings.model_copy(update={"retention": "touchpoint.events=2d"})
    changed = apply_retention(asked)
    assert [state.name for state in changed] == ([] if kafka.paced else [topics.EVENTS.name])


def test_the_command_applies_and_says_what_it_did(
    local_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CORREDOR_KAFKA", local_kafka.bootstrap)
    monkeypatch.setenv("CORREDOR_RETENTION", "touchpoint.rejected=60d")
    command(create=False, apply=False, describe=False)
    assert "should be 5184000000" in " ".join(capsys.readouterr().err.split())
    command(create=False, apply=True, describe=False)
    said = " ".join(capsys.readouterr().err.split())
    assert f"touchpoint.rejected: retention.ms was {30 * DAY_MS}, is {60 * DAY_MS} now" in said
    assert retention_ms(local_kafka.bootstrap, topics.REJECTED.name) == 60 * DAY_MS
