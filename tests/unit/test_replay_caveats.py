"""Replay under national caveats: what can be read is decided, what cannot is told apart and never called identical."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

from builders_replay import (
    changed,
    differences,
    digest,
    document,
    logged,
    narrowed,
    one_decision,
    passing,
    replayed,
    text,
    under,
)
from builders_replay_life import Life
from comity.envelope.evidence import SlotCode
from comity.node.decision_records import Evidence
from comity.node.logged_entries import LoggedEntry
from comity.node.replaying import BUT_FOR_CAVEATS, IDENTICAL, Replayed
from comity.texts import caveat_digest
from comity_policy.caveat import load_caveat
from comity_policy.engine import decide_report
from comity_policy.recorded import CAVEAT_REASON, What

CAVEAT = f"""
[caveat]
party = "XAR"
id = "NO-CT"
agreement = "XAR-XBO-CT-1"
digest = "sha384:{digest().hex()}"
partner_text = "A national limitation applies."

[[clause]]
id = "1"
kind = "exclude"
text = {{ en = "Nothing about terrorism." }}
categories = ["terrorism"]
""".encode()
SALT = b"s" * 32


@cache
def life(text_of_caveat: bytes = CAVEAT) -> tuple[LoggedEntry, ...]:
    """Give the entries before: the agreement's, and the caveat that XAR adds."""
    made = Life(text()).signed()
    made.caveat("XAR", "NO-CT", text_of_caveat, SALT)
    return tuple(made.entries)


def hidden(entry: LoggedEntry) -> LoggedEntry:
    """Give an entry without what XAR alone reads of it."""
    return replace(entry, own={party: body for party, body in entry.own.items() if party != "XAR"})


def decided(*, narrow: bool = True, text_of_caveat: bytes = CAVEAT) -> LoggedEntry:
    """Give a report that the caveat of its own party refused, or that was admitted though it should have been."""
    facts = passing()
    decision = one_decision(facts.profile, facts.times, facts.node, facts.moment)
    if narrow:
        compiled = narrowed(load_caveat(CAVEAT, document()))
        result = decide_report(compiled, facts.profile, facts.times, [facts.node], facts.moment)
        assert {one.clause_id for told in result.violations.values() for one in told} == {"caveat/XAR/NO-CT/1"}
        decision = replace(decision, result=result)
    made = replace(under(), caveats=(("XAR", "NO-CT", caveat_digest(SALT, text_of_caveat)),))
    manifests = {} if narrow else {0: Evidence(bytes(48), facts.profile, facts.times)}
    refusals = [(0, SlotCode.POLICY)] if narrow else []
    return logged([decision], len(life()), 1, refusals, made_under=made, manifests=manifests)


def after_caveat(entry: LoggedEntry, *, shown: bool = True, text_of_caveat: bytes = CAVEAT) -> Replayed:
    before = life(text_of_caveat)
    return replayed(entry, before=before if shown else tuple(map(hidden, before)))


def by_name(own: dict[str, Any]) -> None:
    own["decisions"][0]["recipients"][0]["violations"][0].update(clause="XAR/NO-CT", reason=CAVEAT_REASON)


def test_a_caveat_that_is_known_is_decided():
    assert +after_caveat(decided()).counts() == Counter({IDENTICAL: 1})


def test_another_text_of_a_caveat_than_the_one_that_is_in_force_is_named():
    other = CAVEAT.replace(b"NO-CT", b"NO-XX")
    done = after_caveat(decided(text_of_caveat=other), text_of_caveat=other)
    assert What.CAVEAT in differences(done)
    assert "XAR/NO-CT: the text is that of XAR/NO-XX" in " ".join(done.lines())


def test_a_caveat_that_nobody_showed_is_taken_as_given_where_its_name_alone_is_told():
    told = changed(decided(), "XAR", by_name)
    done = after_caveat(told, shown=False)
    assert +done.counts() == Counter({BUT_FOR_CAVEATS: 1})
    assert [one.unread for one in done.told] == [("XAR/NO-CT",)]
    # Of a caveat that was not in force then nothing is taken as given.
    gone = changed(told, "shared", lambda said: said["under"].update(caveats=[]))
    assert differences(after_caveat(gone, shown=False)) == {What.FACT, What.CAVEAT}


def test_a_caveat_that_nobody_showed_leaves_open_what_it_did_not_refuse_as_well():
    admitted = decided(narrow=False)
    assert +after_caveat(admitted, shown=False).counts() == Counter({BUT_FOR_CAVEATS: 1})
    # Who reads it sees that it should have refused.
    assert differences(after_caveat(admitted)) == {What.FACT}


def test_who_reads_the_caveat_holds_its_bare_name_against_it():
    assert +after_caveat(changed(decided(), "XAR", by_name)).counts() == Counter({IDENTICAL: 1})


def test_a_caveat_of_which_the_record_says_nothing_refused_nothing_is_a_difference():
    lied = changed(
        decided(), "XAR", lambda own: own["decisions"][0]["recipients"][0].update(violations=[], portions=[0])
    )
    assert differences(after_caveat(lied)) == {What.FACT, What.OUTCOME}
