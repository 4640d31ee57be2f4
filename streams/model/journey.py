"""Journeys of one partition: contacts in, in any order; transitions out, taken back where a late contact says so.

Everything is a function of the set of contacts and of the clock. A transition between two contacts depends on these
two alone, so a contact that arrives between two others changes only its neighbourhood. What silence amounts to after
the last contact (stalled, gone) is counted by `advance` when the clock says so, and corrected if a contact comes after
all. The order of contacts up to the allowed lateness behind the watermark can still change; what is older is folded
into a summary, and a contact that belongs into that comes too late.
"""

from heapq import heappop, heappush
from math import inf

import msgspec

from schemas.corridor import CorridorMap
from schemas.journey import Journey
from streams.model.duplicates import RecentIds
from streams.model.journey_fold import Totals, fold, fold_late, message
from streams.model.journey_rules import NO_END, Contact, Rules
from streams.model.journey_steps import Steps, TransitionSink

#: Tenant, subject, journey.
JourneyKey = tuple[str, str, str]
#: Contacts that a journey keeps apart. If more come within the allowed lateness, the oldest are settled early.
MAX_TAIL = 256
#: A tail is folded once it is longer than this, as far as it is settled: a fold for each contact would cost more.
_FOLD_FROM = 8


class JourneyState(RecentIds, array_like=True, gc=False):
    """What is remembered of one journey. Stored as MessagePack; `Journeys.restore` puts it back."""

    #: The contacts whose order is settled; None before the first is.
    head: Totals | None = None
    #: The contacts after those, ordered by time and identity.
    tail: list[Contact] = msgspec.field(default_factory=list)
    #: What was counted for the silence after the last contact: 0 nothing, 1 stalled, 2 gone.
    silence: int = 0
    #: The checkpoint it last changed in, as its keeper numbers them.
    changed: int = 0
    #: When its timer rings, epoch seconds; of no meaning in a stored state.
    due: float = inf

    @property
    def last(self) -> Contact | None:
        """The last contact; None before the first."""
        if self.tail:
            return self.tail[-1]
        return self.head.last if self.head is not None else None


class Journeys:
    """The rules and timers of all journeys of a partition; their states are the caller's. Not thread-safe.

    `keep_ended`: how long, in seconds, a journey that ended by a goal or by the outcome `abandoned` can still go on;
    None for the patience of the touchpoint where it ended.
    """

    def __init__(self, corridor: CorridorMap, sink: TransitionSink, keep_ended: float | None = None) -> None:
        self.rules = Rules(corridor, keep_ended)
        self._steps = Steps(self.rules, sink)
        #: The newest watermark and clock seen, epoch seconds.
        self.watermark = -inf
        self.clock = -inf
        self._settled = -inf
        self._timers: list[tuple[float, int, JourneyKey, JourneyState]] = []
        self._timer_count = 0

    def observe(self, watermark: float) -> None:
        """Note the watermark (smallest event time still expected, epoch seconds): `add` does so by itself.

        After a restart, call it with the watermark of before, so that the same contacts are late.
        """
        if watermark > self.watermark:
            self.watermark = watermark
            self._settled = watermark - self.rules.lateness

    def add(self, key: JourneyKey, state: JourneyState, contact: Contact, watermark: float) -> None:
        """Put a contact in its place and count what that changes. It is no duplicate.

        A contact at a place that is already settled is counted as late and makes no transition.
        """
        if watermark > self.watermark:
            self.observe(watermark)
        tail = state.tail
        last = tail[-1] if tail else state.last
        if last is None or state.silence or last.end:
            self._place(key, state, contact)
            return
        gap = contact.time - last.time
        rules = self.rules
        patience = rules.patiences.get(last.touchpoint, rules.default_patience)
        # This is the path of nearly all contacts: next in order, while the journey is open and all of it is in time.
        if gap <= 0.0 or gap > patience or last.time + patience < self._settled:
            self._place(key, state, contact)
            return
        tail.append(contact)
        touchpoint = contact.touchpoint
        steps = self._steps
        pairs = steps.pairs(last, contact)
        steps.sink.count(key[0], last.touchpoint, touchpoint, pairs, contact.time, 1, round(gap * 1000.0), 0)
        if contact.end:
            steps.end(key[0], contact)
        else:
            due = contact.time + rules.patiences.get(touchpoint, rules.default_patience)
            if due < state.due:
                self._set_timer(key, state, due)
        if len(tail) > _FOLD_FROM and (tail[0].time < self._settled or len(tail) > MAX_TAIL):
            self._fold(state)

    def advance(self, clock: float) -> list[tuple[JourneyKey, JourneyState]]:
        """Count the stalls and departures that are due, in the order of their time; the journeys that changed.

        `clock` is the watermark, or beyond it while nothing arrives (epoch seconds). Call it before each checkpoint.
        """
        self.clock = max(self.clock, clock)
        changed: dict[int, tuple[JourneyKey, JourneyState]] = {}
        timers = self._timers
        while timers and timers[0][0] < self.clock:
            due, _, key, state = heappop(timers)
            if due != state.due:
                continue  # Another one was set for an earlier time.
            state.due = inf
            need = self._deadline(state)
            if need == due:
                self._now_silent(key, state, state.silence + 1)
                changed[id(state)] = (key, state)
                need = self._deadline(state)
            if need is not None:
                self._set_timer(key, state, need)
        return list(changed.values())

    def restore(self, key: JourneyKey, state: JourneyState) -> None:
        """Take up a stored journey: set its timer, and share the strings that many journeys have."""
        state.due = inf
        shared = self.rules.shared
        for contact in state.tail:
            contact.share(shared)
        if state.head is not None:
            state.head.share(shared)
        due = self._deadline(state)
        if due is not None:
            self._set_timer(key, state, due)

    def may_leave(self, state: JourneyState, seen_before: float) -> bool:
        """Whether the journey may leave memory: over for good, counted, and not heard of since `seen_before`.

        Over for good means that any contact still to come, in time or late, would start it anew. Look again after
        `advance`: it says no while a stall is still to be counted.
        """
        if state.seen_at >= seen_before:
            return False
        last = state.last
        return last is None or (self._is_over(last) and (last.end != NO_END or state.silence == 2))

    def message(self, key: JourneyKey, state: JourneyState, version: int, origin: str) -> Journey:
        """The journey as it is published. It has at least one contact. `version` grows with every call for the key."""
        totals = fold(state.head, state.tail, self.rules)
        if totals is None:
            raise ValueError(f"journey {key} has no contact: publish it after its first `add`")
        return message(key, totals, state.silence, self.rules, version, origin)

    # -- placing -------------------------------------------------------------------------------------------------

    def _place(self, key: JourneyKey, state: JourneyState, contact: Contact) -> None:
        """Put a contact in its place, wherever that is."""
        last = state.last
        if last is not None and self._is_over(last):
            self._now_silent(key, state, self.rules.silence(last, inf))
            state.head, state.tail, state.silence = None, [], 0
        self._fold(state)
        tail, head = state.tail, state.head
        place = (contact.time, contact.identity)
        at = len(tail)
        while at and (tail[at - 1].time, tail[at - 1].identity) > place:
            at -= 1
        if at:
            before: Contact | None = tail[at - 1]
        elif head is not None:
            if place < (head.last.time, head.last.identity):
                state.head = fold_late(head, contact, self.rules)
                return
            before = head.last
        else:
            before = None
        tenant, steps = key[0], self._steps
        if at < len(tail):
            after = tail[at]
            steps.step(tenant, before, after, -1)
            steps.step(tenant, before, contact, 1)
            steps.step(tenant, contact, after, 1)
        else:
            if before is not None:
                # What was counted for the silence is taken back or completed: now it is known how long it was.
                self._now_silent(key, state, self.rules.silence(before, contact.time))
                state.silence = 0
            steps.link(tenant, before, contact, 1)
        if contact.end:
            steps.end(tenant, contact)
        tail.insert(at, contact)
        if at == len(tail) - 1:
            due = self._deadline(state)
            if due is not None and due < state.due:
                self._set_timer(key, state, due)
        self._fold(state)

    def _now_silent(self, key: JourneyKey, state: JourneyState, silence: int) -> None:
        """Make what is counted for the silence after the last contact what it is now known to be."""
        last = state.last
        if last is not None:
            self._steps.silence(key[0], last, state.silence, silence)
        state.silence = silence

    def _fold(self, state: JourneyState) -> None:
        """Settle the contacts that are older than the allowed lateness, and the oldest of a tail that is too long."""
        tail = state.tail
        settled = self._settled
        done = max(len(tail) - MAX_TAIL, 0)
        while done < len(tail) and tail[done].time < settled:
            done += 1
        if not done:
            return
        state.head = fold(state.head, tail[:done], self.rules)
        del tail[:done]

    def _is_over(self, last: Contact) -> bool:
        """Whether contacts after `last` that are in time can only start the journey anew."""
        return last.time + self.rules.keep(last) < self._settled

    # -- timers --------------------------------------------------------------------------------------------------

    def _deadline(self, state: JourneyState) -> float | None:
        """When the next stall or departure is due; None if there is none."""
        last = state.last
        if last is None or last.end != NO_END or state.silence == 2:
            return None
        return last.time + (1.0 + state.silence) * self.rules.patience(last.touchpoint)

    def _set_timer(self, key: JourneyKey, state: JourneyState, due: float) -> None:
        state.due = due
        self._timer_count += 1
        heappush(self._timers, (due, self._timer_count, key, state))
