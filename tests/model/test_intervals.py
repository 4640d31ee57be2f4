from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.intervals import ces, csat, experience, mean, nps, share


@pytest.mark.parametrize(
    ("n", "count", "low", "high"),
    [
        # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I,
        # method 3 (score, no continuity correction).
        (263, 81, 0.2553, 0.3662),
        (148, 15, 0.0624, 0.1605),
        (20, 0, 0.0, 0.1611),
        (29, 1, 0.0061, 0.1718),
    ],
)
def test_the_wilson_interval_is_the_published_one(n: int, count: int, low: float, high: float) -> None:
    estimate = share(n, count)
    assert estimate is not None
    assert estimate.value == count / n
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)


def test_nothing_is_unknown_and_not_zero() -> None:
    assert share(0, 0) is None
    assert mean(0, 0.0, 0.0, 0.0, 1.0) is None
    assert experience(0, 0.0, 0.0) is None
    assert nps(0, 0, 0) is None
    assert csat(0, 0) is None
    assert ces(0, 0.0, 0.0) is None


def test_the_interval_of_a_mean_uses_the_sample_variance() -> None:
    estimate = mean(4, 1 + 2 + 3 + 4, 1 + 4 + 9 + 16, 0, 10)
    assert estimate is not None
    assert estimate.value == 2.5
    half = 1.959963984540054 * (5 / 3 / 4) ** 0.5
    assert isclose(estimate.low, 2.5 - half) and isclose(estimate.high, 2.5 + half)


def test_one_value_says_nothing_about_the_spread() -> None:
    assert mean(1, 0.3, 0.09, 0, 1) == (0.3, 0, 1)


def test_equal_values_have_no_spread_though_their_squares_are_rounded() -> None:
    n, x = 1_000_003, 0.1
    estimate = mean(n, x * n, x * x * n * (1 - 1e-15), 0, 1)
    assert estimate is not None
    assert estimate.low == estimate.value == estimate.high


def test_nps_has_the_variance_of_promoters_against_detractors() -> None:
    estimate = nps(100, 50, 20)
    assert estimate is not None
    assert estimate.value == 30
    half = 100 * 1.959963984540054 * ((0.7 - 0.3**2) / 100) ** 0.5
    assert isclose(estimate.low, 30 - half) and isclose(estimate.high, 30 + half)


def test_csat_is_a_percentage_and_ces_a_mean_on_one_to_seven() -> None:
    satisfied, ease, wilson = csat(8, 6), ces(2, 7 + 6, 49 + 36), share(8, 6)
    assert satisfied is not None and ease is not None and wilson is not None
    assert satisfied == (75, 100 * wilson.low, 100 * wilson.high)
    assert ease.value == 6.5 and ease.high == 7


@given(st.integers(1, 10**12), st.data())
def test_a_share_lies_in_its_interval_and_the_interval_in_zero_to_one(n: int, data: st.DataObject) -> None:
    estimate = share(n, data.draw(st.integers(0, n)))
    assert estimate is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_a_mean_lies_in_its_interval_and_the_interval_in_the_scale(xs: list[float]) -> None:
    estimate = experience(len(xs), sum(xs), sum(x * x for x in xs))
    assert estimate is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 100


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**9))
def test_nps_lies_in_its_interval_and_the_interval_in_the_scale(promoters: int, detractors: int, others: int) -> None:
    estimate = nps(promoters + detractors + others, promoters, detractors)
    assert estimate is not None
    assert -100 <= estimate.low <= estimate.value <= estimate.high <= 100
