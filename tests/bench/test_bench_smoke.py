"""Tiny runs of the bench: it works, it checks its results, and it does not deceive itself."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import ingest, latency
from bench.auc import TOO_GOOD, component, mean_x, memory, punctuality, separation
from bench.contest import BY_HAND, MINIMAL, OWN, Result, check
from bench.feed import Feed, first, simulated
from bench.journeys import Journey, read
from bench.rank import auc
from bench.report import put
from schemas.errors import StopProcess, UsageError

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "olist"
VALUES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=20)


@pytest.mark.slow
def test_worker_and_loop_by_hand_agree_on_every_slice() -> None:
    said: list[str] = []
    text, values = ingest.measure(2000, 1, "embedded", said.append, (OWN, BY_HAND, MINIMAL))
    assert "equal to the last bit" in text
    assert '"contestant": "own"' in values
    assert any(OWN.label in line for line in said)


def test_every_published_event_is_found_in_clickhouse_and_timed() -> None:
    latencies, interval = latency.run(rate=200, seconds=2, cluster="embedded")
    assert 0 < latencies[0] <= latencies[-1] < 60
    assert interval > 0
    assert len(latencies) == 300, "the first quarter warms up"


@pytest.fixture(scope="module")
def feed() -> Feed:
    return simulated(200)


def test_a_contestant_that_loses_an_event_is_an_error(feed: Feed) -> None:
    counts = feed.counts.copy()
    counts[next(iter(counts))] -= 1
    with pytest.raises(StopProcess, match="counted wrong"):
        check([Result(MINIMAL, 200, 1.0, 1.0, 1, 1.0, counts, {})], feed, first(feed, 10))


def test_the_first_part_of_a_feed_counts_only_itself(feed: Feed) -> None:
    assert first(feed, 20).counts.total() == 20
    assert feed.counts.total() == 200 >= feed.distinct.total()


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [latency.quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]


@given(VALUES, VALUES)
def test_auc_is_the_share_of_pairs_won_with_ties_as_half(low: list[float], high: list[float]) -> None:
    won = [1.0 if a < b else 0.5 if a == b else 0.0 for a in low for b in high]
    found = auc(np.array(low), np.array(high))
    assert found.value == pytest.approx(sum(won) / len(won))
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(VALUES, VALUES)
def test_a_weight_of_two_is_a_member_twice(low: list[float], high: list[float]) -> None:
    doubled = auc(np.array(low + low[:1]), np.array(high))
    weights = np.array([2.0] + [1.0] * (len(low) - 1))
    assert auc(np.array(low), np.array(high), weights).value == pytest.approx(doubled.value)


def test_writing_tables_again_replaces_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nafter\n")
    put(page, "x", r"new \1")
    put(page, "x", r"new \1")
    assert page.read_text() == "before\n<!-- bench:x -->\nnew \\1\n<!-- /bench:x -->\nafter\n"
    with pytest.raises(UsageError, match="needs the markers"):
        put(page, "y", "new")


@pytest.fixture(scope="module")
def journeys() -> list[Journey]:
    return read([SHARED])


@pytest.mark.shared
def test_default_weights_tell_unhappy_customers_from_others_without_a_leak(journeys: list[Journey]) -> None:
    found, count = separation(journeys, mean_x)
    assert count > 10_000
    assert 0.75 <= found.value <= TOO_GOOD
    assert found.value > separation(journeys, punctuality)[0].value
    assert 0.5 < separation(journeys, memory)[0].value <= TOO_GOOD


@pytest.mark.shared
def test_neither_ratings_nor_the_survey_take_part(journeys: list[Journey]) -> None:
    contacts = [contact for journey in journeys for contact in journey.contacts]
    assert not [contact for contact in contacts if contact.touchpoint.startswith("survey")]
    assert all(contact.experience.rating is None for contact in contacts)
    with pytest.raises(UsageError, match="both kinds"):
        separation(journeys, component("rating"))
