"""Replay works out again what the log itself says of quotas, late acknowledgements and emergencies, and names what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from builders_replay import differences
from builders_replay_facts import ACKNOWLEDGE, DAY, EMERGENCY, MINUTE, QUOTA, FactsLog, Report
from comity.node.replaying import AS_PRESENTED, IDENTICAL, Replayed
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Usage
from comity_policy.recorded import What


def last(log: FactsLog) -> Replayed:
    return log.replayed()[-1]


def identical(log: FactsLog) -> None:
    for done in log.replayed():
        assert list(done.lines()) == list(done.gaps()) == []
        assert set(+done.counts()) == {IDENTICAL}


def wrong(log: FactsLog, words: str) -> None:
    done = last(log)
    assert differences(done) == {What.FACT}
    assert words in " ".join(done.lines())


def open_for(log: FactsLog, words: str) -> None:
    done = last(log)
    assert list(done.lines()) == []
    assert set(+done.counts()) == {AS_PRESENTED}
    assert words in " ".join(done.gaps())


# quotas: clause 25 lets 200 reports and 1,000,000 bytes a day go from XAR to XBO


def test_windows_hold_what_was_admitted_before_in_them():
    log = FactsLog(QUOTA)
    log.submit(Report(100))
    log.submit(Report(50, Usage(1, 100)))
    log.at_ms += DAY
    log.submit(Report(50))
    identical(log)


def test_reports_of_one_segment_know_one_another_or_those_before_them():
    log = FactsLog(QUOTA)
    log.submit(Report(100, Usage(1, 50)), Report(50, Usage(1, 100)))
    full = 1_000_000 - 150
    log.submit(Report(full, Usage(2, 150)), Report(10, Usage(3, 1_000_000)))
    log.submit(Report(10, Usage(3, 1_000_000)))
    identical(log)


@pytest.mark.parametrize("held", [Usage(0, 0), Usage(1, 99), Usage(2, 100)])
def test_a_window_that_held_something_else_is_named(held):
    log = FactsLog(QUOTA)
    log.submit(Report(100))
    log.submit(Report(50, held))
    wrong(log, f"usage of 25 is {held.reports} reports and {held.size} bytes, by the log 1 reports and 100 bytes")


def test_reports_that_each_know_something_else_of_their_segment_are_named():
    """The first as though all were known, the second as though those before it were: not both."""
    log = FactsLog(QUOTA)
    log.submit(Report(10, Usage(2, 20)), Report(10, Usage(1, 10)), Report(10, Usage(2, 20)))
    wrong(log, "usage of 25")


def test_a_record_that_tells_of_no_window_where_a_quota_counts_is_named():
    log = FactsLog(QUOTA)
    log.submit(told=False)
    assert What.FACT in differences(last(log))
    assert "usage tells of no quota, by the agreement of 25" in " ".join(last(log).lines())


def test_the_recipients_party_works_the_same_windows_out():
    log = FactsLog(QUOTA)
    log.submit(Report(100))
    log.submit(Report(50, Usage(1, 100)))
    for number in (0, 1):
        log.hide(EventKind.SUBMIT_ACCEPTED, number, "XAR")
    identical(log)


@pytest.mark.parametrize("parts", [(), ("XAR", "XBO")])
def test_a_segment_that_was_not_presented_leaves_its_window_open_and_no_later_one(parts):
    log = FactsLog(QUOTA)
    log.submit(Report(100))
    log.submit(Report(50, Usage(1, 100)))
    log.hide(EventKind.SUBMIT_ACCEPTED, 0, *parts)
    open_for(log, "SUBMIT_ACCEPTED")
    log.at_ms += DAY
    log.submit(Report(1))
    assert +last(log).counts() == Counter({IDENTICAL: 1})


# acknowledgements: clause 27 gives ROUTINE a day, and stops what is not urgent three days later


def late(*, answered_after: int | None = None) -> FactsLog:
    log = FactsLog(ACKNOWLEDGE)
    log.submit()
    log.deliver(0)
    if answered_after is not None:
        log.at_ms += answered_after
        log.acknowledge(0)
    return log


def test_who_is_late_is_told_and_who_answered_is_not():
    log = late()
    log.at_ms += 4 * DAY
    log.submit()
    log.at_ms += 1
    log.submit(overdue=[ACKNOWLEDGE])
    log.acknowledge(0)
    log.at_ms += 2 * MINUTE
    log.submit()
    identical(log)


def test_a_lateness_that_is_not_told_is_named():
    log = late()
    log.at_ms += 4 * DAY + 1
    log.submit()
    wrong(log, "overdue of XBO is none, by the log 27")


@pytest.mark.parametrize("answered_after", [None, MINUTE])
def test_a_lateness_that_there_is_not_is_named(answered_after):
    log = late(answered_after=answered_after)
    log.at_ms += DAY
    log.submit(overdue=[ACKNOWLEDGE])
    wrong(log, "overdue of XBO is 27, by the log none")


def test_an_answer_of_this_very_moment_may_be_known_or_not():
    for overdue in ((), (ACKNOWLEDGE,)):
        log = late(answered_after=4 * DAY + 1)
        log.at_ms += MINUTE // 2
        log.submit(overdue=overdue)
        identical(log)


def test_what_expired_is_owed_no_more():
    log = late()
    log.at_ms += 2 * DAY
    log.expire(0)
    log.at_ms += 4 * DAY
    log.submit()
    identical(log)


def test_an_answer_owed_under_no_clause_that_stops_makes_nobody_late():
    log = FactsLog()
    log.submit()
    log.deliver(0)
    log.at_ms += 30 * DAY
    log.submit()
    identical(log)


@pytest.mark.parametrize("overdue", [(), (ACKNOWLEDGE,)])
def test_a_hand_over_that_was_not_presented_leaves_lateness_open(overdue):
    log = late()
    log.hide(EventKind.DELIVERED, 0, "XAR", "XBO")
    log.at_ms += 5 * DAY
    log.submit(overdue=overdue)
    open_for(log, "DELIVERED")


def test_a_hand_over_between_others_leaves_lateness_open():
    """Of three parties one cannot say what another owes to the third."""
    log = late(answered_after=MINUTE)
    log.deliver(0, readers=())
    log.entries[-1] = type(log.entries[-1])(
        log.entries[-1].log_index, log.entries[-1].kind, log.entries[-1].shared, {"XAR": {}}
    )
    log.at_ms += DAY
    log.submit()
    open_for(log, "what other parties read of entry")


# emergencies


def test_a_declaration_counts_from_its_entry_to_its_end():
    log = FactsLog(EMERGENCY)
    named = log.declare()
    log.at_ms += 2 * MINUTE
    log.submit(emergency=named, declared=True)
    log.submit()
    log.at_ms += DAY
    log.submit(emergency=named)
    identical(log)


@pytest.mark.parametrize(("party", "waited"), [("XAR", DAY), ("XBO", 2 * MINUTE)])
def test_an_emergency_that_was_not_as_the_record_says_is_named(party, waited):
    log = FactsLog(EMERGENCY)
    named = log.declare(party)
    log.at_ms += waited
    log.submit(emergency=named, declared=True)
    wrong(log, "emergency_declared is yes, by the log no")


@pytest.mark.parametrize("named", [b"", bytes(48)], ids=["no declaration", "another"])
def test_an_emergency_that_nobody_declared_is_named(named):
    log = FactsLog(EMERGENCY)
    log.submit(emergency=named, declared=True)
    wrong(log, "emergency_declared is yes, by the log no")


def test_a_declaration_of_this_very_moment_may_be_known_or_not():
    for declared in (True, False):
        log = FactsLog(EMERGENCY)
        named = log.declare()
        log.at_ms += MINUTE // 2
        log.submit(emergency=named, declared=declared)
        identical(log)


@pytest.mark.parametrize("declared", [True, False])
def test_a_declaration_that_was_not_presented_leaves_it_open(declared):
    log = FactsLog(EMERGENCY)
    named = log.declare()
    log.hide(EventKind.EMERGENCY_DECLARED)
    log.at_ms += 2 * MINUTE
    log.submit(emergency=named, declared=declared)
    open_for(log, "EMERGENCY_DECLARED")


@pytest.mark.parametrize("declared", [True, False])
def test_a_declaration_counts_as_long_as_its_officer_is_in_office(declared):
    for in_office in (True, False):
        log = FactsLog(EMERGENCY)
        named = log.declare()
        log.offices.answers = frozenset({in_office})
        log.at_ms += 2 * MINUTE
        log.submit(emergency=named, declared=declared)
        if declared is in_office:
            identical(log)
        else:
            wrong(log, f"by the log {'yes' if in_office else 'no'}")


@pytest.mark.parametrize("declared", [True, False])
def test_without_the_key_log_nobody_says_who_was_in_office(declared):
    log = FactsLog(EMERGENCY)
    named = log.declare()
    log.offices = None
    log.at_ms += 2 * MINUTE
    log.submit(emergency=named, declared=declared)
    open_for(log, "keys: the key log, by which who declared was in office")
    log.submit()
    assert +last(log).counts() == Counter({IDENTICAL: 1})


# the moment


@pytest.mark.parametrize("moved", [-2 * MINUTE, 1])
def test_a_moment_outside_of_the_segments_own_is_named(moved):
    log = FactsLog()
    entry = log.submit()
    decided = entry.own["XAR"]["decisions"][0]["moment"]
    decided["now"] += moved
    assert What.FACT in differences(last(log))
    assert f"now is {decided['now']}, while the segment came at" in " ".join(last(log).lines())


def test_a_size_that_is_not_the_manifests_is_named():
    log = FactsLog(QUOTA)
    entry = log.submit(Report(100))
    log.entries[-1] = replace(entry, manifests={0: replace(entry.manifests[0], size=100)})
    identical(log)
    log.entries[-1] = replace(entry, manifests={0: replace(entry.manifests[0], size=101)})
    wrong(log, "size is 100, by the manifest of slot 0 101")
