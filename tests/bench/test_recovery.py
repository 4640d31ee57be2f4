"""Tiny runs of the recovery bench: what was written comes back, and the figures are what they say."""

from pathlib import Path

import msgspec
import pytest

from bench import recovery
from bench.recovery import Log
from bench.restored import Restored
from bench.state_feed import records
from schemas.errors import StopProcess
from streams.runtime.partitioner import partitioner


def test_the_feed_has_exactly_the_journeys_asked_for_each_in_its_partition() -> None:
    partition_of = partitioner(4)
    batches = list(records(300, 4, 100))
    assert [batch.journeys for batch in batches] == sorted(batch.journeys for batch in batches)
    assert batches[-1].journeys == 300
    for partition in range(4):
        found = [record for batch in batches for record in batch.records.get(partition, [])]
        assert [record.offset for record in found] == list(range(len(found)))
        assert {partition_of(record.key or b"") for record in found} == {partition}
    for batch in batches[:-1]:
        assert sum(map(len, batch.records.values())) == 100


def test_all_journeys_written_through_checkpoints_come_back() -> None:
    said: list[tuple[int, str]] = []
    text, values = recovery.measure(100, 60, 1, "embedded", lambda *told: said.append(told))
    found = msgspec.json.decode(values)
    log, (run, on_disk) = found["log"], found["runs"]
    assert (run["store"], on_disk["store"]) == recovery.STORES
    assert log["journeys"] == log["journey_records"] == run["journeys"] == on_disk["journeys"] == 100
    assert log["fed"] == 60
    assert log["records"] >= log["live"] >= log["journeys"] + log["slices"]
    assert 0 < log["journey_bytes"] < log["live_bytes"]
    assert run["slices"] == log["slices"] and 0 < run["before"] <= run["peak"] and run["seconds"] > 0
    assert "100 open journeys" in text and "does not apply to 100" in text
    assert said[-1] == (100, "restore 1 of 1, rocksdb")


def test_a_restore_that_brings_less_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "restore", lambda _: Restored(1.0, 1.0, 1, 2, 3, 49, 0))
    with pytest.raises(StopProcess, match="49 and 0 came back"):
        recovery.measure(50, 50, 1, "embedded", lambda *_: None)


@pytest.mark.parametrize(("seconds", "verdict"), [(9.5, "reached"), (10.5, "**missed**")])
def test_the_goal_is_judged_by_the_median_of_a_million(seconds: float, verdict: str) -> None:
    log = Log(1_000_000, 10, 5_000_000, 9, 8, 700, 7, 600)
    runs = [Restored(each, 1.0, 2**20, 2**21, 2**22, 1_000_000, 10) for each in (1.0, seconds, 99.0)]
    runs += [Restored(500.0, 1.0, 2**20, 2**21, 2**22, 1_000_000, 10, "rocksdb")] * 4
    text = recovery._markdown(log, runs, "a cluster")
    assert f"median {seconds:.2f} s: {verdict}" in text


def test_the_page_has_a_place_for_it() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "performance.md").read_text()
    assert page.count("<!-- bench:recovery -->") == page.count("<!-- /bench:recovery -->") == 1
