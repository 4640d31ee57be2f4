"""`corredor repair` in front of ClickHouse: which rejections it reads, what it shows, and what the marks do."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from command import repair, repair_read, repair_view
from command.repair_read import Rejections, Wanted, accepted
from schemas.errors import StopProcess, UsageError
from schemas.rejection import Reason, RejectedEvent
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate, migrations
from sources.repair import Repaired
from sources.repair import repair as repaired
from sources.repair_fix import load_fix
from tests.builders import NOW, event
from tests.sinks.rows import lines, rejected, scored

DOCS = Path(__file__).resolve().parents[2] / "docs" / "repair.md"
FIX = """
def fix(event, rejection):
    if event["data"]["outcome"] == "leave":
        return None
    event["data"]["outcome"] = {"ok": "success"}[event["data"]["outcome"]]
    return event
"""
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """A database that had a rejection before it knew of repairs."""
    store = ClickHouse.open(f"chdb://{tmp_path_factory.mktemp('repair')}")
    migrate(store, migrations()[:8])
    store.insert("rejected_events_landing", lines(rejected(77)))
    migrate(store)
    for migration in migrations():
        if migration.name == "repairs":
            for statement in migration.statements:
                store.command(statement)
    assert store.rows("SELECT offset, repaired FROM corredor.rejections") == [(77, False)], "the migration kept it"
    yield store
    store.close()


@pytest.fixture
def store(engine: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> ClickHouse:
    for table in ("rejected_events", "touchpoint_events"):
        engine.command(f"TRUNCATE TABLE corredor.{table}")
    monkeypatch.setenv("CORREDOR_CLICKHOUSE", engine.dsn)
    return engine


@pytest.fixture
def fix(tmp_path: Path) -> Path:
    file = tmp_path / "fix.py"
    file.write_text(FIX)
    return file


def faulty(offset: int = 0, outcome: str = "ok", **changes: Any) -> RejectedEvent:
    """A rejection for its outcome; `event` changes what was sent, everything else the rejection."""
    sent = event(NOW, **{"id": f"e-{offset}", "data": {"outcome": outcome}} | changes.pop("event", {}))
    fields = {"reason": Reason.UNKNOWN_VALUE, "raw": json.dumps(sent).encode(), "headers": {}, "received_at": NOW}
    return rejected(offset, **(fields | changes))


def given_(store: ClickHouse, *rows: RejectedEvent) -> None:
    store.insert("rejected_events_landing", lines(*rows))


def wanted(store: ClickHouse, limit: int | None = None, **conditions: Any) -> list[RejectedEvent]:
    found = Rejections(store, Wanted(conditions.pop("reason", Reason.UNKNOWN_VALUE), **conditions))
    return [one for batch in found.batches(limit) for one in batch]


def run(fix: Path, **options: Any) -> None:
    names = {"source": None, "since": None, "until": None, "limit": None, "show": 3, "apply": False, "as_json": False}
    repair.command(options.pop("reason", Reason.UNKNOWN_VALUE), fix, **(names | options))


# -- reading ------------------------------------------------------------------------------------------------------


def test_rejections_come_back_byte_for_byte(store: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair_read, "_ROWS", 3)
    monkeypatch.setattr(repair_read, "_KEYS", 2)
    rows = [
        faulty(0, key=None, headers={"a": None, "b": b"\xff\x00", "ñ": b""}, detail="tab\t quote' back\\ end"),
        faulty(0, received_at=NOW + 0.001),
        *(faulty(n, raw=bytes(range(256)) * (n % 3)) for n in range(1, 8)),
        faulty(3, partition=2, raw=None),
    ]
    given_(store, *reversed(rows))
    assert wanted(store) == rows
    assert [one.offset for one in wanted(store, limit=4)] == [0, 0, 1, 2]


def test_a_batch_holds_few_bytes(store: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair_read, "_BYTES", 1000)
    given_(store, *(faulty(n, raw=b"x" * 400) for n in range(5)), faulty(5, raw=b"x" * 5000))
    batches = list(Rejections(store, Wanted(Reason.UNKNOWN_VALUE)).batches(None))
    assert [[one.offset for one in batch] for batch in batches] == [[0, 1], [2, 3], [4], [5]]


def test_only_what_is_asked_for_is_read(store: ClickHouse) -> None:
    given_(
        store,
        faulty(0, event={"source": "it's"}),
        faulty(1, reason=Reason.MISSING),
        faulty(2, received_at=NOW + 60),
        faulty(3, topic="touchpoint.scored"),
        faulty(4, raw=b'{"half": 1, "source": "/till", ', reason=Reason.INVALID_JSON),
        faulty(5, raw=b"{}", headers={"CE_Source": b"binary"}),
    )

    def offsets(**conditions: Any) -> list[int]:
        return [one.offset for one in wanted(store, **conditions)]

    assert offsets() == [0, 2, 5]
    assert offsets(source="it's") == [0]
    assert offsets(source="binary") == [5]
    assert offsets(source="/till", reason=Reason.INVALID_JSON) == [4]
    assert offsets(since=NOW + 60) == [2]
    assert offsets(until=NOW + 60) == [0, 5]
    assert Rejections(store, Wanted(Reason.UNKNOWN_VALUE)).count() == 3


def test_what_is_accepted_already_is_found_by_source_and_id(store: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair_read, "_QUESTION", 30)
    odd = ["a", "quote'", "back\\slash", "nul\0", "line\n", "ñ 客户", "{x:String} %s ?", "; --"]
    store.insert("touchpoint_events", lines(*(scored(n, id=name, source=f"s{name}") for n, name in enumerate(odd))))
    there = {(f"s{name}", name) for name in odd}
    others = {("s", name) for name in odd} | {("sa", "b")}
    assert accepted(store, [*there, *others]) == there
    assert accepted(store, []) == set()


def test_results_that_know_no_repairs_are_refused(store: ClickHouse) -> None:
    store.command("RENAME TABLE corredor.rejections_open TO corredor.elsewhere")
    try:
        with pytest.raises(UsageError, match="corredor migrate"):
            Rejections(store, Wanted(Reason.MISSING))
    finally:
        store.command("RENAME TABLE corredor.elsewhere TO corredor.rejections_open")


# -- marks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (0, 1, 1, 0)])
@pytest.mark.parametrize("merged", [False, True])
def test_a_marked_rejection_is_repaired_in_whatever_order_it_is_written(
    store: ClickHouse, order: tuple[int, ...], merged: bool
) -> None:
    mark = msgspec.structs.replace(faulty(), repaired_at=NOW + 90.25, repair="fix.py")
    for which in order:
        given_(store, (faulty(), mark)[which])
    given_(store, faulty(1))
    if merged:
        store.command("OPTIMIZE TABLE corredor.rejected_events FINAL")
    rows = store.rows(
        "SELECT offset, toUnixTimestamp64Micro(repaired_at) / 1e6, repair, raw FROM corredor.rejections ORDER BY offset"
    )
    assert rows == [
        (0, NOW + 90.25, "fix.py", mark.raw.decode() if mark.raw else ""),
        (1, None, "", rows[1][3]),
    ]
    assert store.rows("SELECT offset FROM corredor.rejections_open") == [(1,)]
    assert [one.offset for one in wanted(store)] == [1]
    counts = store.rows("SELECT reason, source, open, repaired FROM corredor.rejections_by_reason")
    assert counts == [("unknown_value", "shop", 1, 1)]


# -- the command --------------------------------------------------------------------------------------------------


def test_without_apply_the_difference_is_shown_and_nothing_changed(
    store: ClickHouse, fix: Path, capsys: Capture
) -> None:
    given_(store, faulty(0), faulty(1), faulty(2, "leave"))
    store.insert("touchpoint_events", lines(scored(id="e-1", source="shop")))
    before = store.rows("SELECT * FROM corredor.rejections ORDER BY offset")
    run(fix)
    out, err = capsys.readouterr()
    assert (
        'touchpoint.events/0/0  unknown_value: JSON is malformed\n  - data.outcome "ok"\n  + data.outcome "success"'
        in out
    )
    assert "\x1b" not in out
    said = " ".join(err.split())
    assert (
        "3 open unknown_value rejections; 1 would be published; 1 accepted already; 2 would be marked as repaired; "
        "1 left by the fix nothing is changed; --apply does it"
    ) in said
    assert store.rows("SELECT * FROM corredor.rejections ORDER BY offset") == before


def test_what_stays_rejected_is_shown_with_the_reason_and_fails(store: ClickHouse, fix: Path, capsys: Capture) -> None:
    given_(store, faulty(0, "no idea"), faulty(1, event={"subject": ""}), faulty(2), faulty(3, raw=None))
    with pytest.raises(StopProcess, match=r"3 unknown_value rejections stay rejected") as stopped:
        run(fix)
    assert stopped.value.exit_code == 1
    out, err = capsys.readouterr()
    assert "touchpoint.events/0/0  unknown_value: the fix failed: KeyError: 'no idea' (fix.py, line 5)" in out
    assert "touchpoint.events/0/1  out_of_range: Expected `str` of length >= 1 - at `$.subject`" in out
    assert "touchpoint.events/0/3  lost: the message had no value" in out
    assert "1 whose bytes are lost; 1 still out_of_range; 1 still unknown_value" in " ".join(err.split())


def test_the_sums_as_json(store: ClickHouse, fix: Path, capsys: Capture) -> None:
    given_(store, faulty(0), faulty(1, event={"id": "e-0"}), faulty(2, "leave"), faulty(3))
    run(fix, as_json=True, limit=3)
    assert json.loads(capsys.readouterr().out) == {
        "applied": False,
        "read": 3,
        "repaired": 2,
        "published": 1,
        "accepted": 0,
        "again": 1,
        "marked": 0,
        "left": 1,
        "lost": 0,
        "rejected": {},
    }


def test_nothing_open_is_said(store: ClickHouse, fix: Path, capsys: Capture) -> None:
    run(fix)
    assert "no open unknown_value rejections" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reason": Reason.REFUSED_BY_STORE}, "rows of ours that ClickHouse refused"),
        ({"since": "yesterday"}, "--since yesterday: write a date or time"),
        ({"since": "2026-11-22", "until": "2026-11-21T08:00Z"}, "is not after --since"),
    ],
)
def test_options_that_cannot_be_are_refused(fix: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(fix, **options)


# -- the difference -----------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), plain, max_size=3)


@given(objects, objects)
def test_two_events_are_the_same_where_no_difference_is_shown(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(repair_view.difference(one, one)) == []
    shown = list(repair_view.difference(one, other))
    # An empty object that appears has no field to be shown.
    assert bool(shown) or _without_empty(one) == _without_empty(other)
    for path, old, new in shown:
        assert (type(old), old) != (type(new), new), path


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: inner for name, item in value.items() if (inner := _without_empty(item)) != {}}


def test_colours_can_be_turned_off() -> None:
    outcome = repaired(faulty(), lambda event, _: event | {"data": {**event["data"], "outcome": "success"}}, NOW)
    assert isinstance(outcome, Repaired)

    def drawn(**options: Any) -> str:
        console = Console(file=io.StringIO(), force_terminal=True, width=100, **options)
        console.print(repair_view.render_repaired(outcome))
        return str(console.file.getvalue())  # type: ignore[attr-defined]

    assert "\x1b[31m" in drawn()
    assert "\x1b[3" not in drawn(no_color=True)


# -- docs/repair.md -----------------------------------------------------------------------------------------------


def _example(language: str, folder: Path, name: str) -> Path:
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (folder / name).write_text(found)
    return folder / name


def test_the_mapping_of_the_guide_repairs_what_it_says(tmp_path: Path) -> None:
    named = load_fix(_example("yaml", tmp_path, "outcomes.yaml"))
    sent = event(source="/till", time="2026-11-21T11:00:00", note="x", data={"outcome": "nok", "wait": 2.5})
    outcome = repaired(faulty(raw=json.dumps(sent).encode()), named.fix, NOW)
    assert isinstance(outcome, Repaired), outcome
    assert outcome.after == {
        **sent,
        "time": "2026-11-21T10:00:00Z",
        "data": {**sent["data"], "outcome": "failure", "wait_ms": 2500},
    }
    other = repaired(faulty(event={"source": "/web"}), named.fix, NOW)
    assert not isinstance(other, Repaired)
    assert other.kind == "left"


def test_the_script_of_the_guide_repairs_what_it_says(tmp_path: Path) -> None:
    named = load_fix(_example("python", tmp_path, "exporter.py"))
    whole = event(subject="ñandú")
    for cut in (None, -1, -2):
        raw = json.dumps(whole, ensure_ascii=False).encode("latin-1")[:cut]
        outcome = repaired(faulty(raw=raw, reason=Reason.INVALID_JSON), named.fix, NOW)
        assert isinstance(outcome, Repaired), outcome
        assert outcome.after == whole
    assert not isinstance(repaired(faulty(raw=b"nothing"), named.fix, NOW), Repaired)
