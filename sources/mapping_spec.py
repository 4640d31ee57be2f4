"""What a mapping file may say, as frozen structs. docs/mapping.md shows every part of it with an example.

Three small grammars come back everywhere:

- text: a template such as `"{order_id}:delivered"` (a constant is a template without columns), or a lookup
  `{column: ident_state, map: {New: ticket.new}, default: ...}`;
- time: a column, or `{column: [first choice, second choice], format: ..., timezone: ..., add: 1d}`;
- number: a number, a column, `{column: ..., add: ..., times: ...}`, or the milliseconds between two times
  `{from: ..., to: ..., negative: zero}`.

Nothing in a mapping is ever evaluated as code.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from schemas.event import Better, Instrument, Name

Column = Annotated[str, Meta(min_length=1, max_length=256)]
Columns = Column | tuple[Column, ...]
Scalar = str | int | float | bool
DurationText = Annotated[str, Meta(pattern=r"^-?\s*\d+(\.\d+)?\s*(ms|s|min|h|d)$")]
Ambiguous = Literal["earlier", "later"]
Aggregate = Literal["first", "last", "min", "max", "sum", "count", "distinct"]
TimeUnit = Literal["ms", "s", "min", "h", "d"]


class Lookup(Struct, frozen=True, forbid_unknown_fields=True):
    """Text looked up by a column's value. Without `default`, a value that the map does not name is an error."""

    column: Column
    map: dict[str, str]
    default: str | None = None


class TimeSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A moment. The first column that is present counts; `format` is `iso`, `epoch_s`, `epoch_ms` or strptime's.

    `timezone` is the zone of naive times. `ambiguous` chooses between the two moments that share a wall-clock time
    when clocks go back. `add` moves naive times by the wall clock, so that `1d` is the same time the next day.
    """

    column: Columns
    format: str | tuple[str, ...] | None = None
    timezone: str | None = None
    ambiguous: Ambiguous | None = None
    add: DurationText | None = None


class NumberSpec(Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """A number: `column * times + add`, or the milliseconds from one time to another.

    `negative` says what a time difference below zero becomes: an error (default), 0, or no number.
    """

    column: Column | None = None
    times: float = 1.0
    add: float = 0.0
    default: float | None = None
    start: Columns | TimeSpec | None = None
    end: Columns | TimeSpec | None = None
    negative: Literal["error", "zero", "absent"] = "error"

    def __post_init__(self) -> None:
        if (self.column is None) == (self.start is None) or (self.start is None) != (self.end is None):
            raise ValueError("a number needs either `column`, or both `from` and `to`")


Text = str | Lookup
Time = Columns | TimeSpec
Number = int | float | str | NumberSpec


class Condition(Struct, frozen=True, forbid_unknown_fields=True, rename={"is_": "is", "is_not": "not", "is_in": "in"}):
    """A test of one column; exactly one of the operations. `true` also fits True, t, yes, y and 1.

    `after` holds if the column is a time later than another one; where either is absent it does not hold.
    """

    column: Column
    is_: Scalar | None = None
    is_not: Scalar | None = None
    is_in: tuple[Scalar, ...] | None = None
    not_in: tuple[Scalar, ...] | None = None
    present: bool | None = None
    same_as: Column | None = None
    after: Time | None = None

    def __post_init__(self) -> None:
        operations = (self.is_, self.is_not, self.is_in, self.not_in, self.present, self.same_as, self.after)
        if sum(operation is not None for operation in operations) != 1:
            raise ValueError(
                "a condition needs exactly one of `is`, `not`, `in`, `not_in`, `present`, `same_as`, `after`"
            )


class ExpectationSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A promise and its delivery, in one of three forms. It is left out where one of its inputs is absent.

    - `since`, `promised`, `happened`: times; expected and actual are the lengths from `since`, in `unit`;
    - `expected`, `actual`: numbers;
    - `kept`: a boolean; expected 0 broken promises, actual 0 or 1.
    """

    since: Time | None = None
    promised: Time | None = None
    happened: Time | None = None
    expected: Number | None = None
    actual: Number | None = None
    kept: Column | None = None
    unit: Annotated[str, Meta(max_length=32)] = ""
    tolerance: Annotated[float, Meta(gt=0)] | None = None
    better: Better = "lower"

    def __post_init__(self) -> None:
        forms = (
            (self.since, self.promised, self.happened),
            (self.expected, self.actual),
            (self.kept,),
        )
        whole = [all(part is not None for part in form) for form in forms]
        started = [any(part is not None for part in form) for form in forms]
        if sum(started) != 1 or whole != started:
            raise ValueError(
                "an expectation needs `since`, `promised` and `happened`, or `expected` and `actual`, or `kept`"
            )
        if started[0] and self.unit not in ("ms", "s", "min", "h", "d"):
            raise ValueError("an expectation from times needs `unit`: ms, s, min, h or d")


class RatingSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A rating on its scale; left out where the column is absent."""

    column: Column
    min: float
    max: float
    better: Better = "higher"
    instrument: Instrument | None = None


class ValueSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Money: `amount` in the major unit, `digits` the currency's decimals; left out where the column is absent."""

    amount: Column
    currency: Text
    digits: Annotated[int, Meta(ge=0, le=4)] = 2


class EventSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One event that a row yields if every condition of `when` holds. Fields are those of DOMAIN's event."""

    id: Text
    source: Text
    subject: Text
    time: Time
    touchpoint: Text
    outcome: Text
    when: tuple[Condition, ...] = ()
    tenant: Text | None = None
    recordedtime: Time | None = None
    correlationid: Text | None = None
    causationid: Text | None = None
    traceparent: Text | None = None
    journey: Text | None = None
    channel: Text | None = None
    stage: Text | None = None
    actor: Text | None = None
    contact: Text | None = None
    initiator: Text | None = None
    change: Text | None = None
    expectation: ExpectationSpec | None = None
    rating: RatingSpec | None = None
    value: ValueSpec | None = None
    sentiment: Number | None = None
    wait_ms: Number | None = None
    active_ms: Number | None = None
    attempts: Number | None = None
    transfers: Number | None = None
    queue_depth: Number | None = None
    servers: Number | None = None
    audience: Number | None = None
    segment: dict[str, Text] = {}
    aspects: dict[str, Number] = {}


class AggregateSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One value out of many rows with the same key. `read` says how min, max and sum understand the column."""

    of: Aggregate
    column: Columns
    read: Literal["number", "text", "time"] = "number"

    def __post_init__(self) -> None:
        if self.of == "sum" and self.read != "number":
            raise ValueError("only numbers can be summed")
        if isinstance(self.column, tuple) and self.of != "sum":
            raise ValueError("only `sum` takes several columns")


class JoinSpec(Struct, frozen=True, forbid_unknown_fields=True, rename={"as_": "as"}):
    """Columns of a small table, found by key and named `<as>.<column>`. The table is held in memory.

    `on` are columns of the row, `key` the columns of the joined table (default: the same names). `columns` as a list
    needs one row per key; as a mapping each column says which aggregate of the rows with that key it is.
    """

    table: Name
    on: Columns
    columns: tuple[Column, ...] | dict[str, AggregateSpec]
    key: Columns | None = None
    as_: Name | None = None


class PreviousSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Columns of the row before this one with the same `by`, named `previous.<column>`. One row per key is held."""

    by: Columns
    columns: Annotated[tuple[Column, ...], Meta(min_length=1)]


class TableSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of row: the files that hold it, what is joined to it, and the events that each row yields."""

    files: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    joins: tuple[JoinSpec, ...] = ()
    previous: PreviousSpec | None = None
    #: Fields that every event of this table has unless it says otherwise.
    common: dict[str, Any] = {}
    events: tuple[dict[str, Any], ...] = ()


class MappingSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping file. `timezone`, `format`, `ambiguous` and `absent` hold wherever a column does not say otherwise."""

    mapping: Name
    tables: dict[str, TableSpec]
    description: str = ""
    timezone: str | None = None
    format: str | tuple[str, ...] = "iso"
    ambiguous: Ambiguous = "earlier"
    #: Values that mean "nothing there", besides null.
    absent: tuple[Scalar, ...] = ("",)
    tenant: Name = "default"
