"""What the report reckons: differences, habituation, bands; and its shapes. Pure, so known answers come back."""

import random
from datetime import date
from math import exp, sqrt
from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.report import bands, compare
from console.report.compare import Sums
from console.report.gather import period
from console.report.habituation import BINS, Bin, Habituation, fit
from console.report.shapes import LEFT, RIGHT, WIDTH, plot
from schemas.errors import UsageError
from streams.model.intervals import Estimate, experience

HOUR = 3600.0
CUSTOMERS = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), min_size=2, max_size=40)


def sums(customers: list[list[float]]) -> Sums:
    """The sums that the query makes: each customer with the x of the contacts."""
    pairs = [(len(one), sum(one)) for one in customers]
    return Sums(
        sum(k for k, _ in pairs),
        sum(s for _, s in pairs),
        len(pairs),
        sum(s * s for _, s in pairs),
        sum(s * k for k, s in pairs),
        sum(k * k for k, _ in pairs),
    )


def spread(mood: float, customers: int, seed: int, contacts: int = 2) -> list[list[float]]:
    """Customers who differ from each other; contacts of one customer are alike."""
    chance = random.Random(seed)
    moods = [min(1.0, max(0.0, chance.gauss(mood, 0.15))) for _ in range(customers)]
    return [[one] * contacts for one in moods]


@given(CUSTOMERS)
def test_a_score_is_the_mean_of_all_contacts_within_its_interval(customers: list[list[float]]) -> None:
    found = compare.mean(sums(customers), 2)
    assert found is not None
    assert found.score.value == pytest.approx(100 * fmean(x for one in customers for x in one))
    assert 0 <= found.score.low <= found.score.value + 1e-9 and found.score.value - 1e-9 <= found.score.high <= 100
    assert found.n == sum(len(one) for one in customers)


def test_one_contact_a_customer_gives_the_interval_of_independent_contacts() -> None:
    customers = spread(0.5, 200, seed=1, contacts=1)
    found = compare.mean(sums(customers), 30)
    values = [one[0] for one in customers]
    plain = experience(200, sum(values), sum(x * x for x in values))
    assert found is not None and plain is not None
    assert found.score == pytest.approx(plain)


def test_contacts_that_only_repeat_a_customer_add_no_certainty() -> None:
    once, often = (compare.mean(sums(spread(0.5, 200, seed=1, contacts=k)), 30) for k in (1, 9))
    assert once is not None and often is not None
    assert often.error == pytest.approx(once.error)
    assert often.n == 9 * once.n


def test_too_few_customers_have_no_score_and_no_difference() -> None:
    few, many = sums(spread(0.1, 29, seed=1)), sums(spread(0.9, 30, seed=2))
    (one,) = compare.compare({"shop": few}, {"shop": many}, 30)
    assert (one.before, one.difference, one.told) == (None, None, False)
    assert one.now is not None
    assert compare.mean(sums([[0.5]]), 1) is None


@given(CUSTOMERS, CUSTOMERS)
def test_a_difference_turned_around_is_its_negative(before: list[list[float]], now: list[list[float]]) -> None:
    old, new = {"shop": sums(before)}, {"shop": sums(now)}
    (one,), (other,) = compare.compare(old, new, 2), compare.compare(new, old, 2)
    assert one.told == other.told
    assert one.difference is not None and other.difference is not None
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.difference.low == pytest.approx(-other.difference.high)


def test_what_differs_is_told_and_what_does_not_is_told_in_no_more_than_five_reports_of_a_hundred() -> None:
    names = [f"place-{index}" for index in range(10)]
    false_reports = 0
    for trial in range(200):
        old, new = (
            {name: sums(spread(0.6, 60, seed=1000 * trial + 10 * index + side)) for index, name in enumerate(names)}
            for side in (0, 1)
        )
        false_reports += any(one.told for one in compare.compare(old, new, 30))
    # Binomial with p = 0.05: 18 of 200 and more have a chance of 1 %.
    assert false_reports <= 18
    (one,) = compare.compare({"a": sums(spread(0.5, 60, seed=1))}, {"a": sums(spread(0.8, 60, seed=2))}, 30)
    assert one.told and one.difference is not None and one.difference.low > 0


def test_the_more_is_compared_the_larger_a_difference_must_be() -> None:
    assert compare.limit(1) == pytest.approx(1.959964)
    assert compare.limit(20) == pytest.approx(NormalDist().inv_cdf(1 - 0.05 / 40))
    shift = 2.2 * sqrt(2)
    old = [[0.5 + 0.1 * sign] for sign in (-1, 1)] * 50
    error = compare.mean(sums(old), 2).error / 100  # type: ignore[union-attr]
    moved = [[one[0] + shift * error] for one in old]
    alone = compare.compare({"a": sums(old)}, {"a": sums(moved)}, 30)
    crowd = {f"n{index}": sums(old) for index in range(19)}
    among = compare.compare({"a": sums(old), **crowd}, {"a": sums(moved), **crowd}, 30)
    assert alone[0].told and not among[0].told


def habit(tau: float, a: float, b: float, noise: float, span: float = 100 * HOUR, n: int = 4000) -> Habituation:
    """What is found of contacts spread evenly over `span`, binned as the query bins them."""
    chance = random.Random(5)
    width = span / BINS
    found: dict[int, list[tuple[float, float]]] = {}
    for index in range(n):
        t = span * (index + 0.5) / n
        found.setdefault(int(t / width), []).append((t, b + a * exp(-t / tau) + chance.gauss(0, noise)))
    bins = [
        Bin(fmean(t for t, _ in one), len(one), sum(x for _, x in one), sum(x * x for _, x in one))
        for one in found.values()
    ]
    return fit(bins, 2 * width, span)


@given(st.floats(4, 30), st.floats(0.1, 0.4), st.sampled_from([-1, 1]), st.floats(0.45, 0.55))
def test_known_a_b_and_tau_come_back_from_exact_data(hours: float, size: float, sign: int, b: float) -> None:
    found = habit(hours * HOUR, sign * size, b, noise=0.0)
    assert found.verdict == "fitted" and found.tau is not None
    assert found.tau.value == pytest.approx(hours * HOUR, rel=0.01)
    assert found.a == pytest.approx(100 * sign * size, rel=0.02)
    assert found.b == pytest.approx(100 * b, rel=0.01)


def test_the_interval_holds_tau_in_about_95_of_100_noisy_samples_and_narrows_with_n() -> None:
    chance, held, widths = random.Random(9), 0, {}
    for n in (500, 8000):
        found = habit(10 * HOUR, -0.3, 0.8, noise=0.1, n=n)
        assert found.tau is not None and found.tau.low < 10 * HOUR < found.tau.high
        widths[n] = found.tau.high - found.tau.low
    assert widths[8000] < widths[500] / 2
    for _ in range(100):
        bins = []
        for index in range(100):
            t = (index + 0.5) * HOUR
            values = [0.8 - 0.3 * exp(-t / (10 * HOUR)) + chance.gauss(0, 0.1) for _ in range(10)]
            bins.append(Bin(t, 10, sum(values), sum(x * x for x in values)))
        tau = fit(bins, HOUR, 100 * HOUR).tau
        held += tau is not None and tau.low <= 10 * HOUR <= tau.high
    # Binomial with p = 0.95: 88 and fewer of 100 have a chance of 0.4 %.
    assert held > 88


def test_noise_alone_is_flat_few_contacts_are_few_and_a_straight_line_is_unbounded() -> None:
    chance, curves = random.Random(2), 0
    for _ in range(200):
        values = [[chance.gauss(0.6, 0.1) for _ in range(10)] for _ in range(60)]
        bins = [Bin(HOUR * i, 10, sum(one), sum(x * x for x in one)) for i, one in enumerate(values)]
        curves += fit(bins, HOUR, 60 * HOUR).verdict != "flat"
    assert curves <= 8
    assert habit(10 * HOUR, -0.3, 0.8, noise=0.1, n=99) == Habituation("few", 99)
    assert fit([Bin(HOUR, 500, 250.0, 130.0)], HOUR, 9 * HOUR) == Habituation("few", 500)
    line = [Bin(HOUR * i, 50, 50 * (0.2 + 0.005 * i), 50 * (0.2 + 0.005 * i) ** 2 + 0.5) for i in range(100)]
    found = fit(line, HOUR, 100 * HOUR)
    assert (found.verdict, found.tau) == ("unbounded", None)


def test_a_band_counts_those_who_spent_nothing_and_says_nothing_of_too_few() -> None:
    one = bands.band("positive", 100, 40, {"EUR": bands.Spent(5000.0, 500_000.0)}, ["EUR", "USD"], 30)
    assert one.retention is not None and one.retention.value == 0.4
    assert one.spend["EUR"].value == 50.0
    half = 1.959964 * sqrt((500_000 - 5000 * 50) / 99 / 100)
    assert one.spend["EUR"] == pytest.approx((50.0, 50.0 - half, 50.0 + half))
    assert one.spend["USD"] == Estimate(0.0, 0.0, 0.0)
    few = bands.band("negative", 29, 1, {}, ["EUR"], 30)
    assert (few.retention, few.spend, few.customers) == (None, {}, 29)


def test_both_days_belong_to_the_period_and_days_are_those_of_the_zone() -> None:
    # Clocks went back in Madrid on 25 October 2026: that day had 25 hours.
    found = period(date(2026, 10, 25), date(2026, 10, 25), "Europe/Madrid", 30)
    assert (found.until - found.since, found.since - found.before) == (25 * 3600, 24 * 3600)
    with pytest.raises(UsageError, match="1971 to 2105"):
        period(date(1971, 1, 2), date(1971, 1, 9), "UTC", 1)


@given(st.floats(-200, 200), st.floats(0, 50))
def test_a_drawn_value_stays_on_the_plot(value: float, half: float) -> None:
    found = plot([("row", [("now", Estimate(value, value - half, value + half)), ("before", None)])], -100, 100, (0,))
    (dot,) = found.lines[0].dots
    assert LEFT <= dot.low <= dot.x <= dot.high <= WIDTH - RIGHT
