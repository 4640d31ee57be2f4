"""Reads a corridor map: YAML into frozen structs, with every problem named by file, line, column and remedy."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import msgspec

from schemas.conform import Conform, suggestion
from schemas.corridor import COMPONENTS, DEFAULT_WEIGHTS, CorridorMap, Defaults, Duration, Touchpoint
from schemas.document import Node, Problem, read_document, shown
from schemas.errors import UsageError
from schemas.loader_objectives import objective_problems

__all__ = ["Problem", "check", "load_map", "read_map"]

#: No more problems than this are reported at once.
MAX_PROBLEMS = 100
_DURATION_WORDS = "a number above 0 with a unit, such as 500ms, 8s, 5min, 2h or 3d"


def load_map(path: Path) -> CorridorMap:
    """The corridor map of a file. Raises UsageError that lists every problem, one a line."""
    corridor_map, problems = read_map(Path(path))
    if corridor_map is None:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise UsageError(f"the corridor map cannot be used ({count}):\n{lines}")
    return corridor_map


def check(path: Path) -> list[Problem]:
    """Everything that is wrong with a map file (at most 100 problems), in the order of lines; nothing is raised."""
    return read_map(Path(path))[1]


def read_map(path: Path) -> tuple[CorridorMap | None, list[Problem]]:
    """The map, or None and its problems; nothing is raised."""
    root, problems = read_document(path)
    if root is not None:
        rules = _Rules(str(path))
        problems += islice(rules.problems(root), MAX_PROBLEMS)
        if not problems:
            return msgspec.convert(root.plain(), CorridorMap, dec_hook=_read_duration), []
    return None, sorted(problems)[:MAX_PROBLEMS]


def _read_duration(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(f"no way to read {kind}")


class _Rules(Conform):
    """The types of the map, and the rules that span several parts of it."""

    def __init__(self, file: str) -> None:
        super().__init__(file, _read_duration, {Duration: _DURATION_WORDS})

    def problems(self, root: Node) -> Iterator[Problem]:
        """All problems. The rules across parts hold also where single parts do not fit."""
        yield from self.misfits(root, CorridorMap, "the map")
        if not isinstance(root.value, dict):
            return
        touchpoints = _items(root, "touchpoints")
        names = _texts(touchpoints, "name")
        yield from self._duplicates(names, "touchpoint")
        for name in names:
            if name.value.startswith("@"):
                said = f"touchpoint {shown(name.value)}: names that begin with @ are those of the ends of journeys"
                yield self.problem(name, said, "rename it")
        segments = _items(root, "segments")
        yield from self._duplicates(_texts(segments, "name"), "segment")
        for segment in segments:
            yield from self._segment_values(segment)
        yield from self._weights(root, touchpoints)
        yield from self._transitions(root, touchpoints)
        objectives = _items(root, "objectives")
        yield from self._duplicates(_texts(objectives, "name"), "objective")
        yield from objective_problems(self, objectives, [name.value for name in names])
        detection = root.value.get("detection")
        yield from self._time_zone(_texts([detection], "time_zone") if detection is not None else [])

    def _time_zone(self, names: list[Node]) -> Iterator[Problem]:
        for name in names:
            if name.value not in available_timezones():
                fix = suggestion(name.value, available_timezones()) + "name an IANA time zone, such as Europe/Madrid"
                yield self.problem(name, f"there is no time zone {shown(name.value)}", fix)

    def _duplicates(self, names: list[Node], what: str) -> Iterator[Problem]:
        lines: dict[str, int] = {}
        for node in names:
            if node.value in lines:
                said = f"duplicate {what} {shown(node.value)} (first in line {lines[node.value]})"
                yield self.problem(node, said, "remove one of them, or rename it")
            else:
                lines[node.value] = node.line

    def _segment_values(self, segment: Node) -> Iterator[Problem]:
        values = [value for value in _items(segment, "values") if isinstance(value.value, str)]
        yield from self._duplicates(values, "segment value")
        for value in values:
            if value.value == "other":
                fix = "leave it out: every value that is not listed counts as `other`"
                yield self.problem(value, "the segment value `other` is reserved", fix)

    def _weights(self, root: Node, touchpoints: list[Node]) -> Iterator[Problem]:
        """A place whose weights are all 0 could never have a score."""
        fix = "give at least one component (" + ", ".join(COMPONENTS) + ") a weight above 0"
        defaults = root.value.get("defaults")
        base = {**DEFAULT_WEIGHTS, **self._own_weights(defaults, Defaults)}
        if not any(base.values()) and defaults is not None:
            yield self.problem(defaults.value["weights"], "the default weights are all 0", fix)
        for touchpoint in touchpoints:
            own = self._own_weights(touchpoint, Touchpoint)
            if own and not any({**base, **own}.values()):
                name = touchpoint.value.get("name")
                what = f"all weights of touchpoint {shown(name.plain() if name else None)} are 0"
                yield self.problem(touchpoint.value["weights"], what, fix)

    def _own_weights(self, node: Node | None, kind: type[Defaults] | type[Touchpoint]) -> dict[Any, float]:
        """The weights a node names, empty where they do not fit their type."""
        weights = node.value.get("weights") if node is not None and isinstance(node.value, dict) else None
        if weights is None or any(True for _ in self.misfits(weights, kind.__annotations__["weights"], "weights")):
            return {}
        plain: dict[Any, float] = weights.plain()
        return plain

    def _transitions(self, root: Node, touchpoints: list[Node]) -> Iterator[Problem]:
        names = {name.value: None for name in _texts(touchpoints, "name")}
        goals = [item for item in touchpoints if "goal" in item.value and item.value["goal"].value is not False]
        if touchpoints and not goals:
            place = root.value["touchpoints"]
            fix = "add `goal: true` to the touchpoints where a journey ends well"
            yield self.problem(place, "no touchpoint is a goal", fix)
        transitions = _items(root, "transitions")
        lines: dict[tuple[str, str], int] = {}
        for transition in transitions:
            ends = [end for side in ("from", "to") for end in _texts([transition], side)]
            for end in ends:
                if end.value not in names:
                    fix = suggestion(end.value, names) + "name a touchpoint of this map"
                    yield self.problem(end, f"there is no touchpoint {shown(end.value)}", fix)
            if len(ends) == 2:
                way = (ends[0].value, ends[1].value)
                if way in lines:
                    what = f"duplicate transition {shown(way[0])} to {shown(way[1])} (first in line {lines[way]})"
                    yield self.problem(transition, what, "remove one of them")
                lines.setdefault(way, transition.line)
        if not transitions:
            return
        reached = {to for origin, to in lines if origin != to}
        for name in _texts(goals, "name"):
            if name.value not in reached and len(names) > 1:
                fix = f"add a transition to it (`- {{from: ..., to: {name.value}}}`), or take away `goal: true`"
                yield self.problem(name, f"no transition leads to the goal {shown(name.value)}", fix)


def _items(node: Node, key: str) -> list[Node]:
    """The items below `key`, empty where there is no list; mappings only, unless the items are scalars."""
    child = node.value.get(key) if isinstance(node.value, dict) else None
    if child is None or not isinstance(child.value, list):
        return []
    return [item for item in child.value if isinstance(item.value, dict) or key == "values"]


def _texts(nodes: list[Node], key: str) -> list[Node]:
    """The texts below `key` of each mapping."""
    found = (node.value.get(key) for node in nodes if isinstance(node.value, dict))
    return [node for node in found if node is not None and isinstance(node.value, str)]
