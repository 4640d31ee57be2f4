"""Who came to each touchpoint, who left it and who stopped there, in one settled bucket."""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.transition import ABANDONED, GONE, STALLED, START
from streams.model.detect.causes import Pair
from streams.model.detect.settled import Went

_STOPS = (ABANDONED, STALLED)


@dataclass(slots=True)
class Flow:
    """Journeys at one touchpoint in ten seconds."""

    #: Transitions into it.
    came: int = 0
    #: Out of it, goals, stalls and abandonments included; less those that had ended or stalled there before.
    left: int = 0
    #: Stalls and abandonments among them.
    stopped: int = 0


def flows(went: Iterable[Went]) -> dict[str, dict[Pair, Flow]]:
    """Of each touchpoint, all journeys (`ALL`) and those of each segment pair."""
    found: dict[str, dict[Pair, Flow]] = {}
    for way in went:
        pair = (way.segment, way.value)
        # A journey that is gone was counted when it stalled.
        if way.touchpoint != START and way.following != GONE:
            flow = _at(found, way.touchpoint, pair)
            flow.left += way.n - way.resumed
            flow.stopped += way.n if way.following in _STOPS else 0
        if not way.following.startswith("@"):
            _at(found, way.following, pair).came += way.n
    return found


def _at(found: dict[str, dict[Pair, Flow]], touchpoint: str, pair: Pair) -> Flow:
    here = found.get(touchpoint)
    if here is None:
        here = found[touchpoint] = {}
    flow = here.get(pair)
    if flow is None:
        flow = here[pair] = Flow()
    return flow
