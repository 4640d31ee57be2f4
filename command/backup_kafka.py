"""Kafka's part of a back-up: state, what is not yet worked on, and the positions, while nobody works on them.

Offsets stand everywhere: in the state (what was applied), in versions of slices and scores, in positions, in the names
of rows. So a record comes back at the offset that it had.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConsumerGroupDescription

from command.backup_files import Log, Record, write_log
from schemas import topics
from schemas.errors import StopProcess, UsageError
from streams.agents.ingest import LANES
from streams.runtime import clients, endpoints
from streams.runtime.local import LocalKafka, listens
from streams.runtime.log_reader import reader, stretch
from streams.runtime.settings import Settings
from streams.runtime.state_log import StateLog

TIMEOUT_S = 30.0
#: A broker that has just started has no coordinator for a while.
_COORDINATOR = (
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
)
STATES = (topics.STATE_INGEST.name, topics.STATE_DETECT.name)
#: What the workers read, and what the sink does.
READ = {"worker": (*LANES, topics.SLICES.name), "sink": tuple(topic.name for topic in topics.RESULTS)}
#: Needed from their beginning: slices are read back, requests to forget are resumed, receipts last.
_WHOLE = (topics.SLICES.name, topics.FORGET.name, topics.FORGOTTEN.name)
Positions = dict[str, dict[str, list[int | None]]]
Tell = Callable[[str], None]


@contextmanager
def kafka(settings: Settings) -> Iterator[Settings]:
    """The settings with Kafka's address; the `local` one is started for that long.

    Raises UsageError if `corredor run` runs, or for the embedded Kafka, which keeps nothing.
    """
    if (run := endpoints.find(settings)) is not None:
        raise UsageError(f"`corredor run` is running (process {run.pid}); end it first: state must stand still")
    if settings.kafka == "embedded":
        raise UsageError(
            "the embedded Kafka keeps nothing on disk: there is no state to back up, or to restore to; "
            "set CORREDOR_KAFKA=local, or to the host:port of a cluster"
        )
    if settings.kafka != "local":
        yield settings
    elif settings.kafka_port and listens(settings.kafka_port):
        yield settings.model_copy(update={"kafka": f"127.0.0.1:{settings.kafka_port}"})
    else:
        with LocalKafka(settings.data_dir, settings.kafka_port) as local:
            yield settings.model_copy(update={"kafka": local.bootstrap})


def groups(settings: Settings) -> dict[str, str]:
    """Names of the consumer groups."""
    return {"worker": settings.worker_group, "sink": settings.sink_group}


def nobody_works(settings: Settings) -> None:
    """Raise UsageError if a worker or a sink takes part in its group."""
    for name in groups(settings).values():
        found = _described(settings, name)
        if found is not None and (
            found.members or found.state not in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
        ):
            raise UsageError(
                f"{len(found.members)} processes take part in the group {name}; stop all workers and the sink first. "
                f"One that was killed leaves after CORREDOR_SESSION_TIMEOUT ({settings.session_timeout:g} s)"
            )


def _described(settings: Settings, group: str) -> ConsumerGroupDescription | None:
    """The group; None if there never was one. A coordinator that is just being found is waited for."""
    client = clients.admin(settings)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        (future,) = client.describe_consumer_groups([group], request_timeout=TIMEOUT_S).values()
        try:
            found: ConsumerGroupDescription = future.result()
            return found
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return None
            if code not in _COORDINATOR or time.monotonic() > deadline:
                raise StopProcess(
                    f"Kafka at {settings.kafka} does not say who takes part in the group {group}: "
                    f"{error.args[0].name()}; see the rights of this client (DESCRIBE on the group), then try again"
                ) from error
        time.sleep(0.2)


def save(settings: Settings, folder: Path, tell: Tell) -> tuple[dict[str, int], list[Log], Positions]:
    """Write what is needed of every topic below `folder`; partitions by topic, the logs, and the positions.

    Raises StopProcess if Kafka does not answer.
    """
    with reader(settings, f"{settings.group}.backup") as consumer:
        known = consumer.list_topics(timeout=TIMEOUT_S).topics
        missing = [topic.name for topic in topics.ALL if topic.name not in known]
        if missing:
            raise UsageError(
                f"Kafka at {settings.kafka} has no topic {', '.join(missing)}: there is nothing to back up"
            )
        counts = {topic.name: len(known[topic.name].partitions) for topic in topics.ALL}
        for topic in STATES:
            for partition in range(counts[topic]):
                # Ends what a worker that was killed had begun, and keeps one that wakes up from writing.
                StateLog(settings, topic, partition)
        positions = {role: _positions(settings, group, READ[role], counts) for role, group in groups(settings).items()}
        logs = []
        for topic, count in counts.items():
            for partition in range(count):
                tell(f"{topic}/{partition}")
                logs.append(_save_log(consumer, folder, topic, partition, positions))
    return counts, logs, positions


def _save_log(consumer: Consumer, folder: Path, topic: str, partition: int, positions: Positions) -> Log:
    low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
    start = low
    if topic not in STATES and topic not in _WHOLE:
        # Only the one group reads it.
        role = "worker" if topic in LANES else "sink"
        start = max(low, positions[role][topic][partition] or 0)
    records = records_of(consumer, topic, partition, start, end)
    if topic in STATES:
        newest: dict[bytes | None, int] = {}
        for each in records_of(consumer, topic, partition, low, end):
            newest.pop(each.key, None)
            if each.value is not None:
                newest[each.key] = each.offset
        records = (each for each in records if newest.get(each.key) == each.offset)
    file = f"kafka/{topic}.{partition}.parquet"
    return Log(topic, partition, start, end, write_log(folder / file, records), file)


def records_of(consumer: Consumer, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
    """The records of a partition from `start` up to `end`, as they are kept."""
    for one in stretch(consumer, topic, partition, start, end):
        yield Record(one.offset(), one.timestamp()[1], one.key(), one.value(), one.headers() or [])


def _positions(
    settings: Settings, group: str, names: tuple[str, ...], counts: dict[str, int]
) -> dict[str, list[int | None]]:
    with closing(clients.consumer(settings, group)) as consumer:
        return {
            topic: [
                place.offset if place.offset >= 0 else None
                for place in consumer.committed(
                    [TopicPartition(topic, partition) for partition in range(counts[topic])], timeout=TIMEOUT_S
                )
            ]
            for topic in names
        }
