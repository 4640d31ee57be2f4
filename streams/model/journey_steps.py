"""What the contacts of a journey count as transitions: each step depends on two contacts in a row and nothing else."""

from typing import Protocol

from schemas.transition import GONE, STALLED, START
from streams.model.journey_rules import END_NODES, NO_END, Contact, Pairs, Rules, joined

_MAX_JOINED = 20_000
_SILENCE_NODES = (STALLED, GONE)


class TransitionSink(Protocol):
    """Where transitions are counted: `streams.model.transitions.Transitions`."""

    def count(
        self,
        tenant: str,
        origin: str,
        following: str,
        pairs: Pairs,
        at: float,
        sign: int,
        wait_ms: int | None,
        resumed: int,
    ) -> None:
        """Count (`sign` 1) or take back (-1) one transition."""


class Steps:
    """Counts steps and takes them back, with `sign` 1 and -1."""

    __slots__ = ("_joined", "_rules", "sink")

    def __init__(self, rules: Rules, sink: TransitionSink) -> None:
        self._rules = rules
        self.sink = sink
        self._joined: dict[tuple[Pairs, Pairs], Pairs] = {}

    def step(self, tenant: str, before: Contact | None, after: Contact, sign: int) -> None:
        """All that two contacts in a row say: the silence after the first, and the way to the second."""
        if before is not None:
            self.silence(tenant, before, 0, self._rules.silence(before, after.time), sign)
        self.link(tenant, before, after, sign)

    def link(self, tenant: str, before: Contact | None, after: Contact, sign: int) -> None:
        """The way from one contact to the next, or to the first of a journey."""
        rules = self._rules
        if before is None or rules.starts_anew(before, after):
            self.sink.count(tenant, START, after.touchpoint, after.pairs, after.time, sign, None, 0)
            return
        resumed = before.end != NO_END or rules.silence(before, after.time) > 0
        wait_ms = round((after.time - before.time) * 1000.0)
        pairs = self.pairs(before, after)
        self.sink.count(tenant, before.touchpoint, after.touchpoint, pairs, after.time, sign, wait_ms, int(resumed))

    def silence(self, tenant: str, contact: Contact, counted: int, known: int, sign: int = 1) -> None:
        """The silence after a contact: 0 none, 1 stalled, 2 gone; so much is counted already, so much is known now."""
        if known < counted:
            counted, known, sign = known, counted, -sign
        patience = self._rules.patience(contact.touchpoint)
        for level in range(counted, known):
            at = contact.time + (1.0 + level) * patience
            self.sink.count(tenant, contact.touchpoint, _SILENCE_NODES[level], contact.pairs, at, sign, None, 0)

    def end(self, tenant: str, contact: Contact) -> None:
        """The end that a contact is: by goal or by outcome."""
        node = END_NODES[contact.end]
        self.sink.count(tenant, contact.touchpoint, node, contact.pairs, contact.time, 1, None, 0)

    def pairs(self, before: Contact, after: Contact) -> Pairs:
        """The segment pairs of the way from one contact to the next."""
        if before.pairs is after.pairs:
            return after.pairs
        both = (before.pairs, after.pairs)
        found = self._joined.get(both)
        if found is None:
            if len(self._joined) >= _MAX_JOINED:
                self._joined.clear()
            found = self._joined[both] = joined(*both)
        return found
