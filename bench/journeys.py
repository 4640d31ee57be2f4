"""Olist's orders as journeys that end where the customer answers: all that a forecast of the answer may know."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from schemas.corridor import CorridorMap
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from sources.mapping import load_mapping
from sources.replay import read_events
from streams.model.experience import Experience, Scorer

MAP = Path(__file__).resolve().parents[1] / "schemas" / "maps" / "olist.yaml"
ANSWER = "survey.answer"
DELIVERY = "delivery.handover"
_SURVEY = ("survey.sent", ANSWER)
_DAY_S = 86_400.0


@dataclass(slots=True)
class Contact:
    """One event before the answer: its touchpoint, that touchpoint's importance, its experience."""

    touchpoint: str
    importance: float
    experience: Experience


@dataclass(slots=True)
class Journey:
    """One order up to its first answer. Times are epoch seconds; `promised` was known at the purchase."""

    contacts: list[Contact] = field(default_factory=list)
    answered_at: float | None = None
    stars: float = 0.0
    promised: float | None = None
    delivered: float | None = None
    #: Contacts at the time of the answer or after it: counted, never used.
    left_out: int = 0

    @property
    def delay_days(self) -> float | None:
        """How late the delivery was when the customer answered (negative: early); None without a promise.

        A parcel that had not come by then was as late as the answer, whatever became of it afterwards.
        """
        if self.promised is None or self.answered_at is None:
            return None
        return (min(self.delivered or self.answered_at, self.answered_at) - self.promised) / _DAY_S


def read(files: Iterable[str | Path], corridor: CorridorMap | None = None) -> list[Journey]:
    """The answered journeys of Olist's files, with everything strictly before the answer and nothing else.

    Ratings and the survey's own touchpoints take no part. Raises UsageError for files that do not fit.
    """
    corridor = corridor or load_map(MAP)
    importance = {touchpoint.name: touchpoint.importance for touchpoint in corridor.touchpoints}
    scorers = {touchpoint.name: Scorer(corridor, touchpoint) for touchpoint in corridor.touchpoints}
    journeys: dict[str, Journey] = {}
    events = list(read_events(files, load_mapping("olist")))
    for event in events:
        if event.data.touchpoint == ANSWER and event.data.rating is not None:
            journey = journeys.setdefault(event.data.journey or event.subject, Journey())
            if journey.answered_at is None:
                journey.answered_at, journey.stars = event.time.timestamp(), event.data.rating.value
    for event in events:
        found = journeys.get(event.data.journey or event.subject)
        name = event.data.touchpoint
        if found is None or found.answered_at is None or name in _SURVEY:
            continue
        if name == DELIVERY:
            _note_promise(found, event)
        if event.time.timestamp() >= found.answered_at:
            found.left_out += 1
        else:
            found.contacts.append(Contact(name, importance[name], scorers[name](event.data)))
    return list(journeys.values())


def _note_promise(journey: Journey, event: TouchpointEvent) -> None:
    """When the parcel was promised and when it came. The mapping's events without a delivery happen when time is up."""
    at = event.time.timestamp()
    expectation = event.data.expectation
    if expectation is None:
        journey.promised = at
        return
    journey.delivered = at
    journey.promised = at - (expectation.actual - expectation.expected) * _DAY_S
