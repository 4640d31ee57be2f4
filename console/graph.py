"""Where each touchpoint of the corridor stands on the map: a layered drawing, the way of the customers downwards.

After Sugiyama, Tagawa and Toda, Methods for Visual Understanding of Hierarchical System Structures (1981): turn the
ways that close a cycle, give each touchpoint a layer, reduce crossings, then choose coordinates. A way that passes
layers gets a bend in each, so that it does not run through a touchpoint. Why there is no library here:
docs/decisions/014-console.md.
"""

import itertools
from bisect import bisect, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

Way = tuple[str, str]
#: A touchpoint, or the bend of a way: (from, to, layer).
_Node = str | tuple[str, str, int]
#: Rounds of ordering and of placing; more changed nothing on corridors of up to 60 touchpoints.
_SWEEPS, _PLACINGS = 24, 12
#: Distances of neighbours in a layer: two touchpoints, and where one or both are bends.
_APART, _BEND_APART = 1.0, 0.6


class Spot(NamedTuple):
    """A point: x in widths of a touchpoint, y in layers, both from 0 on."""

    x: float
    y: float


class Layout(NamedTuple):
    """Where touchpoints stand, and the points that a way passes from its first touchpoint to the other."""

    spots: dict[str, Spot]
    bends: dict[Way, tuple[Spot, ...]]


@lru_cache(maxsize=32)
def lay_out(names: tuple[str, ...], ways: frozenset[Way]) -> Layout:
    """The layout of `names` joined by `ways`: the same for the same corridor, whatever the order of the ways.

    Ways from a touchpoint to itself, and ways to where `names` has none, are left out.
    """
    ahead = _without_cycles(names, ways)
    layers = _layers(names, ahead)
    rows, links = _rows(names, layers, ahead)
    _order(rows, links)
    across = _place(rows, links)
    left = min(across.values(), default=0.0)
    spots = {name: Spot(across[name] - left, float(layers[name])) for name in names}
    bends = {}
    for a, b in ahead:
        between = tuple(Spot(across[a, b, layer] - left, float(layer)) for layer in range(layers[a] + 1, layers[b]))
        bends[a, b] = between
        if (b, a) in ways:
            bends[b, a] = between[::-1]
    return Layout(spots, bends)


def _without_cycles(names: Sequence[str], ways: Iterable[Way]) -> list[Way]:
    """The ways, each once, those turned around that lead back to where a depth-first walk comes from."""
    following: dict[str, list[str]] = {name: [] for name in names}
    number = {name: place for place, name in enumerate(names)}
    for a, b in sorted(ways, key=lambda way: (number.get(way[0], 0), number.get(way[1], 0))):
        if a != b and a in number and b in number:
            following[a].append(b)
    done: set[str] = set()
    on_the_way: set[str] = set()
    ahead: dict[Way, None] = {}
    for start in names:
        walk = [(start, iter(following[start]))] if start not in done else []
        on_the_way.update(name for name, _ in walk)
        while walk:
            here, rest = walk[-1]
            there = next(rest, None)
            if there is None:
                walk.pop()
                on_the_way.discard(here)
                done.add(here)
            elif there in on_the_way:
                ahead[there, here] = None
            else:
                ahead[here, there] = None
                if there not in done:
                    on_the_way.add(there)
                    walk.append((there, iter(following[there])))
    return list(ahead)


def _layers(names: Sequence[str], ahead: Iterable[Way]) -> dict[str, int]:
    """Longest path from a beginning; then beginnings move down to what they lead to, which shortens ways."""
    before, after = defaultdict(list), defaultdict(list)
    for a, b in ahead:
        before[b].append(a)
        after[a].append(b)
    layers: dict[str, int] = {}
    waiting = {name: len(before[name]) for name in names}
    free = [name for name in names if not waiting[name]]
    for name in free:
        layers[name] = max((layers[other] + 1 for other in before[name]), default=0)
        for other in after[name]:
            waiting[other] -= 1
            if not waiting[other]:
                free.append(other)
    for name in reversed(free):
        if after[name] and not before[name]:
            layers[name] = min(layers[other] for other in after[name]) - 1
    return layers


def _rows(
    names: Sequence[str], layers: dict[str, int], ahead: Iterable[Way]
) -> tuple[list[list[_Node]], dict[_Node, tuple[list[_Node], list[_Node]]]]:
    """The nodes of each layer, bends among them, and for each node its neighbours above and below."""
    rows: list[list[_Node]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    links: dict[_Node, tuple[list[_Node], list[_Node]]] = {}
    for name in names:
        rows[layers[name]].append(name)
        links[name] = ([], [])
    for a, b in ahead:
        chain: list[_Node] = [a, *((a, b, layer) for layer in range(layers[a] + 1, layers[b])), b]
        for layer, node in enumerate(chain[1:-1], layers[a] + 1):
            rows[layer].append(node)
            links[node] = ([], [])
        for upper, lower in itertools.pairwise(chain):
            links[upper][1].append(lower)
            links[lower][0].append(upper)
    return rows, links


def _order(rows: list[list[_Node]], links: dict[_Node, tuple[list[_Node], list[_Node]]]) -> None:
    """Order each layer by the middle of its neighbours, downwards and upwards in turn; the best order seen stays."""
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    for sweep in range(_SWEEPS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            _swap(row, rows, links, side)
        if (crossings := _crossings(rows, links)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _swap(
    row: list[_Node], rows: list[list[_Node]], links: dict[_Node, tuple[list[_Node], list[_Node]]], side: int
) -> None:
    """Sort one layer by the mean place of the neighbours on one side; who has none there keeps its place."""
    place = {node: number for other in rows for number, node in enumerate(other)}
    middle = {
        node: sum(place[other] for other in near) / len(near) if (near := links[node][side]) else float(number)
        for number, node in enumerate(row)
    }
    row.sort(key=middle.__getitem__)


def _crossings(rows: list[list[_Node]], links: dict[_Node, tuple[list[_Node], list[_Node]]]) -> int:
    """Pairs of links between neighbouring layers that cross: inversions of their lower ends."""
    count = 0
    for upper, lower in itertools.pairwise(rows):
        place = {node: number for number, node in enumerate(lower)}
        seen: list[int] = []
        for node in upper:
            ends = sorted(place[other] for other in links[node][1])
            count += sum(len(seen) - bisect(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def _place(rows: list[list[_Node]], links: dict[_Node, tuple[list[_Node], list[_Node]]]) -> dict[_Node, float]:
    """Coordinates: each layer as near as it can to the middles of its neighbours, in its order, none too close."""
    across: dict[_Node, float] = {}
    for row in rows:
        across |= _spread(row, {node: float(number) for number, node in enumerate(row)})
    for turn in range(_PLACINGS):
        for row in rows if turn % 2 == 0 else reversed(rows):
            wanted = {}
            for node in row:
                near = links[node][turn % 2] or [node]
                wanted[node] = sum(across[other] for other in near) / len(near)
            across |= _spread(row, wanted)
    return across


def _spread(row: Sequence[_Node], wanted: dict[_Node, float]) -> dict[_Node, float]:
    """Least squares with least distances: isotonic regression (pool adjacent violators) of what is left of them."""
    offsets = [0.0]
    for one, other in itertools.pairwise(row):
        offsets.append(offsets[-1] + (_APART if isinstance(one, str) and isinstance(other, str) else _BEND_APART))
    pools: list[tuple[float, int]] = []
    for node, offset in zip(row, offsets, strict=False):
        total, size = wanted[node] - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            before, count = pools.pop()
            total, size = total + before, size + count
        pools.append((total, size))
    level = [total / size for total, size in pools for _ in range(size)]
    return {node: at + offset for node, at, offset in zip(row, level, offsets, strict=False)}
