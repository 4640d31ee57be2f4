"""librdkafka clients, configured in one place from the settings."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from streams.runtime import security
from streams.runtime.patience import PatientConsumer
from streams.runtime.settings import Settings


def bootstrap(settings: Settings, then: Callable[[KafkaError], None] | None = None) -> dict[str, Any]:
    """What every client needs: where the cluster is, and how to get in. `settings.kafka` must be an address by now.

    `then` is called for errors of the client. With security on, the first call connects: raises UsageError if Kafka
    refuses us; and so does, later, the `poll` of the client.
    """
    conf: dict[str, Any] = {"bootstrap.servers": settings.kafka, "log.connection.close": False}
    if secured := security.librdkafka(settings):
        security.let_in(settings)
        return {**conf, **secured, "error_cb": security.on_error(settings, then)}
    return conf if then is None else {**conf, "error_cb": then}


def producer(settings: Settings, **extra: Any) -> Producer:
    """A producer that loses nothing: idempotent, all replicas acknowledge, Java's partitioner (murmur2 of the key)."""
    return Producer(
        {
            **bootstrap(settings, extra.pop("error_cb", None)),
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            # The embedded cluster answers a fetch with one batch of each partition: small batches would make it crawl.
            "linger.ms": 50 if settings.kafka_paced else 5,
            "message.max.bytes": 8 * 1024 * 1024,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 262_144,
            **extra,
        }
    )


def consumer(settings: Settings, group: str, **extra: Any) -> PatientConsumer:
    """A consumer that commits only when told, starts at the beginning, and does not stall on a full queue."""
    return PatientConsumer(
        {
            **bootstrap(settings, extra.pop("error_cb", None)),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": 50,
            **extra,
        }
    )


def admin(settings: Settings) -> AdminClient:
    """An administrative client."""
    return AdminClient(bootstrap(settings))
