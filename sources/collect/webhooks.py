"""Webhooks: what a help desk, shop, courier or survey tool posts becomes touchpoint events, by a mapping."""

from collections.abc import Mapping as Headers
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import RejectEvent, UsageError
from schemas.rejection import Reason
from sources.collect.contract import Sent, parse
from sources.collect.keys import Client
from sources.collect.signatures import Signatures
from sources.mapping import SHIPPED as MAPPINGS
from sources.mapping import Mapping, load_mapping
from sources.publish import encode

SHIPPED = MAPPINGS / "webhooks"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Hook:
    """One webhook. Without `signatures` the sender has to show the client's key."""

    def __init__(self, name: str, mapping: Mapping, table: str, client: Client, signatures: Signatures | None) -> None:
        self.name = name
        self.client = client
        self.signatures = signatures
        self._mapping = mapping
        self._table = table

    def claim(self, headers: Headers[str, str], body: bytes) -> bytes | None:
        """Verify the signature and take it; None where the hook has none. Raises Refused."""
        return None if self.signatures is None else self.signatures.claim(headers, body)

    def release(self, signature: bytes | None) -> None:
        """The webhook was not taken: its sender may send the same again."""
        if signature is not None and self.signatures is not None:
            self.signatures.release(signature)

    def events(self, body: bytes) -> list[Sent]:
        """The events of a payload; none if the mapping has nothing to say about it. Raises RejectEvent."""
        payload = parse(_decode, body, "a webhook is a JSON object")
        try:
            return [Sent(encode(event)) for event in self._mapping.events(self._table, payload)]
        except UnicodeEncodeError as error:
            raise RejectEvent(Reason.INVALID_UTF8, str(error)) from None
        except (ValueError, OverflowError, RecursionError) as error:
            # Numbers beyond a double, numbers of thousands of digits, events above 64 KiB.
            raise RejectEvent(Reason.OUT_OF_RANGE, str(error)) from None


def load(name: str, folder: Path, table: str | None = None) -> tuple[Mapping, str]:
    """A shipped webhook mapping by its name, or a YAML file of `folder`, and its table. Raises UsageError."""
    shipped = SHIPPED / f"{name}.yaml"
    mapping = load_mapping(shipped if shipped.exists() else folder / name)
    having = [key for key, each in mapping.tables.items() if each.events]
    if table is None and len(having) == 1:
        return mapping, having[0]
    if table not in having:
        raise UsageError(f"mapping `{name}` has the tables {', '.join(having)}: name one of them with `table`")
    return mapping, table


def shipped_names() -> list[str]:
    """The names of the mappings that come with the collector."""
    return sorted(file.stem for file in SHIPPED.glob("*.yaml"))
