"""What the collector answers when it does not take a request: problem details (RFC 9457) that say what to do."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec import Struct

from schemas.errors import CorredorError, RejectEvent
from schemas.event import MAX_EVENT_BYTES
from schemas.rejection import Reason

PROBLEM = "application/problem+json"
#: No more faulty events than this are listed in one answer.
MAX_LISTED = 100
#: What makes a request unreadable (400); everything else breaks the contract (422).
UNREADABLE = frozenset((Reason.EMPTY, Reason.INVALID_UTF8, Reason.INVALID_JSON, Reason.TOO_DEEP, Reason.BAD_HEADER))
_FIXES = {
    Reason.EMPTY: "send the event as the body",
    Reason.TOO_LARGE: f"keep an event within {MAX_EVENT_BYTES} bytes",
    Reason.INVALID_UTF8: "encode text as UTF-8",
    Reason.INVALID_JSON: "send JSON as RFC 8259 has it; NaN and Infinity are none",
    Reason.TOO_DEEP: "flatten the data: no field of the event nests more than two levels",
    Reason.BAD_HEADER: "send each attribute once, as a `ce-` header with percent-encoded UTF-8",
    Reason.UNSUPPORTED_VERSION: "set `specversion` to 1.0",
    Reason.UNSUPPORTED_TYPE: "set `type` to io.corredor.touchpoint.v1",
    Reason.MISSING: "add the field",
    Reason.WRONG_TYPE: "send the JSON type that /openapi.json names",
    Reason.UNKNOWN_VALUE: "use one of the values that /openapi.json lists",
    Reason.OUT_OF_RANGE: "keep the value within the limits of /openapi.json",
    Reason.NAIVE_TIME: "add the time zone: `Z`, or an offset such as -03:00",
    Reason.INVALID_TIME: "write the time as RFC 3339, such as 2026-11-22T09:14:03.412Z",
    Reason.FUTURE_TIME: "set the source's clock; `time` is when it happened",
    Reason.PERSONAL_DATA: "leave it out, or send a pseudonym; customers are named by `subject` alone",
}
_PATH = re.compile(r" - at `(\$[^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


class Fault(Struct, frozen=True):
    """One event that cannot be taken: its index in the request (from 0), where, why, what to do."""

    index: int
    path: str
    reason: str
    detail: str
    fix: str


class Refused(CorredorError):
    """A request that is not taken, as the HTTP answer it becomes. `reason` is a label of the metrics."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        fix: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(f"{detail}; {fix}")
        self.status = status
        self.reason = reason
        self.headers = headers
        self.faults = faults
        self._said = {"type": "about:blank", "title": reason, "status": status, "detail": detail, "fix": fix}

    def body(self) -> bytes:
        """The answer's JSON."""
        listed = {"errors": self.faults[:MAX_LISTED], "error_count": len(self.faults)} if self.faults else {}
        return msgspec.json.encode({**self._said, **listed})


def fault(index: int, error: RejectEvent) -> Fault:
    """The fault of the event at `index`, from what the contract says about it."""
    found = _PATH.search(error.detail)
    path = found[1] if found else "$"
    if missing := _MISSING.search(error.detail):
        path = f"{path}.{missing[1]}"
    return Fault(index, path, error.reason, error.detail, _FIXES.get(error.reason, "correct the event"))


def faulty(faults: Sequence[Fault], of: int) -> Refused:
    """The answer to a request of which `faults` cannot be taken: 400 if one is unreadable, else 422."""
    status = 400 if any(each.reason in UNREADABLE for each in faults) else 422
    first = faults[0]
    return Refused(
        status,
        first.reason,
        f"{len(faults)} of {of} events cannot be taken, none was: event {first.index}: {first.detail}",
        first.fix,
        faults,
    )
