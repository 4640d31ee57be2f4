"""The format of what a changelog holds: its number, and the steps from old formats to today's.

Every partition of a changelog says in a record of its own which format its records have, written in the transaction
that writes the first of them. State of a format that is not known is refused, never guessed. Each old format is one
step to the next one; the chain ends at today's. Raise the number, and add a step, with every change of what is stored
or of what it means (tests/compat sees to it).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas import topics
from schemas.errors import StopProcess

#: The key of the record that says which format the others have.
KEY: Final = b"v"
#: What state has that was written before formats were numbered.
FIRST: Final = 1
Records = Iterable[tuple[bytes, bytes]]
#: One record of a format, as records of the next one: itself, another, several or none.
Step = Callable[[bytes, bytes], Records]
#: Values by key; None deletes.
Changes = dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class StateFormat:
    """Today's format of a changelog: as many steps lead to it as there are formats before it."""

    topic: str
    steps: tuple[Step, ...] = ()

    @property
    def number(self) -> int:
        """Its number; the first one is 1."""
        return FIRST + len(self.steps)

    @property
    def label(self) -> tuple[bytes, bytes]:
        """The record that says so."""
        return KEY, str(self.number).encode()

    def found(self, label: bytes | None) -> int:
        """The number in a label that was read back; None: there was none. StopProcess for a format not known here."""
        if label is None:
            return FIRST
        number = int(label) if label.isdigit() else 0
        if FIRST <= number <= self.number:
            return number
        raise StopProcess(
            f"{self.topic}: the state has format {label.decode(errors='replace')!r}, and this version knows "
            f"{FIRST} to {self.number}: a newer version wrote it. Start that version again, or restore a back-up made "
            "before the upgrade (docs/upgrading.md)"
        )

    def upgraded(self, number: int, records: Records) -> Changes:
        """What has to change in records of format `number` so that they have today's. Does not change what it reads."""
        steps = self.steps[number - FIRST :]
        if not steps:
            return {}
        before: Mapping[bytes, bytes] = dict(records)
        after: Mapping[bytes, bytes] = before
        for step in steps:
            after = {new: stored for key, value in after.items() for new, stored in step(key, value)}
        changes: Changes = {key: None for key in before if key not in after}
        return changes | {key: value for key, value in after.items() if before.get(key) != value}


INGEST: Final = StateFormat(topics.STATE_INGEST.name)
DETECT: Final = StateFormat(topics.STATE_DETECT.name)
