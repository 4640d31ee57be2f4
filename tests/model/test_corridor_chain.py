"""The chain against walks done one by one, and what must hold for any counts."""

import random
from itertools import product
from math import isnan

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.transition import ABANDONED, GOAL, GONE, STALLED, START
from streams.model.corridor_chain import Counts, chain, draw, estimate

SHOP: Counts = {
    (START, "search"): (60, 0),
    (START, "cart"): (40, 0),
    ("search", "cart"): (30, 0),
    ("search", "search"): (25, 0),
    ("search", STALLED): (30, 0),
    ("cart", "search"): (20, 0),
    ("cart", "pay"): (50, 0),
    ("cart", ABANDONED): (10, 0),
    ("pay", GOAL): (45, 0),
    ("pay", "pay"): (4, 0),
    ("pay", "cart"): (3, 0),
}


def solved(counts: Counts) -> tuple[dict[str, float], dict[str, float]]:
    given = chain(counts)
    worth = estimate(given)
    chances = dict(zip(given.touchpoints, worth.goal_chance[0].tolist(), strict=True))
    return chances, dict(zip(given.touchpoints, worth.removal[0].tolist(), strict=True))


def goal_rate(counts: Counts, removed: str | None, walks: int, seed: int) -> float:
    """The share of simulated pursuits that reach a goal, never setting foot in `removed`."""
    rng = random.Random(seed)
    fates: dict[str, tuple[list[str], list[int]]] = {}
    for (origin, following), (n, resumed) in counts.items():
        if following == GONE:
            continue
        ways = fates.setdefault(origin, ([], []))
        ways[0].append(following)
        ways[1].append(n - resumed if origin else n)
        if resumed:
            starts = fates.setdefault(START, ([], []))
            starts[0].append(following)
            starts[1].append(resumed)
    reached = 0
    for _ in range(walks):
        at = START
        while not at.startswith("@") and at != removed:
            at = rng.choices(*fates[at])[0]
        reached += at == GOAL
    return reached / walks


def test_removal_effects_and_goal_chances_are_those_of_simulated_walks() -> None:
    counts = {
        **SHOP,
        ("pay", "search"): (7, 5),
        ("cart", "help"): (5, 0),
        ("help", "pay"): (2, 1),
        ("help", GONE): (9, 0),
    }
    walks = 40_000
    whole = goal_rate(counts, None, walks, 1)
    for place, (name, removal) in enumerate(solved(counts)[1].items()):
        assert removal == pytest.approx(1 - goal_rate(counts, name, walks, 2 + place) / whole, abs=0.02), name


def test_a_small_chain_is_solved_as_by_hand() -> None:
    counts = {(START, "a"): (4, 0), (START, "b"): (6, 0), ("a", "b"): (1, 0), ("a", STALLED): (3, 0)}
    counts |= {("b", GOAL): (2, 0), ("b", "a"): (2, 0), ("b", ABANDONED): (4, 0)}
    chances, removals = solved(counts)
    # h_a = h_b / 4 and h_b = 1/4 + h_a / 4.
    assert chances == pytest.approx({"a": 1 / 15, "b": 4 / 15})
    reached = 0.4 / 15 + 0.6 * 4 / 15
    assert removals == pytest.approx({"a": 1 - 0.6 * 0.25 / reached, "b": 1.0})


def test_a_repeat_changes_neither_chance() -> None:
    again = {**SHOP, ("cart", "cart"): (10**9, 0)}
    for before, after in zip(solved(SHOP), solved(again), strict=True):
        assert after == pytest.approx(before, abs=1e-6)


def test_the_only_way_to_the_goal_is_worth_everything_and_a_side_way_nothing() -> None:
    counts = {(START, "a"): (9, 0), ("a", "gate"): (5, 0), ("a", "news"): (4, 0), ("news", STALLED): (4, 0)}
    counts |= {("gate", GOAL): (3, 0), ("gate", ABANDONED): (2, 0), ("island", GOAL): (7, 0)}
    chances, removals = solved(counts)
    assert removals == pytest.approx({"a": 1.0, "gate": 1.0, "news": 0.0, "island": 0.0})
    assert (chances["news"], chances["island"]) == (0.0, 1.0)


def test_a_journey_that_goes_on_after_an_end_begins_a_new_pursuit() -> None:
    # Ten orders reached, four of which asked for help afterwards; help reaches its own goal in three of four.
    counts = {(START, "order"): (10, 0), ("order", GOAL): (10, 0), ("order", "help"): (4, 4)}
    counts |= {("help", GOAL): (3, 0), ("help", STALLED): (1, 0), ("help", GONE): (1, 0)}
    chances, removals = solved(counts)
    assert chances == pytest.approx({"order": 1.0, "help": 0.75})
    assert removals == pytest.approx({"order": 10 / 13, "help": 3 / 13})


def test_nothing_known_is_unknown_and_never_an_error() -> None:
    assert solved({}) == ({}, {})
    no_goal = {(START, "a"): (3, 0), ("a", "b"): (3, 0), ("b", "a"): (2, 0)}
    chances, removals = solved(no_goal)
    assert chances == {"a": 0.0, "b": 0.0}
    assert all(isnan(value) for value in removals.values())
    chances, removals = solved({**no_goal, ("a", GOAL): (1, 0), ("a", "new"): (1, 0)})
    assert isnan(chances["new"])
    assert removals["new"] == 0.0
    # Goals are reached, but by nobody who was seen to start.
    assert isnan(solved({("a", GOAL): (1, 0)})[1]["a"])


def test_counts_without_measure_are_solved_all_the_same() -> None:
    counts = {(START, "a"): (1, 0), ("a", "b"): (10**17, 0), ("b", "a"): (10**17, 0), ("b", GOAL): (1, 0)}
    counts[("b", STALLED)] = (-5, 0)
    chances, removals = solved(counts)
    assert 0.0 <= chances["a"] <= 1.0
    assert removals["b"] == pytest.approx(1.0)


def test_a_posterior_is_as_wide_as_its_counts_are_few() -> None:
    few = draw(chain(SHOP), np.random.default_rng(7), 400)
    counts = {way: (100 * n, resumed) for way, (n, resumed) in SHOP.items()}
    many = draw(chain(counts), np.random.default_rng(7), 400)
    assert np.allclose(few.goal_chance.std(axis=0) / many.goal_chance.std(axis=0), 10.0, rtol=0.3)
    assert np.allclose(many.goal_chance.mean(axis=0), estimate(chain(counts)).goal_chance[0], atol=0.01)
    # One row only: its share of successes has the beta posterior of 45 to 15.
    alone = chain({(START, "a"): (60, 0), ("a", GOAL): (45, 0), ("a", STALLED): (15, 0)})
    deviation = float(draw(alone, np.random.default_rng(7), 4000).goal_chance.std())
    assert deviation == pytest.approx((0.75 * 0.25 / 61) ** 0.5, rel=0.05)


NAMES = ("a", "b", "c", "d")
WAYS = [*product((START, *NAMES), NAMES), *product(NAMES, (GOAL, ABANDONED, STALLED, GONE))]
any_counts = st.dictionaries(
    st.sampled_from(WAYS),
    st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    max_size=len(WAYS),
)


@given(any_counts)
def test_every_number_is_a_chance_or_unknown_in_estimate_and_draws_alike(counts: Counts) -> None:
    given = chain(counts)
    worth, drawn = estimate(given), draw(given, np.random.default_rng(1), 20)
    for one, many in zip(worth, drawn, strict=True):
        assert (np.isnan(one) | ((one >= 0) & (one <= 1))).all()
        assert (np.isnan(many) | ((many >= 0) & (many <= 1))).all()
        assert (np.isnan(many) == np.isnan(one)).all()
        # What is impossible in the counts is so in every draw.
        assert (many[:, one[0] == 0] == 0).all()


@given(any_counts)
@example({(START, "a"): (9, 0), ("a", "b"): (6, 1), ("b", GOAL): (4, 0)})
def test_a_removed_touchpoint_is_one_that_loses_all_who_come(counts: Counts) -> None:
    for removed, effect in solved(counts)[1].items():
        if not isnan(effect):
            assert effect == pytest.approx(1 - _reached(_without(removed, counts)) / _reached(counts), abs=1e-6)


def _without(removed: str, counts: Counts) -> Counts:
    """All who come there leave."""
    blocked = {way: taken for way, taken in counts.items() if way[0] != removed}
    # Those who resumed at the removed touchpoint's expense still start where they did.
    resumed = {
        (START, b): (counts.get((START, b), (0, 0))[0] + r, 0)
        for (a, b), (_, r) in counts.items()
        if a == removed and b in NAMES
    }
    return blocked | {**resumed, (removed, ABANDONED): (1, 0)}


def _reached(counts: Counts) -> float:
    given = chain(counts)
    total = given.starts.sum()
    return float(np.nansum(given.starts * np.nan_to_num(estimate(given).goal_chance[0])) / total) if total else 0.0
