"""What a log says of a segment that was submitted: its decisions, what they were made under, and to whom each is told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

from builders_audit import good_audit
from builders_audit_decisions import UNDER
from comity.envelope.evidence import SlotCode
from comity_broker.auditlog.bodies import Caller, Event
from comity_broker.auditlog.kinds import SHARED, LogKind, read_body
from comity_broker.auditlog.submissions import LoggedDecision, submitted
from comity_policy.decision import Reason, ReportDecision, Violation
from comity_policy.facts import AgreementState, Moment, NodeFacts, Point, Times, Usage

AUDIT = good_audit()
TO_XBO = [NodeFacts("XBO", "n1", None, frozenset(), frozenset(), None, None, None, valid=True, officers=frozenset())]
MOMENT = Moment(Point.ADMISSION, 1, None, None, None, None, direct=True)


def test_a_recipient_reads_the_decisions_for_its_own_nodes_only():
    nodes = [
        NodeFacts(party, "n1", None, frozenset(), frozenset(), None, None, None, valid=True) for party in ("XBO", "XDE")
    ]
    violated = {("XDE", "n1", 0): (Violation("4", Reason.DENIED),), ("XDE", "n1", 1): (Violation("4", Reason.DENIED),)}
    result = ReportDecision(True, {("XBO", "n1"): (0, 1)}, violated)
    moment = Moment(Point.ADMISSION, 1, None, None, None, None, direct=True)
    decision = events_submitted([0, 2], moment, nodes, result)
    told = {party: json.loads(data)["decisions"][0]["recipients"] for party, data in decision.own.items()}
    assert [one["party"] for one in told["XAR"]] == ["XBO", "XDE"]
    assert [one["party"] for one in told["XBO"]] == ["XBO"]
    assert [one["party"] for one in told["XDE"]] == ["XDE"]
    assert told["XDE"][0]["violations"] == [{"clause": "4", "reason": "DENIED", "portions": [0, 1]}]
    assert b"XDE" not in decision.shared
    assert b"XBO" not in decision.shared


def events_submitted(covered, moment, nodes, result, **admitted) -> Event:
    admission = replace(AUDIT.sent[0].admission, **admitted)
    return submitted(
        admission,
        Caller("XAR", "n1"),
        [LoggedDecision(covered, b"profile", moment, nodes, result, [Times(1, 2, 3)] * len(covered))],
    )


def read_decision(event: Event, party: str) -> dict:
    (decision,) = read_body(LogKind.AGREEMENT, event.kind.value, party, event.own[party])["decisions"]
    return decision


def test_the_profile_of_a_report_that_did_not_enter_is_kept_for_its_originator_alone():
    result = ReportDecision(False, {}, {("XBO", "n1", 0): (Violation("4", Reason.DENIED),)})
    event = events_submitted([0], MOMENT, TO_XBO, result, slots=1, refusals=((0, SlotCode.POLICY),))
    own, theirs = read_decision(event, "XAR"), read_decision(event, "XBO")
    assert (own["content"], own["times"]) == (b"profile".hex(), [[1, 2, 3]])
    assert own["profile"] == hashlib.sha384(b"profile").hexdigest()
    # Few profiles are likely: a digest would let a partner guess what was refused.
    assert (theirs["profile"], theirs["content"], theirs["times"]) == ("", "", [])
    assert theirs["recipients"] == own["recipients"]


def test_an_admitted_report_has_its_manifest_as_evidence_and_no_copy_here():
    result = ReportDecision(True, {("XBO", "n1"): (0,)}, {})
    event = events_submitted([0, 1], MOMENT, TO_XBO, result, slots=2, refusals=())
    assert event.own["XAR"] == event.own["XBO"]
    assert (read_decision(event, "XBO")["content"], read_decision(event, "XBO")["times"]) == ("", [])


def test_profiles_are_kept_as_far_as_there_is_room():
    result = ReportDecision(False, {}, {})
    large = [LoggedDecision([n], bytes(60_000), MOMENT, TO_XBO, result, [Times(1, 2, 3)]) for n in range(6)]
    admission = replace(AUDIT.sent[0].admission, slots=6, refusals=tuple((n, SlotCode.POLICY) for n in range(6)))
    event = submitted(admission, Caller("XAR", "n1"), large)
    kept = [
        bool(one["content"])
        for one in read_body(LogKind.AGREEMENT, event.kind.value, "XAR", event.own["XAR"])["decisions"]
    ]
    assert kept == [True] * 4 + [False] * 2


def test_a_recipient_reads_no_window_of_another_direction_and_nobody_one_of_anothers_caveat():
    usage = {"5": Usage(1, 10), "6": Usage(2, 20), "caveat/XAR/C1/1": Usage(3, 30), "caveat/XBO/C2/1": Usage(4, 40)}
    quotas = {"5": "XBO", "6": "XDE", "caveat/XAR/C1/1": "XBO", "caveat/XBO/C2/1": "XBO"}
    result = ReportDecision(True, {("XBO", "n1"): (0,)}, {})
    event = events_submitted(
        [0], replace(MOMENT, usage=usage), TO_XBO, result, slots=1, refusals=(), under=replace(UNDER, quotas=quotas)
    )
    clauses = {party: [one["clause"] for one in read_decision(event, party)["moment"]["usage"]] for party in event.own}
    assert clauses == {"XAR": ["5", "6", "caveat/XAR/C1/1"], "XBO": ["5", "caveat/XBO/C2/1"]}


def test_every_fact_of_an_admission_is_recorded_under_its_own_name():
    at_opening = {
        "admitted_at", "opening_purpose", "reader", "use", "consents", "registered", "caveats_acknowledged", "relabelled_by",
        "held", "point",
    }  # fmt: skip
    event = events_submitted([0], MOMENT, TO_XBO, ReportDecision(False, {}, {}))
    decision = read_decision(event, "XAR")
    assert set(decision["moment"]) == {one.name for one in fields(Moment)} - at_opening
    (facts,) = read_body(LogKind.AGREEMENT, event.kind.value, "XAR", event.own["XAR"])["attested"]
    assert decision["recipients"][0]["facts"] == 0
    assert set(facts) == {one.name for one in fields(NodeFacts)} - {"party", "node"}


def test_what_is_attested_of_recipients_stands_once_however_many_decisions_were_made_on_it():
    nodes = [replace(TO_XBO[0], node=f"n{number}", region=f"r{number // 2}") for number in range(40)]
    names = [(one.party, one.node) for one in nodes]
    result = ReportDecision(True, dict.fromkeys(names, (0,)), {})
    each = [
        LoggedDecision([slot], b"profile", replace(MOMENT, size=slot), nodes, result, [Times(1, 2, 3)])
        for slot in range(256)
    ]
    event = submitted(replace(AUDIT.sent[0].admission, slots=256, refusals=()), Caller("XAR", "n1"), each)
    body = read_body(LogKind.AGREEMENT, event.kind.value, "XBO", event.own["XBO"])
    assert [one["region"] for one in body["attested"]] == [f"r{number}" for number in range(20)]
    assert [one["facts"] for one in body["decisions"][255]["recipients"]] == [number // 2 for number in range(40)]
    # With the facts of every recipient in every decision it had not been logged at all.
    assert len(event.own["XBO"]) < 1 << 20


def test_a_recipients_body_has_the_facts_of_its_own_nodes_alone():
    theirs = NodeFacts("XDE", "n1", "xde", frozenset(), frozenset(), None, None, None, valid=True)
    result = ReportDecision(True, {("XBO", "n1"): (0,)}, {("XDE", "n1", 0): (Violation("4", Reason.DENIED),)})
    event = events_submitted([0], MOMENT, [theirs, *TO_XBO], result, slots=1, refusals=())
    regions = {
        party: [one["region"] for one in read_body(LogKind.AGREEMENT, event.kind.value, party, data)["attested"]]
        for party, data in event.own.items()
    }
    assert regions == {"XAR": ["xde", None], "XBO": [None], "XDE": ["xde"]}


def test_what_decisions_were_made_under_is_in_the_shared_body():
    state = AgreementState(True, "", frozenset({"3.1"}), frozenset({"XDE"}))
    under = replace(UNDER, state=state, umbrella=("XAR-GSA-1", bytes(48), state), caveats=(("XAR", "C1", bytes(48)),))
    event = events_submitted([0], MOMENT, TO_XBO, ReportDecision(False, {}, {}), under=under)
    told = read_body(LogKind.AGREEMENT, event.kind.value, SHARED, event.shared)["under"]
    assert told["state"] == {"in_force": True, "reason": "", "suspended_clauses": ["3.1"], "unbound": ["XDE"]}
    assert (told["umbrella"], told["umbrella_digest"], told["umbrella_state"]) == (
        "XAR-GSA-1",
        "00" * 48,
        told["state"],
    )
    assert told["caveats"] == [{"party": "XAR", "id": "C1", "digest": "00" * 48}]
    assert told["vocabularies"] == UNDER.vocabularies.hex()
