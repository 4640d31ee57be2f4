"""One walk through the corridor: where the customer is, what was lived so far, what happens at the next touchpoint."""

import math
from collections.abc import Mapping, Sequence
from random import Random

from schemas.event import Expectation, Outcome, Rating, TouchpointData, Value
from sources.simulator.corridor import (
    DELIVERED_AT,
    HOUR,
    PAID_AT,
    PICKUP_SHARE,
    PLACES,
    REASON_AFTER,
    Place,
    Way,
)
from sources.simulator.faults import Fault
from sources.simulator.normal import lognormal, normal
from sources.simulator.population import CARRIER, Person

_OUTCOME_FELT = {"success": 1.0, "partial": 0.5, "failure": 0.0, "abandoned": 0.0}
#: Waits up to this part of the mean patience are fine; twice as long halves the pleasure.
_TOLERABLE = 0.1
_LN2 = math.log(2.0)
_SCALES = {"nps": (0.0, 10.0), "csat": (1.0, 5.0), "ces": (1.0, 7.0), "stars": (1.0, 5.0)}


class Journey:
    """The state of one journey. `age_s` is its own, natural clock: seconds since it began, not compressed."""

    __slots__ = (
        "age_s",
        "asked_s",
        "extreme",
        "id",
        "last",
        "ordered_s",
        "owed",
        "pause_s",
        "person",
        "place",
        "tries",
    )

    def __init__(self, id: str, person: Person, entry: str) -> None:
        """A journey that is about to begin at the touchpoint `entry`."""
        self.id = id
        self.person = person
        #: Where it goes next; None once it is over. `pause_s`: natural seconds until then.
        self.place: Place | None = PLACES[entry]
        self.pause_s = 0.0
        self.age_s = 0.0
        #: When the order was paid and when the last question was asked, on the journey's clock; -1: never.
        self.ordered_s = -1.0
        self.asked_s = -1.0
        #: The touchpoint that still has to bring the parcel; empty: none.
        self.owed = ""
        self.tries = 1
        self.extreme = 0.7
        self.last = 0.7

    @property
    def mood(self) -> float:
        """How it feels so far, in [0, 1]: the peak-end rule (Fredrickson and Kahneman 1993)."""
        return (self.extreme + self.last) / 2

    def feel(self, felt: float) -> None:
        """Remember one more contact that felt like `felt` in [0, 1]."""
        self.last = felt
        if abs(felt - 0.5) > abs(self.extreme - 0.5):
            self.extreme = felt

    def copy(self, id: str, person: Person) -> "Journey":
        """The same state for another customer."""
        other = Journey.__new__(Journey)
        for name in Journey.__slots__:
            setattr(other, name, getattr(self, name))
        other.id, other.person = id, person
        return other


class Effect:
    """What all faults at one touchpoint together do to one contact."""

    __slots__ = ("delay_h", "failure", "gloom", "partial", "wait")

    def __init__(self) -> None:
        """No effect at all."""
        self.failure = self.partial = self.delay_h = self.gloom = 0.0
        self.wait = 1.0

    def add(self, fault: Fault) -> None:
        """One more fault; shares combine as independent chances, the rest adds up."""
        kind, intensity = fault.kind, fault.intensity
        self.failure = 1.0 - (1.0 - self.failure) * (1.0 - min(0.95, kind.failure * intensity))
        self.partial = 1.0 - (1.0 - self.partial) * (1.0 - min(0.95, kind.partial * intensity))
        self.wait *= 1.0 + (kind.wait - 1.0) * intensity
        self.delay_h += kind.delay_h * intensity
        self.gloom += kind.gloom * intensity


_NONE = Effect()


class Behaviour:
    """Lets journeys happen: draws each contact and decides where it leads."""

    def __init__(self, rng: Random, faults: Sequence[Fault], start: float) -> None:
        """`faults` count from `start`, epoch seconds."""
        self._chance = rng.random
        self._start = start
        self._faults: Mapping[str, list[Fault]] = {
            name: at for name in PLACES if (at := [fault for fault in faults if name in fault.kind.touchpoints])
        }

    def contact(self, journey: Journey, place: Place, at: float, load: float) -> TouchpointData:
        """What happens when `journey` comes to `place` at `at`, `load` times as busy as usual; moves the journey on."""
        person = journey.person
        faults = self._faults.get(place.name)
        effect = self._effect(faults, person, at) if faults is not None else _NONE
        outcome, wait_s = self._attend(place, effect, load)
        expectation = self._promise(journey, place, effect)
        if (
            expectation is not None
            and outcome == "success"
            and expectation.actual - expectation.expected > (expectation.tolerance or 0.0)
        ):
            outcome = "partial"
        rating = sentiment = audience = None
        if place.instrument is not None or place.social:
            said = journey.mood - effect.gloom / 2 + 0.1 * normal(self._chance)
            if place.instrument is not None:
                rating = _rating(place, said)
            if place.social:
                sentiment = round(min(1.0, max(-1.0, 2 * said - 1)), 3)
                audience = int(lognormal(self._chance, 90.0 * math.exp(effect.gloom), 1.2))
        else:
            journey.feel(_felt(place, outcome, expectation, wait_s, effect))
        active_s = lognormal(self._chance, *place.active) if place.active is not None else None
        aspects = self._aspects(journey, place, effect) if place.aspects else None
        transfers = (0, 0, 0, 0, 0, 0, 0, 1, 1, 2)[int(self._chance() * 10)] if place.transfers else None
        data = TouchpointData(
            touchpoint=place.name,
            outcome=outcome,
            journey=journey.id,
            initiator="company" if place.by_company else "customer",
            expectation=expectation,
            rating=rating,
            sentiment=sentiment,
            wait_ms=int(wait_s * 1000) if wait_s is not None else None,
            active_ms=int(active_s * 1000) if active_s is not None else None,
            # A first try is no effort yet: sources count from the second one on.
            attempts=journey.tries if journey.tries > 1 else None,
            transfers=transfers,
            queue_depth=self._queue(place, wait_s),
            servers=place.servers or None,
            segment={
                key: getattr(person, key) for key in place.segment if key != "carrier" or journey.ordered_s >= 0.0
            },
            aspects=aspects,
            value=Value(person.amount_minor, "EUR") if place.value else None,
            audience=audience,
        )
        journey.age_s += (wait_s or 0.0) + (active_s or 0.0)
        self._move_on(journey, place, outcome)
        return data

    def _effect(self, faults: list[Fault], person: Person, at: float) -> Effect:
        since = at - self._start
        effect = _NONE
        for fault in faults:
            if fault.start <= since < fault.end and all(getattr(person, key) == value for key, value in fault.segment):
                effect = Effect() if effect is _NONE else effect
                effect.add(fault)
        return effect

    def _attend(self, place: Place, effect: Effect, load: float) -> tuple[Outcome, float | None]:
        """Wait, perhaps give up, perhaps fail. Returns the outcome and the wait in seconds."""
        wait_s = None
        if place.wait is not None:
            wait_s = lognormal(self._chance, *place.wait) * effect.wait
            if place.servers:
                wait_s *= 0.5 + 0.5 * load
            if place.patience_s:
                patience = -place.patience_s * math.log(1.0 - self._chance())
                if patience < wait_s:
                    return "abandoned", patience
        draw = self._chance()
        failure = 1.0 - (1.0 - place.failure) * (1.0 - effect.failure)
        if draw < failure:
            return "failure", wait_s
        if draw - failure < (1.0 - failure) * (1.0 - (1.0 - place.partial) * (1.0 - effect.partial)):
            return "partial", wait_s
        return "success", wait_s

    def _promise(self, journey: Journey, place: Place, effect: Effect) -> Expectation | None:
        """Promise against delivery in natural hours.

        A fault's delay passes on the journey's own clock only. The parcel was late before it came, as it were: so a
        fault shows at once, and the flow of handovers does not dry up first.
        """
        promise = place.promise
        if promise is None:
            return None
        since = journey.ordered_s if promise.anchor == "order" else journey.asked_s
        if since < 0.0:
            return None
        if effect.delay_h:
            journey.age_s += lognormal(self._chance, effect.delay_h, 0.3) * HOUR
        expected = CARRIER[journey.person.carrier].promise_h if promise.hours is None else promise.hours
        actual = round((journey.age_s - since) / HOUR, 2)
        return Expectation(expected, actual, promise.tolerance_h, "h")

    def _aspects(self, journey: Journey, place: Place, effect: Effect) -> dict[str, float]:
        centre = 0.45 + 0.4 * journey.mood - 0.5 * effect.partial
        return {name: round(min(1.0, max(0.0, centre + 0.12 * normal(self._chance))), 2) for name in place.aspects}

    def _queue(self, place: Place, wait_s: float | None) -> int | None:
        """Customers in the queue, from the wait by Little's law: L = servers x wait / service time."""
        if not place.servers or wait_s is None:
            return None
        return int(place.servers * wait_s / place.service_s + self._chance())

    def _move_on(self, journey: Journey, place: Place, outcome: Outcome) -> None:
        name = place.name
        done = outcome in ("success", "partial")
        if done and name in PAID_AT:
            journey.ordered_s = journey.age_s
            journey.owed = "delivery.dispatch"
        elif name == "delivery.dispatch":
            journey.owed = "partner.pickup" if self._chance() < PICKUP_SHARE else "delivery.attempt"
        elif name == "support.contact":
            journey.asked_s = journey.age_s
        elif name in DELIVERED_AT:
            journey.owed = ""
        ways = place.ways if done else place.failed if outcome == "failure" else place.given_up
        to = self._choose(ways, journey.mood) or journey.owed
        if not to:
            journey.place = None
            return
        journey.tries = journey.tries + 1 if to == name and not done else 1
        if to == "support.contact":
            journey.person.reason = REASON_AFTER.get(name, journey.person.reason)
        journey.place = going = PLACES[to]
        pause_s = lognormal(self._chance, *going.pause)
        if to == "delivery.attempt":
            pause_s *= CARRIER[journey.person.carrier].pace
        journey.pause_s = pause_s
        journey.age_s += pause_s

    def _choose(self, ways: tuple[Way, ...], mood: float) -> str:
        draw = self._chance()
        for way in ways:
            draw -= way.upset + (way.calm - way.upset) * mood
            if draw < 0.0:
                return way.to
        return ""


def _rating(place: Place, said: float) -> Rating:
    instrument = place.instrument or "stars"
    lowest, highest = _SCALES[instrument]
    value = round(min(highest, max(lowest, lowest + (highest - lowest) * said)))
    return Rating(float(value), lowest, highest, "higher", instrument)


def _felt(
    place: Place, outcome: Outcome, expectation: Expectation | None, wait_s: float | None, effect: Effect
) -> float:
    """How one contact feels, in [0, 1]: the mean of outcome, promise and wait, as far as they are there."""
    total, parts = _OUTCOME_FELT[outcome], 1
    if expectation is not None:
        u = (expectation.expected - expectation.actual) / (expectation.tolerance or 1.0)
        total += 0.7 + 0.3 * (1.0 - math.exp(-u)) if u >= 0.0 else 0.7 * math.exp(u)
        parts += 1
    if wait_s is not None and place.patience_s:
        total += math.exp(-_LN2 * wait_s / (_TOLERABLE * place.patience_s))
        parts += 1
    return max(0.0, total / parts - effect.gloom / 3)
