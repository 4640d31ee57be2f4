from hypothesis import given
from hypothesis import strategies as st

from sinks.clickhouse import ClickHouse
from sinks.retriable import LONGEST_S, REFUSING, RETRIABLE, Backoff


def test_names_and_codes_are_those_of_the_engine(engine: ClickHouse) -> None:
    known = dict(engine.rows("SELECT code, name FROM system.errors SETTINGS system_events_show_zero_values = 1"))
    for code, name in (RETRIABLE | REFUSING).items():
        assert known[code] == name


def test_no_code_is_both_retried_and_refused() -> None:
    assert not RETRIABLE.keys() & REFUSING.keys()


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
def test_waits_grow_to_ten_seconds_and_stay_within_their_bounds(draws: list[float]) -> None:
    given_ = iter(draws)
    backoff = Backoff(lambda: next(given_))
    waits = [backoff.delay() for _ in draws]
    for attempt, wait in enumerate(waits):
        ceiling = min(0.1 * 2**attempt, LONGEST_S)
        assert ceiling / 2 <= wait <= ceiling
