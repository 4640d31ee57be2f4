"""What looks personal in places where nothing personal belongs: e-mail addresses, phone numbers, payment card numbers.

Free are names and values of `segment`, names of `aspects`, `change`, and every unknown field at any depth; `subject`,
`journey`, `correlationid` and `causationid` are pseudonyms and hold no e-mail address and no phone number. `id` and
`source` may look as they like (a mail's Message-ID is an id); so may paths that are allowed.

Most events are let through by a quick look at their bytes; only what is suspicious is decoded and walked.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from schemas.errors import RejectEvent
from schemas.rejection import Reason
from streams.model.decode import UnreadableValue
from streams.model.personal_text import KINDS, Finder, Kind
from streams.model.upgrade import upgraded

Headers = Iterable[tuple[str, bytes | None]]

#: Attributes that may look as they like.
_EXEMPT = frozenset(
    (
        *("specversion", "id", "source", "type", "time", "recordedtime", "datacontenttype", "dataschema"),
        *("traceparent", "tracestate"),
    )
)
#: Identifiers: any number may be one.
_PSEUDONYMS = frozenset(("subject", "correlationid", "causationid", "data.journey"))
_PSEUDONYM_KINDS: tuple[Kind, ...] = ("e-mail", "phone")
#: Numbers that the contract knows: amounts and counts, of any size.
_NUMBERS = frozenset(
    f"data.{name}"
    for name in (
        *("wait_ms", "active_ms", "attempts", "transfers", "queue_depth", "servers", "audience", "value.amount_minor"),
        *("expectation.expected", "expectation.actual", "expectation.tolerance"),
        *("rating.value", "rating.min", "rating.max"),
    )
)
_SAID: dict[Kind, str] = {"e-mail": "an e-mail address", "phone": "a phone number", "card": "a payment card number"}

#: What stands in the place of a whole name that was masked.
MASKED = frozenset(f"[{kind}]" for kind in KINDS)

#: Digits become 0, and what may stand between those of one number goes: one search finds any long number.
_SHAPE = bytes.maketrans(b"123456789", b"000000000")
_BETWEEN: Final = b" -()/"
_LONG: Final = b"0" * 13
_FRACTION: Final = b"0." + _LONG
_CARD: Final = b"0" * 14
_PLUS = re.compile(rb"\+[ (]{0,2}\d(?:[ ().\-/\\]{0,3}\d){6}")
_NATIONAL = re.compile(rb"\(\d{2,3}\) ?\d{3}")
_ESCAPED = re.compile(rb"%40|%2[Bb]")
#: No issuer's numbers begin otherwise; epoch milliseconds begin with 1.
_ISSUED: Final = b"23456"
_GROUPS: Final = (b"0000 0000 0000 00", b"0000-0000-0000-00", b"0000 000000 0000", b"0000-000000-0000")
_DIALLED = re.compile(rb"00 ?[1-9]\d{0,2}[ /().-]{1,2}\d")
#: ASCII in disguise.
_UNICODE = re.compile(rb"\\u00[2-7]")

_encode = msgspec.json.Encoder().encode


def suspicious(value: bytes) -> bool:
    """Whether anything in these bytes may look personal; a quick look that errs on the side of yes.

    `64 in value` is how bytes are searched for `@` without an exception inside.
    """
    if 64 in value:
        return True
    if 43 in value and _PLUS.search(value) is not None:
        return True
    if 40 in value and _NATIONAL.search(value) is not None:
        return True
    if 37 in value and _ESCAPED.search(value) is not None:
        return True
    if 92 in value and _UNICODE.search(value) is not None:
        return True
    shape = value.translate(_SHAPE, _BETWEEN)
    if shape.find(_LONG) >= 0 and shape.replace(_FRACTION, b"0.").find(_LONG) >= 0:
        return _long_number(value)
    return value.find(b"base64") >= 0


def _long_number(value: bytes) -> bool:
    """Whether a long run of digits, or groups of them, may be a card's or a phone's number."""
    shape = value.translate(_SHAPE)
    at = shape.find(_CARD)
    while at >= 0:
        end = at + len(_CARD)
        while shape[end : end + 1] == b"0":
            end += 1
        # Of a fraction, or longer than any: none.
        if end - at <= 19 and value[at] in _ISSUED and value[at - 1 : at] != b".":
            return True
        at = shape.find(_CARD, end)
    return any(shape.find(group) >= 0 for group in _GROUPS) or _DIALLED.search(value) is not None


def in_headers(headers: Headers) -> bool:
    """Whether the attributes stand in headers (binary mode), so that the value is the data."""
    found = False
    for name, content in headers:
        lower = name.lower()
        if lower == "content-type" and (content or b"").lower().startswith(b"application/cloudevents"):
            return False
        found = found or lower.startswith("ce_")
    return found


def document(value: bytes, headers: Headers) -> dict[str, Any]:
    """The whole event as plain data, of an old version as the current one has it.

    Raises RejectEvent if it is no event, ValueError (msgspec's errors are of that kind) or RecursionError for JSON that
    cannot be read.
    """
    found: object = msgspec.json.decode(value)
    if in_headers(headers):
        lower = ((name.lower(), content) for name, content in headers)
        attributes = {name[3:]: (content or b"").decode() for name, content in lower if name.startswith("ce_")}
        found = {**attributes, "data": found}
    if not isinstance(found, dict):
        raise RejectEvent(Reason.WRONG_TYPE, "Expected `object` - at `$`")
    return upgraded(found) or found


class PersonalData:
    """What is refused as personal. `allowed` are paths, such as `data.segment.order`, that may look so."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(path for path in allowed if path)

    def check(self, value: bytes, headers: Headers) -> None:
        """Raises RejectEvent that says which field looks like what, but not the value. `value` is an event's JSON."""
        if not suspicious(value) and not (headers and _suspicious_headers(headers)):
            return
        finder = Finder()
        try:
            whole = document(value, headers)
        except (ValueError, RecursionError):
            # A typed decoder has read it: what is unreadable stands in unknown fields.
            if found := finder.find(value.decode("latin-1")):
                raise _refusal("", found[0].kind) from None
            return
        self._walk(whole, "", _refuser(finder))

    def masked(self, value: bytes | None, headers: Headers) -> bytes | None:
        """The value of a rejected record with what looks personal replaced by `[e-mail]`, `[phone]` or `[card]`.

        What holds nothing of the kind stays byte for byte. What is no JSON is masked wherever it looks personal.
        """
        if value is None or type(value) is UnreadableValue or not suspicious(value):
            return value
        try:
            whole = document(value, headers)
        except (ValueError, RecursionError, RejectEvent):
            return masked_bytes(value)
        masker = _Masker()
        clean = self._walk(whole, "", masker)
        if not masker.changed:
            return value
        return _encode(clean["data"] if in_headers(headers) else clean)

    def masked_headers(self, headers: Headers) -> dict[str, bytes | None]:
        """The headers likewise; attributes that are exempt stay."""
        clean = {}
        for name, content in headers:
            path = name.lower().removeprefix("ce_")
            free = name.lower().startswith("ce_") and (path in _EXEMPT or path in self._allowed)
            clean[name] = content if content is None or free else masked_bytes(content)
        return clean

    def _walk(self, value: Any, path: str, visit: Callable[[str, str, tuple[Kind, ...]], str]) -> Any:
        """The value again, with every name and text in it as `visit(path, text, kinds)` gives it back."""
        if path in _EXEMPT or path in self._allowed:
            return value
        kind = type(value)
        if kind is dict:
            clean: dict[str, Any] = {}
            for name, inner in value.items():
                below = f"{path}.{name}" if path else name
                new = name if below in self._allowed else visit(path, name, KINDS)
                while new in clean:
                    new += "'"
                clean[new] = self._walk(inner, below, visit)
            return clean
        if kind is list:
            return [self._walk(inner, path, visit) for inner in value]
        if kind is str:
            return visit(path, value, _PSEUDONYM_KINDS if path in _PSEUDONYMS else KINDS)
        if kind is int and path not in _NUMBERS:
            text = str(value)
            new = visit(path, text, ("card",))
            return value if new == text else new
        return value


class _Masker:
    """Replaces what looks personal; `changed` says whether there was any."""

    def __init__(self) -> None:
        self._finder = Finder()
        self.changed = False

    def __call__(self, path: str, text: str, kinds: tuple[Kind, ...]) -> str:
        new = self._finder.mask(text, kinds)
        self.changed = self.changed or new != text
        return new


def _refuser(finder: Finder) -> Callable[[str, str, tuple[Kind, ...]], str]:
    def visit(path: str, text: str, kinds: tuple[Kind, ...]) -> str:
        if found := finder.find(text, kinds):
            raise _refusal(path, found[0].kind)
        return text

    return visit


def masked_bytes(value: bytes) -> bytes:
    """The bytes with everything that looks personal replaced; no others change."""
    return Finder().mask(value.decode("latin-1")).encode("latin-1") if suspicious(value) else value


def masked_text(text: str) -> str:
    """The text likewise."""
    return Finder().mask(text)


def _suspicious_headers(headers: Headers) -> bool:
    return any(content is not None and name[:3].lower() == "ce_" and suspicious(content) for name, content in headers)


def _refusal(path: str, kind: Kind) -> RejectEvent:
    # The names on the way are free, too, but for the last one they have been looked at.
    where = f"$.{path}" if path else "$"
    return RejectEvent(Reason.PERSONAL_DATA, f"looks like {_SAID[kind]} - at `{where[:300]}`")
