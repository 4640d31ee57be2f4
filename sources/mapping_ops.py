"""The closed set of operations of a mapping, each compiled once into a plain function of a row.

A function gives None where its column is absent, and raises RejectEvent with the reason where a cell cannot be used.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from string import Formatter

from schemas.errors import RejectEvent
from schemas.rejection import Reason
from sources.mapping_spec import Condition, Lookup, NumberSpec, Scalar, Text

Row = Mapping[str, object]
Get = Callable[[Row], object | None]
GetText = Callable[[Row], str | None]
GetTime = Callable[[Row], datetime | None]
GetNumber = Callable[[Row], float | None]
Test = Callable[[Row], bool]

_TRUE = frozenset(("true", "t", "yes", "y", "1"))
_FALSE = frozenset(("false", "f", "no", "n", "0"))


class Cells:
    """Gives access to columns, and remembers which ones a mapping uses. Null, NaN and the `absent` values are None."""

    def __init__(self, absent: tuple[Scalar, ...]) -> None:
        self.absent = absent
        self.used: set[str] = set()

    def column(self, name: str) -> Get:
        """The cell of a column; `a.b` also reaches into nested objects."""
        self.used.add(name)
        absent = self.absent

        def flat(row: Row) -> object | None:
            cell = row.get(name)
            if cell.__class__ is str:
                return None if cell in absent else cell
            return None if cell is None or cell in absent or cell != cell else cell

        if "." not in name:
            return flat
        path = name.split(".")

        def nested(row: Row) -> object | None:
            if name in row:
                return flat(row)
            cell: object = row
            for part in path:
                if not isinstance(cell, Mapping):
                    return None
                cell = cell.get(part)
            return None if cell is None or cell in absent or cell != cell else cell

        return nested


def as_text(cell: object) -> str:
    """A cell as text: `true`/`false` for booleans, ISO 8601 for times, no `.0` at whole numbers."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)


def as_number(cell: object, name: str) -> float:
    """A cell as a finite number; whole numbers stay int."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return cell
    try:
        if isinstance(cell, str):
            text = cell.strip()
            value: float = int(text) if text.isdecimal() else float(text)
        else:
            value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise RejectEvent(Reason.WRONG_TYPE, f"`{name}` is {cell!r}, not a number") from None
    if not math.isfinite(value):
        raise RejectEvent(Reason.OUT_OF_RANGE, f"`{name}` is {cell!r}, not a finite number")
    return value


def as_boolean(cell: object, name: str) -> bool:
    """A cell as a boolean: true, t, yes, y, 1 against false, f, no, n, 0, in any case."""
    text = as_text(cell).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise RejectEvent(Reason.WRONG_TYPE, f"`{name}` is {cell!r}, not true or false")


def columns_of(template: str) -> list[str]:
    """The columns that a template names; a broken template raises ValueError."""
    names = []
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name or spec or conversion:
            raise ValueError(f"`{template}`: write a column's name in braces, such as {{order_id}}; {{{{ for a brace")
        names.append(name)
    return names


def template(text: str, cells: Cells, required: bool) -> GetText:
    """Text with columns filled in. If one is absent: None, or RejectEvent where the text is `required`."""
    names = columns_of(text)
    if not names:
        value = constant(text)
        return lambda row: value
    if text == f"{{{names[0]}}}":
        return _whole(cells.column(names[0]), names[0], required)
    getters = [
        (literal, name, cells.column(name) if name is not None else None)
        for literal, name, _, _ in Formatter().parse(text)
    ]

    def fill(row: Row) -> str | None:
        filled = ""
        for literal, name, get in getters:
            filled += literal
            if get is None:
                continue
            cell = get(row)
            if cell is None:
                if required:
                    raise RejectEvent(Reason.MISSING, f"`{name}` is empty")
                return None
            filled += cell if isinstance(cell, str) else as_text(cell)
        return filled

    return fill


def _whole(get: Get, name: str, required: bool) -> GetText:
    """The text of one column."""

    def whole(row: Row) -> str | None:
        cell = get(row)
        if cell is None:
            if required:
                raise RejectEvent(Reason.MISSING, f"`{name}` is empty")
            return None
        return cell if isinstance(cell, str) else as_text(cell)

    return whole


def constant(spec: object) -> str | None:
    """The text of a template without columns; None for anything else."""
    if not isinstance(spec, str) or columns_of(spec):
        return None
    return "".join(literal for literal, _, _, _ in Formatter().parse(spec))


def text(spec: Text, cells: Cells, required: bool) -> GetText:
    """A template or a lookup."""
    if isinstance(spec, str):
        return template(spec, cells, required)
    return lookup(spec, cells, required)


def lookup(spec: Lookup, cells: Cells, required: bool) -> GetText:
    """What the map says for the column's value; the default where it says nothing, also for an absent one."""
    get, name, table, default = cells.column(spec.column), spec.column, spec.map, spec.default

    def find(row: Row) -> str | None:
        cell = get(row)
        found = default if cell is None else table.get(as_text(cell), default)
        if found is None and cell is not None:
            raise RejectEvent(Reason.UNKNOWN_VALUE, f"`{name}` is {cell!r}, which the mapping does not name")
        if found is None and required:
            raise RejectEvent(Reason.MISSING, f"`{name}` is empty")
        return found

    return find


def scaled(spec: NumberSpec, cells: Cells) -> GetNumber:
    """`column * times + add`, or the default where the column is absent."""
    name, times, add, default = spec.column or "", spec.times, spec.add, spec.default
    get = cells.column(name)

    def number(row: Row) -> float | None:
        cell = get(row)
        return default if cell is None else as_number(cell, name) * times + add

    return number


def minor_units(amount: str, digits: int, cells: Cells) -> Callable[[Row], int | None]:
    """An amount of money in minor units, rounded half to even in decimal arithmetic."""
    get = cells.column(amount)

    def minor(row: Row) -> int | None:
        cell = get(row)
        if cell is None:
            return None
        try:
            return int(Decimal(as_text(cell).strip()).scaleb(digits).quantize(Decimal(1)))
        except (InvalidOperation, ValueError, OverflowError):
            raise RejectEvent(Reason.WRONG_TYPE, f"`{amount}` is {cell!r}, not an amount of money") from None

    return minor


def condition(spec: Condition, cells: Cells) -> Test:
    """A test of one column. An absent column equals nothing, so `not` and `not_in` hold for it."""
    get, name = cells.column(spec.column), spec.column
    if spec.present is not None:
        present = spec.present
        return lambda row: (get(row) is not None) is present
    if spec.same_as is not None:
        other = cells.column(spec.same_as)

        def same(row: Row) -> bool:
            mine, theirs = get(row), other(row)
            return mine is not None and theirs is not None and (mine == theirs or as_text(mine) == as_text(theirs))

        return same
    if spec.is_ is not None:
        return _one_of(get, name, (spec.is_,), True)
    if spec.is_not is not None:
        return _one_of(get, name, (spec.is_not,), False)
    return _one_of(get, name, spec.is_in or spec.not_in or (), spec.is_in is not None)


def _one_of(get: Get, name: str, values: tuple[Scalar, ...], wanted: bool) -> Test:
    booleans = frozenset(value for value in values if isinstance(value, bool))
    texts = frozenset(as_text(value) for value in values if not isinstance(value, bool))

    def test(row: Row) -> bool:
        cell = get(row)
        if cell is None:
            return not wanted
        return (as_text(cell) in texts or (bool(booleans) and as_boolean(cell, name) in booleans)) is wanted

    return test
