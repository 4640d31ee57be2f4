"""The summary of a journey: contacts go in, in their order, one after the other; a message comes out.

What does not depend on the order is summed exactly (`streams.model.exact`), so that a late contact can still join it.
"""

from collections.abc import Callable
from math import log1p, sqrt
from operator import attrgetter
from typing import Any

import msgspec

from schemas.journey import Goal, Journey, JourneyStatus
from streams.model.exact import SHIFT
from streams.model.experience import NEGATIVE_BELOW, POSITIVE_FROM, band
from streams.model.journey_rules import GOAL, NO_END, Contact, Rules

#: Bounds of what one journey holds, for the one subject that is a machine.
MAX_TOUCHPOINTS = MAX_WAITING = 256
_MAX_SUM = 2**63 - 1
#: Rounding x and its square to 2^-32 moves the variance by less than this: anything smaller is 0.
_VARIANCE_NOISE = 2.0**-31
_STATUS: tuple[JourneyStatus, ...] = ("open", "stalled", "abandoned")


class Totals(msgspec.Struct, array_like=True, gc=False):
    """The summary of a journey up to and including the contact `last`. Fields as in `schemas.journey.Journey`."""

    last: Contact
    started_at: float
    first_touchpoint: str
    contacts: int
    late: int
    #: Distinct touchpoints, in the order of their first contact.
    touchpoints: list[str]
    channels: list[str]
    #: The last known channel.
    channel: str | None
    switches: int
    active_ms: int
    wait_ms: int
    transfers: int
    retries: int
    #: The newest contact by the company, or the start; the longest stretch before it, seconds.
    company_at: float
    unaccompanied: float
    scored: int
    sum_x: float
    sum_xx: float
    #: Sum of importances of scored contacts, and of importance times x.
    weight: float
    weighted_x: float
    negative: int
    peak_x: float | None
    last_x: float | None
    recovered: int
    #: Times of the negative contacts that a positive one may still recover.
    waiting: list[float]
    open_negative_at: float | None
    goals: list[tuple[str, float]]
    value: dict[str, int]
    segments: dict[str, str]

    def share(self, shared: Callable[[Any], Any]) -> None:
        """Use the objects that other journeys have for the same strings: what was read back has its own."""
        self.last.share(shared)
        self.first_touchpoint, self.channel = shared(self.first_touchpoint), shared(self.channel)
        self.touchpoints = [shared(name) for name in self.touchpoints]
        self.channels = [shared(name) for name in self.channels]
        self.segments = {shared(name): shared(value) for name, value in self.segments.items()}


_fields = attrgetter(*Totals.__struct_fields__)


def fold(totals: Totals | None, contacts: list[Contact], rules: Rules) -> Totals | None:
    """The summary with `contacts` after it, in their order. `totals` stays as it is.

    Where the journey starts anew, what was before is left out.
    """
    before = totals.last if totals is not None else None
    first = 0
    for number, contact in enumerate(contacts):
        if before is None or (contact.time - before.time > rules.shortest_keep and rules.starts_anew(before, contact)):
            totals, first = None, number
        before = contact
    return _add(totals, contacts[first:] if first else contacts, rules) if contacts else totals


def fold_late(totals: Totals, contact: Contact, rules: Rules) -> Totals:
    """The summary with a contact whose place in the order is already settled: it counts where order does not matter."""
    return _add(totals, [contact], rules, late=True)


def _add(totals: Totals | None, contacts: list[Contact], rules: Rules, late: bool = False) -> Totals:
    """One pass over plain locals: setting a field of a struct for each summand would take three times as long."""
    if totals is None:
        last = contacts[0]
        started_at = company_at = last.time
        first_touchpoint = last.touchpoint
        n = late_n = switches = active_ms = wait_ms = transfers = retries = scored = negative = recovered = 0
        unaccompanied = sum_x = sum_xx = weight = weighted_x = 0.0
        channel = peak_x = last_x = open_negative_at = None
        touchpoints: list[str] = []
        channels: list[str] = []
        waiting: list[float] = []
        goals: list[tuple[str, float]] = []
        value: dict[str, int] = {}
        segments: dict[str, str] = {}
    else:
        (
            last, started_at, first_touchpoint, n, late_n, touchpoints, channels, channel, switches, active_ms, wait_ms,
            transfers, retries, company_at, unaccompanied, scored, sum_x, sum_xx, weight, weighted_x, negative, peak_x,
            last_x, recovered, waiting, open_negative_at, goals, value, segments,
        ) = _fields(totals)  # fmt: skip
        touchpoints, channels, waiting, goals = touchpoints.copy(), channels.copy(), waiting.copy(), goals.copy()
        value, segments = value.copy(), segments.copy()
    importances = rules.importances
    for contact in contacts:
        time = contact.time
        touchpoint = contact.touchpoint
        x = contact.x
        n += 1
        if touchpoint not in touchpoints and len(touchpoints) < MAX_TOUCHPOINTS:
            touchpoints.append(touchpoint)
        active_ms += contact.active_ms
        wait_ms += contact.wait_ms
        transfers += contact.transfers
        retries += contact.retries
        currency = contact.currency
        if currency is not None:
            value[currency] = _bounded(value.get(currency, 0) + contact.amount_minor)
        if x is not None:
            importance = importances.get(touchpoint, 1.0)
            scored += 1
            sum_x += (x + SHIFT) - SHIFT
            sum_xx += (x * x + SHIFT) - SHIFT
            weight += (importance + SHIFT) - SHIFT
            weighted_x += (importance * x + SHIFT) - SHIFT
            negative += x < NEGATIVE_BELOW
        if late:
            late_n += 1
            continue
        # From here on, order matters.
        last = contact
        used = contact.channel
        if used is not None and used != channel:
            switches += channel is not None
            channel = used
            if used not in channels:
                channels.append(used)
        if contact.company:
            unaccompanied = max(unaccompanied, time - company_at)
            company_at = time
        if x is not None:
            if peak_x is None or abs(x - 0.5) >= abs(peak_x - 0.5):
                peak_x = x
            last_x = x
            if x < NEGATIVE_BELOW:
                waiting.append(time)
                if len(waiting) > MAX_WAITING:
                    del waiting[0]
                if open_negative_at is None:
                    open_negative_at = time
            elif x >= POSITIVE_FROM and open_negative_at is not None:
                recovered += sum(time - since <= rules.recovery for since in waiting)
                waiting.clear()
                open_negative_at = None
        if contact.end == GOAL and all(name != touchpoint for name, _ in goals):
            goals.append((touchpoint, time))
        if contact.pairs:
            segments.update(contact.pairs)
    return Totals(
        last, started_at, first_touchpoint, n, late_n, touchpoints, channels, channel, switches, _bounded(active_ms),
        _bounded(wait_ms), transfers, retries, company_at, unaccompanied, scored, sum_x, sum_xx, weight, weighted_x,
        negative, peak_x, last_x, recovered, waiting, open_negative_at, goals, value, segments,
    )  # fmt: skip


def _bounded(total: int) -> int:
    return total if -_MAX_SUM <= total <= _MAX_SUM else max(-_MAX_SUM, min(total, _MAX_SUM))


def message(
    key: tuple[str, str, str], totals: Totals, silence: int, rules: Rules, version: int, origin: str
) -> Journey:
    """The journey as it is published; `silence` since its last contact: 0 none, 1 stalled, 2 gone."""
    last = totals.last
    status = _STATUS[silence]
    ended_at = None
    if last.end != NO_END:
        status = "reached" if last.end == GOAL else "abandoned"
        ended_at = last.time
    elif silence and totals.goals:
        status = "reached"
        ended_at = last.time
    elif silence == 2:
        ended_at = last.time + 2.0 * rules.patience(last.touchpoint)
    repeats = totals.contacts - len(totals.touchpoints)
    memory = None
    if totals.peak_x is not None and totals.last_x is not None:
        memory = (totals.peak_x + totals.last_x) / 2.0
    effort = (
        log1p(totals.contacts)
        + log1p(totals.switches)
        + log1p(totals.transfers)
        + log1p(repeats)
        + log1p(totals.retries)
    )
    # Positional, because keywords would double the cost of this call. The order is that of Journey's fields.
    return Journey(
        key[0],
        key[1],
        key[2],
        version,
        origin,
        status,
        totals.started_at,
        last.time,
        totals.first_touchpoint,
        last.touchpoint,
        totals.contacts,
        effort,
        ended_at,
        totals.channels,
        totals.switches,
        repeats,
        last.time - totals.started_at,
        totals.active_ms,
        totals.wait_ms,
        _consistency(totals),
        max(totals.unaccompanied, last.time - totals.company_at),
        totals.peak_x,
        totals.last_x,
        memory,
        band(memory),
        100.0 * totals.weighted_x / totals.weight if totals.weight > 0.0 else None,
        totals.scored,
        totals.negative,
        totals.recovered,
        totals.open_negative_at,
        [Goal(touchpoint, time) for touchpoint, time in totals.goals],
        totals.value,
        totals.late,
        totals.segments,
    )


def _consistency(totals: Totals) -> float | None:
    """1 - sd(x) / 0.5, the population's sd, from the sums."""
    n = totals.scored
    if n < 2:
        return None
    mean = totals.sum_x / n
    variance = totals.sum_xx / n - mean * mean
    return 1.0 - 2.0 * sqrt(variance) if variance > _VARIANCE_NOISE else 1.0
