"""The touchpoints of the retail corridor as a table: how long, how often it fails, where people go next.

All times are natural ones (a parcel takes days), before any compression. Waits and pauses are log-normal, given by
median and sigma. A customer waits as long as an exponential patience lasts (Palm's Erlang-A model of call centres).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from schemas.event import Instrument

MINUTE = 60.0
HOUR = 3600.0


class Spread(NamedTuple):
    """A log-normal length of time in seconds."""

    median: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Way:
    """A way on to another touchpoint: its share among happy (`calm`) and unhappy (`upset`) customers."""

    to: str
    calm: float
    upset: float


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised here, in hours from an anchor: the order, or the question. None hours: the carrier's promise."""

    anchor: Literal["order", "question"]
    hours: float | None
    tolerance_h: float


@dataclass(frozen=True, slots=True)
class Place:
    """One touchpoint. `ways` lead on after a success, `failed` after a failure, `given_up` after giving up.

    What is left of their shares leaves the journey, or waits for the parcel where one is on its way.
    """

    name: str
    source: str
    #: Natural time between the contact before and this one.
    pause: Spread
    #: Keys of the segment that its source knows.
    segment: tuple[str, ...]
    ways: tuple[Way, ...] = ()
    failed: tuple[Way, ...] = ()
    given_up: tuple[Way, ...] = ()
    by_company: bool = False
    wait: Spread | None = None
    #: Mean patience, seconds.
    patience_s: float = 0.0
    #: Time the customer works here.
    active: Spread | None = None
    failure: float = 0.0
    partial: float = 0.0
    #: People who serve here, and the seconds they take for one customer: makes the source report its queue.
    servers: int = 0
    service_s: float = 0.0
    promise: Promise | None = None
    instrument: Instrument | None = None
    social: bool = False
    transfers: bool = False
    value: bool = False
    aspects: tuple[str, ...] = ()


def _way(to: str, calm: float, upset: float | None = None) -> Way:
    return Way(to, calm, calm if upset is None else upset)


_ONLINE = ("region", "device")
_PAID = ("region", "device", "payment")
_STORE = ("region", "store")
_PARCEL = ("region", "carrier")
_CALL = ("region", "reason")
_FEEDBACK = (_way("survey.csat", 0.10), _way("social.review", 0.02, 0.10), _way("social.mention", 0.01, 0.08))

PLACES: dict[str, Place] = {
    place.name: place
    for place in (
        Place(
            "web.search", "/web", Spread(25, 0.7), _ONLINE,
            ways=(_way("web.product", 0.68), _way("web.search", 0.12), _way("store.visit", 0.02)),
            wait=Spread(0.45, 0.5), patience_s=60, active=Spread(12, 0.6), failure=0.004,
        ),
        Place(
            "web.product", "/web", Spread(40, 0.8), _ONLINE,
            ways=(
                _way("web.cart", 0.44), _way("web.product", 0.16), _way("web.search", 0.08), _way("store.visit", 0.02),
            ),
            wait=Spread(0.6, 0.5), patience_s=80, active=Spread(45, 0.8), failure=0.003,
        ),
        Place(
            "web.cart", "/web", Spread(60, 0.9), _ONLINE,
            ways=(_way("web.checkout", 0.66, 0.50), _way("web.product", 0.12)),
            failed=(_way("web.cart", 0.5),),
            wait=Spread(0.4, 0.5), patience_s=80, active=Spread(20, 0.7), failure=0.004, value=True,
        ),
        Place(
            "web.checkout", "/web", Spread(90, 0.8), _ONLINE,
            ways=(_way("web.payment", 0.93),),
            failed=(_way("web.checkout", 0.55), _way("support.contact", 0.06)),
            wait=Spread(0.9, 0.5), patience_s=60, active=Spread(75, 0.6), failure=0.012, value=True,
        ),
        Place(
            "web.payment", "/web", Spread(45, 0.6), _PAID,
            failed=(_way("web.payment", 0.60), _way("support.contact", 0.08)),
            wait=Spread(1.8, 0.6), patience_s=120, active=Spread(30, 0.6), failure=0.025, value=True,
        ),
        Place(
            "app.product", "/app", Spread(30, 0.8), _ONLINE,
            ways=(_way("app.product", 0.28), _way("app.checkout", 0.34)),
            wait=Spread(0.5, 0.5), patience_s=60, active=Spread(35, 0.8), failure=0.004,
        ),
        Place(
            "app.checkout", "/app", Spread(60, 0.7), _PAID,
            failed=(_way("app.checkout", 0.55), _way("support.contact", 0.05), _way("web.search", 0.08)),
            wait=Spread(1.1, 0.5), patience_s=60, active=Spread(40, 0.6), failure=0.015, value=True,
        ),
        Place(
            "store.visit", "/pos", Spread(2 * HOUR, 0.8), _STORE,
            ways=(_way("store.advice", 0.42), _way("store.checkout", 0.34)),
            active=Spread(9 * MINUTE, 0.7), partial=0.03, aspects=("cleanliness", "order"),
        ),
        Place(
            "store.advice", "/pos", Spread(6 * MINUTE, 0.6), _STORE,
            ways=(_way("store.checkout", 0.62, 0.30), _way("web.search", 0.08)),
            wait=Spread(100, 0.7), patience_s=40 * MINUTE, active=Spread(6 * MINUTE, 0.5), partial=0.05,
            servers=3, service_s=360, aspects=("kindness", "knowledge"),
        ),
        Place(
            "store.checkout", "/pos", Spread(5 * MINUTE, 0.6), ("region", "store", "payment"),
            ways=(*_FEEDBACK, _way("support.contact", 0.02, 0.06)),
            failed=(_way("store.checkout", 0.8),),
            wait=Spread(110, 0.7), patience_s=60 * MINUTE, active=Spread(70, 0.4), failure=0.006,
            servers=4, service_s=75, value=True,
        ),
        Place(
            "delivery.dispatch", "/courier/{carrier}", Spread(10 * HOUR, 0.5), _PARCEL,
            ways=(_way("support.contact", 0.01, 0.06),),
            by_company=True, promise=Promise("order", 24, 12),
        ),
        Place(
            "delivery.attempt", "/courier/{carrier}", Spread(22 * HOUR, 0.35), _PARCEL,
            ways=(_way("delivery.handover", 1.0),),
            failed=(
                _way("delivery.attempt", 0.88, 0.78), _way("support.contact", 0.04, 0.16), _way("partner.pickup", 0.06),
            ),
            by_company=True, failure=0.07,
        ),
        Place(
            "delivery.handover", "/courier/{carrier}", Spread(3 * MINUTE, 0.4), _PARCEL,
            ways=(
                _way("survey.nps", 0.20), _way("survey.csat", 0.10), _way("social.review", 0.06, 0.16),
                _way("support.contact", 0.03, 0.26), _way("delivery.return", 0.03, 0.09),
                _way("social.mention", 0.01, 0.08),
            ),
            by_company=True, partial=0.015, promise=Promise("order", None, 24), value=True,
            aspects=("packaging", "courtesy"),
        ),
        Place(
            "partner.pickup", "/partner/lockers", Spread(20 * HOUR, 0.5), _PARCEL,
            ways=(_way("survey.nps", 0.18), _way("delivery.return", 0.03, 0.08), _way("support.contact", 0.02, 0.2)),
            wait=Spread(70, 0.7), patience_s=60 * MINUTE, active=Spread(60, 0.5), partial=0.02,
            promise=Promise("order", None, 24), value=True,
        ),
        Place(
            "support.contact", "/helpdesk", Spread(3 * HOUR, 0.8), _CALL,
            ways=(_way("support.answer", 1.0),),
            given_up=(_way("support.contact", 0.40), _way("social.mention", 0.03, 0.10)),
            wait=Spread(65, 0.8), patience_s=20 * MINUTE, active=Spread(4 * MINUTE, 0.5), partial=0.06,
            servers=18, service_s=300, transfers=True,
        ),
        Place(
            "support.answer", "/helpdesk", Spread(1.2 * HOUR, 0.8), _CALL,
            ways=(_way("support.resolution", 0.86), _way("support.contact", 0.06, 0.12)),
            by_company=True, partial=0.08, promise=Promise("question", 4, 3), aspects=("kindness", "knowledge"),
        ),
        Place(
            "support.resolution", "/helpdesk", Spread(12 * HOUR, 0.8), _CALL,
            ways=(_way("survey.ces", 0.30), _way("survey.csat", 0.12), _way("support.contact", 0.02, 0.10)),
            failed=(_way("support.contact", 0.45), _way("social.mention", 0.08), _way("survey.ces", 0.15)),
            by_company=True, failure=0.05, partial=0.06, promise=Promise("question", 48, 24),
        ),
        Place(
            "delivery.return", "/courier/{carrier}", Spread(60 * HOUR, 0.5), _PARCEL,
            ways=(_way("survey.csat", 0.20), _way("support.contact", 0.10, 0.20)),
            wait=Spread(4 * MINUTE, 0.6), patience_s=0, active=Spread(10 * MINUTE, 0.5), failure=0.02, partial=0.06,
            value=True,
        ),
        Place("survey.nps", "/survey", Spread(7 * HOUR, 0.8), _PARCEL, instrument="nps"),
        Place("survey.csat", "/survey", Spread(5 * HOUR, 0.8), _PARCEL, instrument="csat", aspects=("service",)),
        Place("survey.ces", "/survey", Spread(4 * HOUR, 0.8), _CALL, instrument="ces"),
        Place("social.review", "/social", Spread(26 * HOUR, 0.7), _PARCEL, instrument="stars", social=True),
        Place(
            "social.mention", "/social", Spread(5 * HOUR, 0.9), ("region",),
            ways=(_way("support.contact", 0.02, 0.15),), social=True,
        ),
    )
}  # fmt: skip

#: Where journeys begin, with their shares.
ENTRIES: tuple[tuple[str, float], ...] = (
    ("web.search", 0.40),
    ("web.product", 0.13),
    ("app.product", 0.22),
    ("store.visit", 0.17),
    ("support.contact", 0.055),
    ("social.mention", 0.025),
)
#: Mean events of a journey without faults: what the table above comes to. Measured; a test fails when they part.
EVENTS_PER_JOURNEY = 3.633
#: Share of paid orders that the customer picks up at a partner's locker.
PICKUP_SHARE = 0.14
#: Touchpoints whose success is a paid order that has to be delivered, and those that deliver it.
PAID_AT = frozenset({"web.payment", "app.checkout"})
DELIVERED_AT = frozenset({"delivery.handover", "partner.pickup"})
#: Why a customer contacts support, by the touchpoint before; elsewhere the reason stays as it was.
REASON_AFTER = {
    "web.checkout": "payment",
    "web.payment": "payment",
    "app.checkout": "payment",
    "delivery.dispatch": "delivery",
    "delivery.attempt": "delivery",
    "delivery.handover": "delivery",
    "partner.pickup": "delivery",
    "delivery.return": "return",
}
