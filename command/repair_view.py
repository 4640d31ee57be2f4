"""What `corredor repair` shows: the difference field by field, what stays rejected and why, and the sums."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from sources.repair import Repaired, Unrepaired

#: A value is cut to this many characters.
_WIDTH = 100


def difference(before: dict[str, Any], after: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two events differ: path such as `data.wait_ms`, old and new value; UNSET where there is none."""
    from msgspec import UNSET

    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, UNSET), after.get(name, UNSET)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from difference(old, new, f"{path}{name}.")
        elif isinstance(new, dict) and old is UNSET and new:
            yield from difference({}, new, f"{path}{name}.")
        # 1 and true, 1 and 1.0 are equal to Python and different in JSON.
        elif type(old) is not type(new) or old != new:
            yield f"{path}{name}", old, new


def render_repaired(repaired: "Repaired") -> "Group":
    """One event that the fix repairs: where it stands, and its difference."""
    from rich.console import Group
    from rich.text import Text

    rejection = repaired.rejection
    lines = [Text.assemble((_place(rejection), "bold"), f"  {rejection.reason}: {rejection.detail[:_WIDTH]}")]
    if not repaired.before:
        lines.append(Text("    nothing of it could be read; the event is the fix's own", "dim"))
    for path, old, new in difference(repaired.before, repaired.after):
        lines += list(_sides(path, old, new))
    return Group(*lines)


def render_unrepaired(unrepaired: "Unrepaired") -> "Text":
    """One rejection that stays one, in a line."""
    from rich.text import Text

    return Text.assemble(
        (_place(unrepaired.rejection), "bold"), f"  {unrepaired.reason}: {unrepaired.detail[: 3 * _WIDTH]}"
    )


def _sides(path: str, old: object, new: object) -> Iterator["Text"]:
    from msgspec import UNSET
    from rich.text import Text

    if old is not UNSET:
        yield Text(f"  - {path} {_shown(old)}", "red")
    if new is not UNSET:
        yield Text(f"  + {path} {_shown(new)}", "green")


def _shown(value: object) -> str:
    import msgspec

    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}… ({len(text):,} characters)"


def _place(rejection: Any) -> str:
    return f"{rejection.topic}/{rejection.partition}/{rejection.offset}"
