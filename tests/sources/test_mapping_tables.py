import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import StopProcess, UsageError
from schemas.rejection import Reason
from sources.mapping import Mapping, load_mapping
from sources.replay import Skipped, Tally, collect, read_events
from sources.tables import find_files

MAPPING = """
mapping: shop
timezone: UTC
tables:
  orders:
    files: [orders, "orders-*"]
    previous: {by: customer, columns: [at]}
    joins:
      - {table: customers, as: who, on: customer, key: id, columns: [name]}
      - table: items
        as: basket
        on: order
        columns:
          total: {of: sum, column: [price, freight]}
          dearest: {of: max, column: price}
          cheapest: {of: min, column: price}
          n: {of: count, column: price}
          kinds: {of: distinct, column: kind}
          first: {of: first, column: kind}
          last: {of: last, column: kind}
          latest: {of: max, column: due, read: time}
    events:
      - id: "{order}"
        source: /shop
        subject: "{who.name}"
        time: at
        touchpoint: web.purchase
        outcome: success
        wait_ms: {from: previous.at, to: at}
        correlationid: "{basket.latest}"
        segment:
          basket: "{basket.total} {basket.dearest} {basket.cheapest} {basket.n} {basket.kinds}"
          kinds: "{basket.first} {basket.last}"
  customers: {files: [customers]}
  items: {files: [items]}
"""
ORDERS = "order,customer,at\n1,a,2026-01-01 00:00\n2,b,2026-01-01 00:01\n3,a,2026-01-01 00:02\n"
CUSTOMERS = "id,name\na,Ana\nb,Bo\n"
ITEMS = (
    "order,price,freight,kind,due\n1,9,1,x,2026-01-05\n1,10,2,y,2026-01-09\n1,,,x,\n3,2.5,0,z,2026-02-01\n"
    "2,1,1,x,2026-01-01\n"
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "m.yaml").write_text(MAPPING)
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "customers.csv").write_text(CUSTOMERS)
    (tmp_path / "items.csv").write_text(ITEMS)
    return tmp_path


def mapping(shop: Path) -> Mapping:
    return load_mapping(shop / "m.yaml")


def test_tables_are_joined_by_key_and_rows_know_the_one_before(shop: Path) -> None:
    events = list(read_events([shop], mapping(shop)))
    assert [(event.id, event.subject, event.data.wait_ms) for event in events] == [
        ("1", "Ana", None),
        ("2", "Bo", None),
        ("3", "Ana", 120_000),
    ]
    assert events[0].data.segment == {"basket": "22 10 9 2 2", "kinds": "x x"}
    assert events[0].correlationid == "2026-01-09T00:00:00+00:00"


def test_every_format_gives_the_same_events(shop: Path) -> None:
    expected = list(read_events([shop], mapping(shop)))
    customers, items = shop / "customers.csv", shop / "items.csv"
    header, *rows = [line.split(",") for line in ORDERS.splitlines()]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    pq.write_table(pa.table(columns), shop / "orders-2.parquet")
    ndjson = "\n".join('{{"order": {}, "customer": "{}", "at": "{}"}}'.format(*row) for row in rows)
    (shop / "orders-3.ndjson").write_text(ndjson)
    (shop / "orders-4.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + ORDERS.replace(",", ";").encode()))
    for name in ("orders-2.parquet", "orders-3.ndjson", "orders-4.csv.gz"):
        assert list(read_events([shop / name, customers, items], mapping(shop))) == expected, name


def test_rows_that_cannot_be_mapped_are_counted_with_file_line_and_reason(shop: Path) -> None:
    bad = "order,customer,at\n1,a,2026-01-01 00:00\n2,nobody,2026-01-01 00:01\n"
    bad += '3,a\n4,"a",never\n5,"b\n",x\n6,b,2026-01-02\n'
    (shop / "orders.csv").write_text(bad)
    tally, seen = Tally(), list[Skipped]()
    order = collect([shop], mapping(shop), tally=tally, on_skipped=seen.append)
    assert (tally.rows, tally.events, order.count) == (6, 2, 2)
    assert [(row.file.name, row.line, row.reason) for row in seen] == [
        ("orders.csv", 3, Reason.MISSING),
        ("orders.csv", 4, Reason.MISSING),
        ("orders.csv", 5, Reason.INVALID_TIME),
        ("orders.csv", 6, Reason.MISSING),
    ]
    assert tally.skipped == {Reason.MISSING: 3, Reason.INVALID_TIME: 1}
    assert tally.events + tally.skipped.total() == tally.rows
    with pytest.raises(StopProcess, match=r"orders\.csv:3: missing: `who\.name` is empty"):
        collect([shop], mapping(shop), strict=True)


def test_text_that_is_no_utf8_or_json_is_counted(shop: Path) -> None:
    (shop / "orders.csv").write_bytes(b"order,customer,at\n\xff,a,2026-01-01\n2,a,2026-01-01\n")
    (shop / "orders-2.ndjson").write_bytes(b'{"order": 1,\n\n[]\n{"order":3,"customer":"a","at":"2026-01-01"}\n')
    tally = Tally()
    collect([shop], mapping(shop), tally=tally)
    assert tally.events == 2
    assert [(row.line, row.reason) for row in tally.examples] == [
        (1, Reason.INVALID_JSON),
        (3, Reason.INVALID_JSON),
        (2, Reason.INVALID_UTF8),
    ]


def test_a_join_that_finds_two_rows_says_how_to_choose(shop: Path) -> None:
    (shop / "customers.csv").write_text(CUSTOMERS + "a,Anna\n")
    with pytest.raises(UsageError, match=r"customers\.csv:4: a second row with id = a"):
        collect([shop], mapping(shop))


def test_a_file_without_a_needed_column_says_which(shop: Path) -> None:
    (shop / "orders.csv").write_text("order,at\n")
    with pytest.raises(UsageError, match=r"orders\.csv: the mapping uses `customer`, but the file has only"):
        collect([shop], mapping(shop))
    (shop / "orders.csv").write_text("")
    with pytest.raises(UsageError, match=r"orders\.csv: the mapping uses"):
        collect([shop], mapping(shop))


def test_files_are_found_by_name_folder_or_alias(shop: Path) -> None:
    (shop / "notes.txt").write_text("")
    (shop / "export.csv").write_text(ORDERS)
    names = [file.path.name for file in find_files(mapping(shop), [shop, f"orders={shop / 'export.csv'}"])]
    assert names == ["export.csv", "orders.csv", "customers.csv", "items.csv"]
    with pytest.raises(UsageError, match=r"belongs to no table .*TABLE="):
        find_files(mapping(shop), [shop / "export.csv"])
    with pytest.raises(UsageError, match="needs table `customers`"):
        find_files(mapping(shop), [shop / "orders.csv"])
    with pytest.raises(UsageError, match="there is no file or folder"):
        find_files(mapping(shop), [shop / "gone.csv"])
    (shop / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no file of mapping"):
        find_files(mapping(shop), [shop / "empty"])


def test_a_broken_parquet_file_is_an_error_not_a_trace(shop: Path) -> None:
    (shop / "orders-9.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UsageError, match=r"orders-9\.parquet is no Parquet file"):
        collect([shop], mapping(shop))
