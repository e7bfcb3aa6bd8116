"""The events of officers' acts and of the duties that follow from an agreement (design of audit, "Events").

An act that names reports is read by their originator's party and their holder's alone, as is a duty about a report; of the others
every party reads the whole. What all must be able to check of any of them (the time, the key log's size) is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from comity.errors import MalformedError
from comity.statement import Statement, to_json
from comity_broker.auditlog.bodies import Caller, Event, body, call, one_of, shared_event
from comity_broker.auditlog.kinds import EventKind
from comity_policy.acts import Act, ActKind
from comity_policy.obligations import Tracked

_EVENTS: Final[Mapping[ActKind, EventKind]] = {
    ActKind.DECLARE: EventKind.EMERGENCY_DECLARED,
    ActKind.REVIEW: EventKind.REVIEWED,
    ActKind.RELEASE: EventKind.HOLDER_RELEASED,
    ActKind.REVIEW_PERSONAL: EventKind.REVIEWED,
    ActKind.ASK_CORRECTION: EventKind.CORRECTION_ASKED,
    ActKind.CORRECTED: EventKind.DATA_CORRECTED,
    ActKind.BREACH_OPEN: EventKind.BREACH_OPENED,
    ActKind.BREACH_UPDATE: EventKind.BREACH_UPDATED,
    ActKind.BREACH_CLOSE: EventKind.BREACH_CLOSED,
    ActKind.ATTEST: EventKind.MEASURES_ATTESTED,
    ActKind.CONTACT: EventKind.CONTACT_SET,
    ActKind.READ: EventKind.READ,
    ActKind.ACTION: EventKind.ACTIONED,
}


def event_kind(act: Act) -> EventKind:
    """Give the kind of entry that an act becomes."""
    if act.kind is ActKind.CERTIFY:
        return EventKind.RETURNED if act.outcome == "returned" else EventKind.SHREDDED
    return _EVENTS[act.kind]


def act_taken(
    act: Act,
    *,
    time: int,
    caller: Caller,
    key_log_size: int,
    state_epoch: int,
    agreement_digest: bytes,
    statement: Statement,
) -> Event:
    """Build the event of a signed act; `agreement_digest` is that of the version that governs then."""
    if statement.digest.hex() != act.digest:
        raise MalformedError("the statement is another act's")
    about = {
        **call(caller),
        "agreement": act.agreement_id,
        "agreement_digest": agreement_digest.hex(),
        "statement": to_json(statement),
    }
    readers = act.readers
    if readers is None:
        return shared_event(event_kind(act), **about, time=time, key_log_size=key_log_size, state_epoch=state_epoch)
    own = body(**about)
    return Event(event_kind(act), body(time=time, key_log_size=key_log_size), dict.fromkeys(sorted(readers), own))


def duties_changed(kind: EventKind, *, time: int, duties: Sequence[Tracked], readers: Iterable[str]) -> Event:
    """Build DUTY_DUE, DUTY_OVERDUE, DUTY_DONE or DUTY_MISSED for duties that the same parties may read."""
    one_of(kind, EventKind.DUTY_DUE, EventKind.DUTY_OVERDUE, EventKind.DUTY_DONE, EventKind.DUTY_MISSED)
    own = body(duties=[_duty(one) for one in duties])
    return Event(kind, body(time=time), dict.fromkeys(sorted(readers), own))


def _duty(one: Tracked) -> dict[str, object]:
    duty = one.duty
    return {
        "duty": duty.id,
        "kind": duty.kind.value,
        "clause": duty.clause_id,
        "owner": duty.owner,
        "subject": duty.subject,
        "due": duty.due_ms,
        "done": one.done_at,
    }
