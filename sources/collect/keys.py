"""Who may send what: API keys, hashed at rest, each with its sources, tenants, origins, rate and webhooks.

A key is 256 random bits, so its SHA-256 gives nothing away and cannot be searched. A slow hash such as scrypt is for
passwords that people choose; here it would only let strangers keep the collector busy.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from sources.collect.contract import Checked
from sources.collect.limits import TokenBucket
from sources.collect.refusals import Fault, Refused
from sources.collect.signatures import SignatureSpec

_PREFIX = "ck_"
_LOOPBACK_ORIGINS = ("http://localhost", "http://127.0.0.1", "http://[[]::1]")

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]


class SecretSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is: an environment variable, or a file. Never the secret itself."""

    env: str | None = None
    file: str | None = None


class HookSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook, POST /hooks/NAME. With a `secret` its signature stands for the key; without, the key itself must."""

    name: Slug
    #: A shipped mapping (help-desk, shop, courier, survey) or a YAML file, relative to the keys file.
    mapping: Annotated[str, Meta(min_length=1)]
    #: The table of the mapping; needed if several have events.
    table: str | None = None
    secret: SecretSpec | None = None
    signature: SignatureSpec = SignatureSpec()


class KeySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One key of the file. `sources` and `tenants` are shell patterns, `rate` is requests per second."""

    name: Slug
    sources: Annotated[tuple[Pattern, ...], Meta(min_length=1)]
    tenants: Annotated[tuple[Pattern, ...], Meta(min_length=1)] = ("default",)
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    #: Origins of browsers that use the key, such as https://shop.example. Such a key is public: anyone can read it.
    origins: tuple[Pattern, ...] = ()
    rate: Annotated[float, Meta(gt=0, le=100_000)] = 100.0
    hooks: tuple[HookSpec, ...] = ()


class KeyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    keys: Annotated[tuple[KeySpec, ...], Meta(min_length=1)]


class Client:
    """Somebody who may send, and how fast."""

    def __init__(self, spec: KeySpec) -> None:
        self.name = spec.name
        self._spec = spec
        self.bucket = TokenBucket(spec.rate)
        self._digest = bytes.fromhex(spec.sha256) if spec.sha256 else b""
        self._allows = lru_cache(maxsize=4096)(self._matches)

    @property
    def browser(self) -> bool:
        """Whether the key is for browsers, and so no secret."""
        return bool(self._spec.origins)

    @property
    def has_key(self) -> bool:
        """Whether there is a key; without one the client sends signed webhooks only."""
        return bool(self._digest)

    def is_key(self, digest: bytes) -> bool:
        """Whether `digest` is that of this client's key; the time taken tells nothing."""
        return hmac.compare_digest(self._digest, digest)

    def allows_origin(self, origin: str) -> bool:
        """Whether a browser may use the key from there."""
        return any(fnmatchcase(origin, pattern) for pattern in self._spec.origins)

    def check(self, events: Sequence[Checked]) -> None:
        """Raises Refused (403) that lists the events of a source or tenant that is not the client's."""
        faults = [
            Fault(index, f"$.{name}", f"foreign_{name}", f"`{getattr(event, name)}` is not this key's", fix)
            for index, event in enumerate(events)
            for name, fix in self._allows(event.source, event.tenant)
        ]
        if faults:
            first = faults[0]
            raise Refused(
                403, first.reason, f"none of {len(events)} events was taken: {first.detail}", first.fix, faults
            )

    def _matches(self, source: str, tenant: str) -> tuple[tuple[str, str], ...]:
        """What is not allowed, each with what to do."""
        spec, wrong = self._spec, []
        if not any(fnmatchcase(source, pattern) for pattern in spec.sources):
            wrong.append(("source", f"key `{spec.name}` is for the sources {', '.join(spec.sources)}"))
        if not any(fnmatchcase(tenant, pattern) for pattern in spec.tenants):
            wrong.append(("tenant", f"key `{spec.name}` is for the tenants {', '.join(spec.tenants)}"))
        return tuple(wrong)


class Keys:
    """All clients."""

    def __init__(self, clients: Sequence[Client], anonymous: Client | None = None) -> None:
        self._clients = clients
        #: Who sends without a key; only where nobody but this machine can.
        self.anonymous = anonymous

    def find(self, token: str) -> Client:
        """The client of a key. Raises Refused (401) for none and for one that is not known."""
        if self.anonymous is not None:
            return self.anonymous
        if not token:
            raise _unauthorized(
                "no_key", "there is no key", "send `Authorization: Bearer KEY` or `X-Corredor-Key: KEY`"
            )
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = [client for client in self._clients if client.is_key(digest)]
        if not found:
            raise _unauthorized("wrong_key", "the key is not known here", "check it, or make one with --new-key")
        return found[0]

    def knows_origin(self, origin: str) -> bool:
        """Whether any client's browsers come from there: a preflight carries no key."""
        every = self._clients if self.anonymous is None else [self.anonymous]
        return any(client.allows_origin(origin) for client in every)


def open_to_this_machine() -> Keys:
    """Everything is allowed, without a key: for a collector that listens on the loopback address only.

    Pages of strangers in this machine's browsers are kept out by their origin.
    """
    origins = tuple(pattern for origin in _LOOPBACK_ORIGINS for pattern in (origin, f"{origin}:*"))
    return Keys([], Client(KeySpec("anonymous", ("*",), ("*",), origins=origins, rate=100_000)))


def new_key() -> tuple[str, str]:
    """A new key and its SHA-256 in hex."""
    token = _PREFIX + secrets.token_urlsafe(32)
    return token, hashlib.sha256(token.encode()).hexdigest()


def entry(name: str, digest: str) -> str:
    """The YAML of a new key's entry."""
    return f'  - name: {name}\n    sha256: "{digest}"\n    sources: ["/{name}", "/{name}/*"]\n    tenants: [default]\n'


def _unauthorized(reason: str, detail: str, fix: str) -> Refused:
    return Refused(401, reason, detail, fix, headers={"WWW-Authenticate": 'Bearer realm="corredor"'})
