from hypothesis import given
from hypothesis import strategies as st

from sources.mapping_order import TimeOrder

EVENTS = st.lists(st.tuples(st.integers(-(2**62), 2**62), st.binary(max_size=30), st.binary(max_size=200)), max_size=60)
FEW_TIMES = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=3), st.binary(max_size=3)), max_size=60)


@given(events=EVENTS | FEW_TIMES, run_bytes=st.sampled_from([1, 700, 3000, 10**9]))
def test_events_come_in_order_of_time_then_of_arrival_however_they_are_spilled(
    events: list[tuple[int, bytes, bytes]], run_bytes: int
) -> None:
    order = TimeOrder(run_bytes)
    for event in events:
        order.add(*event)
    expected = [(time, place, key, value) for place, (time, key, value) in enumerate(events)]
    expected.sort(key=lambda record: record[:2])
    assert [tuple(record) for record in order] == expected
    assert [tuple(record) for record in order] == expected, "a second reading gives the same"
    times = [time for time, _, _ in events]
    assert (order.count, order.first_us, order.last_us) == (
        len(events),
        min(times, default=None),
        max(times, default=None),
    )
    order.close()
