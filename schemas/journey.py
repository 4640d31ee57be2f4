"""A journey: one customer's walk through the corridor. One message of `experience.journeys`, one row of `journeys`."""

from typing import Literal

from msgspec import Struct, json

from schemas.scored import Band

#: `stalled`: silent for longer than the patience of the last touchpoint. `abandoned`: its last contact has that
#: outcome, or silent for longer than twice the patience. `reached`: its last contact reached a goal, or it had reached
#: one before and is silent for longer than the patience.
JourneyStatus = Literal["open", "stalled", "reached", "abandoned"]


class Goal(Struct, frozen=True, gc=False):
    """A goal touchpoint that the journey reached, and when first (epoch seconds)."""

    touchpoint: str
    time: float


class Journey(Struct, frozen=True, gc=False, omit_defaults=True):
    """A journey as it is now: the newest `version` of a tenant, subject and journey wins.

    A contact that comes after more than twice the patience of the last touchpoint (after an end by goal or outcome:
    more than the patience) starts the journey anew: the row then tells of the new one alone.

    Contacts are ordered by event time. Times are epoch seconds. A field that is absent from the message has its
    default. x is the experience of one contact, in [0, 1]; what needs it is None without a scored contact.
    """

    tenant: str
    subject: str
    journey: str
    #: Grows with every change, also with those that come from silence, without an event.
    version: int
    #: Where it was followed: `topic/partition`.
    origin: str
    status: JourneyStatus
    #: Time of the first and of the last contact.
    started_at: float
    last_at: float
    first_touchpoint: str
    last_touchpoint: str
    #: Contacts, late ones included.
    contacts: int
    #: ln(1 + contacts) + ln(1 + channel switches) + ln(1 + transfers) + ln(1 + repeats) + ln(1 + retries), where an
    #: event with n > 1 attempts has n - 1 retries.
    effort: float
    #: The last contact's time where that contact is the end or the goal was reached before; last contact + 2 x patience
    #: where silence is the end; else None.
    ended_at: float | None = None
    #: Distinct known channels in the order of their first use.
    channels: list[str] = []
    #: How often a contact's channel differs from that of the contact before it, among contacts with a known channel.
    channel_switches: int = 0
    #: Contacts at a touchpoint where the journey had been before: contacts minus distinct touchpoints. (Past 256
    #: distinct touchpoints every further contact counts as a repeat.)
    repeats: int = 0
    #: Last contact minus first, seconds.
    elapsed_s: float = 0.0
    #: Time the customer worked and waited, as the events state it: sums in milliseconds, at most 2^63 - 1.
    active_ms: int = 0
    wait_ms: int = 0
    #: 1 - sd(x) / 0.5 with the population's sd, in [0, 1]; None with fewer than two scored contacts.
    consistency: float | None = None
    #: The longest stretch without a contact initiated by the company, between the start, those contacts, and the last
    #: contact. Seconds.
    unaccompanied_s: float = 0.0
    #: The x farthest from 0.5, of equals the latest; the latest x.
    peak_x: float | None = None
    last_x: float | None = None
    #: (peak + last) / 2: the peak-end rule (Fredrickson and Kahneman 1993), in [0, 1], and its band.
    memory: float | None = None
    memory_band: Band = "unknown"
    #: 100 x the mean of x weighted by the touchpoints' importance; None without weight.
    score: float | None = None
    #: Contacts with x; those with a negative one.
    scored: int = 0
    negative: int = 0
    #: Negative contacts that were followed by a positive one within the map's recovery time. (The newest 256 negative
    #: contacts in a row are looked at.)
    recovered: int = 0
    #: Time of the first negative contact since the last positive one; None if there is none.
    open_negative_at: float | None = None
    #: The goal touchpoints reached, in the order of their first time.
    goals: list[Goal] = []
    #: Money at stake: the sum of the contacts' amounts (minor unit) by currency, each within plus and minus 2^63 - 1.
    value: dict[str, int] = {}
    #: Contacts that came after later ones were settled. They take part in `contacts`, `repeats`, `active_ms`,
    #: `wait_ms`, `effort`, `consistency`, `score`, `scored`, `negative` and `value`, not in what needs an order.
    late: int = 0
    #: The value last seen of each segment that the map names.
    segments: dict[str, str] = {}

    @property
    def key(self) -> bytes:
        """Tenant, subject and journey as a JSON list: the message key, so that compaction keeps the newest version."""
        return json.encode((self.tenant, self.subject, self.journey))
