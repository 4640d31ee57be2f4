"""Creates the topics of schemas/topics.py, and compares those that exist with what they should be."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from schemas import retention, topics
from schemas.errors import StopProcess, UsageError
from schemas.loader import load_map
from streams.runtime import clients
from streams.runtime.settings import Settings

TIMEOUT_S = 30.0
RETENTION = "retention.ms"


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of ours on the cluster: partitions (0: not there) and what differs from what it should be."""

    name: str
    partitions: int
    #: Setting, what it is, what it should be.
    differences: tuple[tuple[str, str, str], ...] = ()


def ensure_topics(settings: Settings) -> list[TopicState]:
    """Create every topic that is missing and return all of them; existing ones are compared, never altered.

    On the embedded cluster a topic comes to life by being asked for. Raises StopProcess if the cluster does not answer
    or refuses, UsageError for a retention that cannot be.
    """
    configs = _wanted(settings)
    client = clients.admin(settings)
    try:
        if settings.kafka_paced:
            for topic in topics.ALL:
                client.list_topics(topic.name, timeout=TIMEOUT_S)
        else:
            there = with_controller(client).list_topics(timeout=TIMEOUT_S).topics
            _create(client, settings, configs, [topic for topic in topics.ALL if topic.name not in there])
            _wait_until_known(client)
    except KafkaException as error:
        raise _unreachable(settings, error) from None
    return describe_topics(settings)


def describe_topics(settings: Settings) -> list[TopicState]:
    """Every topic of ours as it is on the cluster.

    Raises StopProcess if the cluster does not answer, UsageError for a retention that cannot be.
    """
    configs = _wanted(settings)
    client = clients.admin(settings)
    try:
        metadata = with_controller(client).list_topics(timeout=TIMEOUT_S).topics
        there = {topic.name: topic for topic in topics.ALL if topic.name in metadata}
        # The embedded cluster knows no settings of topics.
        actual = {} if settings.kafka_paced else _configs(client, list(there))
    except KafkaException as error:
        raise _unreachable(settings, error) from None
    states = []
    for topic in topics.ALL:
        found = metadata.get(topic.name)
        current = actual.get(topic.name, {})
        wanted = configs[topic.name]
        different = tuple(
            (key, current[key], wanted[key])
            for key in sorted(wanted)
            if key in current and _normal(current[key]) != _normal(wanted[key])
        )
        states.append(TopicState(topic.name, len(found.partitions) if found is not None else 0, different))
    return states


def apply_retention(settings: Settings) -> list[TopicState]:
    """Give every topic of ours the retention it should have, and return those that had another.

    Other settings of a topic stay as they are. The embedded cluster has no settings of topics. Raises as
    `describe_topics`, and StopProcess if the cluster refuses.
    """
    changed = []
    for state in describe_topics(settings):
        wanted = [value for key, _, value in state.differences if key == RETENTION]
        if wanted:
            try:
                configure(clients.admin(settings), state.name, {RETENTION: wanted[0]})
            except KafkaException as error:
                raise StopProcess(
                    f"Kafka at {settings.kafka} did not change {RETENTION} of {state.name}: {error.args[0].str()}; "
                    "see the rights of this client (ALTER_CONFIGS on the topic)"
                ) from None
            changed.append(state)
    _wait_until(
        lambda: not any(key == RETENTION for state in describe_topics(settings) for key, _, _ in state.differences),
        f"{RETENTION} did not change",
    )
    return changed


def configure(client: AdminClient, topic: str, values: Mapping[str, str | None]) -> None:
    """Set these settings of a topic, None to the cluster's default. Raises KafkaException if Kafka refuses."""
    entries = [
        ConfigEntry(
            name, value, incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        )
        for name, value in values.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    (future,) = with_controller(client).incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values()
    future.result()


def delete_topics(client: AdminClient, names: Collection[str]) -> None:
    """Delete topics, and wait until Kafka does not name them any more.

    Raises KafkaException if Kafka refuses, StopProcess if it takes too long.
    """
    if not names:
        return
    for future in with_controller(client).delete_topics(list(names), operation_timeout=TIMEOUT_S).values():
        future.result()
    _wait_until(
        lambda: not client.list_topics(timeout=TIMEOUT_S).topics.keys() & set(names),
        f"Kafka did not delete {', '.join(names)}",
    )


def with_controller(client: AdminClient) -> AdminClient:
    """`client`, once the cluster names a controller. Raises KafkaException if Kafka does not answer.

    StopProcess if it names none. A broker whose heartbeats come late (a slow disk, a start) is fenced, and then names
    none. A client that is told so asks once more, and no more in the 60 s that its request may take, however soon the
    broker is back (librdkafka 2.16.0).
    """
    _wait_until(lambda: _names_controller(client), "the cluster named no controller")
    return client


def _names_controller(client: AdminClient) -> bool:
    try:
        return bool(client.list_topics(timeout=TIMEOUT_S).controller_id >= 0)
    except KafkaException as error:
        # Neither brokers nor topics: fenced, and empty.
        if error.args[0].code() == KafkaError._PARTIAL:
            return False
        raise


def _wanted(settings: Settings) -> dict[str, dict[str, str]]:
    """The configuration that each topic should have."""
    kept = retention.parse(settings.retention)
    if (slices := kept.get(topics.SLICES.name)) is not None:
        try:
            retention.check_slices(slices, float(load_map(settings.map).defaults.allowed_lateness))
        except ValueError as error:
            raise UsageError(f"CORREDOR_RETENTION: {error}") from None
    return {
        topic.name: topic.config(round(kept[topic.name] * 1000) if topic.name in kept else None) for topic in topics.ALL
    }


def partition_counts(settings: Settings) -> dict[str, int]:
    """Partitions of every topic. Raises StopProcess where a topic is missing or two do not fit together."""
    try:
        metadata = clients.admin(settings).list_topics(timeout=30)
    except KafkaException as error:
        raise StopProcess(f"Kafka at {settings.kafka} does not answer: {error.args[0].str()}") from None
    counts = {
        topic.name: len(metadata.topics[topic.name].partitions) for topic in topics.ALL if topic.name in metadata.topics
    }
    missing = [topic.name for topic in topics.ALL if topic.name not in counts]
    if missing:
        raise StopProcess(
            f"Kafka has no topic {', '.join(missing)}, or does not show it to this client; create them with "
            "`corredor topics --create`, or give rights to them (docs/security.md)"
        )
    for topic, other in (
        (topics.REKEYED, topics.EVENTS),
        (topics.STATE_INGEST, topics.EVENTS),
        (topics.STATE_DETECT, topics.SLICES),
    ):
        if counts[topic.name] != counts[other.name]:
            raise StopProcess(
                f"{topic.name} has {counts[topic.name]} partitions and {other.name} has {counts[other.name]}: "
                "both need the same number"
            )
    return counts


def _create(
    client: AdminClient, settings: Settings, configs: dict[str, dict[str, str]], missing: list[topics.Topic]
) -> None:
    if not missing:
        return
    new = [
        NewTopic(topic.name, settings.partitions, settings.replication, config=configs[topic.name]) for topic in missing
    ]
    for name, future in client.create_topics(new, operation_timeout=TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as error:
            problem = error.args[0]
            # Another process of ours was faster.
            if problem.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StopProcess(
                    f"Kafka at {settings.kafka} did not create topic {name}: {problem.str()}; "
                    "see CORREDOR_PARTITIONS and CORREDOR_REPLICATION, and the rights of this client"
                ) from None


def _wait_until_known(client: AdminClient) -> None:
    names = {topic.name for topic in topics.ALL}
    _wait_until(lambda: names <= client.list_topics(timeout=TIMEOUT_S).topics.keys(), "new topics did not appear")


def _wait_until(so: Callable[[], bool], otherwise: str) -> None:
    """A broker hears of a change from the controller, a moment after the controller has agreed to it."""
    deadline = time.monotonic() + TIMEOUT_S
    while not so():
        if time.monotonic() > deadline:
            raise StopProcess(f"{otherwise} within {TIMEOUT_S:.0f} s; see the log of the broker")
        time.sleep(0.02)


def _configs(client: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """The configuration of each topic that is there."""
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    answers = client.describe_configs(resources, request_timeout=TIMEOUT_S)
    found = {}
    for resource, future in answers.items():
        try:
            entries = future.result()
        except KafkaException as error:
            # Deleted since it was listed.
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            continue
        found[resource.name] = {key: entry.value for key, entry in entries.items() if entry.value is not None}
    return found


def _normal(value: str) -> str:
    """`compact,delete` and `delete,compact` are the same."""
    return ",".join(sorted(value.split(",")))


def _unreachable(settings: Settings, error: KafkaException) -> StopProcess:
    return StopProcess(f"Kafka at {settings.kafka} does not answer as expected: {error.args[0].str()}")
