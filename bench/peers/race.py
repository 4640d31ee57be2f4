"""The contestants, and one run of one of them."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench import contest
from bench.clusters import PARTITIONS, Cluster
from bench.collect import Merged
from bench.feed import Cell
from bench.peers import job, judge
from bench.peers.environments import ROOT, python
from bench.process import Contestant, Usage, start
from schemas import topics
from schemas.errors import StopProcess
from schemas.loader import load_map
from streams.runtime import clients
from streams.runtime.log_reader import reader, stretch
from streams.runtime.settings import Settings

SCORED = "peer.scored"
SUMS = "peer.sums"
#: How long one run may take from its first event on, and until new topics are known. Seconds.
LIMIT_S = 60.0
_READY_S = 40.0
_POLL_S = 0.05
_ANSWER_S = 10.0
#: The topics by which Quix Streams sends events to the partition of their new key.
_REPARTITION = "repartition__"


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant: which program in which environment, and how it is known that it has done everything.

    `done` is `committed`: its group has committed every event, and every one of the topics between its steps
    (`between`); or `said`: it said so. `events` is how many it gets, so that a run takes some seconds.
    """

    name: str
    label: str
    events: int
    environment: str = ""
    command: Sequence[str] = ()
    done: Literal["committed", "said"] = "committed"
    between: str = ""


OWN = Peer("corredor", "Corredor: the worker as shipped, which does more", 60_000)
FAUST = Peer("faust", "Faust", 5_000, "faust", ("-m", "bench.peers.programs.with_faust", "worker"), between=SCORED)
QUIX = Peer("quix", "Quix Streams", 20_000, "quix", ("-m", "bench.peers.programs.with_quix"), between=_REPARTITION)
BYTEWAX = Peer("bytewax", "Bytewax", 150_000, "bytewax", ("-m", "bench.peers.programs.with_bytewax"), "said")
BYTEWAX_RECOVERY = Peer(
    "bytewax-recovery",
    "Bytewax with recovery",
    150_000,
    "bytewax",
    (*BYTEWAX.command, "--recovery"),
    "said",
)
LOOP = Peer("loop", "confluent-kafka by hand", 150_000, "loop", ("-m", "bench.peers.programs.by_hand"))
PEERS = (OWN, FAUST, QUIX, BYTEWAX, BYTEWAX_RECOVERY, LOOP)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. `faults` says what is wrong with its result, or why there is none; a run without one has no time."""

    peer: Peer
    events: int
    seconds: float
    cpu_s: float
    peak_rss: int
    faults: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Events a second; 0 without a result."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds for a million events."""
        return 1e6 * self.cpu_s / self.events


def topic_of(peer: Peer, count: int) -> str:
    """The topic that holds a contestant's events: the worker reads no other than its own."""
    return topics.EVENTS.name if peer is OWN else f"peer.events.{count}"


def run(peer: Peer, count: int, cluster: Cluster, settings: Settings, number: int, right: judge.Findings) -> Outcome:
    """One run over `count` events, the results of the run before deleted. What goes wrong with it is in the outcome.

    `settings` has the cluster's address already, and a data folder for what the contestants keep. Raises StopProcess
    where the cluster fails.
    """
    group = f"peer-{peer.name}-{number}"
    if peer is not OWN:
        cluster.fresh(settings, [SCORED, SUMS])
        _wait_until_known(settings, [SCORED, SUMS])
    try:
        if peer is not OWN:
            return _run(peer, count, settings, group, cluster.ends[topic_of(peer, count)], right)
        result = contest.run(contest.OWN, cluster, settings, number, LIMIT_S)
        found = judge.Findings(_totals(result.slices), judge.scored_in(_values(settings, topics.SCORED.name)))
        wrong = judge.faults(found, right, judge.ROUNDING)
        return Outcome(peer, count, result.seconds, result.cpu_s, result.peak_rss, tuple(wrong))
    except (StopProcess, KafkaException, msgspec.DecodeError) as error:
        return Outcome(peer, count, 0.0, 0.0, 0, (f"no result: {error}",))


def _run(
    peer: Peer, count: int, settings: Settings, group: str, ends: dict[int, int], right: judge.Findings
) -> Outcome:
    folder = Path(settings.data_dir) / group
    (folder / "state").mkdir(parents=True)
    work = job.Job(
        bootstrap=settings.kafka,
        group=group,
        partitions=PARTITIONS,
        events=topic_of(peer, count),
        scored=SCORED,
        sums=SUMS,
        folder=str(folder / "state"),
        rules=judge.rules_of(load_map(settings.map)),
    )
    (folder / "job.json").write_text(job.dump(work))
    environment = {job.VARIABLE: str(folder / "job.json"), "PYTHONPATH": str(ROOT)}
    marks = {"ready": job.READY, "done": job.DONE}
    contestant = start(peer.label, peer.command, environment, marks, str(python(peer.environment)))
    try:
        began, ended = _time(peer, contestant, settings, group, work.events, ends)
    finally:
        contestant.end(gently=False)
    found = judge.Findings(judge.totals_in(_values(settings, SUMS)), judge.scored_in(_values(settings, SCORED)))
    wrong = judge.faults(found, right)
    return Outcome(peer, count, ended.at - began.at, ended.cpu_s - began.cpu_s, contestant.peak_rss, tuple(wrong))


def _wait_until_known(settings: Settings, names: Sequence[str]) -> None:
    """Until the broker names new topics: one that is not named yet can neither be written to nor deleted."""
    admin = clients.admin(settings)
    deadline = time.monotonic() + _READY_S
    while set(names) - set(admin.list_topics(timeout=_ANSWER_S).topics):
        if time.monotonic() > deadline:
            raise StopProcess(f"Kafka did not create the topics {', '.join(names)} in {_READY_S:.0f} s")
        time.sleep(_POLL_S)


def _time(
    peer: Peer, contestant: Contestant, settings: Settings, group: str, topic: str, ends: dict[int, int]
) -> tuple[Usage, Usage]:
    """Usage at the first event and when all is done. Raises StopProcess if either takes too long."""
    with closing(clients.consumer(settings, group)) as consumer:

        def done() -> bool:
            return _committed(consumer, topic, ends) and _nothing_between(consumer, peer.between)

        return contestant.timed("at its first event", LIMIT_S, None if peer.done == "said" else done)


def _committed(consumer: Consumer, topic: str, ends: dict[int, int]) -> bool:
    places = [TopicPartition(topic, partition) for partition in ends]
    return all(place.offset >= ends[place.partition] for place in consumer.committed(places, timeout=_ANSWER_S))


def _nothing_between(consumer: Consumer, prefix: str) -> bool:
    """Whether everything is committed in the topics between the peer's steps, whose names begin with `prefix`."""
    if not prefix:
        return True
    known = consumer.list_topics(timeout=_ANSWER_S).topics
    for topic in (name for name in known if name.startswith(prefix)):
        ends = {}
        for partition in known[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ANSWER_S)
            if end:
                ends[partition] = end
        if not _committed(consumer, topic, ends):
            return False
    return True


def _values(settings: Settings, topic: str) -> list[bytes]:
    """Everything in a topic, each partition in its order. Raises StopProcess if Kafka does not give it."""
    with reader(settings, "peer.judge") as consumer:
        values = []
        for partition in consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions:
            place = TopicPartition(topic, partition)
            first, end = consumer.get_watermark_offsets(place, timeout=_ANSWER_S)
            values += [message.value() or b"" for message in stretch(consumer, topic, partition, first, end)]
        return values


def _totals(slices: Merged) -> dict[Cell, judge.Total]:
    """The worker's slices for whole touchpoints, whatever their channel, stage and actor."""
    totals: dict[Cell, judge.Total] = {}
    for (cell, bucket), sums in slices.items():
        if not cell.segment:
            n, x = totals.get((cell.touchpoint, bucket), judge.Total(0, 0.0))
            totals[cell.touchpoint, bucket] = judge.Total(n + sums.n, x + sums.sum_x)
    return totals
