"""Dates of treaties: every row of the hand-written table (`vectors/calendar.toml`), and what no calendar has."""

import tomllib
from datetime import date
from pathlib import Path

import pytest

from comity_policy.calendar import (
    LAST_MS,
    CalendarError,
    Offset,
    Period,
    day_of,
    effect,
    later,
    moment,
    months_later,
    notice_ends,
    reminders,
    shown,
    term_ends,
    terms_begun,
    zone,
)

ROWS = tomllib.loads((Path(__file__).parents[1] / "vectors" / "calendar.toml").read_text())["row"]


def ms(at):
    return int(at.timestamp()) * 1000


def worked_out(row):
    where, event = zone(row["zone"]), ms(row["event"])
    match row:
        case {"days": days}:
            return [effect(event, Offset(days=days), where)]
        case {"first_day_of_month": count}:
            return [effect(event, Offset(first_day_of_month=count), where)]
        case {"notice": notice}:
            return [notice_ends(event, Period(**notice), where)]
        case {"term": term, "count": count}:
            months = 12 * term.pop("years", 0) + term.pop("months", 0)
            return [term_ends(event, Period(months, **term), count, where)]
        case {"remind": days}:
            return list(reminders(event, tuple(days), where))
    raise AssertionError(f"no rule in {row}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(str(value) for value in row.values()))
def test_a_date_is_the_one_of_the_hand_written_table(row):
    expected = row["effect"] if isinstance(row["effect"], list) else [row["effect"]]
    where = zone(row["zone"])
    found = worked_out({**row, **({"term": dict(row["term"])} if "term" in row else {})})
    assert [shown(at, where) for at in found] == [at.isoformat() for at in expected]


def test_the_table_has_leap_years_month_ends_zones_and_year_ends():
    events = [row["event"] for row in ROWS]
    assert len(ROWS) >= 60
    assert len({row["zone"] for row in ROWS}) >= 10
    assert any((at.month, at.day) == (2, 29) for at in events)
    assert any((at.month, at.day) == (12, 31) for at in events)


@pytest.mark.parametrize(
    "name",
    [
        *("", "utc", "localtime", "Factory", "posixrules", "CET", "Europe", "Europe/", "Europe/Nowhere"),
        *("posix/Europe/Berlin", "right/Europe/Berlin", "../../etc/passwd", "/etc/localtime", "Europe/Ber\0lin"),
        *("Europe/../Europe/Berlin", "Europe/Berlin\n", "X" * 5000, "A/" + "B" * 33, "Area/One/Two/Three"),
    ],
)
def test_what_is_no_zone_of_the_iana_database_is_refused(name):
    with pytest.raises(CalendarError, match="no time zone"):
        zone(name)


def test_a_zone_with_three_parts_is_one():
    assert zone("America/Argentina/Ushuaia").key == "America/Argentina/Ushuaia"


@pytest.mark.parametrize("at", [-1, LAST_MS + 1, 1 << 80])
def test_a_moment_outside_the_calendar_is_refused(at):
    with pytest.raises(CalendarError, match="no millisecond"):
        day_of(at, zone("UTC"))


@pytest.mark.parametrize("day", [date(1969, 12, 31), date(9000, 1, 1)])
def test_a_day_outside_the_calendar_is_refused(day):
    with pytest.raises(CalendarError, match="no day"):
        moment(day, zone("UTC"))


@pytest.mark.parametrize("period", [Period(months=1 << 40), Period(days=1 << 40), Period(weeks=10**9)])
def test_a_period_that_leads_out_of_the_calendar_is_refused(period):
    with pytest.raises(CalendarError, match="beyond 8999"):
        later(date(2027, 1, 1), period)


def test_a_first_day_that_began_before_1970_in_utc_is_the_beginning_of_time():
    assert moment(date(1970, 1, 1), zone("Asia/Tokyo")) == 0


def test_no_months_lead_to_the_same_day():
    assert months_later(date(2028, 2, 29), 0) == date(2028, 2, 29)


def test_a_term_that_ends_now_is_over_and_the_next_one_has_begun():
    utc, year = zone("UTC"), Period(months=12)
    began = moment(date(2028, 2, 29), utc)
    for count in (1, 2, 3, 4, 5, 100):
        over = term_ends(began, year, count, utc)
        assert terms_begun(began, year, over - 1, utc) == count
        assert terms_begun(began, year, over, utc) == count + 1


def test_a_term_beyond_the_calendar_has_begun_at_its_end_and_never_ends():
    began = LAST_MS - 86_400_000
    assert terms_begun(began, Period(months=12), LAST_MS, zone("UTC")) == 1
