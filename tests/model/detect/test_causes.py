"""Rate and mix effects: they add up, and name what explains the change."""

from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.incident import Cause
from streams.model.detect.causes import Change, Pair, Sum, explain

PARTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.tuples(st.integers(1, 500), st.floats(0, 1)).map(lambda pair: Sum(pair[0], pair[0] * pair[1])),
    min_size=1,
)


def whole(parts: dict[str, Sum], n: int, s: float) -> Sum:
    return Sum(sum(part.n for part in parts.values()) + n, sum(part.s for part in parts.values()) + s)


@given(PARTS, PARTS, st.integers(0, 300), st.floats(0, 1))
@settings(deadline=None)
def test_effects_add_up_to_the_change(before: dict[str, Sum], now: dict[str, Sum], n: int, share: float) -> None:
    all_before, all_now = whole(before, n, n * share), whole(now, n, n * share / 2)
    before, now = {**before, "": Sum(n, n * share)}, {**now, "": Sum(n, n * share / 2)}
    change, nothing = Change(all_before, all_now), Sum(0, 0)
    effects = [
        change.effect(value, before.get(value, nothing), now.get(value, nothing))
        for value in sorted(before.keys() | now.keys())
    ]
    assert change.total == all_now.s / all_now.n - all_before.s / all_before.n
    assert sum(effect.rate + effect.mix for effect in effects) == pytest.approx(change.total, abs=1e-9)


def causes(before: dict[Pair, Sum], now: dict[Pair, Sum], all_before: Sum, all_now: Sum) -> tuple[Cause, ...]:
    return explain(before, now, all_before, all_now, variance=0.09, shown=lambda share: share, least=0.1, most=5)


def test_the_value_that_got_worse_is_named_with_a_rate_effect() -> None:
    before = {("carrier", "a"): Sum(3000, 60), ("carrier", "b"): Sum(7000, 140), ("device", "x"): Sum(5000, 100)}
    now = {("carrier", "a"): Sum(300, 90), ("carrier", "b"): Sum(700, 14), ("device", "x"): Sum(500, 52)}
    found = causes(before, now, Sum(10_000, 200), Sum(1000, 104))
    assert [(cause.segment, cause.value) for cause in found] == [("carrier", "a")]
    assert found[0].explained == pytest.approx(1.0)
    assert found[0].mix_effect == pytest.approx(0.0)
    assert (found[0].before, found[0].now, found[0].n) == (0.02, 0.3, 300)


def test_more_of_a_bad_value_is_a_mix_effect() -> None:
    before = {("carrier", "a"): Sum(1000, 300), ("carrier", "b"): Sum(9000, 90)}
    now = {("carrier", "a"): Sum(500, 150), ("carrier", "b"): Sum(500, 5)}
    found = causes(before, now, Sum(10_000, 390), Sum(1000, 155))
    assert found[0].value == "a"
    assert found[0].mix_effect > 0.05
    assert found[0].rate_effect == pytest.approx(0.0)


def test_where_all_changed_alike_nothing_is_named() -> None:
    before = {("carrier", "a"): Sum(3000, 60), ("carrier", "b"): Sum(7000, 140)}
    now = {("carrier", "a"): Sum(300, 60), ("carrier", "b"): Sum(700, 140)}
    assert causes(before, now, Sum(10_000, 200), Sum(1000, 200)) == ()


def test_nothing_is_named_where_nothing_got_worse() -> None:
    before = {("carrier", "a"): Sum(3000, 60)}
    assert causes(before, {("carrier", "a"): Sum(300, 0)}, Sum(10_000, 200), Sum(1000, 10)) == ()
    assert causes(before, {}, Sum(0, 0), Sum(0, 0)) == ()


def test_waits_are_explained_by_their_means() -> None:
    before = {("store", "s1"): Sum(200, 200 * 4.0), ("store", "s2"): Sum(800, 800 * 4.0)}
    now = {("store", "s1"): Sum(200, 200 * 5.1), ("store", "s2"): Sum(800, 800 * 4.0)}
    (cause,) = explain(
        before,
        now,
        Sum(1000, 4000),
        Sum(1000, 200 * 5.1 + 3200),
        variance=0.6,
        shown=exp,
        least=0.1,
        most=5,
    )
    assert (cause.segment, cause.value) == ("store", "s1")
    assert cause.now / cause.before == pytest.approx(exp(1.1))
