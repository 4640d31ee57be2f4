"""The layout of the map."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from console.graph import lay_out

NAMES = tuple(f"t{number}" for number in range(14))
WAYS = st.frozensets(st.tuples(st.sampled_from(NAMES), st.sampled_from((*NAMES, "elsewhere"))), max_size=40)


@given(WAYS)
def test_no_touchpoint_stands_on_another_whatever_the_ways(ways: frozenset[tuple[str, str]]) -> None:
    spots = lay_out(NAMES, ways).spots
    assert spots.keys() == set(NAMES)
    for one, other in itertools.combinations(spots.values(), 2):
        assert one.y != other.y or abs(one.x - other.x) > 0.99
    assert min(spot.x for spot in spots.values()) >= 0 and min(spot.y for spot in spots.values()) >= 0


@given(WAYS)
def test_a_way_bends_in_every_layer_it_passes(ways: frozenset[tuple[str, str]]) -> None:
    layout = lay_out(NAMES, ways)
    for a, b in ways:
        if a == b or b == "elsewhere":
            continue
        first, last = layout.spots[a].y, layout.spots[b].y
        assert first != last
        step = 1.0 if last > first else -1.0
        passed = [first + step * number for number in range(1, int(abs(last - first)))]
        assert [bend.y for bend in layout.bends[a, b]] == passed


def test_customers_walk_downwards_and_a_way_back_does_not_change_that() -> None:
    names = ("search", "cart", "pay", "deliver")
    ahead = frozenset(itertools.pairwise(names))
    for ways in (ahead, ahead | {("pay", "search")}):
        there = lay_out(names, ways).spots
        assert [there[name].y for name in names] == [0, 1, 2, 3]


def test_two_ways_that_need_not_cross_do_not() -> None:
    layout = lay_out(("a", "b", "c", "d"), frozenset({("a", "d"), ("b", "c")})).spots
    assert (layout["a"].x - layout["b"].x) * (layout["d"].x - layout["c"].x) > 0


def test_an_empty_map_has_a_layout() -> None:
    assert lay_out((), frozenset()).spots == {}
