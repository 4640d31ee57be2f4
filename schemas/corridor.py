"""The corridor map: which touchpoints there are, how each is scored, how they lead on to each other.

Written as YAML, read by `schemas.loader`. Durations are written `8s`, `5min`, `2h`, `3d` and held in seconds.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.duration import Duration
from schemas.event import Channel, Contact, Name, Stage
from schemas.objective import Objective

Component = Literal["outcome", "promise", "rating", "sentiment", "effort", "wait"]
COMPONENTS: tuple[Component, ...] = ("outcome", "promise", "rating", "sentiment", "effort", "wait")
Weight = Annotated[float, Meta(ge=0, le=1000)]
#: On the scale of scores, 0 to 100.
TargetScore = Annotated[float, Meta(ge=0, le=100)]


class Label(Struct, frozen=True, forbid_unknown_fields=True):
    """What people read, in English and Spanish."""

    en: Annotated[str, Meta(min_length=1, max_length=200, description="English")]
    es: Annotated[str, Meta(min_length=1, max_length=200, description="Spanish")]


class PromiseCurve(Struct, frozen=True, forbid_unknown_fields=True):
    """How a promise becomes experience: x = kept + (1 - kept)(1 - e^(-u/gain)) for u >= 0, kept e^(u/loss) for u < 0.

    With the defaults a loss weighs 0.7/0.3 = 2.3 times a gain, after Kahneman and Tversky's loss aversion of about 2.25
    (Tversky and Kahneman, Advances in Prospect Theory, 1992).
    """

    kept: Annotated[float, Meta(gt=0, lt=1, description="x of a promise exactly kept")] = 0.7
    gain: Annotated[float, Meta(gt=0, description="steps of u that early delivery takes to count")] = 1.0
    loss: Annotated[float, Meta(gt=0, description="steps of u that late delivery takes to hurt")] = 1.0


class Promise(Struct, frozen=True, forbid_unknown_fields=True):
    """Tolerance used where an event's expectation names none (in the expectation's unit), and the curve."""

    tolerance: Annotated[float, Meta(gt=0, description="used where an expectation names none, in its unit")] = 1.0
    curve: Annotated[PromiseCurve, Meta(description="how u becomes x")] = PromiseCurve()


class Defaults(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every touchpoint that does not say otherwise, also for touchpoints the map does not name."""

    weights: Annotated[
        dict[Component, Weight], Meta(description="weights of components; those not named keep the built-in weight")
    ] = {}
    tolerable_wait: Annotated[Duration, Meta(description="wait up to which customers are satisfied")] = Duration(60)
    promise: Annotated[Promise, Meta(description="tolerance and curve of promises")] = Promise()
    minimum_n: Annotated[int, Meta(ge=1, description="below this many scored events a score is unknown")] = 30
    target_score: Annotated[
        TargetScore, Meta(description="score a touchpoint should have; what it falls short of it makes its priority")
    ] = 80.0
    patience: Annotated[
        Duration, Meta(description="silence after which a journey stalls, and after twice of which it is abandoned")
    ] = Duration(7 * 86400)
    recovery: Annotated[
        Duration,
        Meta(description="a negative contact followed by a positive one within this time is recovered"),
    ] = Duration(3 * 86400)
    allowed_lateness: Annotated[
        Duration,
        Meta(description="how far behind its source's watermark an event may come without being flagged late"),
    ] = Duration(3600)
    duplicate_horizon: Annotated[
        Duration,
        Meta(
            description="how long after a journey's last event, by arrival, a copy of one of its events is known; "
            "a journey that is over stays in memory for twice as long"
        ),
    ] = Duration(900)


class Detection(Struct, frozen=True, forbid_unknown_fields=True):
    """How drops, congestion and blockage are found: sensitivity has one knob, the time between false incidents."""

    false_alarm_time: Annotated[
        Duration,
        Meta(
            description="mean time between false incidents of the whole corridor of one tenant; "
            "the longer, the later a true one is told"
        ),
    ] = Duration(30 * 86400)
    minimum_bad: Annotated[
        int,
        Meta(ge=1, le=1000, description="negative events, or stalled or abandoned journeys, that an incident needs"),
    ] = 4
    time_zone: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="IANA name of the zone on whose clocks the customers live: "
            "what is usual depends on the hour of the week",
        ),
    ] = "UTC"


class Segment(Struct, frozen=True, forbid_unknown_fields=True):
    """A segment key that every score is split by. Where `values` are listed, any other value counts as `other`."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="the key in an event's `segment`")]
    label: Annotated[Label, Meta(description="what people read")]
    values: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...],
        Meta(description="values kept apart, any other is `other`; default: all"),
    ] = ()


class Touchpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A place where a customer meets the company. What is absent comes from the map's defaults."""

    name: Annotated[Name, Meta(description="as events name it")]
    label: Annotated[Label, Meta(description="what people read")]
    channel: Annotated[Channel, Meta(description="channel of events that name none")]
    stage: Annotated[Stage, Meta(description="stage of events that name none")]
    contact: Annotated[Contact, Meta(description="contact of events that name none")] = "direct"
    description: Annotated[Label | None, Meta(description="what it is")] = None
    weights: Annotated[
        dict[Component, Weight], Meta(description="weights of components; those not named keep the defaults' weight")
    ] = {}
    tolerable_wait: Annotated[Duration | None, Meta(description="wait up to which customers are satisfied")] = None
    promise: Annotated[Promise | None, Meta(description="tolerance and curve of promises")] = None
    importance: Annotated[float, Meta(ge=0, le=1000, description="weight in the score of a journey")] = 1.0
    target_score: Annotated[TargetScore | None, Meta(description="score it should have")] = None
    goal: Annotated[bool, Meta(description="reaching it ends a journey well")] = False
    patience: Annotated[Duration | None, Meta(description="silence after a contact here that stalls a journey")] = None


class Transition(Struct, frozen=True, forbid_unknown_fields=True, rename={"origin": "from"}):
    """A declared way from one touchpoint to the next."""

    origin: Annotated[Name, Meta(description="touchpoint that it leads away from")]
    to: Annotated[Name, Meta(description="touchpoint that it leads to")]


class CorridorMap(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole map. `schemas.loader.check` holds the rules that span several parts of it."""

    corridor: Annotated[Name, Meta(description="name of the map")]
    label: Annotated[Label, Meta(description="what people read")]
    touchpoints: Annotated[tuple[Touchpoint, ...], Meta(min_length=1, description="where customers are met")]
    defaults: Annotated[Defaults, Meta(description="what holds where a touchpoint says nothing")] = Defaults()
    segments: Annotated[tuple[Segment, ...], Meta(max_length=32, description="what every score is split by")] = ()
    transitions: Annotated[tuple[Transition, ...], Meta(description="ways that should be possible")] = ()
    detection: Annotated[Detection, Meta(description="how incidents are found")] = Detection()
    objectives: Annotated[tuple[Objective, ...], Meta(max_length=200, description="how much may be bad")] = ()

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
    "Objective",
    "Promise",
    "PromiseCurve",
    "Segment",
    "Touchpoint",
    "Transition",
]
