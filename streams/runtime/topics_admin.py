"""Creates the topics of schemas/topics.py, and compares those that exist with what they should be."""

import time
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from schemas import topics
from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.settings import Settings

TIMEOUT_S = 30.0


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
    or refuses.
    """
    client = clients.admin(settings)
    try:
        if settings.kafka_paced:
            for topic in topics.ALL:
                client.list_topics(topic.name, timeout=TIMEOUT_S)
        else:
            there = client.list_topics(timeout=TIMEOUT_S).topics
            _create(client, settings, [topic for topic in topics.ALL if topic.name not in there])
            _wait_until_known(client)
    except KafkaException as error:
        raise _unreachable(settings, error) from None
    return describe_topics(settings)


def describe_topics(settings: Settings) -> list[TopicState]:
    """Every topic of ours as it is on the cluster. Raises StopProcess if the cluster does not answer."""
    client = clients.admin(settings)
    try:
        metadata = client.list_topics(timeout=TIMEOUT_S).topics
        there = {topic.name: topic for topic in topics.ALL if topic.name in metadata}
        # The embedded cluster knows no settings of topics.
        actual = {} if settings.kafka_paced else _configs(client, list(there))
    except KafkaException as error:
        raise _unreachable(settings, error) from None
    states = []
    for topic in topics.ALL:
        found = metadata.get(topic.name)
        current = actual.get(topic.name, {})
        wanted = topic.config()
        different = tuple(
            (key, current[key], wanted[key])
            for key in sorted(wanted)
            if key in current and _normal(current[key]) != _normal(wanted[key])
        )
        states.append(TopicState(topic.name, len(found.partitions) if found is not None else 0, different))
    return states


def _create(client: AdminClient, settings: Settings, missing: list[topics.Topic]) -> None:
    if not missing:
        return
    new = [NewTopic(topic.name, settings.partitions, settings.replication, config=topic.config()) for topic in missing]
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
    """A broker hears of a new topic from the controller, a moment after the controller has agreed to it."""
    deadline = time.monotonic() + TIMEOUT_S
    names = {topic.name for topic in topics.ALL}
    while not names <= client.list_topics(timeout=TIMEOUT_S).topics.keys():
        if time.monotonic() > deadline:
            raise StopProcess(f"new topics did not appear within {TIMEOUT_S:.0f} s; see the log of the broker")
        time.sleep(0.02)


def _configs(client: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    answers = client.describe_configs(resources, request_timeout=TIMEOUT_S)
    return {
        resource.name: {key: entry.value for key, entry in future.result().items() if entry.value is not None}
        for resource, future in answers.items()
    }


def _normal(value: str) -> str:
    """`compact,delete` and `delete,compact` are the same."""
    return ",".join(sorted(value.split(",")))


def _unreachable(settings: Settings, error: KafkaException) -> StopProcess:
    return StopProcess(f"Kafka at {settings.kafka} does not answer as expected: {error.args[0].str()}")
