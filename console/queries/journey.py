"""The journeys of one pseudonymous customer, and the contacts of one of them."""

import msgspec

from console.store import Results

_JOURNEYS = """
SELECT subject, journey, status, toFloat64(started_at) AS started_at, toFloat64(last_at) AS last_at, last_touchpoint,
    contacts, channels, channel_switches, repeats, effort, elapsed_s, wait_ms, consistency, peak_x, last_x, memory,
    memory_band, score
FROM corredor.journeys_now
"""
OF_SUBJECT = _JOURNEYS + "WHERE tenant = {tenant:String} AND subject = {who:String} ORDER BY last_at DESC LIMIT 50"
OF_JOURNEY = _JOURNEYS + "WHERE tenant = {tenant:String} AND journey = {who:String} ORDER BY last_at DESC LIMIT 50"
#: Without FINAL, so that the index of journeys is used; an event that came twice is read once.
CONTACTS = """
SELECT toFloat64(time) AS at, touchpoint, channel, outcome, x, band, toInt64(wait_ms) AS wait_ms, gap
FROM
(
    SELECT *
    FROM corredor.touchpoint_events
    WHERE tenant = {tenant:String} AND subject = {subject:String} AND journey = {journey:String}
    LIMIT 1 BY time, source, id
)
ORDER BY time, source, id
LIMIT 1000
"""


class Journey(msgspec.Struct, frozen=True):
    """One journey; the units are those of corredor.journeys_now."""

    subject: str
    journey: str
    status: str
    started_at: float
    last_at: float
    last_touchpoint: str
    contacts: int
    channels: list[str]
    channel_switches: int
    repeats: int
    effort: float
    elapsed_s: float
    wait_ms: int
    consistency: float | None
    peak_x: float | None
    last_x: float | None
    memory: float | None
    memory_band: str
    score: float | None


class Contact(msgspec.Struct, frozen=True):
    """One contact of a journey; the units are those of corredor.events."""

    at: float
    touchpoint: str
    channel: str
    outcome: str
    x: float | None
    band: str
    wait_ms: int | None
    gap: float | None


class Found(msgspec.Struct, frozen=True):
    """The journeys of a customer, the newest first; the one that is shown, and its contacts."""

    journeys: list[Journey]
    shown: Journey | None
    contacts: list[Contact]


def find(results: Results, tenant: str, who: str, journey: str) -> Found:
    """The journeys of the customer `who`, or the journey of that name; `journey` chooses one of several."""
    journeys = results.read(Journey, OF_SUBJECT, tenant=tenant, who=who)
    if not journeys and (named := results.read(Journey, OF_JOURNEY, tenant=tenant, who=who)):
        journeys, journey = results.read(Journey, OF_SUBJECT, tenant=tenant, who=named[0].subject), who
    shown = next((one for one in journeys if one.journey == journey), journeys[0] if journeys else None)
    if shown is None:
        return Found([], None, [])
    contacts = results.read(Contact, CONTACTS, tenant=tenant, subject=shown.subject, journey=shown.journey)
    return Found(journeys, shown, contacts)
