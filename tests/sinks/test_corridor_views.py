"""Bridging, moments of truth and drift as the views give them, against plain Python."""

import math
import random
from collections import defaultdict
from statistics import fmean, variance
from typing import Any

import pytest
from msgspec import Struct

from schemas.standing import Standing, Way
from sinks.clickhouse import ClickHouse
from tests.sinks.rows import NOON, lines, scored

DAY_S = 86_400


@pytest.fixture
def clean(store: ClickHouse) -> ClickHouse:
    store.command("TRUNCATE TABLE corredor.corridor")
    return store


def standing(touchpoint: str, at: int = NOON, **changes: Any) -> Standing:
    known = {"score": 60.0, "shortfall": 20.0, "importance": 0.5, "goal_chance": 0.75}
    priority = {"priority": 400.0, "priority_low": 300.0, "priority_high": 520.0}
    fields = {"tenant": "default", "version": 1, "window_s": DAY_S, "arrivals": 40, "scored": 40, "target_score": 80.0}
    return Standing(**{"touchpoint": touchpoint, "at": at, **fields, **known, **priority, **changes})


def way(touchpoint: str, following: str, at: int = NOON, **changes: Any) -> Way:
    fields = {"tenant": "default", "version": 1, "window_s": DAY_S, "declared": True, "n": 5, "departures": 50}
    seen = {"share": 0.1, "first_seen": NOON - 900, "last_seen": NOON - 60}
    return Way(**{"touchpoint": touchpoint, "following": following, "at": at, **fields, **seen, **changes})


def rows(store: ClickHouse, sql: str) -> list[dict[str, Any]]:
    names, found = store.table(sql)
    return [dict(zip(names, row, strict=True)) for row in found]


@pytest.mark.parametrize("kind", [Standing, Way])
def test_a_row_gives_back_every_field_of_its_message(clean: ClickHouse, kind: type[Struct]) -> None:
    message: Any = standing("checkout") if kind is Standing else way("checkout", "delivery", drift="new")
    clean.insert("corridor", lines(message))
    (row,) = rows(clean, "SELECT * FROM corredor.corridor")
    for name in kind.__struct_fields__:
        got, given = row[name], getattr(message, name)
        assert got == given or got.timestamp() == given or got.isoformat().startswith("2026-11-21T1"), name
    assert row["kind"] == ("touchpoint" if kind is Standing else "transition")


def test_the_columns_of_the_table_are_the_fields_of_both_messages(engine: ClickHouse) -> None:
    found = engine.rows("SELECT name FROM system.columns WHERE database = 'corredor' AND table = 'corridor'")
    columns = {name for (name,) in found} - {"inserted_at", "kind"}
    assert columns == {*Standing.__struct_fields__, *Way.__struct_fields__}


def test_standings_are_the_newest_of_each_touchpoint_without_those_that_are_over(clean: ClickHouse) -> None:
    clean.insert(
        "corridor",
        lines(
            standing("checkout", NOON - 60, arrivals=1),
            standing("checkout", arrivals=2),
            standing("checkout", arrivals=3, version=2),
            standing("search", NOON - 60, arrivals=4),
            standing("closed", NOON - 7200, arrivals=5),
            standing("closed", NOON - 7200, tenant="other", arrivals=6),
            way("checkout", "delivery", NOON + 7200),
        ),
    )
    query = "SELECT tenant, touchpoint, arrivals FROM corredor.touchpoint_standings ORDER BY arrivals"
    assert clean.rows(query) == [("default", "checkout", 3), ("default", "search", 4), ("other", "closed", 6)]


def walks(seed: int, journeys: int = 300) -> list[Any]:
    """Journeys over four touchpoints: x at `b` pulls down what follows; some share a time, repeat, have no x."""
    rng = random.Random(seed)
    found: list[Any] = []
    for journey in range(journeys):
        mood = 0.0
        at = NOON + journey * 7
        for _ in range(rng.randint(1, 6)):
            touchpoint = rng.choice("abcd")
            x: float | None = min(1.0, max(0.0, rng.random() - mood))
            if touchpoint == "b" and x is not None and x < 0.4:
                mood = 0.3
            if touchpoint == "d" and rng.random() < 0.3:
                x = None
            at += rng.choice((0, 0.5, 60))
            identity = {"journey": f"j{journey % 150}", "subject": f"s{journey}", "x": x}
            found.append(scored(len(found), touchpoint=touchpoint, time=at, **identity))
    return found


def t_quantile(df: float) -> float:
    """The 97.5 % quantile of Student's t by bisection over Simpson's rule."""
    factor = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)

    def area(upto: float) -> float:
        step = upto / 2000
        weights = (1 if i in (0, 2000) else 4 if i % 2 else 2 for i in range(2001))
        return sum(w * (1 + (i * step) ** 2 / df) ** (-(df + 1) / 2) for i, w in enumerate(weights)) * step / 3 * factor

    low, high = 0.0, 100.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if area(middle) < 0.475 else (low, middle)
    return low


def bridges(events: list[Any]) -> dict[str, tuple[int, int, float, float, float]]:
    """By touchpoint: n after bad, n after good, difference of later means, Welch's interval."""
    journeys: dict[Any, list[Any]] = defaultdict(list)
    for event in events:
        if event.x is not None:
            journeys[event.tenant, event.subject, event.journey].append(event)
    after: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for contacts in journeys.values():
        contacts.sort(key=lambda event: (event.time, event.source, event.id))
        for touchpoint in {event.touchpoint for event in contacts}:
            first = next(event for event in contacts if event.touchpoint == touchpoint)
            later = [event.x for event in contacts if event.time > first.time]
            if later and not 0.4 <= first.x < 0.7:
                after[touchpoint][first.x >= 0.7].append(fmean(later))
    found = {}
    for touchpoint, (bad, good) in after.items():
        parts = [variance(ys) / len(ys) for ys in (bad, good)]
        df = sum(parts) ** 2 / sum(part**2 / (len(ys) - 1) for part, ys in zip(parts, (bad, good), strict=True))
        half, difference = t_quantile(df) * math.sqrt(sum(parts)), fmean(bad) - fmean(good)
        found[touchpoint] = (len(bad), len(good), difference, difference - half, difference + half)
    return found


def test_bridging_is_what_plain_python_finds(clean: ClickHouse) -> None:
    events = walks(1)
    # Given twice; what is older than thirty days takes no part.
    old = scored(9_999, touchpoint="a", time=NOON - 31 * DAY_S, journey="old", x=0.0)
    clean.insert("touchpoint_events", lines(*events, *events[:50], old))
    query = "SELECT touchpoint, negative_n, positive_n, bridging, bridging_low, bridging_high FROM corredor.bridging"
    found = {touchpoint: numbers for touchpoint, *numbers in clean.rows(query)}
    expected = bridges(events)
    assert set(found) == set(expected) == set("abcd")
    for touchpoint, numbers in expected.items():
        assert found[touchpoint] == pytest.approx(list(numbers), abs=1e-7), touchpoint
    # Bad at `b` was made to hurt; nothing else was.
    assert found["b"][4] < 0


def test_bridging_of_too_few_has_no_interval(clean: ClickHouse) -> None:
    clean.insert(
        "touchpoint_events",
        lines(
            scored(0, journey="one", subject="s", touchpoint="a", time=NOON, x=0.1),
            scored(1, journey="one", subject="s", touchpoint="b", time=NOON + 1, x=0.5),
        ),
    )
    (row,) = rows(clean, "SELECT * FROM corredor.bridging")
    assert (row["touchpoint"], row["negative_n"], row["positive_n"], row["later_x_after_negative"]) == ("a", 1, 0, 0.5)
    assert (row["bridging"], row["bridging_low"], row["bridging_high"]) == (None, None, None)


def test_moments_of_truth_put_priority_into_money_by_currency(clean: ClickHouse) -> None:
    clean.insert(
        "corridor",
        lines(
            standing("checkout"),
            standing("search", priority=900.0, priority_low=800.0, priority_high=1000.0),
            standing("quiet", score=None, shortfall=None, priority=None, priority_low=None, priority_high=None),
        ),
    )
    euros, dollars = [1000, 2000, 3000, -2000], [700]
    amounts = [(amount, "EUR") for amount in euros] + [(amount, "USD") for amount in dollars]
    money = [
        scored(i, time=NOON - 60 * i - 1, amount_minor=amount, currency=currency)
        for i, (amount, currency) in enumerate(amounts)
    ]
    # Outside the day before `at`.
    money += [scored(90, time=NOON, amount_minor=9, currency="EUR")]
    money += [scored(91, time=NOON - DAY_S - 1, amount_minor=9, currency="EUR")]
    clean.insert("touchpoint_events", lines(*money, money[0]))
    found = rows(clean, "SELECT * FROM corredor.moments_of_truth")
    assert [(row["touchpoint"], row["currency"]) for row in found] == [
        ("search", None),
        ("checkout", "EUR"),
        ("checkout", "USD"),
        ("quiet", None),
    ]
    search, euro, dollar, quiet = found
    assert (search["priority"], search["priority_money"], search["priority_money_low"]) == (900.0, None, None)
    assert (quiet["priority"], quiet["priority_money"]) == (None, None)
    # Four of five contacts with money are in euros, 2000 on average.
    assert (euro["value_n"], euro["value_mean"]) == (4, 2000.0)
    assert euro["priority_money"] == pytest.approx(400 / 100 * 2000 * 4 / 5)
    half = 1.959963984540054 * math.sqrt(variance(map(abs, euros)) / 4)
    down = math.hypot(2000 * (400 - 300), 400 * half) / 100 * 4 / 5
    up = math.hypot(2000 * (520 - 400), 400 * half) / 100 * 4 / 5
    assert euro["priority_money_low"] == pytest.approx(euro["priority_money"] - down)
    assert euro["priority_money_high"] == pytest.approx(euro["priority_money"] + up)
    # One amount has a mean and no interval.
    assert dollar["priority_money"] == pytest.approx(400 / 100 * 700 / 5)
    assert (dollar["priority_money_low"], dollar["priority_money_high"]) == (None, None)


def test_moments_of_truth_show_bridging_beside(clean: ClickHouse) -> None:
    events = walks(2)
    clean.insert("touchpoint_events", lines(*events))
    clean.insert("corridor", lines(standing("b", NOON + 3600)))
    (row,) = rows(clean, "SELECT * FROM corredor.moments_of_truth")
    assert row["bridging"] == pytest.approx(bridges(events)["b"][2])
    assert row["bridging_low"] < row["bridging"] < row["bridging_high"]


def test_drift_is_what_differs_from_the_map_or_from_before_in_the_newest_hour(clean: ClickHouse) -> None:
    clean.insert(
        "corridor",
        lines(
            way("a", "b"),
            way("a", "c", drift="new", n=9),
            way("a", "d", drift="new", declared=False, n=8),
            way("a", "e", drift="vanished", n=0),
            way("a", "f", declared=False, n=7),
            way("a", "g", n=0, share=None, first_seen=None, last_seen=None),
            # Told again later in the hour, as usual now.
            way("a", "h", NOON - 120, drift="new"),
            way("a", "h", NOON),
            # Of an hour before, and not told since.
            way("a", "i", NOON - 3600, drift="new"),
            standing("a", NOON + 7200),
        ),
    )
    query = "SELECT following, status FROM corredor.corridor_drift"
    assert clean.rows(query) == [
        ("c", "new"),
        ("d", "new, undeclared"),
        ("f", "undeclared"),
        ("e", "vanished"),
        ("g", "never seen"),
    ]
