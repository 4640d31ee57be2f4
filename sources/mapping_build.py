"""Compiles the fields of one event: each becomes a function from a row to its value, None where it is absent."""

from collections.abc import Callable
from datetime import datetime

from schemas.errors import RejectEvent
from schemas.event import Rating
from schemas.rejection import Reason
from sources import mapping_ops as ops
from sources.mapping_ops import Cells, GetNumber, GetText, GetTime, Row, Test
from sources.mapping_spec import (
    Condition,
    ExpectationSpec,
    MappingSpec,
    Number,
    NumberSpec,
    RatingSpec,
    Text,
    Time,
    TimeSpec,
    ValueSpec,
)
from sources.mapping_time import UNIT_MS, Parse, time_parser

Make = Callable[[Row], object | None]


class Builder:
    """Builds field functions with a mapping's defaults. What cannot work raises ValueError when built."""

    def __init__(self, mapping: MappingSpec, cells: Cells) -> None:
        self._mapping = mapping
        self._cells = cells

    def text(self, spec: Text, required: bool) -> GetText:
        """A template or a lookup."""
        return ops.text(spec, self._cells, required)

    def condition(self, spec: Condition) -> Test:
        """A test of a column."""
        if spec.after is None:
            return ops.condition(spec, self._cells)
        mine, other = self.time(spec.column), self.time(spec.after)

        def after(row: Row) -> bool:
            this, that = mine(row), other(row)
            return this is not None and that is not None and this > that

        return after

    def parser(self, spec: TimeSpec) -> Parse:
        """The parser of a time column."""
        given = spec.format or self._mapping.format
        formats = (given,) if isinstance(given, str) else given
        zone = spec.timezone or self._mapping.timezone
        return time_parser(formats, zone, spec.ambiguous or self._mapping.ambiguous, spec.add)

    def time(self, spec: Time) -> GetTime:
        """The first of the columns that is present, as a moment in UTC."""
        spec = spec if isinstance(spec, TimeSpec) else TimeSpec(spec)
        names = (spec.column,) if isinstance(spec.column, str) else spec.column
        getters = [(name, self._cells.column(name)) for name in names]
        parse = self.parser(spec)

        def read(row: Row) -> datetime | None:
            for name, get in getters:
                cell = get(row)
                if cell is not None:
                    try:
                        return parse(cell)
                    except ValueError as error:
                        raise RejectEvent(Reason.INVALID_TIME, f"`{name}`: {cell!r} {error}") from None
            return None

        return read

    def required_time(self, spec: Time) -> GetTime:
        """As `time`; an absent one is an error."""
        read = self.time(spec)
        names = spec.column if isinstance(spec, TimeSpec) else spec
        shown = names if isinstance(names, str) else "` and `".join(names)

        def required(row: Row) -> datetime:
            moment = read(row)
            if moment is None:
                raise RejectEvent(Reason.MISSING, f"`{shown}` is empty")
            return moment

        return required

    def number(self, spec: Number) -> GetNumber:
        """A constant, a column, a scaled column, or the milliseconds between two times."""
        if isinstance(spec, int | float):
            constant = spec
            return lambda row: constant
        if isinstance(spec, str):
            spec = NumberSpec(column=spec)
        return ops.scaled(spec, self._cells) if spec.start is None else self._between(spec)

    def _between(self, spec: NumberSpec) -> GetNumber:
        if spec.start is None or spec.end is None:
            raise ValueError("a time difference needs `from` and `to`")
        start, end, negative = self.time(spec.start), self.time(spec.end), spec.negative

        def difference(row: Row) -> float | None:
            began, ended = start(row), end(row)
            if began is None or ended is None:
                return None
            length = (ended - began).total_seconds() * 1000.0
            if length >= 0.0:
                return length
            if negative == "error":
                raise RejectEvent(Reason.OUT_OF_RANGE, f"a wait ends {-length / 1000.0:g} s before it begins")
            return 0.0 if negative == "zero" else None

        return difference

    def count(self, spec: Number) -> Make:
        """A number, rounded to a whole one."""
        get = self.number(spec)

        def count(row: Row) -> int | None:
            value = get(row)
            return None if value is None else round(value)

        return count

    def numbers(self, specs: dict[str, Number]) -> Make:
        """Named numbers; those that are absent are left out."""
        getters = [(name, self.number(spec)) for name, spec in specs.items()]

        def numbers(row: Row) -> dict[str, float] | None:
            found = {name: value for name, get in getters if (value := get(row)) is not None}
            return found or None

        return numbers

    def texts(self, specs: dict[str, Text]) -> Make:
        """Named texts; those that are absent are left out."""
        getters = [(name, self.text(spec, required=False)) for name, spec in specs.items()]

        def texts(row: Row) -> dict[str, str] | None:
            found = {name: value for name, get in getters if (value := get(row)) is not None}
            return found or None

        return texts

    def expectation(self, spec: ExpectationSpec) -> Make:
        """A promise and its delivery, as the event's fields."""
        fixed = {"unit": spec.unit, "tolerance": spec.tolerance, "better": spec.better}
        expected: GetNumber
        actual: GetNumber
        if spec.kept is not None:
            name, get = spec.kept, self._cells.column(spec.kept)
            fixed["tolerance"] = spec.tolerance or 1.0
            expected = self.number(0)

            def broken(row: Row) -> float | None:
                cell = get(row)
                return None if cell is None else float(not ops.as_boolean(cell, name))

            actual = broken
        elif spec.since is not None and spec.promised is not None and spec.happened is not None:
            since = self.time(spec.since)
            expected = _length(since, self.time(spec.promised), UNIT_MS[spec.unit])
            actual = _length(since, self.time(spec.happened), UNIT_MS[spec.unit])
        elif spec.expected is not None and spec.actual is not None:
            expected, actual = self.number(spec.expected), self.number(spec.actual)
        else:
            raise ValueError("an expectation needs both its promise and its delivery")

        def expectation(row: Row) -> dict[str, object] | None:
            promised, delivered = expected(row), actual(row)
            if promised is None or delivered is None:
                return None
            return {"expected": promised, "actual": delivered, **fixed}

        return expectation

    def rating(self, spec: RatingSpec) -> Make:
        """A rating on its scale."""
        name, get = spec.column, self._cells.column(spec.column)

        def rating(row: Row) -> Rating | None:
            cell = get(row)
            if cell is None:
                return None
            try:
                value = ops.as_number(cell, name)
                return Rating(value, spec.min, spec.max, spec.better, spec.instrument)
            except ValueError as error:
                raise RejectEvent(Reason.OUT_OF_RANGE, f"`{name}` is {cell!r}: {error}") from None

        return rating

    def value(self, spec: ValueSpec) -> Make:
        """Money in minor units."""
        amount = ops.minor_units(spec.amount, spec.digits, self._cells)
        currency = self.text(spec.currency, required=True)

        def value(row: Row) -> dict[str, object] | None:
            minor = amount(row)
            return None if minor is None else {"amount_minor": minor, "currency": currency(row)}

        return value


def _length(since: GetTime, until: GetTime, unit_ms: float) -> GetNumber:
    """From one time to another, in a unit; six decimals, so that what is printed is what is meant."""

    def length(row: Row) -> float | None:
        start, end = since(row), until(row)
        if start is None or end is None:
            return None
        return round((end - start).total_seconds() * 1000.0 / unit_ms, 6)

    return length
