"""Dates of treaties: from the moment at which something happened to the moment at which it has its effect.

Rules in order (European Convention on the Calculation of Time-Limits, ETS No. 76, Basel 1972, articles 3 and 4):

1. A moment counts as the calendar day it falls on in the agreement's zone, and that day itself is not counted. The effect
   comes when the day so reached begins in that zone.
2. A day begins at 00:00; where the clock skips 00:00 with the moment of the skip, where it shows 00:00 twice with the first.
3. Months and years lead to the day with the corresponding date; where the month reached has none, to its last day: one
   month after 31 January is 28 or 29 February (article 4, paragraph 2).
4. Months come first, then weeks and days (article 4, paragraph 3). Saturdays, Sundays and holidays count like every day.
5. ``first_day_of_month = 2`` is the first day of the second month after the month of the event: from any day of January it
   leads to 1 March.
6. The k-th term ends k lengths after the day on which the first began, so that no month's end is lost on the way: terms of
   one month from 31 January end on 28 February, 31 March, 30 April.
7. A zone is ``UTC`` or an area and a place of the IANA database; links to this machine's own settings are no zones.

Moments are Unix milliseconds from 1970 to the end of 8999; what leads out of these years raises CalendarError.

    >>> berlin = zone("Europe/Berlin")
    >>> shown(effect(moment(date(2027, 1, 15), berlin), Offset(first_day_of_month=2), berlin), berlin)
    '2027-03-01T00:00:00+01:00'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FIRST_YEAR = 1970
LAST_YEAR = 8999
LAST_MS = int(datetime(LAST_YEAR, 12, 31, tzinfo=UTC).timestamp()) * 1000
# What people write or a log says lies before the year 8000: every offset, notice and term after it still has a date.
LATEST = datetime(8000, 1, 1, tzinfo=UTC)
LATEST_MS = int(LATEST.timestamp()) * 1000

_ZONE = re.compile(r"UTC|[A-Z][A-Za-z]{1,31}(?:/[A-Z][A-Za-z0-9_+-]{0,31}){1,2}")
_EPOCH = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class CalendarError(ValueError):
    """A zone that is unknown, or a date that no calendar of ours has."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far after an event its effect comes: by exactly one of the two, see rules 1 and 5."""

    days: int | None = None
    first_day_of_month: int | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """A length of calendar time; months come first, a year is twelve of them."""

    months: int = 0
    weeks: int = 0
    days: int = 0

    def times(self, count: int) -> Period:
        """Give the length `count` times over."""
        return Period(self.months * count, self.weeks * count, self.days * count)


@cache
def zone(name: str) -> ZoneInfo:
    """Give the zone with this IANA name; raises CalendarError for any other name."""
    if not _ZONE.fullmatch(name):
        raise CalendarError(f"{name!r} is no time zone: write UTC or a name such as Europe/Berlin")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise CalendarError(f"{name!r} is no time zone of the IANA database here") from error


def day_of(at_ms: int, where: ZoneInfo) -> date:
    """Give the calendar day on which a moment falls."""
    if not 0 <= at_ms <= LAST_MS:
        raise CalendarError(f"{at_ms} is no millisecond of the years {FIRST_YEAR} to {LAST_YEAR}")
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(where).date()


def moment(day: date, where: ZoneInfo) -> int:
    """Give the moment at which a day begins."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise CalendarError(f"{day} is no day of the years {FIRST_YEAR} to {LAST_YEAR}")
    begins = datetime.combine(day, time(), where).astimezone(UTC)
    return max((begins - _EPOCH) // _MILLISECOND, 0)


def months_later(day: date, months: int) -> date:
    """Give the day with the corresponding date so many months (0 or more) later, else the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > LAST_YEAR:
        raise CalendarError(f"{months} months after {day} leads beyond {LAST_YEAR}")
    first = date(year, month + 1, 1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(day.day, last.day))


def later(day: date, period: Period) -> date:
    """Give the day a period after a day: months first, then weeks and days."""
    try:
        return months_later(day, period.months) + timedelta(days=7 * period.weeks + period.days)
    except OverflowError as error:
        raise CalendarError(f"{period} after {day} leads beyond {LAST_YEAR}") from error


def effect(at_ms: int, offset: Offset, where: ZoneInfo) -> int:
    """Give the moment at which what happened at `at_ms` has its effect."""
    day = day_of(at_ms, where)
    if offset.first_day_of_month is not None:
        return moment(months_later(day.replace(day=1), offset.first_day_of_month), where)
    return moment(later(day, Period(days=offset.days or 0)), where)


def notice_ends(at_ms: int, notice: Period, where: ZoneInfo) -> int:
    """Give the moment at which a notice received at `at_ms` takes effect."""
    return moment(later(day_of(at_ms, where), notice), where)


def term_ends(began_ms: int, length: Period, count: int, where: ZoneInfo) -> int:
    """Give the first moment after the `count`-th term (from 1) of what began at `began_ms`."""
    return moment(later(day_of(began_ms, where), length.times(count)), where)


def terms_begun(began_ms: int, length: Period, at_ms: int, where: ZoneInfo) -> int:
    """Give how many terms have begun at `at_ms`, at least 1; logarithmic in their number."""
    over, begun = 0, 1
    while not _after(began_ms, length, begun, at_ms, where):
        over, begun = begun, 2 * begun
    while begun - over > 1:
        middle = (over + begun) // 2
        if _after(began_ms, length, middle, at_ms, where):
            begun = middle
        else:
            over = middle
    return begun


def reminders(ends_ms: int, days_before: tuple[int, ...], where: ZoneInfo) -> tuple[int, ...]:
    """Give the moments of the reminders so many days before an end, not before 1970, the earliest first."""
    day, first = day_of(ends_ms, where), date(FIRST_YEAR, 1, 1)
    return tuple(sorted(moment(max(day - timedelta(days=days), first), where) for days in days_before))


def shown(at_ms: int, where: ZoneInfo) -> str:
    """Give the moment as people write it in that zone, to the second."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(where).isoformat(timespec="seconds")


def _after(began_ms: int, length: Period, count: int, at_ms: int, where: ZoneInfo) -> bool:
    """Say whether the `count`-th term ends after a moment; one that no calendar of ours has does."""
    try:
        return term_ends(began_ms, length, count, where) > at_ms
    except CalendarError:
        return True
