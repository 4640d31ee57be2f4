"""Sums of rounded values are the same bits in any order."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from streams.model.exact import exact

values = st.floats(-1000.0, 1000.0)


@given(st.lists(values, max_size=200), st.randoms(use_true_random=False))
def test_the_order_of_a_sum_does_not_change_a_bit(found: list[float], random: object) -> None:
    rounded = [exact(value) for value in found]
    shuffled = list(rounded)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    left = right = 0.0
    for a, b in zip(rounded, shuffled, strict=True):
        left, right = left + a, right + b
    halves = sum(rounded[::2]) + sum(rounded[1::2])
    assert left == right == halves
    assert Fraction(left) == sum((Fraction(value) for value in rounded), Fraction())


@given(st.floats(-(2.0**18), 2.0**18))
def test_a_value_moves_by_at_most_half_a_step(value: float) -> None:
    rounded = Fraction(exact(value))
    assert rounded % Fraction(1, 2**32) == 0
    assert abs(rounded - Fraction(value)) <= Fraction(1, 2**33)
    assert exact(float(rounded)) == float(rounded)
