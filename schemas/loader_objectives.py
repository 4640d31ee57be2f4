"""What must hold of a map's objectives beyond their types: they name what there is, and their alerts can fire."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, cast, get_args

from schemas.conform import Conform, suggestion
from schemas.document import Node, Problem, shown
from schemas.duration import Duration
from schemas.event import Stage
from schemas.objective import DEFAULT_OVER, STANDARD_TIERS, Tier

_MINUTE_S, _DAY_S = 60.0, 86400.0
#: The shortest short window, and the shortest and the longest time of an objective, seconds.
SHORTEST_S, LEAST_OVER_S, MOST_OVER_S = _MINUTE_S, _DAY_S, 90 * _DAY_S


def objective_problems(rules: Conform, objectives: Iterable[Node], touchpoints: Iterable[str]) -> Iterator[Problem]:
    """Everything wrong with the objectives of a map whose touchpoints have these names.

    What does not fit its type is left out: that has been told already.
    """
    known = list(touchpoints)
    for objective in objectives:
        yield from _of(rules, objective, known)
        yield from _over(rules, objective)
        own = objective.value.get("tiers")
        tiers = own.value if own is not None and isinstance(own.value, list) else []
        for tier in tiers:
            if isinstance(tier.value, dict):
                yield from _tier(rules, objective, tier)
        if not tiers:
            yield from _standard_tiers(rules, objective)


def _of(rules: Conform, objective: Node, touchpoints: list[str]) -> Iterator[Problem]:
    """Whether `of` is there where the scope wants it, and names something."""
    scope, of = _text(objective, "scope"), _text(objective, "of")
    name = _name(objective)
    if scope in ("touchpoint", "stage"):
        known = touchpoints if scope == "touchpoint" else list(get_args(Stage))
        choice = "name a touchpoint of this map" if scope == "touchpoint" else "name one of " + ", ".join(known)
        place = objective.value.get("of")
        if place is None or of == "":
            what = f"objective {name} is about one {scope} and does not say which"
            yield rules.problem(place or objective, what, f"add `of:`, {choice}")
        elif of is not None and of not in known:
            what = f"objective {name}: there is no {scope} {shown(of)}"
            yield rules.problem(place, what, suggestion(of, known) + choice)
    elif scope in ("corridor", "journey") and of:
        what = f"objective {name} is about all contacts (scope {shown(scope)}), not about {shown(of)}"
        fix = "remove `of`, or write `scope: touchpoint` or `scope: stage`"
        yield rules.problem(objective.value["of"], what, fix)


def _over(rules: Conform, objective: Node) -> Iterator[Problem]:
    over = _duration(objective, "over")
    if over is not None and not LEAST_OVER_S <= over <= MOST_OVER_S:
        what = f"objective {_name(objective)} is over {Duration(over)}"
        yield rules.problem(objective.value["over"], what, "write a time from 1d to 90d, such as 30d")


def _tier(rules: Conform, objective: Node, tier: Node) -> Iterator[Problem]:
    """One of the objective's own tiers: windows that fit, and a burn rate that can be reached."""
    name = _name(objective)
    long, short = _duration(tier, "long"), _duration(tier, "short")
    over = _duration(objective, "over") if "over" in objective.value else DEFAULT_OVER
    if short is not None and short < SHORTEST_S:
        what = f"objective {name}: the short window of {Duration(short)} is shorter than 1min"
        yield rules.problem(tier.value["short"], what, "write 1min or more, such as 5min")
    if long is not None and short is not None and short >= long:
        what = f"objective {name}: the short window ({Duration(short)}) is no shorter than the long ({Duration(long)})"
        yield rules.problem(tier.value["short"], what, f"write less than {Duration(long)}; a twelfth of it is usual")
    if long is not None and over is not None and long > over:
        what = f"objective {name}: the long window ({Duration(long)}) is longer than its time ({Duration(over)})"
        yield rules.problem(tier.value["long"], what, f"write {Duration(over)} or less, or a longer `over`")
    burn_rate, target = _number(tier, "burn_rate"), _number(objective, "target")
    if burn_rate is None or target is None or not 0 < burn_rate <= 1000 or not 0 < target < 100:
        return
    if not Tier(burn_rate, Duration(0), Duration(0), "page").can_fire(target / 100.0):
        allowed = 100.0 - target
        what = (
            f"objective {name}: burn rate {burn_rate:g} can never be reached: {burn_rate:g} times the {allowed:g} % "
            f"that the target of {target:g} % allows is {burn_rate * allowed:.4g} % of all contacts"
        )
        fix = f"write a burn rate below {_down(100.0 / allowed):g}, or a target above {_needs(burn_rate):g}"
        yield rules.problem(tier.value["burn_rate"], what, fix)


def _standard_tiers(rules: Conform, objective: Node) -> Iterator[Problem]:
    """Where none are named: some standard tier must be able to fire, and each that can must fit into the time."""
    target = _number(objective, "target")
    if target is None or not 0 < target < 100:
        return
    can = [tier for tier in STANDARD_TIERS if tier.can_fire(target / 100.0)]
    if not can:
        needs = min(_needs(tier.burn_rate) for tier in STANDARD_TIERS)
        what = f"objective {_name(objective)}: none of the standard tiers can fire at a target of {target:g} %"
        fix = f"write a target above {needs:g}, or `tiers` of its own with burn rates below 1"
        yield rules.problem(objective.value["target"], what, fix)
    longest = max((tier.long for tier in can), default=0.0)
    over = _duration(objective, "over")
    if over is not None and LEAST_OVER_S <= over < longest:
        what = f"objective {_name(objective)}: the time {Duration(over)} is shorter than a standard tier's long window"
        fix = f"write `over: {Duration(longest)}` or more, or `tiers` of its own"
        yield rules.problem(objective.value["over"], what, fix)


def _needs(burn_rate: float) -> float:
    """The target, percent, above which this burn rate can be reached: 100 (1 - 1 / burn rate), rounded up."""
    return max(math.ceil(round(1e4 * (1.0 - 1.0 / burn_rate), 6)) / 100.0, 0.0)


def _down(number: float) -> float:
    return math.floor(round(number * 100.0, 6)) / 100.0


def _name(objective: Node) -> str:
    return shown(_text(objective, "name") or "without a name")


def _text(node: Node, key: str) -> str | None:
    value = _value(node, key)
    return value if isinstance(value, str) else None


def _number(node: Node, key: str) -> float | None:
    value = _value(node, key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _duration(node: Node, key: str) -> float | None:
    try:
        return Duration.parse(_value(node, key))
    except ValueError:
        return None


def _value(node: Node, key: str) -> Any:
    child = cast("dict[str, Node]", node.value).get(key)
    return None if child is None else child.value
