"""HMAC-SHA256 signatures of webhooks, with a timestamp, so that nobody can make one up or send one again.

The default form is one header, `Corredor-Signature: t=<epoch seconds>,v1=<hex>`, over `<t>.<body>`. Help desks that
sign in two headers (`timestamp_header`), in base64, or without the dot are a matter of `SignatureSpec`.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from sources.collect.refusals import Refused

#: A signature is good for this long before and after its timestamp. Seconds.
WINDOW_S = 300.0
#: Signatures remembered; a sender of more than this within the window has to wait.
MAX_REMEMBERED = 200_000


class SignatureSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """How a sender signs: HMAC-SHA256 over timestamp, `separator`, body."""

    header: Annotated[str, Meta(min_length=1, max_length=64)] = "Corredor-Signature"
    #: The header of the timestamp (epoch seconds or RFC 3339); without it both stand in `header`.
    timestamp_header: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    encoding: Literal["hex", "base64"] = "hex"
    separator: Annotated[str, Meta(max_length=1)] = "."


class Signed(NamedTuple):
    """What the headers of a request claim."""

    timestamp: str
    at: float
    digests: tuple[bytes, ...]


class Signatures:
    """Verifies the signatures of one hook and remembers those it has accepted. For one thread."""

    def __init__(self, spec: SignatureSpec, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._spec = spec
        self._secret = secret
        self._clock = clock
        self._used: dict[bytes, float] = {}

    def claim(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """Verify, and take the signature: nobody else can use it. Give it to `release` if the body is not taken.

        Raises Refused: 401 for a missing, wrong, old or used signature, 503 if there are too many to remember.
        """
        signed = _read(self._spec, headers)
        text = f"{signed.timestamp}{self._spec.separator}".encode()
        wanted = hmac.new(self._secret, text + body, hashlib.sha256).digest()
        # All are compared, so that the time taken tells nothing.
        if not sum(hmac.compare_digest(wanted, digest) for digest in signed.digests):
            raise _refused("bad_signature", "the signature does not fit the body", "sign the body as it is sent")
        now = self._clock()
        if abs(now - signed.at) > WINDOW_S:
            raise _refused(
                "old_signature",
                f"the signature is {now - signed.at:.0f} s old",
                f"sign anew, with a clock that is right within {WINDOW_S:.0f} s",
            )
        self._forget(now)
        if wanted in self._used:
            raise _refused("replayed_signature", "this signature was used before", "sign each request anew")
        if len(self._used) >= MAX_REMEMBERED:
            raise Refused(503, "busy", "too many webhooks", "send it again later", headers={"Retry-After": "10"})
        self._used[wanted] = signed.at + WINDOW_S
        return wanted

    def release(self, signature: bytes) -> None:
        """The request was not taken: the sender may send the same again."""
        self._used.pop(signature, None)

    def _forget(self, now: float) -> None:
        """Drop those that are too old to be accepted. They are nearly in the order of their times."""
        for signature, until in list(self._used.items())[:64]:
            if until < now:
                del self._used[signature]


def sign(secret: bytes, body: bytes, at: int) -> str:
    """The header's value in the default form, as a sender makes it. `at` is epoch seconds."""
    return f"t={at},v1={hmac.new(secret, f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def _read(spec: SignatureSpec, headers: Mapping[str, str]) -> Signed:
    given = headers.get(spec.header.lower(), "")
    if spec.timestamp_header is not None:
        timestamp, texts = headers.get(spec.timestamp_header.lower(), ""), [given]
    else:
        parts = [part.strip().partition("=") for part in given.split(",")]
        timestamp = next((value for name, _, value in parts if name == "t"), "")
        texts = [value for name, _, value in parts if name == "v1"]
    at = _moment(timestamp)
    digests = tuple(digest for text in texts[:8] if (digest := _digest(text, spec.encoding)) is not None)
    if at is None or not digests:
        names = spec.header if spec.timestamp_header is None else f"{spec.header} and {spec.timestamp_header}"
        raise _refused("no_signature", f"there is no signature in {names}", "sign the request; see docs/collect.md")
    return Signed(timestamp, at, digests)


def _digest(text: str, encoding: str) -> bytes | None:
    try:
        return binascii.unhexlify(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _moment(text: str) -> float | None:
    if text.isascii() and text.isdecimal() and len(text) <= 12:
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _refused(reason: str, detail: str, fix: str) -> Refused:
    return Refused(401, reason, detail, fix)
