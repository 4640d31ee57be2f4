"""x and its components: DOMAIN's formulas by values computed by hand, and bounds by properties."""

from math import e, exp, log
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.corridor import Defaults, Duration, Promise, PromiseCurve, Touchpoint
from schemas.event import Expectation, Rating, TouchpointData
from streams.model.experience import Experience, Scorer, band, gap, promise_experience, rating_experience
from tests.builders import LABEL, corridor
from tests.offline import experience as offline_experience

CURVE = PromiseCurve()


def score(touchpoint: Touchpoint | None = None, defaults: dict[str, Any] | None = None, **data: Any) -> Experience:
    fields = {"touchpoint": "any", "outcome": "success", **data}
    return Scorer(corridor(**(defaults or {})), touchpoint)(msgspec.convert(fields, TouchpointData))


def place(**settings: Any) -> Touchpoint:
    return Touchpoint("any", LABEL, "web", "during", **settings)


@pytest.mark.parametrize(
    ("outcome", "component", "x"),
    [("success", 1, 1), ("partial", 0.5, 0.5), ("failure", 0, 0), ("abandoned", 0, 0), ("pending", None, None)],
)
def test_an_outcome_alone_is_x(outcome: str, component: float | None, x: float | None) -> None:
    scored = score(outcome=outcome)
    assert (scored.outcome, scored.x) == (component, x)


@pytest.mark.parametrize(
    ("u", "value"),
    [
        (0.0, 0.7),
        (1.0, 0.7 + 0.3 * (1 - 1 / e)),
        (-1.0, 0.7 / e),
        (-2.0, 0.7 / e**2),
        (1000.0, 1.0),
        (-1000.0, 0.0),
    ],
)
def test_a_promise_follows_its_curve(u: float, value: float) -> None:
    assert promise_experience(u, CURVE) == pytest.approx(value, abs=1e-15)


def test_a_loss_weighs_more_than_a_gain_of_the_same_size() -> None:
    lost = 0.7 - promise_experience(-0.01, CURVE)
    won = promise_experience(0.01, CURVE) - 0.7
    assert lost / won == pytest.approx(0.7 / 0.3, rel=0.02)


@pytest.mark.parametrize(
    ("expectation", "u"),
    [
        (Expectation(10, 8), 2.0),
        (Expectation(10, 8, 4), 0.5),
        (Expectation(10, 13, 2), -1.5),
        (Expectation(90, 95, 5, "", "higher"), 1.0),
        (Expectation(90, 80, 5, "", "higher"), -2.0),
        (Expectation(1e15, -1e15, 1e-300), 1000.0),
        (Expectation(0, 1e15, 5e-324), -1000.0),
    ],
)
def test_the_gap_counts_tolerances(expectation: Expectation, u: float) -> None:
    assert gap(expectation, 1.0) == u


@pytest.mark.parametrize(
    ("rating", "value"),
    [
        (Rating(4, 1, 5), 0.75),
        (Rating(4, 1, 5, "lower"), 0.25),
        (Rating(-5, -5, 5), 0.0),
        (Rating(10, 0, 10, "higher", "nps"), 1.0),
    ],
)
def test_a_rating_is_its_place_on_the_scale(rating: Rating, value: float) -> None:
    assert rating_experience(rating) == value


@pytest.mark.parametrize(("sentiment", "value"), [(-1, 0.0), (0, 0.5), (0.5, 0.75), (1, 1.0)])
def test_sentiment_is_moved_to_the_unit_interval(sentiment: float, value: float) -> None:
    assert score(sentiment=sentiment).sentiment == value


@pytest.mark.parametrize(
    ("attempts", "transfers", "exponent"),
    [(0, None, 0), (1, None, 0), (2, None, 1), (4, 3, 6), (None, 2, 2), (None, 0, 0), (1, 1, 1)],
)
def test_effort_counts_attempts_after_the_first_and_transfers(
    attempts: int | None, transfers: int | None, exponent: int
) -> None:
    assert score(attempts=attempts, transfers=transfers).effort == pytest.approx(exp(-exponent / 3))


@pytest.mark.parametrize(("wait_ms", "value"), [(0, 1.0), (8_000, 0.5), (16_000, 0.25), (4_000, 0.5**0.5)])
def test_a_tolerable_wait_is_a_half(wait_ms: int, value: float) -> None:
    assert score(place(tolerable_wait=Duration(8)), wait_ms=wait_ms).wait == pytest.approx(value)


def test_the_default_wait_is_used_where_the_touchpoint_names_none() -> None:
    assert score(place(), {"tolerable_wait": Duration(3)}, wait_ms=3000).wait == pytest.approx(0.5)
    assert score(None, {"tolerable_wait": Duration(3)}, wait_ms=3000).wait == pytest.approx(0.5)


def test_x_is_the_weighted_mean_of_what_is_present() -> None:
    scored = score(
        outcome="partial",
        expectation={"expected": 2, "actual": 3},
        rating={"value": 2, "min": 1, "max": 5},
        sentiment=-0.5,
        attempts=4,
        wait_ms=60_000,
    )
    total = 2 * 0.5 + 2 * 0.7 / e + 3 * 0.25 + 2 * 0.25 + 1 * exp(-1) + 1 * 0.5
    assert scored.x == pytest.approx(total / 11, abs=1e-15)
    assert scored.gap == -1.0


def test_an_absent_component_takes_no_part() -> None:
    scored = score(outcome="success", wait_ms=60_000)
    assert scored.x == pytest.approx((2 * 1 + 1 * 0.5) / 3)
    assert scored[3:7] == (None, None, None, None)


def test_a_touchpoint_s_weights_go_before_the_map_s_and_those_before_the_defaults() -> None:
    settings = {"weights": {"outcome": 5.0, "wait": 7.0}}
    scored = score(place(weights={"wait": 1.0}), settings, outcome="failure", wait_ms=60_000, sentiment=1)
    assert scored.x == pytest.approx((5 * 0 + 1 * 0.5 + 2 * 1) / 8)


def test_a_touchpoint_s_tolerance_and_curve_are_used() -> None:
    promise = Promise(tolerance=4, curve=PromiseCurve(kept=0.5, gain=2, loss=0.5))
    better = score(place(promise=promise, weights={"outcome": 0.0}), expectation={"expected": 10, "actual": 2})
    worse = score(place(promise=promise, weights={"outcome": 0.0}), expectation={"expected": 10, "actual": 12})
    assert better.x == pytest.approx(0.5 + 0.5 * (1 - exp(-2 / 2)))
    assert worse.x == pytest.approx(0.5 * exp(-0.5 / 0.5))
    named = score(place(promise=promise), expectation={"expected": 10, "actual": 12, "tolerance": 1})
    assert named.gap == -2.0


def test_a_pending_event_has_components_and_no_x() -> None:
    scored = score(outcome="pending", wait_ms=60_000, rating={"value": 1, "min": 0, "max": 1})
    assert (scored.x, scored.band, scored.rating) == (None, "unknown", 1.0)
    assert scored.wait == pytest.approx(0.5)


def test_without_weight_there_is_no_x() -> None:
    scored = score(place(weights={"outcome": 0.0}))
    assert (scored.x, scored.band) == (None, "unknown")


@pytest.mark.parametrize(
    ("x", "name"),
    [
        (0.0, "negative"),
        (0.3999999, "negative"),
        (0.4, "neutral"),
        (0.6999999, "neutral"),
        (0.7, "positive"),
        (1.0, "positive"),
        (None, "unknown"),
    ],
)
def test_the_bands_begin_at_their_thresholds(x: float | None, name: str) -> None:
    assert band(x) == name


finite = st.floats(-1e15, 1e15)
unit = st.floats(0, 1)


@st.composite
def data(draw: st.DrawFn) -> TouchpointData:
    maybe = st.booleans()
    low, high = sorted(draw(st.lists(finite, min_size=2, max_size=2, unique=True)))
    value = min(max(low + draw(unit) * (high - low), low), high)
    return TouchpointData(
        "any",
        draw(st.sampled_from(["success", "partial", "failure", "abandoned", "pending"])),
        expectation=Expectation(
            draw(finite),
            draw(finite),
            draw(st.none() | st.floats(0, 1e15, exclude_min=True)),
            "",
            draw(st.sampled_from(["lower", "higher"])),
        )
        if draw(maybe)
        else None,
        rating=Rating(value, low, high, draw(st.sampled_from(["lower", "higher"]))) if draw(maybe) else None,
        sentiment=draw(st.none() | st.floats(-1, 1)),
        wait_ms=draw(st.none() | st.integers(0, 2**53)),
        attempts=draw(st.none() | st.integers(0, 2**31 - 1)),
        transfers=draw(st.none() | st.integers(0, 2**31 - 1)),
    )


weights = st.dictionaries(
    st.sampled_from(["outcome", "promise", "rating", "sentiment", "effort", "wait"]), st.floats(0, 1000)
)
curves = st.builds(PromiseCurve, st.floats(0.001, 0.999), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))


@given(data(), weights, curves, st.floats(1e-6, 1e9))
def test_x_and_its_components_lie_between_0_and_1(
    event: TouchpointData, own: dict[Any, float], curve: PromiseCurve, tolerance: float
) -> None:
    touchpoint = place(weights=own, promise=Promise(tolerance, curve))
    scored = Scorer(corridor(), touchpoint)(event)
    for value in (scored.x, *scored[2:8]):
        assert value is None or 0.0 <= value <= 1.0
    assert scored.gap is None or -1000.0 <= scored.gap <= 1000.0
    assert scored.band == band(scored.x)


@given(data(), weights, curves)
def test_x_equals_the_offline_formulas(event: TouchpointData, own: dict[Any, float], curve: PromiseCurve) -> None:
    touchpoint = place(weights=own, promise=Promise(2.0, curve))
    chart = corridor(weights={"effort": 3.0})
    scored = Scorer(chart, touchpoint)(event)
    expected = offline_experience(event, chart, touchpoint)
    for name in ("x", "gap", "outcome", "promise", "rating", "sentiment", "effort", "wait"):
        value = getattr(scored, name)
        assert (value is None) == (expected[name] is None)
        assert value is None or value == pytest.approx(expected[name], rel=1e-12, abs=1e-12)


def test_the_wait_decays_by_half_for_each_tolerable_wait() -> None:
    assert log(0.5) == -log(2.0)
    assert Defaults().tolerable_wait == 60
