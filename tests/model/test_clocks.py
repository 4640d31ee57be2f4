"""Event time: the watermark of a partition, and sources that fall silent."""

from hypothesis import given
from hypothesis import strategies as st

from streams.model.clocks import FORGET_S, IDLE_S, SourceClock, forget_silent, watermark

clocks = st.dictionaries(
    st.text(max_size=3), st.builds(SourceClock, st.floats(0, 2e9), st.floats(0, 2e9)), min_size=1, max_size=6
)


def test_without_sources_there_is_no_watermark() -> None:
    assert watermark([]) is None


def test_the_slowest_live_source_holds_the_watermark() -> None:
    assert watermark([SourceClock(100.0, 500.0), SourceClock(40.0, 499.0)]) == 40.0


def test_an_idle_source_holds_nothing_back() -> None:
    late = [SourceClock(100.0, 500.0), SourceClock(40.0, 500.0 - IDLE_S - 0.001)]
    assert watermark(late) == 100.0
    assert watermark([*late, SourceClock(40.0, 500.0 - IDLE_S)]) == 40.0


@given(clocks)
def test_the_watermark_is_never_after_the_source_heard_last(sources: dict[str, SourceClock]) -> None:
    mark = watermark(sources.values())
    newest = max(sources.values(), key=lambda clock: clock.seen_at)
    assert mark is not None and mark <= newest.newest
    assert mark in {clock.newest for clock in sources.values()}


@given(clocks)
def test_forgetting_silent_sources_changes_no_watermark(sources: dict[str, SourceClock]) -> None:
    before = watermark(sources.values())
    forget_silent(sources)
    assert watermark(sources.values()) == before
    seen = [clock.seen_at for clock in sources.values()]
    assert max(seen) - min(seen) <= FORGET_S


def test_a_source_is_forgotten_after_a_day_of_silence() -> None:
    sources = {
        "a": SourceClock(0.0, 2 * FORGET_S),
        "b": SourceClock(0.0, FORGET_S),
        "c": SourceClock(0.0, FORGET_S - 1),
    }
    forget_silent(sources)
    assert set(sources) == {"a", "b"}
    forget_silent({})
