"""The corridor map: which touchpoints there are, how each is scored, how they lead on to each other.

Written as YAML, read by `schemas.loader`. Durations are written `8s`, `5min`, `2h`, `3d` and held in seconds.
"""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.event import Channel, Contact, Name, Stage

Component = Literal["outcome", "promise", "rating", "sentiment", "effort", "wait"]
COMPONENTS: tuple[Component, ...] = ("outcome", "promise", "rating", "sentiment", "effort", "wait")
Weight = Annotated[float, Meta(ge=0, le=1000)]
#: On the scale of scores, 0 to 100.
TargetScore = Annotated[float, Meta(ge=0, le=100)]
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)\s*")
_UNIT_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(float):
    """A length of time in seconds, written as a number with a unit: ms, s, min, h or d."""

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read `8s`, `1.5h` and the like; anything else raises ValueError."""
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"`{text}` is no duration; write a number and a unit, such as 8s, 5min, 2h or 3d")
        seconds = float(match[1]) * _UNIT_S[match[2]]
        if seconds <= 0:
            raise ValueError(f"`{text}`: a duration must be longer than 0")
        return cls(seconds)


class Label(Struct, frozen=True, forbid_unknown_fields=True):
    """What people read, in English and Spanish."""

    en: Annotated[str, Meta(min_length=1, max_length=200)]
    es: Annotated[str, Meta(min_length=1, max_length=200)]


class PromiseCurve(Struct, frozen=True, forbid_unknown_fields=True):
    """How a promise becomes experience: x = kept + (1 - kept)(1 - e^(-u/gain)) for u >= 0, kept e^(u/loss) for u < 0.

    With the defaults a loss weighs 0.7/0.3 = 2.3 times a gain, after Kahneman and Tversky's loss aversion of about 2.25
    (Tversky and Kahneman, Advances in Prospect Theory, 1992).
    """

    kept: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    gain: Annotated[float, Meta(gt=0)] = 1.0
    loss: Annotated[float, Meta(gt=0)] = 1.0


class Promise(Struct, frozen=True, forbid_unknown_fields=True):
    """Tolerance used where an event's expectation names none (in the expectation's unit), and the curve."""

    tolerance: Annotated[float, Meta(gt=0)] = 1.0
    curve: PromiseCurve = PromiseCurve()


class Defaults(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every touchpoint that does not say otherwise, also for touchpoints the map does not name."""

    weights: dict[Component, Weight] = {}
    tolerable_wait: Duration = Duration(60)
    promise: Promise = Promise()
    #: Below this many scored events a score is unknown.
    minimum_n: Annotated[int, Meta(ge=1)] = 30
    #: The score a touchpoint should have; what it falls short of it makes its priority.
    target_score: TargetScore = 80.0
    #: Silence after which a journey stalls, and after twice of which it is abandoned.
    patience: Duration = Duration(7 * 86400)
    #: A negative contact followed by a positive one within this time is recovered.
    recovery: Duration = Duration(3 * 86400)
    #: How far behind its source's watermark an event may come without being flagged late.
    allowed_lateness: Duration = Duration(3600)


class Detection(Struct, frozen=True, forbid_unknown_fields=True):
    """How drops, congestion and blockage are found: sensitivity has one knob, the time between false incidents."""

    #: Mean time between false incidents of the whole corridor of one tenant; the longer, the later a true one is told.
    false_alarm_time: Duration = Duration(30 * 86400)
    #: An incident needs at least so many negative events, or so many stalled or abandoned journeys.
    minimum_bad: Annotated[int, Meta(ge=1, le=1000)] = 4
    #: IANA name of the zone on whose clocks the customers live: what is usual depends on the hour of the week.
    time_zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"


class Segment(Struct, frozen=True, forbid_unknown_fields=True):
    """A segment key that every score is split by. Where `values` are listed, any other value counts as `other`."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    label: Label
    values: tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...] = ()


class Touchpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A place where a customer meets the company. What is absent comes from the map's defaults."""

    name: Name
    label: Label
    channel: Channel
    stage: Stage
    contact: Contact = "direct"
    description: Label | None = None
    #: Weights of components; those not named keep the defaults' weight.
    weights: dict[Component, Weight] = {}
    tolerable_wait: Duration | None = None
    promise: Promise | None = None
    #: Weight of this touchpoint in a journey's score.
    importance: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    target_score: TargetScore | None = None
    #: Reaching it ends a journey well.
    goal: bool = False
    patience: Duration | None = None


class Transition(Struct, frozen=True, forbid_unknown_fields=True, rename={"origin": "from"}):
    """A declared way from one touchpoint to the next."""

    origin: Name
    to: Name


class CorridorMap(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole map. `schemas.loader.check` holds the rules that span several parts of it."""

    corridor: Name
    label: Label
    touchpoints: Annotated[tuple[Touchpoint, ...], Meta(min_length=1)]
    defaults: Defaults = Defaults()
    segments: Annotated[tuple[Segment, ...], Meta(max_length=32)] = ()
    transitions: tuple[Transition, ...] = ()
    detection: Detection = Detection()

    def weights(self, touchpoint: Touchpoint | None) -> dict[Component, float]:
        """Weight of every component at `touchpoint`: its own, else the map's default, else DOMAIN's default."""
        own = touchpoint.weights if touchpoint is not None else {}
        return {**DEFAULT_WEIGHTS, **self.defaults.weights, **own}


DEFAULT_WEIGHTS: dict[Component, float] = {
    "outcome": 2.0,
    "promise": 2.0,
    "rating": 3.0,
    "sentiment": 2.0,
    "effort": 1.0,
    "wait": 1.0,
}

__all__ = [
    "COMPONENTS",
    "DEFAULT_WEIGHTS",
    "Component",
    "CorridorMap",
    "Defaults",
    "Detection",
    "Duration",
    "Label",
    "Promise",
    "PromiseCurve",
    "Segment",
    "Touchpoint",
    "Transition",
]
