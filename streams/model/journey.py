"""Journeys of one partition: contacts in, in any order; transitions out, taken back where a late contact says so.

Everything is a function of the set of contacts and of the clock. A transition between two contacts depends on these
two alone, so a contact that arrives between two others changes only its neighbourhood. What silence amounts to after
the last contact (stalled, gone) is counted by `advance` when the clock says so, and corrected if a contact comes after
all. The order of contacts up to the allowed lateness behind the watermark can still change; what is older is folded
into a summary, and a contact that belongs into that comes too late.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf

from schemas.corridor import CorridorMap
from schemas.journey import Journey
from streams.model.journey_fold import fold, fold_late, message
from streams.model.journey_rules import NO_END, Contact, Rules
from streams.model.journey_state import JourneyKey, JourneyState, Label, name_of, pack, unpack
from streams.model.journey_steps import Steps, TransitionSink

#: Contacts that a journey keeps apart. If more come within the allowed lateness, the oldest are settled early.
MAX_TAIL = 256
#: A tail is folded once it is longer than this, as far as it is settled: a fold for each contact would cost more.
_FOLD_FROM = 8


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
        #: When one rings, and the name of its journey. One that is not its journey's `due` was overtaken.
        self._timers: list[tuple[float, bytes]] = []

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

    def advance(
        self, clock: float, ring: Callable[[bytes, float], tuple[JourneyKey, JourneyState] | None]
    ) -> list[tuple[JourneyKey, JourneyState]]:
        """Count the stalls and departures that are due, in the order of their time; the journeys that changed.

        `clock` is the watermark, or beyond it while nothing arrives (epoch seconds). `ring` finds the journey of a
        timer by name and time; None says that the timer was overtaken. Call it before each checkpoint.
        """
        self.clock = max(self.clock, clock)
        changed: dict[int, tuple[JourneyKey, JourneyState]] = {}
        timers = self._timers
        while timers and timers[0][0] < self.clock:
            due, name = heappop(timers)
            found = ring(name, due)
            if found is None:
                continue
            key, state = found
            if due != state.due:
                continue  # Another one was set for an earlier time.
            state.due = inf
            need = self._deadline(state)
            if need == due:
                self._now_silent(key, state, state.silence + 1)
                changed[id(state)] = found
                need = self._deadline(state)
            if need is not None:
                self._set_timer(key, state, need)
        return list(changed.values())

    def may_leave(self, label: Label, newest: float) -> bool:
        """Whether a journey may leave: over for good, counted, and silent for twice the duplicate horizon.

        Over for good means that any contact still to come, in time or late, would start it anew. The label is one that
        was stored, or that `rest` has made right; `newest` the newest arrival, epoch seconds.
        """
        silent = label.seen_at < newest - 2 * self.rules.duplicate_horizon
        return silent and label.due == inf and label.over_at < self._settled

    def renamed(self, key: JourneyKey, state: JourneyState) -> None:
        """A hot journey has the name `key` now: its timer must find it."""
        if state.due != inf:
            heappush(self._timers, (state.due, name_of(key)))

    def message(self, key: JourneyKey, state: JourneyState, version: int, origin: str) -> Journey:
        """The journey as it is published. It has at least one contact. `version` grows with every call for the key."""
        totals = fold(state.head, state.tail, self.rules)
        if totals is None:
            raise ValueError(f"journey {key} has no contact: publish it after its first `add`")
        return message(key, totals, state.silence, self.rules, version, origin)

    # -- stored --------------------------------------------------------------------------------------------------

    def pack(self, state: JourneyState) -> bytes:
        """A hot journey as it is stored. Its timer stays as it is set."""
        armed = state.due
        self._label(state)
        value = pack(state)
        state.due = armed
        return value

    def rest(self, name: bytes, state: JourneyState) -> None:
        """Make the label of a hot journey right, and set its timer for exactly then."""
        armed = state.due
        self._label(state)
        if state.due != armed and state.due != inf:
            heappush(self._timers, (state.due, name))

    def thaw(self, value: bytes) -> JourneyState:
        """A stored journey whose timer is set. Raises msgspec.DecodeError if it is torn."""
        state = unpack(value)
        state.share(self.rules.shared)
        return state

    def renew(self, value: bytes) -> bytes:
        """A stored journey with the label that it has by these rules; no timer is set."""
        return self.pack(unpack(value))

    def set_timers(self, timers: list[tuple[float, bytes]]) -> None:
        """Set the timers of stored journeys, all at once: when, and the name."""
        self._timers += timers
        heapify(self._timers)

    def _label(self, state: JourneyState) -> None:
        last = state.last
        due = self._deadline(state)
        state.due = inf if due is None else due
        state.over_at = -inf if last is None else last.time + self.rules.keep(last)
        state.rules = self.rules.digest

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
        heappush(self._timers, (due, name_of(key)))
