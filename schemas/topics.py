"""Every topic, its purpose and how a real cluster should keep it. The only place where topic names are written."""

from dataclasses import dataclass
from typing import Literal

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: name, clean-up policy, retention (milliseconds) and what its key is."""

    name: str
    key: str
    purpose: str
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    retention_ms: int = 7 * DAY_MS
    max_message_bytes: int = 1_048_588
    #: `LogAppendTime` makes the broker's clock the arrival time, so that no producer can move it.
    timestamps: Literal["CreateTime", "LogAppendTime"] = "CreateTime"

    def config(self, retention_ms: int | None = None) -> dict[str, str]:
        """Kafka topic configuration, as `CreateTopics` takes it; with another retention if one is given."""
        config = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": self.timestamps,
        }
        if "delete" in self.cleanup:
            config["retention.ms"] = str(self.retention_ms if retention_ms is None else retention_ms)
        return config


EVENTS = Topic("touchpoint.events", "subject", "touchpoint events from the source systems", timestamps="LogAppendTime")
REKEYED = Topic(
    "corredor.rekeyed",
    "subject",
    "events found outside their customer's partition, handed over to it (internal)",
)
REJECTED = Topic(
    "touchpoint.rejected",
    "source topic, partition and offset",
    "events that broke the contract: reason and raw bytes",
    retention_ms=30 * DAY_MS,
    max_message_bytes=8 * 1024 * 1024,
)
SCORED = Topic("touchpoint.scored", "subject", "accepted events with their experience x and its components")
SLICES = Topic(
    "experience.slices",
    "slice",
    "mergeable sums of 10-second buckets, absolute, newest version wins",
    cleanup="compact,delete",
    retention_ms=3 * DAY_MS,
)
SCORES = Topic(
    "experience.scores",
    "score",
    "rolling window scores, newest version wins",
    cleanup="compact,delete",
    retention_ms=7 * DAY_MS,
)
JOURNEYS = Topic(
    "experience.journeys", "tenant, subject and journey", "journeys, newest version wins", cleanup="compact,delete"
)
INCIDENTS = Topic("experience.incidents", "incident", "incidents, newest version wins", cleanup="compact,delete")
CORRIDOR = Topic(
    "experience.corridor",
    "kind and place",
    "importance, priority and drift by the minute",
    cleanup="compact,delete",
)
STATE_INGEST = Topic("corredor.state.ingest", "kind and key", "changelog of the ingest agent", cleanup="compact")
STATE_DETECT = Topic(
    "corredor.state.detect",
    "kind and key",
    "changelog of the detect agent",
    cleanup="compact",
    # A place with hundreds of segment pairs, each with what is usual in every hour of the week.
    max_message_bytes=8 * 1024 * 1024,
)
FORGET = Topic(
    "corredor.forget",
    "request",
    "customers to be forgotten, until they are (internal)",
    # A request that nobody finishes must not fall into oblivion itself.
    retention_ms=90 * DAY_MS,
)
FORGOTTEN = Topic("corredor.forgotten", "request", "receipts of customers forgotten", cleanup="compact")

#: Read by the sinks, written to ClickHouse.
RESULTS = (SCORED, REJECTED, SLICES, SCORES, JOURNEYS, INCIDENTS, CORRIDOR, FORGET, FORGOTTEN)
ALL = (EVENTS, REKEYED, *RESULTS, STATE_INGEST, STATE_DETECT)
