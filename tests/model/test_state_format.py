"""Formats of the state: what is old is brought to today's, what is newer is refused."""

import pytest

from schemas.errors import StopProcess
from streams.model.state_format import DETECT, FIRST, INGEST, KEY, Records, StateFormat


def _longer(key: bytes, value: bytes) -> Records:
    """Format 2: one more byte in every value."""
    return [(key, value + b"2")]


def _split(key: bytes, value: bytes) -> Records:
    """Format 3: what was under `ab` is under `a` and `b`, and `gone` is nowhere."""
    if key == b"ab":
        return [(b"a", value), (b"b", value)]
    return [] if key == b"gone" else [(key, value)]


THIRD = StateFormat("topic", (_longer, _split))


def test_each_old_format_goes_through_all_steps_after_it() -> None:
    records = [(b"ab", b"x"), (b"gone", b"y"), (b"c", b"z")]
    split = {b"ab": None, b"gone": None}
    assert THIRD.number == 3
    assert THIRD.upgraded(1, records) == split | {b"a": b"x2", b"b": b"x2", b"c": b"z2"}
    assert THIRD.upgraded(2, records) == split | {b"a": b"x", b"b": b"x"}, "what stays the same is not written again"
    assert THIRD.upgraded(3, records) == {}


def test_state_without_a_label_is_of_the_first_format() -> None:
    assert THIRD.found(None) == FIRST
    assert THIRD.found(b"2") == 2
    assert THIRD.label == (KEY, b"3")


@pytest.mark.parametrize("label", [b"4", b"0", b"", b"x", b"-1"])
def test_a_format_that_is_not_known_is_refused_and_says_what_to_do(label: bytes) -> None:
    with pytest.raises(StopProcess, match=r"this version knows 1 to 3.*Start that version again"):
        THIRD.found(label)


@pytest.mark.parametrize("form", [INGEST, DETECT])
def test_no_record_of_the_state_has_the_key_of_the_label(form: StateFormat) -> None:
    """Kinds are told apart by their first byte; an older program passes over one that it does not know."""
    kinds = {INGEST.topic: b"stjlp", DETECT.topic: b"psbdcht"}[form.topic]
    assert KEY[0] not in kinds
