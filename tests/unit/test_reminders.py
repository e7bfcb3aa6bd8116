"""What a party is reminded of ahead, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from builders_lifecycle import Life, amending, in_force, ms, provisionally, term, treaty
from comity_policy.reminders import AHEAD_MS, ReminderKind, coming, reminders_of
from comity_policy.sections import EntryIntoForce, EntryRule, Renewal
from comity_policy.steps import StepKind

K, R = StepKind, ReminderKind
DAY = 86_400_000


def told(life, at: int, party: str = "XAR"):
    return [one.kind for one in reminders_of(life.state(at), party)]


def test_an_express_renewal_is_asked_of_who_has_not_signed_it_from_its_first_day_on():
    life = in_force(duration=term(years=1, renewal=Renewal.EXPRESS, remind_days=(90, 30)))
    state = life.state()
    ends, first = state.term_ends_at, min(state.reminders)
    assert first == ends - 90 * DAY
    assert (told(life, first - 1), told(life, first), told(life, ends - 1), told(life, ends)) == (
        [],
        [R.RENEW],
        [R.RENEW],
        [],
    )
    (asked,) = coming(life.state(), "XAR")
    assert (asked.at_ms, "XAR, XBO" in asked.words) == (ends, True)
    life.take(K.RENEW, "XAR")
    assert told(life, first) == [R.LAPSES]
    assert told(life, first, "XBO") == [R.RENEW]
    assert "waits for XBO" in reminders_of(life.state(first), "XAR")[0].words
    life.take(K.RENEW, "XBO")
    assert told(life, first) == []
    assert told(life, life.state(ends).term_ends_at - 1) == [R.RENEW]


def test_a_tacit_renewal_is_told_until_the_party_objects():
    life = in_force(duration=term(years=1, renewal=Renewal.TACIT))
    ends = life.state().term_ends_at
    assert (told(life, ends - AHEAD_MS - 1), told(life, ends - AHEAD_MS)) == ([], [R.RENEWS])
    assert told(life, ends) == [], "the next one is a year away"
    life.take(K.OBJECT_RENEWAL, "XAR", reason="We leave.")
    assert told(life, life.now) == [R.ENDS, R.LEAVES]
    assert R.RENEWS not in told(life, ends - 1)
    assert R.RENEWS in told(life, ends - 1, "XBO")
    assert told(life, ends) == []


def test_a_term_that_is_not_renewed_lapses():
    life = in_force(duration=term(years=1, renewal=Renewal.NONE, remind_days=(180,)))
    ends = life.state().term_ends_at
    assert (told(life, ends - 180 * DAY - DAY), told(life, ends - 179 * DAY)) == ([], [R.LAPSES])


def test_a_notice_is_told_to_everybody_until_it_takes_effect():
    life = in_force()
    life.take(K.NOTICE, "XBO", reason="We leave.")
    at = life.state().departures["XBO"].at_ms
    for party in ("XAR", "XBO"):
        assert told(life, life.now, party) == [R.ENDS, R.LEAVES]
        assert told(life, at, party) == []


def test_what_is_on_its_way_into_force_is_told_from_its_last_signature_on():
    entry = EntryIntoForce(EntryRule.FIXED_DATE, at=datetime(2030, 1, 1, tzinfo=UTC))
    life = Life(replace(treaty(), entry_into_force=entry)).signed()
    (one,) = reminders_of(life.state(), "XAR")
    assert (one.kind, one.at_ms) == (R.BEGINS, ms("2030-01-01"))
    life = in_force()
    life.amended(amending(life.document))
    assert told(life, life.now) == []


def test_provisional_application_and_disputes_lapse_by_their_date():
    entry = EntryIntoForce(EntryRule.FIXED_DATE, at=datetime(2030, 1, 1, tzinfo=UTC))
    document = replace(provisionally(treaty(), "1.0", until="2029-01-01T00:00"), entry_into_force=entry)
    life = Life(document).signed()
    until = ms("2029-01-01")
    assert (R.PROVISIONAL in told(life, until - AHEAD_MS - 1), R.PROVISIONAL in told(life, until - AHEAD_MS)) == (
        False,
        True,
    )
    life = in_force()
    opened = life.take(K.DISPUTE_OPEN, "XAR")
    until = life.state().disputes[0].until_ms
    assert [one.names for one in coming(life.state(), "XBO")] == [opened.digest]
    assert (told(life, until - AHEAD_MS - 1), told(life, until - AHEAD_MS), told(life, until)) == ([], [R.DISPUTE], [])
