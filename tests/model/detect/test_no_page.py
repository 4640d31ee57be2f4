"""What must wake nobody: late and repeated floods, an empty touchpoint, a restart, a change of the clocks.

Events go through the ingest model of one partition into the detectors, as in a worker; a true drop is told.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count
from zoneinfo import ZoneInfo

import msgspec
import pytest

from schemas import topics
from schemas.corridor import CorridorMap
from schemas.corridor import Detection as DetectionRules
from schemas.incident import Incident
from schemas.slice import BUCKET_S
from streams.model.decode import Record
from streams.model.detect.partition import Detection
from streams.model.detect.settled import Felt, Settled
from streams.model.detect.tenant import Detectors, Rules
from streams.model.ingest import Ingest
from tests.builders import NOW, corridor, event, record

LANES = [f"{topic.name}/0" for topic in (topics.EVENTS, topics.REKEYED)]
#: Events a second, and the share of negative ones.
RATE, USUAL = 3, 0.02
HOUR = 3600
_encode = msgspec.json.encode


class Pipeline:
    """One partition of ingest and one of detect; `restart` loses all but the state, and reads the last events again."""

    def __init__(self, corridor_map: CorridorMap) -> None:
        self._map = corridor_map
        self.ingest = Ingest(0, corridor_map, lambda _: 0)
        self.detect = Detection(corridor_map, LANES, self._count)
        self.told: list[Incident] = []
        #: Settled contacts and negative ones: what burn rates are computed from.
        self.contacts = self.negative = 0
        self._offset = count()
        self._slices = count()
        self._ids = count()
        self._log: list[Record] = []
        self._state: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})

    def _count(self, _: str, bucket: Settled) -> None:
        self.contacts += sum(here.scored for here in bucket.contacts)
        self.negative += sum(here.negative for here in bucket.contacts)

    def send(self, now: float, events: Iterable[dict[str, object]]) -> None:
        """Events that arrive at `now`, and a checkpoint."""
        records = [record(next(self._offset), one, now) for one in events]
        self._log += records
        self._apply(records)

    def _apply(self, records: list[Record]) -> None:
        self.ingest.apply(topics.EVENTS.name, records)
        self.ingest.advance(None)
        snapshot = self.ingest.snapshot()
        notes = [(b"p", _encode(self.ingest.progress(topic.name, topic is topics.REKEYED))) for topic in _TOPICS]
        for key, value in (*((key, value) for _, key, value in snapshot.slices), *notes):
            self.detect.apply(next(self._slices), key, value)
            while self.detect.settle():
                pass
        new = self.detect.take_told()
        self.told += new
        for kept, records_ in zip(self._state, (snapshot.state, self.detect.snapshot(new)), strict=True):
            kept.update({key: value for key, value in records_ if value is not None})
            for key in [key for key, value in records_ if value is None]:
                kept.pop(key, None)

    def restart(self) -> None:
        """A new process: state is read back, and the log from a while ago on comes again."""
        self.ingest = Ingest(0, self._map, lambda _: 0)
        for key, value in self._state[0].items():
            self.ingest.restore(key, value)
        self.ingest.restored({topic.name: 0 for topic in _TOPICS})
        self.detect = Detection(self._map, LANES, self._count)
        self.detect.restore(self._state[1])
        self._apply(self._log[-500:])

    def contact(self, at: float, bad: bool, touchpoint: str = "web.checkout") -> dict[str, object]:
        number = next(self._ids)
        data = {"touchpoint": touchpoint, "outcome": "failure" if bad else "success"}
        return event(at, id=f"id-{number}", subject=f"customer-{number % 997}", data=data)

    def usual(self, start: float, seconds: int, share: float = USUAL, seed: int = 1) -> list[dict[str, object]]:
        """A stretch of traffic, sent second by second; returns the last second's events."""
        chance = random.Random(seed)
        sent: list[dict[str, object]] = []
        for second in range(seconds):
            at = start + second
            sent = [self.contact(at, chance.random() < share) for _ in range(RATE)]
            self.send(at + 0.5, sent)
        return sent


_TOPICS = (topics.EVENTS, topics.REKEYED)


@pytest.fixture
def pipeline() -> Pipeline:
    """After an hour of usual traffic."""
    made = Pipeline(corridor())
    made.usual(NOW, HOUR)
    assert made.told == []
    return made


AFTER = NOW + HOUR


def test_a_true_drop_is_told(pipeline: Pipeline) -> None:
    pipeline.usual(AFTER, 300, share=0.4)
    assert [(told.kind, told.touchpoint) for told in pipeline.told[:1]] == [("drop", "web.checkout")]
    assert pipeline.negative > 200


def test_a_flood_of_late_bad_events_wakes_nobody(pipeline: Pipeline) -> None:
    before = pipeline.negative
    pipeline.send(AFTER, [pipeline.contact(AFTER - 1200 + n / 10, True) for n in range(3000)])
    pipeline.usual(AFTER, 300)
    assert pipeline.told == []
    assert pipeline.detect.too_late > 0
    assert pipeline.negative - before < 100, "and burns no budget"


def test_a_flood_of_duplicates_wakes_nobody(pipeline: Pipeline) -> None:
    before = pipeline.negative
    bad = [pipeline.contact(AFTER, True) for _ in range(2)]
    pipeline.send(AFTER + 1, bad * 1000)
    pipeline.usual(AFTER + 2, 300)
    assert pipeline.told == []
    assert pipeline.negative - before < 100


def test_bad_events_at_a_touchpoint_that_was_empty_wake_nobody(pipeline: Pipeline) -> None:
    for hour in range(1, 4):
        at = AFTER + hour * HOUR
        pipeline.send(at, [pipeline.contact(at, True, "survey.answer"), pipeline.contact(at, False)])
        pipeline.usual(at + 1, 60)
    assert [told for told in pipeline.told if told.kind == "drop"] == []


def test_a_restart_wakes_nobody(pipeline: Pipeline) -> None:
    for part in range(5):
        pipeline.restart()
        pipeline.usual(AFTER + 60 * part, 60, seed=part)
    assert pipeline.told == []


# -- the clocks change ------------------------------------------------------------------------------------------------

#: At 01:00 UTC of Sunday, 29 March 2026, clocks in Madrid go from 02:00 to 03:00.
SPRING = int(datetime(2026, 3, 29, tzinfo=ZoneInfo("UTC")).timestamp())
DAY = 86_400


def weeks(chance: random.Random) -> Iterator[Settled]:
    """Six weeks of customers who live by Madrid's clocks: twice as many bad contacts from 9 to 10 as else."""
    madrid = ZoneInfo("Europe/Madrid")
    for start in range(SPRING - 35 * DAY, SPRING + 7 * DAY, 60):
        hour = datetime.fromtimestamp(start, madrid).hour
        share = 0.04 if hour == 9 else 0.02
        n = 300
        bad = sum(chance.random() < share for _ in range(n))
        yield Settled(start // BUCKET_S * BUCKET_S, [Felt("web.checkout", "", "", n, bad)], [])


@pytest.mark.parametrize(("zone", "drops"), [("Europe/Madrid", False), ("UTC", True)])
def test_a_change_of_the_clocks_wakes_nobody_whose_map_names_the_zone(zone: str, drops: bool) -> None:
    rules = Rules(msgspec.structs.replace(corridor(), detection=DetectionRules(time_zone=zone)))
    detectors = Detectors("default", rules)
    told = [told for bucket in weeks(random.Random(7)) for told in detectors.feed(bucket)]
    assert bool(told) is drops
    assert all(one.since >= SPRING for one in told)
