from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from sources.mapping_time import time_parser

SAO_PAULO = "America/Sao_Paulo"


def parse(
    cell: object, *, form: str = "iso", zone: str | None = SAO_PAULO, later: bool = False, add: str = "0s"
) -> str:
    moment = time_parser((form,), zone, "later" if later else "earlier", add)(cell)
    assert moment.tzinfo is UTC
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def test_naive_times_belong_to_the_named_zone() -> None:
    assert parse("2017-07-01 12:00:00") == "2017-07-01 15:00:00"
    assert parse("2017-01-01 12:00:00") == "2017-01-01 14:00:00"
    assert parse("2017-07-01") == "2017-07-01 03:00:00"
    assert parse(datetime(2017, 7, 1, 12)) == "2017-07-01 15:00:00"
    assert parse(date(2017, 7, 1)) == "2017-07-01 03:00:00"


def test_a_time_with_a_zone_keeps_it() -> None:
    assert parse("2017-07-01T12:00:00Z") == "2017-07-01 12:00:00"
    assert parse(datetime(2017, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))) == "2017-07-01 10:00:00"


def test_an_hour_that_happens_twice_is_the_earlier_one_unless_told() -> None:
    assert parse("2017-02-18 23:30:00") == "2017-02-19 01:30:00"
    assert parse("2017-02-18 23:30:00", later=True) == "2017-02-19 02:30:00"


def test_an_hour_that_never_happens_moves_forward_by_the_gap() -> None:
    assert parse("2016-10-16 00:30:00") == "2016-10-16 03:30:00"  # 01:30 summer time


def test_a_day_added_to_a_naive_time_is_a_day_of_the_calendar() -> None:
    assert parse("2017-02-18 12:00:00", add="1d") == "2017-02-19 15:00:00"  # 25 hours later
    assert parse("2017-02-18 12:00:00", add="-30min") == "2017-02-18 13:30:00"


def test_formats_and_epochs_are_read_as_named() -> None:
    assert parse("1/3/2016 09:14", form="%d/%m/%Y %H:%M", zone="UTC") == "2016-03-01 09:14:00"
    assert parse("1500000000", form="epoch_s") == "2017-07-14 02:40:00"
    assert parse(1_500_000_000_000, form="epoch_ms") == "2017-07-14 02:40:00"


@pytest.mark.parametrize("cell", ["soon", "2017-13-01", "", 5, 1e30, "9999-12-31 23:59:59"])
def test_what_is_no_time_is_refused(cell: object) -> None:
    with pytest.raises(ValueError, match=r"fits no format|not a time|outside the years"):
        parse(cell)


def test_a_naive_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        parse("2017-01-01 00:00:00", zone=None)
