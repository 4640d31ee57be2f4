"""The edge: what every event passes before we publish it. Customers get pseudonyms, what looks personal is refused.

A pseudonym is `ps_` and the first 160 bits of HMAC-SHA256(key, text) in base32 (RFC 2104, RFC 4648, small letters): the
same text gives the same pseudonym everywhere, in every field, tenant and source, and nobody without the key can try
texts until one fits. A pseudonym is never hashed again, so repairs, replays and chained edges change nothing.
"""

import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from schemas.errors import RejectEvent, UsageError
from schemas.event import MAX_EVENT_BYTES
from schemas.rejection import Reason
from streams.model.personal import PersonalData, document, in_headers
from streams.runtime.settings import Settings

Headers = Sequence[tuple[str, bytes | None]]

MIN_KEY_BYTES = 16
_BYTES = 20
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
_SHIFTS = range(8 * _BYTES - 10, -1, -10)
_TOKEN = re.compile(r"ps_[a-z2-7]{32}")
_PATH = re.compile(r"[a-z0-9]{1,64}|data(\.[^.,]+)+")
#: What the pipeline itself reads, apart from the customer: a pseudonym there would break the event.
_KEPT = re.compile(
    r"specversion|source|type|time|tenant|recordedtime|datacontenttype|dataschema|traceparent|data|data\.segment"
    r"|data\.(touchpoint|outcome|channel|stage|actor|contact|initiator|expectation|rating|sentiment|wait_ms|active_ms"
    r"|attempts|transfers|queue_depth|servers|aspects|value|audience)(\..*)?"
)
_encode = msgspec.json.Encoder().encode


class Message(NamedTuple):
    """What may be published: the key is the subject."""

    key: bytes
    value: bytes
    headers: Headers


class Pseudonymiser:
    """Puts pseudonyms in the place of the fields `paths`, such as `subject` or `data.segment.customer`."""

    def __init__(self, key: bytes, paths: Iterable[str]) -> None:
        """Raises UsageError for a key of less than 16 bytes and for paths that cannot be."""
        if len(key) < MIN_KEY_BYTES:
            raise UsageError(
                f"CORREDOR_PSEUDONYM_KEY: the key has {len(key)} bytes, at least {MIN_KEY_BYTES} are needed; "
                "make one with `openssl rand -base64 32`"
            )
        # Copied for each text: half the work is the key, which is always the same.
        self._hmac = hmac.new(key, digestmod="sha256")
        self._paths = [_steps(path) for path in paths]

    @classmethod
    def of(cls, settings: Settings) -> "Pseudonymiser | None":
        """As the settings have it; None without a key. Raises UsageError."""
        key = settings.pseudonym_key.get_secret_value().encode()
        file = settings.pseudonym_key_file
        if file is not None:
            if key:
                raise UsageError("CORREDOR_PSEUDONYM_KEY and CORREDOR_PSEUDONYM_KEY_FILE are both set: keep one")
            try:
                key = file.read_bytes().strip()
            except OSError as error:
                raise UsageError(f"CORREDOR_PSEUDONYM_KEY_FILE: {file} cannot be read: {error.strerror}") from None
        elif not key:
            return None
        return cls(key, [path for path in settings.pseudonym_fields.split(",") if path])

    def token(self, text: str) -> str:
        """The pseudonym of a text; a pseudonym is its own. Raises UnicodeEncodeError for text that is no Unicode."""
        if _TOKEN.fullmatch(text) is not None:
            return text
        hashed = self._hmac.copy()
        hashed.update(text.encode())
        return "ps_" + _base32(hashed.digest()[:_BYTES])

    def apply(self, value: bytes, headers: Headers) -> Message:
        """The event with its pseudonyms, written anew. Raises RejectEvent for what cannot be read or replaced."""
        try:
            whole = document(value, headers)
        except RecursionError:
            raise RejectEvent(Reason.TOO_DEEP, "objects or lists are nested too deeply") from None
        except ValueError as error:
            raise RejectEvent(Reason.INVALID_JSON, f"{error}; it cannot get pseudonyms") from None
        data = whole.get("data")
        if not isinstance(data, dict):
            raise RejectEvent(
                Reason.WRONG_TYPE, "Expected `object`: data of another kind get no pseudonyms - at `$.data`"
            )
        subject = whole.get("subject")
        for steps in self._paths:
            self._replace(whole, steps)
        if whole.get("subject") != subject and data.get("journey") == subject:
            # A journey that is named like its customer must not give the name away.
            data["journey"] = whole["subject"]
        key = whole.get("subject")
        if not isinstance(key, str):
            raise RejectEvent(Reason.MISSING, "Object missing required field `subject` - at `$`")
        if in_headers(headers):
            headers = [(name, _header(name, content, whole)) for name, content in headers]
            value = _encode(data)
        else:
            value = _encode(whole)
        if len(value) > MAX_EVENT_BYTES:
            detail = f"{len(value)} bytes with pseudonyms; at most {MAX_EVENT_BYTES} are accepted"
            raise RejectEvent(Reason.TOO_LARGE, detail)
        return Message(key.encode(), value, headers)

    def _replace(self, whole: dict[str, Any], steps: Sequence[str]) -> None:
        at: Any = whole
        for step in steps[:-1]:
            at = at.get(step)
            if not isinstance(at, dict):
                return
        found = at.get(steps[-1])
        if isinstance(found, str):
            at[steps[-1]] = self.token(found) if found else found
        elif type(found) is int:
            at[steps[-1]] = self.token(str(found))
        elif found is not None:
            path = ".".join(steps)
            raise RejectEvent(Reason.WRONG_TYPE, f"Expected `str`: only text gets a pseudonym - at `$.{path}`")


class Edge:
    """What an event passes before it is published: made once, used by collector, publisher, replay and repair."""

    def __init__(self, pseudonymiser: Pseudonymiser | None, personal: PersonalData | None) -> None:
        """None: without that part."""
        self._pseudonymiser = pseudonymiser
        self._personal = personal

    @classmethod
    def of(cls, settings: Settings) -> "Edge":
        """As the settings have it. Raises UsageError."""
        refuse = settings.personal_data == "refuse"
        personal = PersonalData(settings.personal_data_allowed.split(",")) if refuse else None
        return cls(Pseudonymiser.of(settings), personal)

    def protect(self, key: bytes, value: bytes, headers: Headers) -> Message:
        """The event as it may be published; `key` is its subject. Raises RejectEvent for what must not be.

        Harmless for an event that has passed before. Without a key the bytes stay as they are.
        """
        message = Message(key, value, headers)
        if self._pseudonymiser is not None:
            message = self._pseudonymiser.apply(value, headers)
        if self._personal is not None:
            self._personal.check(message.value, message.headers)
        return message


def _base32(digest: bytes) -> str:
    """RFC 4648 without padding, in small letters; `base64.b32encode` takes four times as long."""
    bits = int.from_bytes(digest)
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


def _steps(path: str) -> Sequence[str]:
    if _PATH.fullmatch(path) is None:
        raise UsageError(
            f"CORREDOR_PSEUDONYM_FIELDS: `{path}` is no field; write subject, correlationid, data.journey or "
            "data.segment.customer"
        )
    if _KEPT.fullmatch(path) is not None:
        raise UsageError(
            f"CORREDOR_PSEUDONYM_FIELDS: a pseudonym in `{path}` would break the event; choose fields that name a "
            "customer: subject, data.journey, correlationid, a pair of data.segment"
        )
    return path.split(".")


def _header(name: str, content: bytes | None, whole: dict[str, Any]) -> bytes | None:
    lower = name.lower()
    if not lower.startswith("ce_"):
        return content
    value = whole.get(lower[3:])
    return value.encode() if isinstance(value, str) else content
