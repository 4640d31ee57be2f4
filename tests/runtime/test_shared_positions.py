"""Two agents read one topic: Kafka is told the place of the slower one, and each goes on from its own."""

import asyncio
from collections.abc import Mapping

from streams.runtime.positions import Place, Positions
from streams.runtime.shared_positions import SharedPositions

TOPIC = "experience.slices"
PLACE = (TOPIC, 0)
EVENTS = ("touchpoint.events", 0)


class Kafka:
    """What was committed."""

    def __init__(self) -> None:
        self.committed: dict[Place, int] = {EVENTS: 7, PLACE: 100}
        self.commits = 0

    async def commit(self, positions: Mapping[Place, int]) -> None:
        self.committed |= positions
        self.commits += 1

    def positions(self) -> Positions:
        return Positions(dict(self.committed), {}, False)


def shared(kafka: Kafka) -> SharedPositions:
    return SharedPositions(TOPIC, ("score", "detect"), kafka.commit)


def acknowledge(positions: SharedPositions, **at: int) -> None:
    for reader, offset in at.items():
        asyncio.run(positions.commit_of(reader)({PLACE: offset}))


def seen(positions: SharedPositions, kafka: Kafka) -> dict[str, int]:
    return {reader: found.of(*PLACE) for reader, found in positions.take_over(kafka.positions()).items()}


def test_the_slower_reader_decides() -> None:
    kafka = Kafka()
    positions = shared(kafka)
    assert seen(positions, kafka) == {"score": 100, "detect": 100}
    acknowledge(positions, score=150)
    assert kafka.commits == 0
    acknowledge(positions, detect=120)
    assert kafka.committed[PLACE] == 120
    acknowledge(positions, detect=160)
    assert kafka.committed[PLACE] == 150


def test_after_an_assignment_that_changes_nothing_each_reader_goes_on_from_its_own_place() -> None:
    kafka = Kafka()
    positions = shared(kafka)
    seen(positions, kafka)
    acknowledge(positions, score=150, detect=120)
    assert seen(positions, kafka) == {"score": 150, "detect": 120}
    acknowledge(positions, detect=180)
    assert kafka.committed[PLACE] == 150


def test_where_somebody_else_was_both_begin_at_what_kafka_says() -> None:
    kafka = Kafka()
    positions = shared(kafka)
    seen(positions, kafka)
    acknowledge(positions, score=150, detect=120)
    kafka.committed[PLACE] = 170
    assert seen(positions, kafka) == {"score": 170, "detect": 170}
    acknowledge(positions, score=165)
    assert kafka.committed[PLACE] == 170, "nothing goes back"


def test_other_topics_stay_as_they_are() -> None:
    kafka = Kafka()
    assert shared(kafka).take_over(kafka.positions())["score"].of(*EVENTS) == 7
