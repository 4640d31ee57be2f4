"""The same past from ClickHouse as from the file: slices of four partitions, written in batches as the sink does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command.backtest_clickhouse import open_results
from schemas import topics
from schemas.errors import UsageError
from schemas.loader import load_map
from sinks.clickhouse import ClickHouse
from sinks.lane import TABLES
from sinks.migrate import migrate
from streams.model.ingest import Ingest
from streams.runtime.partitioner import partitioner
from tests.builders import NOW, record
from tests.command.test_backtest import events, past_of, run
from tests.command.test_backtest import shop as shop

PARTITIONS = 4


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    store = ClickHouse.open(f"chdb://{tmp_path_factory.mktemp('past')}")
    migrate(store)
    yield store
    store.close()


@pytest.fixture(scope="module")
def filled(engine: ClickHouse, shop: Path) -> ClickHouse:
    """What the workers counted of the log, every version of each slice, one batch of it written twice."""
    # Old versions stay beside the new ones, as they do until the engine finds the time.
    engine.command("SYSTEM STOP MERGES corredor.experience_slices")
    corridor, of = load_map(shop / "map.yaml"), partitioner(PARTITIONS)
    workers = [Ingest(partition, corridor, of) for partition in range(PARTITIONS)]
    log: list[list[dict[str, Any]]] = [[] for _ in workers]
    for event in sorted(events(), key=lambda one: str(one["time"])):
        log[of(event["subject"].encode())].append(event)
    for worker, mine in zip(workers, log, strict=True):
        for first in range(0, len(mine), 700):
            chunk = [record(first + place, event) for place, event in enumerate(mine[first : first + 700])]
            worker.apply(topics.EVENTS.name, chunk)
            # History comes at once; afterwards the wall clock lets silence take effect.
            worker.advance(None if first + 700 < len(mine) else NOW + 3600)
            rows = [value for _, _, value in worker.snapshot().slices if not value.startswith(b'{"kind":"heard"')]
            for _ in range(2 if first == 700 else 1):
                engine.insert(TABLES[topics.SLICES.name], b"\n".join(rows))
    return engine


def test_the_same_past_from_clickhouse_gives_the_same_incidents_and_budgets(filled: ClickHouse, shop: Path) -> None:
    from_file = past_of(shop)
    from_store = json.loads(run("-m", shop / "map.yaml", "--clickhouse", filled.dsn, "--json"))
    assert from_store.pop("source") == filled.dsn
    assert from_file.pop("source") == "log.ndjson"
    assert from_store["incidents"] == from_file["incidents"] != []
    assert from_store == from_file


@pytest.mark.parametrize("period", [("--until", "2026-11-16T02:05"), ("--since", "2026-11-16T02:02:30")])
def test_a_part_of_the_past_is_the_same_too(filled: ClickHouse, shop: Path, period: tuple[str, str]) -> None:
    from_store = json.loads(run("-m", shop / "map.yaml", "--clickhouse", filled.dsn, "--json", *period))
    assert {**from_store, "source": ""} == {**past_of(shop, *period), "source": ""}


def test_reading_in_pieces_gives_every_bucket_once_and_in_order(
    filled: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_results(filled)
    whole = list(source.read(source.since, source.until, lambda _: None))
    monkeypatch.setattr("command.backtest_clickhouse._AT_ONCE", 1)
    reached: list[int] = []
    pieces = list(source.read(source.since, source.until, reached.append))
    assert [start for start, _ in pieces] == [start for start, _ in whole] == sorted({start for start, _ in whole})
    assert [len(slices) for _, slices in pieces] == [len(slices) for _, slices in whole]
    assert len(reached) == 4 and reached == sorted(reached), "an hour each"
    assert reached[-1] == source.until


def test_the_folder_of_the_settings_is_read_where_nothing_else_is_named(
    filled: ClickHouse, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORREDOR_CLICKHOUSE", filled.dsn)
    shown = run("-m", shop / "map.yaml", "--until", "2026-11-16T00:05")
    assert shown.startswith(f"{filled.dsn}: ")


class Answers(ClickHouse):
    """A ClickHouse that gives these answers, one after the other."""

    def __init__(self, *answers: list[tuple[Any, ...]]) -> None:
        super().__init__(None, "http://reader:secret@warehouse:8123/corredor")
        self.answers = list(answers)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("answers", "said"), [([[]], "no results of corredor"), ([[(1,)], [(0, 0, 0)]], "no contacts yet")]
)
def test_a_clickhouse_without_results_is_refused_and_its_password_not_told(
    answers: list[list[tuple[Any, ...]]], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        open_results(Answers(*answers))
    assert "secret" not in str(refused.value)
