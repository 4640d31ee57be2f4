"""What `corredor size` goes by: costs that were measured, and on what. `python -m bench.costs --write` writes them."""

from pathlib import Path

import msgspec

from schemas.errors import UsageError

FILE = Path(__file__).with_name("measured.json")


class Cpu(msgspec.Struct, frozen=True):
    """CPU, microseconds on one core."""

    #: A worker: for an event without segments; for each of its segment pairs; for a journey that begins; for an event
    #: that comes late; for a slice that is published (packed, into the changelog, sent, merged, watched).
    event: float
    pair: float
    journey: float
    late: float
    slice: float
    #: The part of `slice` that falls to the worker that owns the tenant: merging it. And what that worker does with
    #: each place that changed since the last checkpoint, in however many partitions: window scores, detection.
    merge: float
    place: float
    #: A worker, for a journey's message.
    journey_message: float
    #: A sink with chDB inside: for a row.
    row: float
    #: A collector: for an event.
    collect: float
    #: A worker that has nothing to do, each second.
    idle: float


class Slices(msgspec.Struct, frozen=True):
    """How events share slices."""

    #: Slices that an event changes, for each of its pairs and once more: those of its touchpoint and its transition.
    touched: float
    #: Slices there can be in a bucket for a touchpoint, for each value of its segments and once more; and how unevenly
    #: busy they are: the i-th of n gets a share of about (i / n)^-skew. 0 is evenly; below 1.
    places: float
    skew: float
    #: More slices that a late event changes, for each of its pairs and once more.
    late: float


class Bytes(msgspec.Struct, frozen=True):
    """Sizes in bytes. On disk: one replica, compressed as our producers do."""

    #: An event as it was published, before compression: `touchpoint.events` holds in proportion.
    event: float
    #: A record of each topic, on disk; and what is left on disk of a byte of the changelog.
    records: dict[str, float]
    changelog: float
    #: A row of each table of ClickHouse, on disk.
    rows: dict[str, float]
    #: A journey in the changelog: with its first contact, and for each further one.
    journey: float
    contact: float
    #: What a journey takes in memory beside what it takes in the changelog.
    journey_memory: float
    #: A slice in the windows of the score agent: of the last hour, and of the day before that.
    slice_recent: float
    slice_old: float
    #: A worker without journeys.
    worker: float


class Measured(msgspec.Struct, frozen=True):
    """The constants, and where they come from."""

    machine: dict[str, str]
    command: str
    cpu: Cpu
    slices: Slices
    bytes: Bytes
    #: Messages of `experience.scores` for a touchpoint's slice that changed since the last checkpoint.
    scores: float


def load(file: Path = FILE) -> Measured:
    """The constants of a file. Raises UsageError if it cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Measured)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{file}: the measured costs cannot be read: {error}; install Corredor again") from None


def save(measured: Measured, file: Path = FILE) -> None:
    """Write them."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")
