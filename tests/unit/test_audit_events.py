"""Audit events: every kind of the closed table is built with exactly its keys, and nothing else is read back."""

from __future__ import annotations

import json

import pytest

from builders_audit import good_audit
from builders_audit_acts import every_act
from builders_audit_log import AGREEMENT, KEYS_ORIGIN
from builders_envelope import INCARNATION
from comity import canonical
from comity.envelope.core import LogSeen
from comity.envelope.evidence import SlotCode
from comity.errors import MalformedError
from comity.statement import Statement, decode, encode, from_json, to_json
from comity.verify import table
from comity.verify.records import FormError
from comity_broker.auditlog import events, operations
from comity_broker.auditlog.bodies import BROKER, Caller, Event, SegmentSlots, body
from comity_broker.auditlog.exercise import exercise_follows
from comity_broker.auditlog.kinds import SHAPES, SHARED, TABLE, EventKind, LogKind, read_body
from comity_broker.auditlog.replays import replayed
from comity_policy.facts import Role
from comity_policy.steps import StepKind

AUDIT = good_audit()
CALLER = Caller("XBO", "m1", "", bytes(48), bytes(16))
SEGMENTS = [SegmentSlots(bytes(48), [0, 1, 3], 2)]
SEEN = LogSeen(INCARNATION, 5, bytes(32))
A_CAVEAT = events.BroughtCaveat("XBO", b"[caveat]", bytes(32))
BETWEEN = {"originator": "XAR", "recipient": ("XBO", "m1"), "segments": SEGMENTS}


def a_statement() -> Statement:
    return AUDIT.statement(StepKind.PROPOSE, "XAR/lia", Role.LIAISON)


FOLLOWED = {
    "time": 1, "caller": BROKER, "state_epoch": 2, "agreement_id": AGREEMENT, "agreement_log_index": 4,
    "agreement_origin": f"hub.arland.example/agreement/{AGREEMENT}/{bytes(16).hex()}",
}  # fmt: skip


def every_event() -> list[tuple[LogKind, Event]]:
    """Build every event of the release."""
    agreement = [
        *AUDIT.events,
        *(
            events.parked(kind, time=1, caller=CALLER, consumer="default", reason="ATTEMPTS", **BETWEEN)
            for kind in (EventKind.PARKED, EventKind.PARKED_REPLAYED, EventKind.PARKED_DROPPED)
        ),
        *(
            events.held(kind, time=1, caller=BROKER, reason="SUSPENDED", **BETWEEN)
            for kind in (EventKind.HELD, EventKind.HELD_CONFIRMED, EventKind.HELD_WITHDRAWN)
        ),
        events.expired(time=1, **BETWEEN),
        replayed(time=1, caller=CALLER, consumer="default", since=0, from_log_index=3, **BETWEEN),
        events.id_reused(
            time=1, caller=CALLER, report_id=bytes(16), leaf=bytes(48), known_leaf=bytes(48), known_log_index=3
        ),
        events.umbrella_changed(
            time=1,
            caller=BROKER,
            state_epoch=2,
            umbrella="XAR-XBO-GSA",
            umbrella_origin=f"hub.arland.example/agreement/XAR-XBO-GSA/{bytes(16).hex()}",
            umbrella_log_index=4,
        ),
        exercise_follows(**FOLLOWED),
        events.agreement_log_continued(
            time=1,
            caller=BROKER,
            key_log_size=1,
            state_epoch=2,
            agreement_id=AGREEMENT,
            agreement_digest=bytes(48),
            statement=a_statement(),
        ),
        events.key_revoked_in_agreement(time=1, caller=BROKER, state_epoch=2, key_log_index=4, statement=a_statement()),
        *(
            events.step_taken(
                kind,
                time=1,
                caller=CALLER,
                key_log_size=1,
                state_epoch=1,
                agreement_id=AGREEMENT,
                agreement_digest=bytes(48),
                statement=a_statement(),
                caveat=A_CAVEAT if kind is StepKind.CAVEAT_ADD else None,
            )
            for kind in StepKind
            if kind is not StepKind.LOG_SIGN
        ),
        _abandoned(),
        _rejected_segment(),
        *every_act(good_audit()),
        *(
            events.taken_back(
                kind,
                time=1,
                caller=CALLER,
                recipient=("XBO", "n1"),
                segments=[SegmentSlots(bytes(48), [0])],
                report_id=bytes(16),
                leaf=bytes(48),
            )
            for kind in (EventKind.RECALLED, EventKind.SUPERSEDED)
        ),
    ]
    keys = [
        *AUDIT.key_events,
        *(
            events.key_statement(kind, time=1, caller=CALLER, statement=a_statement())
            for kind in (EventKind.KEY_ROTATED, EventKind.KEY_REVOKED, EventKind.CAPABILITIES_STATED)
        ),
    ]
    of_operations = [
        events.log_opened(time=1, origin=KEYS_ORIGIN, log_vkeys=["a", "b"], broker="XAR/hub"),
        operations.authn_failed(time=1, certificate=bytes(48), peer="ipv4", identity="spiffe://x", reason="revoked"),
        operations.authz_denied(time=1, caller=CALLER, action="Publish", agreement_id="", reason="role"),
        operations.admin_action(time=1, caller=CALLER, action="drain", target="hub", outcome="done"),
        operations.clock_stepped(time=1, before=5, after=2),
        operations.rejected(time=1, caller=CALLER, agreement_id=AGREEMENT, target=bytes(48), slots=[1], reason="leaf"),
    ]
    everywhere = [
        events.log_frozen(time=1, caller=CALLER, reason="disk"),
        events.audit_failure(time=1, reason="disk"),
    ]
    continued = events.log_continued(time=1, statement=a_statement())
    fork = events.fork_seen(time=1, caller=CALLER, target=bytes(48), seen=SEEN, own=SEEN)
    return [
        *((LogKind.AGREEMENT, event) for event in (*agreement, *everywhere, fork)),
        *((LogKind.KEYS, event) for event in (*keys, *everywhere, fork, continued)),
        *((LogKind.OPERATIONS, event) for event in (*of_operations, *everywhere, continued)),
    ]


def _abandoned() -> Event:
    audit = good_audit()
    audit.abandon(4, bytes(48))
    return audit.events[-1]


def _rejected_segment() -> Event:
    audit = good_audit()
    audit.submit(1, refused={0: SlotCode.POLICY})
    return audit.events[-1]


EVENTS = every_event()


def test_every_kind_of_the_table_is_built_by_some_builder():
    built = {(log, event.kind) for log, event in EVENTS}
    assert built == {(log, kind) for log, kinds in TABLE.items() for kind in kinds}


@pytest.mark.parametrize(("log", "event"), EVENTS, ids=[f"{log}-{event.kind}" for log, event in EVENTS])
def test_what_is_built_is_canonical_and_reads_back_here_and_in_the_verifier(log, event):
    for part, data in ((SHARED, event.shared), *event.own.items()):
        assert canonical.dumps(json.loads(data)) == data
        assert read_body(log, event.kind, part, data) == table.read_body(log, event.kind, part, data)


def test_the_verifiers_tables_are_the_brokers():
    ours = {log.value: {kind.value: keys for kind, keys in kinds.items()} for log, kinds in TABLE.items()}
    assert ours == table.TABLE
    assert dict(SHAPES) == table.SHAPES
    assert {kind.value for kind in EventKind} == {kind for kinds in table.TABLE.values() for kind in kinds}


def test_every_key_of_the_table_has_a_shape_and_no_other_has():
    named = {key for kinds in TABLE.values() for parts in kinds.values() for part in parts for key in part}
    assert named == set(SHAPES)


GOOD = {"time": 1, "reason": "disk"}


@pytest.mark.parametrize(
    ("kind", "part", "value"),
    [
        ("AUDIT_SUCCESS", SHARED, GOOD),
        ("CLOCK_STEPPED", SHARED, {"time": 1, "before": 1, "after": 1}),
        ("AUDIT_FAILURE", SHARED, GOOD | {"more": 1}),
        ("AUDIT_FAILURE", SHARED, {"time": 1}),
        ("AUDIT_FAILURE", "XAR", GOOD),
        ("AUDIT_FAILURE", SHARED, GOOD | {"time": "1"}),
        ("AUDIT_FAILURE", SHARED, GOOD | {"time": True}),
        ("AUDIT_FAILURE", SHARED, GOOD | {"time": -1}),
        ("AUDIT_FAILURE", SHARED, GOOD | {"reason": None}),
        ("AUDIT_FAILURE", SHARED, [GOOD]),
        ("EXPIRED", "XAR", {"recipient": {"party": "XAR"}, "segments": []}),
        ("EXPIRED", "XAR", {"recipient": {"party": "XAR", "node": "n", "more": 1}, "segments": []}),
        ("EXPIRED", "XAR", {"recipient": {"party": "XAR", "node": "n"}, "segments": {}}),
        ("EXPIRED", "XAR", {"recipient": {"party": "XAR", "node": "n"}, "segments": [{"segment_id": "00"}]}),
    ],
)
def test_an_undeclared_kind_key_or_shape_is_refused_here_and_in_the_verifier(kind, part, value):
    data = canonical.dumps(value)
    with pytest.raises(MalformedError):
        read_body(LogKind.AGREEMENT, kind, part, data)
    with pytest.raises(FormError):
        table.read_body("agreement", kind, part, data)


def test_a_body_that_is_not_canonical_or_too_long_is_refused():
    for data in (b'{"time": 1,"reason":"x"}', b"{", b"null", canonical.dumps(GOOD | {"reason": "x" * (1 << 20)})):
        with pytest.raises(MalformedError):
            read_body(LogKind.AGREEMENT, "AUDIT_FAILURE", SHARED, data)
        with pytest.raises(FormError):
            table.read_body("agreement", "AUDIT_FAILURE", SHARED, data)


def test_a_part_with_nothing_to_say_is_no_bytes_and_reads_as_nothing():
    assert read_body(LogKind.AGREEMENT, "AUDIT_FAILURE", "XAR", b"") == {}
    assert table.read_body("agreement", "AUDIT_FAILURE", "XAR", b"") == {}


def test_what_names_a_recipient_stands_in_the_own_bodies_of_two_parties_and_nowhere_else():
    event = events.expired(time=1, **BETWEEN)
    assert set(event.own) == {"XAR", "XBO"}
    assert event.own["XAR"] == event.own["XBO"]
    assert b"m1" not in event.shared
    assert b"XBO" not in event.shared


def test_a_segment_of_which_nothing_was_admitted_is_rejected():
    assert _rejected_segment().kind is EventKind.SUBMIT_REJECTED
    assert AUDIT.events[AUDIT.find("SUBMIT_ACCEPTED")].kind is EventKind.SUBMIT_ACCEPTED


def test_statements_keep_their_bytes_in_a_body():
    statement = a_statement()
    event = events.key_statement(EventKind.KEY_ENROLLED, time=1, caller=CALLER, statement=statement)
    assert from_json(json.loads(event.shared)["statement"]) == statement == decode(encode(statement))
    assert to_json(statement) == json.loads(event.shared)["statement"]


def test_a_builder_refuses_a_kind_that_is_not_its_own():
    with pytest.raises(MalformedError):
        events.key_statement(EventKind.AUTHN_FAILED, time=1, caller=CALLER, statement=a_statement())
    with pytest.raises(MalformedError):
        events.held(EventKind.PARKED, time=1, caller=BROKER, reason="", **BETWEEN)
    with pytest.raises(MalformedError):
        events.parked(EventKind.HELD, time=1, caller=BROKER, consumer="", reason="", **BETWEEN)
    with pytest.raises(MalformedError):
        events.step_taken(
            StepKind.LOG_SIGN,
            time=1,
            caller=CALLER,
            key_log_size=1,
            state_epoch=1,
            agreement_id=AGREEMENT,
            agreement_digest=bytes(48),
            statement=a_statement(),
        )


def test_a_text_that_cannot_be_utf8_is_refused():
    with pytest.raises(MalformedError):
        body(reason="\ud800")
