"""Faults to switch on: what each does, and how one is written.

    NAME[:SOURCE][[KEY=VALUE,...]][@START[+LENGTH]][*INTENSITY]

`delivery.delay[carrier=norte]@120s+5min*0.5` delays parcels of the carrier norte from the 120th second on, for five
minutes, at half strength. Without `@` a fault holds from the start, without `+` to the end. Times count from the
start of the simulation, in the time of the events.
"""

import math
import re
from dataclasses import dataclass

from schemas.corridor import Duration
from schemas.errors import UsageError
from sources.simulator.population import SEGMENTS

MAX_INTENSITY = 5.0


@dataclass(frozen=True, slots=True)
class FaultKind:
    """What a fault does to its touchpoints at intensity 1. Effects of several faults add up."""

    name: str
    touchpoints: tuple[str, ...]
    #: Segment keys that can narrow it.
    keys: tuple[str, ...]
    text: str
    #: Added share of failures; of partial successes.
    failure: float = 0.0
    partial: float = 0.0
    #: Waits become this many times as long.
    wait: float = 1.0
    #: Hours (natural ones, median) that a promise is missed by in addition.
    delay_h: float = 0.0
    #: What people say becomes worse by this much, on sentiment's scale of -1 to 1.
    gloom: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was asked for. `start` and `end` are seconds from the start of the simulation."""

    kind: FaultKind
    start: float = 0.0
    end: float = math.inf
    intensity: float = 1.0
    segment: tuple[tuple[str, str], ...] = ()
    #: Prefix of the sources that fall silent; only for `source.silent`.
    source: str = ""
    #: As it was written.
    text: str = ""


KINDS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(
            "delivery.delay",
            ("delivery.handover",),
            ("carrier", "region"),
            "parcels are handed over days after the promised time; ratings fall and calls about deliveries rise",
            delay_h=72.0,
        ),
        FaultKind(
            "delivery.failures",
            ("delivery.attempt",),
            ("carrier", "region"),
            "delivery attempts fail: nobody rings, wrong address; parcels need several attempts",
            failure=0.6,
        ),
        FaultKind(
            "delivery.damage",
            ("delivery.handover",),
            ("carrier", "region"),
            "parcels arrive damaged: partial successes, bad packaging, returns",
            partial=0.85,
            gloom=1.2,
        ),
        FaultKind(
            "checkout.errors",
            ("web.checkout", "app.checkout"),
            ("device", "region"),
            "the online checkout answers with errors: customers try again or leave",
            failure=0.6,
            wait=3.0,
        ),
        FaultKind(
            "payment.failures",
            ("web.payment",),
            ("payment", "device", "region"),
            "payments on the web are declined",
            failure=0.6,
            wait=2.0,
        ),
        FaultKind(
            "search.slow",
            ("web.search", "web.product"),
            ("device", "region"),
            "search and product pages take many seconds; some customers do not wait",
            wait=25.0,
        ),
        FaultKind(
            "callcentre.congestion",
            ("support.contact",),
            ("reason", "region"),
            "the call centre's queue grows: waits are ten times as long, and callers hang up",
            wait=10.0,
        ),
        FaultKind(
            "support.unresolved",
            ("support.resolution",),
            ("reason", "region"),
            "cases stay open past their promise, or are closed without a solution",
            failure=0.35,
            delay_h=60.0,
        ),
        FaultKind(
            "store.queues",
            ("store.checkout", "store.advice"),
            ("store", "region"),
            "tills and advisers are short of staff: long queues, customers walk out",
            wait=8.0,
        ),
        FaultKind(
            "social.storm",
            ("social.mention", "social.review"),
            ("region",),
            "what people say about us in public turns bad and spreads",
            gloom=1.6,
        ),
        FaultKind(
            "source.silent",
            (),
            (),
            "write source.silent:/SOURCE: nothing comes from sources that begin with /SOURCE; with a length, what was "
            "held back comes late, once it is over",
        ),
    )
}

_FAULT = re.compile(
    r"(?P<name>[a-z]+\.[a-z]+)(?::(?P<source>/[^\s\[\]@*+]*))?(?P<rest>(?:\[[^\[\]]*\]|@[^\[\]@*]*|\*[^\[\]@*]*)*)"
)
_PART = re.compile(r"\[(?P<segment>[^\[\]]*)\]|@(?P<when>[^\[\]@*]*)|\*(?P<intensity>[^\[\]@*]*)")
_ZERO = re.compile(r"0+(?:\.0+)?\s*(?:ms|s|min|h|d)?")
FORM = (
    "NAME[:SOURCE][[KEY=VALUE,...]][@START[+LENGTH]][*INTENSITY], such as delivery.delay[carrier=norte]@120s+5min*0.5"
)


def parse_fault(text: str) -> Fault:
    """Read one fault; UsageError says which part of it is wrong and what is possible there."""
    match = _FAULT.fullmatch(text.strip())
    if match is None:
        raise _wrong(text, f"write it as {FORM}")
    kind = KINDS.get(match["name"])
    if kind is None:
        raise _wrong(text, f"there is no fault `{match['name']}`; there are {', '.join(KINDS)}")
    silent = kind.name == "source.silent"
    if silent and not match["source"]:
        raise _wrong(text, "name the source that falls silent, such as source.silent:/courier")
    if match["source"] and not silent:
        raise _wrong(text, f"only source.silent takes a source; narrow `{kind.name}` by {' or '.join(kind.keys)}")
    parts: dict[str, str] = {}
    for part in _PART.finditer(match["rest"]):
        name = part.lastgroup or ""
        if name in parts:
            raise _wrong(text, f"`{part[0]}` comes on top of another {name}; give each part once")
        parts[name] = part[name]
    start, end = _when(text, parts.get("when"))
    return Fault(
        kind,
        start,
        end,
        _intensity(text, parts.get("intensity")),
        _segment(text, kind, parts.get("segment")),
        match["source"] or "",
        text.strip(),
    )


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"--fault `{text}`: {why}")


def _when(text: str, when: str | None) -> tuple[float, float]:
    if when is None:
        return 0.0, math.inf
    first, plus, second = when.partition("+")
    try:
        start = 0.0 if _ZERO.fullmatch(first.strip()) else float(Duration.parse(first))
        return start, start + float(Duration.parse(second)) if plus else math.inf
    except ValueError as error:
        raise _wrong(text, str(error)) from None


def _intensity(text: str, number: str | None) -> float:
    if number is None:
        return 1.0
    try:
        intensity = float(number)
    except ValueError:
        intensity = math.nan
    if not 0 < intensity <= MAX_INTENSITY:
        raise _wrong(
            text, f"`*{number}`: the intensity is a number above 0, up to {MAX_INTENSITY:g}; 1 is as described"
        )
    return intensity


def _segment(text: str, kind: FaultKind, pairs: str | None) -> tuple[tuple[str, str], ...]:
    if pairs is None:
        return ()
    found: dict[str, str] = {}
    for pair in pairs.split(","):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals:
            raise _wrong(text, f"`[{pairs}]`: write KEY=VALUE, such as [region=north]")
        if key not in kind.keys:
            possible = f"only by {', '.join(kind.keys)}" if kind.keys else "by no segment"
            raise _wrong(text, f"`{kind.name}` cannot be narrowed by `{key}`, {possible}")
        if value not in SEGMENTS[key]:
            raise _wrong(text, f"there is no {key} `{value}`; there are {', '.join(SEGMENTS[key])}")
        if key in found:
            raise _wrong(text, f"`{key}` is named twice; give one value, or two faults")
        found[key] = value
    return tuple(found.items())
