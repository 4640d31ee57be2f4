"""Burn rates of the past against a plain computation that looks at every ten seconds."""

from itertools import pairwise
from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.duration import Duration
from schemas.objective import Objective, Tier
from streams.model.burn import History, Series, Span, alerts, budget_spent, most_spent, union
from streams.model.detect.settled import Contacts

START = 1_795_262_400
TIER = Tier(2.0, Duration(120), Duration(30), "page")
ALL = Objective("all", "corridor", 90.0)
#: Bucket, contacts, negative ones.
Counts = list[tuple[int, int, int]]


def history(counts: Counts, touchpoint: str = "web.payment", stage: str = "during") -> History:
    past = History()
    for bucket, contacts, negative in sorted(counts):
        past.add(START + 10 * bucket, [Contacts(touchpoint, stage, contacts, negative)])
    return past


def series(counts: Counts) -> Series:
    return history(counts).series(ALL, {})


def share_of(counts: Counts, window_s: float, at: int) -> tuple[float | None, int]:
    """Share of negative contacts in (at - window, at], and how many; a contact is there from its bucket's end."""
    inside = [one for one in counts if at - window_s < START + 10 * one[0] + 10 <= at]
    contacts, negative = sum(one[1] for one in inside), sum(one[2] for one in inside)
    return (negative / contacts if contacts else None), negative


def fires(counts: Counts, tier: Tier, minimum: int, at: int) -> bool:
    (long, evidence), (short, _) = share_of(counts, tier.long, at), share_of(counts, tier.short, at)
    limit = tier.burn_rate * 0.1
    return long is not None and short is not None and long > limit and short > limit and evidence >= minimum


counts_of = st.lists(
    st.tuples(st.one_of(st.integers(0, 60), st.integers(300, 340)), st.integers(1, 8), st.integers(0, 8)),
    max_size=40,
    unique_by=lambda one: one[0],
).map(lambda some: [(bucket, contacts, min(contacts, negative)) for bucket, contacts, negative in some])
#: Burn rates whose shares no few contacts hit exactly: 0.1 x 3.07.
tiers = st.builds(
    Tier,
    st.sampled_from((1.03, 3.07)),
    st.sampled_from((10, 60, 125, 600)).map(Duration),
    st.sampled_from((10, 30, 55)).map(Duration),
    st.just("page"),
)


@settings(max_examples=150)
@given(counts_of, tiers, st.integers(1, 6), st.integers(0, 30))
def test_an_alert_fires_exactly_when_both_windows_burn_and_there_is_evidence(
    counts: Counts, tier: Tier, minimum: int, first: int
) -> None:
    since, until = START + 10 * first, START + 4500
    found = alerts(series(counts), tier, 0.9, minimum, since, until)
    for at in range(since, until, 5):
        inside = any(span.since <= at < span.until for span in found)
        assert inside == fires(counts, tier, minimum, at), at - START
    assert all(one.until < other.since for one, other in pairwise(found))


def test_the_bounds_of_the_windows_are_exact() -> None:
    # Ten contacts, all negative, end at +10; they leave the short window at +40 and the long one at +130.
    assert alerts(series([(0, 10, 10)]), TIER, 0.9, 4, START, START + 1000) == [Span(START + 10, START + 40, False, 10)]


def test_the_short_window_ends_an_alert_that_the_long_one_would_keep() -> None:
    counts = [(bucket, 10, 10) for bucket in range(3)] + [(bucket, 10, 0) for bucket in range(3, 30)]
    (span,) = alerts(series(counts), TIER, 0.9, 4, START, START + 400)
    # At +60 the short window, (+30, +60], has good contacts only; in the long one half are bad still.
    assert span.until == START + 60
    assert share_of(counts, TIER.long, span.until) == (0.5, 30)


def test_too_few_negative_contacts_are_no_evidence() -> None:
    assert alerts(series([(0, 3, 3)]), TIER, 0.9, 4, START, START + 100) == []
    assert alerts(series([(0, 4, 4)]), TIER, 0.9, 4, START, START + 100) != []


def test_nothing_fires_without_contacts() -> None:
    assert alerts(series([]), TIER, 0.9, 1, START, START + 100) == []
    assert budget_spent(series([]), 0.9, START, START + 100) == 0.0
    assert most_spent(series([]), 0.9, 50.0, START, START + 100) == 0.0


def test_an_alert_of_before_the_period_goes_on_in_it_and_one_at_its_end_is_open() -> None:
    (span,) = alerts(series([(0, 10, 10)]), TIER, 0.9, 4, START + 20, START + 30)
    assert span == Span(START + 20, START + 30, True, 10)


def test_a_burn_rate_that_is_just_met_is_no_alert() -> None:
    # One of five: 0.2 = 2 x 0.1.
    assert alerts(series([(0, 50, 10)]), TIER, 0.9, 4, START, START + 100) == []
    assert alerts(series([(0, 50, 11)]), TIER, 0.9, 4, START, START + 100) != []


def test_contacts_are_chosen_by_scope_and_weighed_by_importance() -> None:
    past = History()
    past.add(START, [Contacts("pay", "during", 10, 5), Contacts("pay", "after", 2, 2), Contacts("help", "after", 8, 0)])

    def share(objective: Objective, importance: dict[str, float] | None = None) -> tuple[int, float]:
        sums = past.series(objective, importance or {}).between(START, START + 10)
        return int(sums.contacts[0]), float(sums.share()[0])

    assert share(Objective("o", "touchpoint", 90, "pay")) == (12, 7 / 12)
    assert share(Objective("o", "stage", 90, "after")) == (10, 0.2)
    assert share(ALL) == (20, 7 / 20)
    assert share(Objective("o", "journey", 90), {"pay": 0.5}) == (20, 3.5 / 14)
    assert share(Objective("o", "journey", 90), {"pay": 0.0}) == (8, 0.0)


def test_an_unknown_place_has_no_contacts() -> None:
    nothing = history([(0, 5, 5)]).series(Objective("o", "touchpoint", 90, "elsewhere"), {})
    assert int(nothing.between(START, START + 100).contacts[0]) == 0
    assert alerts(nothing, TIER, 0.9, 1, START, START + 100) == []


@given(counts_of, st.sampled_from((50, 200, 3000)))
def test_the_most_that_was_spent_is_that_of_the_worst_window(counts: Counts, over: int) -> None:
    until = START + 4000
    found = most_spent(series(counts), 0.9, over, START, until)
    shares = [share_of(counts, over, at)[0] for at in range(START + over, until + 1, 10)]
    assert found is not None
    assert isclose(found, max((share for share in shares if share is not None), default=0.0) / 0.1, abs_tol=1e-9)


def test_a_period_shorter_than_the_time_of_the_budget_has_no_worst_window() -> None:
    assert most_spent(series([(0, 5, 5)]), 0.9, 200.0, START, START + 100) is None


def test_the_budget_spent_is_the_share_of_negatives_over_what_is_allowed() -> None:
    assert budget_spent(series([(0, 10, 1), (500, 10, 2)]), 0.9, START, START + 6000) == pytest.approx(1.5)


def test_spans_that_touch_or_overlap_are_one() -> None:
    spans = [Span(30, 40, True, 1), Span(0, 10, False, 2), Span(5, 20, False, 3), Span(20, 25, False, 1)]
    assert union(spans) == [Span(0, 25, False, 3), Span(30, 40, True, 1)]
