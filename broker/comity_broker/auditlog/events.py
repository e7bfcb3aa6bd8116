"""Typed builders for the body of every audit event; what a body may hold is the closed table of `kinds` (design of audit).

Each builder gives an `Event`: a kind, the bytes of its shared body and of the parties' own bodies. Parties without an own body
get an empty one, which is committed to all the same (`log.append`). Times are Unix milliseconds, digests 48 raw bytes, ids and
incarnations 16. An admitted segment is one event for all its slots, its decisions listed once for every distinct (profile,
facts). What names a recipient goes to the originator's and the recipient's own body and nowhere else.

    event = delivered(time=now, caller=caller, originator="XAR", recipient=("XBO", "n1"), consumer="default", ...)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from comity.envelope.core import LogSeen
from comity.envelope.evidence import SignedAck
from comity.errors import MalformedError
from comity.statement import Statement, to_json
from comity_broker.auditlog.bodies import (
    Caller,
    Event,
    Recipient,
    SegmentSlots,
    body,
    call,
    event_between,
    one_of,
    shared_event,
)
from comity_broker.auditlog.kinds import EventKind
from comity_policy.steps import LogTerms, StepKind

_STEP_EVENTS: Final[Mapping[StepKind, EventKind]] = {
    StepKind.PROPOSE: EventKind.AGREEMENT_PROPOSED,
    StepKind.COUNTER: EventKind.AGREEMENT_COUNTERED,
    StepKind.INITIAL: EventKind.AGREEMENT_INITIALLED,
    StepKind.REVIEW: EventKind.AGREEMENT_REVIEWED,
    StepKind.REVIEW_CLAUSES: EventKind.AGREEMENT_REVIEWED,
    StepKind.OBJECT: EventKind.AGREEMENT_OBJECTED,
    StepKind.SIGN: EventKind.AGREEMENT_SIGNED,
    StepKind.LOG_CONFIRM: EventKind.LOG_CONFIRMED,
    StepKind.NOTIFY_COMPLETION: EventKind.AGREEMENT_COMPLETED,
    StepKind.RECEIVE: EventKind.AGREEMENT_RECEIVED,
    StepKind.ACCEDE: EventKind.AGREEMENT_ACCEDED,
    StepKind.AMEND: EventKind.AGREEMENT_AMENDED,
    StepKind.NOTES: EventKind.AGREEMENT_NOTED,
    StepKind.RENEW: EventKind.AGREEMENT_RENEWED,
    StepKind.OBJECT_RENEWAL: EventKind.AGREEMENT_RENEWAL_OBJECTED,
    StepKind.NOTICE: EventKind.AGREEMENT_NOTICE_GIVEN,
    StepKind.WITHDRAW: EventKind.AGREEMENT_WITHDRAWN,
    StepKind.SUSPEND: EventKind.AGREEMENT_SUSPENDED,
    StepKind.RESUME: EventKind.AGREEMENT_RESUMED,
    StepKind.DISPUTE_OPEN: EventKind.DISPUTE_OPENED,
    StepKind.DISPUTE_CLOSE: EventKind.DISPUTE_CLOSED,
    StepKind.CAVEAT_ADD: EventKind.AGREEMENT_CAVEAT_ADDED,
    StepKind.CAVEAT_WITHDRAW: EventKind.AGREEMENT_CAVEAT_WITHDRAWN,
}


@dataclass(frozen=True, slots=True)
class BroughtCaveat:
    """The exact text and salt of a caveat, which only `party` ever reads."""

    party: str
    text: bytes
    salt: bytes


# --- the agreement's log --------------------------------------------------------------------------------------------


def abandoned(
    *,
    time: int,
    caller: Caller,
    key_log_size: int,
    transport_class: int,
    origin_epoch: bytes,
    first_origin_sequence: int,
    count: int,
    statement: Statement,
) -> Event:
    """Build ABANDONED: `count` origin sequences of a lane end by a statement of the originator's node."""
    return shared_event(
        EventKind.ABANDONED,
        **call(caller),
        time=time,
        key_log_size=key_log_size,
        origin_epoch=origin_epoch.hex(),
        first_origin_sequence=first_origin_sequence,
        count=count,
        statement=to_json(statement),
        **{"class": transport_class},
    )


def delivered(
    *,
    time: int,
    caller: Caller,
    originator: str,
    recipient: Recipient,
    consumer: str,
    session: bytes,
    segments: Sequence[SegmentSlots],
) -> Event:
    """Build DELIVERED: slots of one originator party's segments were handed to a consumer of the recipient node."""
    content = {**call(caller, actor=False), "consumer": consumer, "session": session.hex()}
    return event_between(
        EventKind.DELIVERED, originator, recipient, shared={"time": time}, content=content, segments=segments
    )


def acknowledged(
    *,
    time: int,
    caller: Caller,
    key_log_size: int,
    originator: str,
    recipient: Recipient,
    consumer: str,
    ack: SignedAck,
) -> Event:
    """Build ACKNOWLEDGED: the recipient node's signed record, for segments of one originator party."""
    content = {
        **call(caller, actor=False),
        "consumer": consumer,
        "ack": ack.record.hex(),
        "signature": ack.signature.hex(),
    }
    shared = {"time": time, "key_log_size": key_log_size}
    return event_between(EventKind.ACKNOWLEDGED, originator, recipient, shared=shared, content=content)


def parked(
    kind: EventKind,
    *,
    time: int,
    caller: Caller,
    originator: str,
    recipient: Recipient,
    consumer: str,
    segments: Sequence[SegmentSlots],
    reason: str,
) -> Event:
    """Build PARKED, PARKED_REPLAYED or PARKED_DROPPED; `caller` is BROKER where the attempts ran out."""
    one_of(kind, EventKind.PARKED, EventKind.PARKED_REPLAYED, EventKind.PARKED_DROPPED)
    content = {**call(caller), "consumer": consumer, "reason": reason}
    return event_between(kind, originator, recipient, shared={"time": time}, content=content, segments=segments)


def held(
    kind: EventKind,
    *,
    time: int,
    caller: Caller,
    originator: str,
    recipient: Recipient,
    segments: Sequence[SegmentSlots],
    reason: str,
) -> Event:
    """Build HELD (by the broker), HELD_CONFIRMED or HELD_WITHDRAWN (by the originator's node)."""
    one_of(kind, EventKind.HELD, EventKind.HELD_CONFIRMED, EventKind.HELD_WITHDRAWN)
    return event_between(
        kind,
        originator,
        recipient,
        shared={"time": time},
        content={**call(caller), "reason": reason},
        segments=segments,
    )


def expired(*, time: int, originator: str, recipient: Recipient, segments: Sequence[SegmentSlots]) -> Event:
    """Build EXPIRED: these slots passed `expires_at` before the recipient node had them."""
    return event_between(EventKind.EXPIRED, originator, recipient, shared={"time": time}, content={}, segments=segments)


def taken_back(
    kind: EventKind,
    *,
    time: int,
    caller: Caller,
    recipient: Recipient,
    segments: Sequence[SegmentSlots],
    report_id: bytes,
    leaf: bytes,
) -> Event:
    """Build RECALLED or SUPERSEDED: the caller's party took these slots back, by the report of that id and leaf."""
    one_of(kind, EventKind.RECALLED, EventKind.SUPERSEDED)
    content = {**call(caller), "report_id": report_id.hex(), "leaf": leaf.hex()}
    shared = {"time": time}
    return event_between(kind, caller.party, recipient, shared=shared, content=content, segments=segments)


def id_reused(
    *, time: int, caller: Caller, report_id: bytes, leaf: bytes, known_leaf: bytes, known_log_index: int
) -> Event:
    """Build ID_REUSED: a report id came with another leaf than the one logged under it. For the originator only."""
    content = body(
        **call(caller),
        report_id=report_id.hex(),
        leaf=leaf.hex(),
        known_leaf=known_leaf.hex(),
        known_log_index=known_log_index,
    )
    return Event(EventKind.ID_REUSED, body(time=time), {caller.party: content})


def fork_seen(*, time: int, caller: Caller, target: bytes, seen: LogSeen, own: LogSeen) -> Event:
    """Build FORK_SEEN: a peer showed a checkpoint (`seen`) that does not agree with this log's (`own`).

    `target` is the leaf of the envelope, or the SHA-384 of the acknowledgement or checkpoint, that carries it.
    """
    object_ = {"object": target.hex(), "seen": _seen(seen), "own": _seen(own)}
    return shared_event(EventKind.FORK_SEEN, **call(caller), time=time, **object_)


def step_taken(
    kind: StepKind,
    *,
    time: int,
    caller: Caller,
    key_log_size: int,
    state_epoch: int,
    agreement_id: str,
    agreement_digest: bytes,
    statement: Statement,
    caveat: BroughtCaveat | None = None,
) -> Event:
    """Build the event of a signed step; the terms of the log have `agreement_log_opened` instead.

    `agreement_digest` is that of the version that governs before the step. A caveat's text and salt stand in its own party's
    body and nowhere else.
    """
    if kind not in _STEP_EVENTS:
        raise MalformedError(f"{kind.value} is no event of its own")
    if (caveat is not None) != (kind is StepKind.CAVEAT_ADD):
        raise MalformedError(f"{kind.value} comes with another text")
    shared = body(
        **_step(
            caller,
            time=time,
            key_log_size=key_log_size,
            state_epoch=state_epoch,
            agreement_id=agreement_id,
            agreement_digest=agreement_digest,
        ),
        statement=to_json(statement),
    )
    own = {} if caveat is None else {caveat.party: body(caveat=caveat.text.hex(), salt=caveat.salt.hex())}
    return Event(_STEP_EVENTS[kind], shared, own)


def umbrella_changed(
    *, time: int, caller: Caller, state_epoch: int, umbrella: str, umbrella_origin: str, umbrella_log_index: int
) -> Event:
    """Build UMBRELLA_CHANGED of an arrangement's log: from here on its umbrella counts as of that entry, inclusive."""
    return shared_event(
        EventKind.UMBRELLA_CHANGED,
        **call(caller),
        time=time,
        state_epoch=state_epoch,
        umbrella=umbrella,
        umbrella_origin=umbrella_origin,
        umbrella_log_index=umbrella_log_index,
    )


def agreement_log_opened(
    *,
    time: int,
    caller: Caller,
    key_log_size: int,
    state_epoch: int,
    agreement_id: str,
    agreement_digest: bytes,
    terms: LogTerms,
    statements: Sequence[Statement],
) -> Event:
    """Build LOG_OPENED of an agreement's log: its terms and the statements by which parties signed them.

    Entry 0 is one; further ones may follow, with the same terms, for parties that sign later. No report before all have.
    """
    return shared_event(
        EventKind.LOG_OPENED,
        **_step(
            caller,
            time=time,
            key_log_size=key_log_size,
            state_epoch=state_epoch,
            agreement_id=agreement_id,
            agreement_digest=agreement_digest,
        ),
        origin=terms.origin,
        log_vkeys=list(terms.log_vkeys),
        anchor_slot=terms.anchor_slot,
        anchor_key=terms.anchor_key,
        statements=[to_json(statement) for statement in statements],
    )


def agreement_log_continued(
    *,
    time: int,
    caller: Caller,
    key_log_size: int,
    state_epoch: int,
    agreement_id: str,
    agreement_digest: bytes,
    statement: Statement,
) -> Event:
    """Build CONTINUES of an agreement's log: the statement of the broker that was restored. No report before all parties confirm."""
    return shared_event(
        EventKind.CONTINUES,
        **_step(
            caller,
            time=time,
            key_log_size=key_log_size,
            state_epoch=state_epoch,
            agreement_id=agreement_id,
            agreement_digest=agreement_digest,
        ),
        statement=to_json(statement),
    )


def key_revoked_in_agreement(
    *, time: int, caller: Caller, state_epoch: int, key_log_index: int, statement: Statement
) -> Event:
    """Build KEY_REVOKED of an agreement's log; `key_log_index` is where the key log has the same statement."""
    return shared_event(
        EventKind.KEY_REVOKED,
        **call(caller),
        time=time,
        state_epoch=state_epoch,
        key_log_index=key_log_index,
        statement=to_json(statement),
    )


# --- every log ------------------------------------------------------------------------------------------------------


def log_opened(*, time: int, origin: str, log_vkeys: Sequence[str], broker: str) -> Event:
    """Build LOG_OPENED of a key or operations log, its entry 0; `broker` is an identity such as ``XAR/hub``."""
    return shared_event(EventKind.LOG_OPENED, time=time, origin=origin, log_vkeys=list(log_vkeys), broker=broker)


def log_continued(*, time: int, statement: Statement) -> Event:
    """Build CONTINUES of a key or operations log: the statement of the broker that was restored."""
    return shared_event(EventKind.CONTINUES, time=time, statement=to_json(statement))


def log_frozen(*, time: int, caller: Caller, reason: str) -> Event:
    """Build LOG_FROZEN."""
    return shared_event(EventKind.LOG_FROZEN, **call(caller), time=time, reason=reason)


def audit_failure(*, time: int, reason: str) -> Event:
    """Build AUDIT_FAILURE: the log could not be written for a while."""
    return shared_event(EventKind.AUDIT_FAILURE, time=time, reason=reason)


# --- the key log ----------------------------------------------------------------------------------------------------


def key_statement(kind: EventKind, *, time: int, caller: Caller, statement: Statement) -> Event:
    """Build KEY_ENROLLED (the first of an identity or party), KEY_ROTATED, KEY_REVOKED or CAPABILITIES_STATED of the key log."""
    one_of(kind, EventKind.KEY_ENROLLED, EventKind.KEY_ROTATED, EventKind.KEY_REVOKED, EventKind.CAPABILITIES_STATED)
    return shared_event(kind, **call(caller), time=time, statement=to_json(statement))


def _step(
    caller: Caller, *, time: int, key_log_size: int, state_epoch: int, agreement_id: str, agreement_digest: bytes
) -> dict[str, object]:
    return {
        **call(caller),
        "time": time,
        "key_log_size": key_log_size,
        "state_epoch": state_epoch,
        "agreement": agreement_id,
        "agreement_digest": agreement_digest.hex(),
    }


def _seen(seen: LogSeen) -> dict[str, object]:
    return {"incarnation": seen.incarnation.hex(), "size": seen.size, "root": seen.root.hex()}
