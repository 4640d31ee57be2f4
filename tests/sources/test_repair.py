"""A fix and a rejection: what becomes of it, what is kept as it was, and what stays rejected and why."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.errors import UsageError
from schemas.rejection import CUT, Reason, RejectedEvent
from sources.privacy import Edge
from sources.repair import Fix, Repaired, Unrepaired, repair
from sources.repair_fix import Named, load_fix
from streams.runtime.settings import Settings
from tests.builders import NOW, event

MAPPING = """
mapping: outcomes
timezone: Europe/Madrid
tables:
  rejected:
    common:
      id: "{id}"
      source: "{source}"
      subject: "{subject}"
      time: time
      touchpoint: "{data.touchpoint}"
      outcome: {column: data.outcome, map: {ok: success, ko: failure}}
      segment: {region: unknown}
    events:
      - when: [{column: rejection.reason, is: unknown_value}]
        wait_ms: {column: data.wait_s, times: 1000}
"""


def rejection(
    raw: dict[str, Any] | bytes | None, reason: Reason = Reason.UNKNOWN_VALUE, **changes: Any
) -> RejectedEvent:
    fields: dict[str, Any] = {
        "reason": reason,
        "detail": "Invalid enum value 'ok' - at `$.data.outcome`",
        "topic": "touchpoint.events",
        "partition": 1,
        "offset": 7,
        "received_at": NOW,
        "key": b"customer-1",
        "raw": json.dumps(raw).encode() if isinstance(raw, dict) else raw,
    }
    return RejectedEvent(**(fields | changes))


def written(folder: Path, text: str, name: str = "fix.py") -> Named:
    (folder / name).write_text(text)
    return load_fix(folder / name)


def after(outcome: Repaired | Unrepaired) -> dict[str, Any]:
    assert isinstance(outcome, Repaired), outcome
    assert json.loads(outcome.value) == outcome.after
    return outcome.after


def why(outcome: Repaired | Unrepaired) -> tuple[str, str, str]:
    assert isinstance(outcome, Unrepaired), outcome
    return outcome.kind, outcome.reason, outcome.detail


def same(event: dict[str, Any], _: RejectedEvent) -> dict[str, Any]:
    return event


@pytest.fixture
def mapping(tmp_path: Path) -> Named:
    return written(tmp_path, MAPPING, "outcomes.yaml")


# -- mappings -----------------------------------------------------------------------------------------------------


def test_what_a_mapping_names_is_as_it_says_and_everything_else_stays(mapping: Named) -> None:
    old = event(
        tenant="brand",
        note="kept",
        data={"outcome": "ok", "wait_s": 2, "rating": {"value": 3, "min": 1, "max": 5}, "segment": {"carrier": "x"}},
    )
    new = after(repair(rejection(old), mapping.fix, NOW))
    expected = json.loads(json.dumps(old))
    expected["data"] |= {"outcome": "success", "wait_ms": 2000, "segment": {"carrier": "x", "region": "unknown"}}
    expected["time"] = new["time"]
    assert new == expected
    assert mapping.name == "outcomes"


def test_a_field_that_a_mapping_names_and_does_not_make_is_gone(mapping: Named) -> None:
    old = event(data={"outcome": "ko", "wait_ms": -1})
    assert after(repair(rejection(old), mapping.fix, NOW))["data"] == {
        "touchpoint": "web.checkout",
        "outcome": "failure",
        "segment": {"region": "unknown"},
    }


def test_a_naive_time_belongs_to_the_zone_of_the_mapping(mapping: Named) -> None:
    old = event(time="2026-11-21T11:00:00", data={"outcome": "ok"})
    assert after(repair(rejection(old), mapping.fix, NOW))["time"] == "2026-11-21T10:00:00Z"


def test_a_rejection_that_no_condition_holds_for_is_left(mapping: Named) -> None:
    outcome = repair(rejection(event(), Reason.MISSING), mapping.fix, NOW)
    assert why(outcome)[0] == "left"


def test_what_a_mapping_cannot_map_stays_rejected_with_its_words(mapping: Named) -> None:
    outcome = repair(rejection(event(data={"outcome": "perhaps"})), mapping.fix, NOW)
    assert why(outcome) == (
        "rejected",
        "unknown_value",
        "`data.outcome` is 'perhaps', which the mapping does not name",
    )


def test_headers_bytes_and_arrival_are_columns(tmp_path: Path) -> None:
    text = """
mapping: from-nothing
tables:
  rejected:
    events:
      - id: "{rejection.headers.ce_id}"
        source: "{rejection.headers.x-sender}"
        subject: "{rejection.key}"
        time: rejection.received_at
        touchpoint: web.checkout
        outcome: pending
        change: "{rejection.raw}"
        journey: "{rejection.partition}:{rejection.offset}"
"""
    headers = {"CE_id": b"7", "X-Sender": b"shop", "ce_subject": b"\xff"}
    found = rejection(b"{half", Reason.INVALID_JSON, headers=headers)
    new = after(repair(found, written(tmp_path, text, "fix.yaml").fix, NOW))
    assert (new["id"], new["source"], new["subject"], new["time"]) == (
        "7",
        "shop",
        "customer-1",
        "2026-11-21T10:00:00Z",
    )
    assert new["data"] == {"touchpoint": "web.checkout", "outcome": "pending", "change": "{half", "journey": "1:7"}


def test_a_tenant_is_only_set_by_a_mapping_that_names_one(tmp_path: Path) -> None:
    other = written(tmp_path, MAPPING.replace("timezone:", "tenant: outlet\ntimezone:"), "tenant.yaml")
    old = rejection(event(tenant="brand", data={"outcome": "ok"}))
    assert after(repair(old, other.fix, NOW))["tenant"] == "outlet"


def test_two_events_of_one_rejection_are_none(tmp_path: Path) -> None:
    two = MAPPING + "      - {wait_ms: 1}\n"
    outcome = repair(rejection(event(data={"outcome": "ok"})), written(tmp_path, two, "two.yaml").fix, NOW)
    assert "makes 2 events" in why(outcome)[2]


@pytest.fixture(scope="module")
def renames(tmp_path_factory: pytest.TempPathFactory) -> Named:
    """A mapping that names nothing but what it must."""
    text = """
mapping: renames
tables:
  rejected:
    events:
      - {id: "{id}", source: "{source}", subject: "{subject}", time: time, touchpoint: "{data.touchpoint}",
         outcome: failure}
"""
    return written(tmp_path_factory.mktemp("renames"), text, "renames.yaml")


@given(
    st.dictionaries(st.text().map("x-{}".format), st.integers() | st.text() | st.booleans(), max_size=4),
    st.dictionaries(st.text().map("x-{}".format), st.text(), max_size=4),
)
def test_fields_that_nobody_knows_survive_a_mapping(
    renames: Named, extra: dict[str, Any], more: dict[str, str]
) -> None:
    old = {**extra, **event()}
    old["data"] = {**more, **event(data={"outcome": "x"})["data"]}
    new = after(repair(rejection(old), renames.fix, NOW))
    assert {**new, "data": None, "time": None} == {**old, "data": None, "time": None}
    assert new["data"] == {**old["data"], "outcome": "failure"}


# -- scripts ------------------------------------------------------------------------------------------------------


def test_a_script_gets_the_event_and_the_rejection(tmp_path: Path) -> None:
    script = written(
        tmp_path,
        "def fix(event, rejection):\n"
        "    event['data']['outcome'] = 'failure'\n"
        "    event['data']['change'] = f'{rejection.reason}@{rejection.offset}'\n"
        "    return event\n",
    )
    outcome = repair(rejection(event(data={"outcome": "ok"})), script.fix, NOW)
    assert after(outcome)["data"] == {"touchpoint": "web.checkout", "outcome": "failure", "change": "unknown_value@7"}
    assert isinstance(outcome, Repaired)
    assert outcome.before["data"]["outcome"] == "ok", "the script worked on its own copy"
    assert (outcome.key, outcome.identity, script.name) == (b"customer-1", ("shop", "id-1"), "fix.py")


def test_a_script_may_read_bytes_that_are_no_json(tmp_path: Path) -> None:
    script = written(
        tmp_path,
        "import json\ndef fix(event, rejection):\n    assert event == {}\n"
        "    return json.loads(rejection.raw.decode('latin-1').rstrip(','))\n",
    )
    raw = json.dumps(event(subject="ñandú"), ensure_ascii=False).encode("latin-1") + b","
    assert after(repair(rejection(raw, Reason.INVALID_UTF8), script.fix, NOW))["subject"] == "ñandú"


def test_a_script_that_gives_none_leaves_it(tmp_path: Path) -> None:
    assert (
        why(repair(rejection(event()), written(tmp_path, "def fix(event, rejection): return None").fix, NOW))[0]
        == "left"
    )


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ("return event['nothing']", "unknown_value", r"the fix failed: KeyError: 'nothing' (fix.py, line 2)"),
        ("return 5", "wrong_type", "the fix gives int, not a dict or None"),
        ("return {'a': object()}", "wrong_type", "no JSON"),
        ("return event | {'subject': '\\ud800'}", "invalid_utf8", "surrogates"),
        ("return event | {'data': {}}", "missing", "`touchpoint`"),
        ("return event | {'time': '2026-11-21T10:00:00'}", "naive_time", "timezone"),
        ("return event | {'time': '2027-01-01T00:00:00Z'}", "future_time", "after its arrival"),
        ("return event | {'note': 'x' * 70000}", "too_large", "65536"),
    ],
)
def test_what_a_script_does_wrongly_is_said(tmp_path: Path, body: str, reason: str, words: str) -> None:
    outcome = repair(rejection(event()), written(tmp_path, f"def fix(event, rejection):\n    {body}\n").fix, NOW)
    kind, got, detail = why(outcome)
    assert (kind, got) == ("rejected", reason)
    assert words in detail


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("fix.py", "def repair(event, rejection): ...", "no function `fix"),
        ("fix.py", "\nimport no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (fix.py, line 2)"),
        ("fix.py", "def fix(:", "SyntaxError"),
        ("fix.txt", "", r"give a mapping (.yaml) or a Python file"),
        ("fix.yaml", "mapping: x\ntables: {a: {files: [a]}}", "no table yields an event"),
        (
            "two.yaml",
            MAPPING + MAPPING[MAPPING.index("  rejected") :].replace("rejected:", "other:", 1),
            "has the tables",
        ),
    ],
)
def test_a_fix_that_cannot_be_used_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        written(tmp_path, text, name)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["none.py", "none.yaml"])
def test_a_fix_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        load_fix(tmp_path / name)


# -- the same event -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["source", "id"])
def test_the_identity_of_a_readable_event_stays(name: str) -> None:
    outcome = repair(rejection(event()), lambda event, _: event | {name: "other"}, NOW)
    assert f"changes `{name}`" in why(outcome)[2]


@pytest.mark.parametrize("old", [None, "", 17, "x" * 257])
@pytest.mark.parametrize("name", ["source", "id"])
def test_an_identity_that_is_missing_or_faulty_may_be_given(name: str, old: object) -> None:
    outcome = repair(rejection(event() | {name: old}), lambda event, _: event | {name: "new"}, NOW)
    assert after(outcome)[name] == "new"


def test_binary_mode_is_repaired_as_a_whole_event() -> None:
    headers = {f"ce_{name}": str(value).encode() for name, value in event().items() if name not in ("data", "subject")}
    found = rejection(json.dumps(event()["data"]).encode(), Reason.MISSING, headers=headers)
    assert after(repair(found, lambda event, _: event | {"subject": "c"}, NOW)) == event(subject="c")
    changed = repair(found, lambda event, _: event | {"subject": "c", "id": "9"}, NOW)
    assert "changes `id` from 'id-1'" in why(changed)[2]


def test_a_repaired_event_passes_the_edge() -> None:
    edge = Edge.of(Settings(pseudonym_key=SecretStr("0123456789abcdef"), personal_data="refuse"))
    found = rejection(event(data={"outcome": "ok"}))

    def fix(note: str) -> Fix:
        return lambda event, _: event | {"data": {**event["data"], "outcome": "success", "note": note}}

    first = after(repair(found, fix("none"), NOW, edge))
    assert first["subject"].startswith("ps_")
    again = repair(rejection(first | {"data": {**first["data"], "outcome": "ok"}}), fix("none"), NOW, edge)
    assert after(again)["subject"] == first["subject"], "a pseudonym is never hashed again"
    assert isinstance(again, Repaired)
    assert again.key == first["subject"].encode()
    assert why(repair(found, fix("write to ana@correo.es"), NOW, edge))[1] == "personal_data"


@pytest.mark.parametrize(
    ("changes", "path"), [({"subject": "[e-mail]"}, "subject"), ({"data": {"journey": "o-[phone]"}}, "data.journey")]
)
def test_nobody_is_called_by_a_mask(changes: dict[str, Any], path: str) -> None:
    kind, _, detail = why(repair(rejection(event(**changes), Reason.PERSONAL_DATA), same, NOW))
    assert (kind, detail.split(" was masked")[0]) == ("lost", f"`{path}`")


def test_a_mask_in_another_field_is_as_good_as_any_text() -> None:
    found = rejection(event(data={"note": "call [phone]"}), Reason.PERSONAL_DATA)
    assert after(repair(found, same, NOW))["data"]["note"] == "call [phone]"


def test_an_event_that_has_become_right_needs_no_change() -> None:
    late = rejection(event(NOW + 4000), Reason.FUTURE_TIME)
    assert why(repair(late, same, NOW))[1] == "future_time"
    assert after(repair(late, same, NOW + 4000))["id"] == "id-1"


@pytest.mark.parametrize(
    ("raw", "reason", "detail", "words"),
    [
        (None, Reason.EMPTY, "the message has no value", "nothing to repair"),
        (b"", Reason.EMPTY, "the message has an empty value", "nothing to repair"),
        (b"{" * 9, Reason.TOO_LARGE, f"8,000,000 bytes ({CUT}: cut)", "only the first 9 bytes were kept"),
    ],
)
def test_what_has_lost_its_bytes_is_said(raw: bytes | None, reason: Reason, detail: str, words: str) -> None:
    kind, _, said = why(repair(rejection(raw, reason, detail=detail), same, NOW))
    assert kind == "lost"
    assert words in said
