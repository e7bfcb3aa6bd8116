"""Dates of treaties: what holds of every event, period and zone, found by searching for one where it does not."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from comity_policy.calendar import (
    Offset,
    Period,
    day_of,
    effect,
    later,
    moment,
    months_later,
    notice_ends,
    reminders,
    term_ends,
    terms_begun,
    zone,
)

ZONES = [
    zone(name)
    for name in (
        *("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Havana", "America/Sao_Paulo"),
        *("Africa/Cairo", "Asia/Kathmandu", "Asia/Beirut", "Pacific/Apia", "Pacific/Kiritimati", "Australia/Lord_Howe"),
    )
]
DAY = 86_400_000

zones = st.sampled_from(ZONES)
days = st.dates(date(1971, 1, 1), date(2500, 12, 31))
moments = st.integers(DAY * 400, DAY * 365 * 500)
periods = st.builds(Period, st.integers(0, 1200), st.integers(0, 100), st.integers(0, 1000))
lengths = st.builds(Period, st.integers(1, 1200))
offsets = st.one_of(
    st.builds(Offset, days=st.integers(1, 3650)), st.builds(Offset, first_day_of_month=st.integers(1, 24))
)


@given(days, zones)
def test_a_day_begins_with_its_first_moment(day, where):
    begins = moment(day, where)
    found = day_of(begins, where)
    # A day that a zone left out, as Apia did in 2011 and Kiritimati in 1995, begins with the one after it.
    assert found == day or (found == day + timedelta(days=1) and where.key.startswith("Pacific/"))
    assert day_of(begins - 1, where) < day


@given(moments, moments, zones)
def test_later_moments_fall_on_no_earlier_days(one, other, where):
    first, second = sorted((one, other))
    assert day_of(first, where) <= day_of(second, where)


@given(days, st.integers(0, 2000))
def test_months_lead_to_the_corresponding_date_or_the_last_day(day, months):
    found = months_later(day, months)
    assert (found.year * 12 + found.month) - (day.year * 12 + day.month) == months
    assert found.day == min(day.day, monthrange(found.year, found.month)[1])


@given(days, days, periods)
def test_a_later_day_and_a_longer_period_never_lead_to_an_earlier_day(one, other, period):
    first, second = sorted((one, other))
    assert later(first, period) <= later(second, period)
    assert later(first, period) >= first
    assert later(first, Period(period.months + 1, period.weeks, period.days)) > later(first, Period(days=period.days))
    assert later(first, Period(period.months, period.weeks, period.days + 1)) > later(first, period)


@given(moments, moments, offsets, zones)
def test_a_later_event_never_has_an_earlier_effect(one, other, offset, where):
    first, second = sorted((one, other))
    assert first < effect(first, offset, where) <= effect(second, offset, where)


@given(moments, st.integers(1, 24), zones)
def test_a_first_day_of_a_month_is_one(at, count, where):
    event, found = day_of(at, where), day_of(effect(at, Offset(first_day_of_month=count), where), where)
    assert found.day == 1
    assert (found.year - event.year) * 12 + found.month - event.month == count


@given(moments, st.integers(1, 3650))
def test_in_utc_days_are_days(at, count):
    expected = datetime.fromtimestamp(at // 1000, UTC).date() + timedelta(days=count)
    assert (
        effect(at, Offset(days=count), zone("UTC"))
        == int(datetime(*expected.timetuple()[:3], tzinfo=UTC).timestamp()) * 1000
    )


@given(moments, periods, zones)
def test_a_notice_never_takes_effect_before_it_was_received_by_more_than_its_day(at, period, where):
    assert notice_ends(at, period, where) > at - 2 * DAY
    if period.months or period.weeks or period.days:
        assert notice_ends(at, period, where) > at


@given(moments, lengths, st.integers(1, 40), zones)
def test_terms_follow_each_other_without_a_gap_or_an_overlap(began, length, count, where):
    over = term_ends(began, length, count, where)
    assert term_ends(began, length, count + 1, where) > over
    assert terms_begun(began, length, over - 1, where) == count
    assert terms_begun(began, length, over, where) == count + 1


@given(moments, st.lists(st.integers(1, 390), min_size=1, max_size=5, unique=True), zones)
def test_reminders_come_before_the_end_the_longest_first(ends, before, where):
    found = reminders(ends, tuple(before), where)
    assert list(found) == sorted(found)
    assert found[-1] <= ends
    assert len(found) == len(before)
