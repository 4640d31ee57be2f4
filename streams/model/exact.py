"""Sums that do not depend on order.

Float addition is not associative, so the same events in another order would give another last bit. Every value that
is summed is first rounded to a multiple of 2^-32 (an error of at most 1.2e-10). Sums of such numbers are exact in a
double as long as they stay below 2^21, about two million: any order, any batching, any merge gives the same bits.
"""

#: Adding and subtracting 1.5 * 2^20 leaves a double with a resolution of 2^-32 (round half to even).
SHIFT = 1.5 * 2.0**20


def exact(value: float) -> float:
    """`value` rounded to the nearest multiple of 2^-32; for |value| < 2^18."""
    return (value + SHIFT) - SHIFT
