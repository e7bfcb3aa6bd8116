"""Acts of officers in the audit of `builders_audit_log`: as they are, and as they must not be."""

from __future__ import annotations

import hashlib
from typing import Any

from builders_acts import FIELDS
from builders_audit_log import AGREEMENT, Audit
from comity.statement import Statement, cosign, sign_statement
from comity_broker.auditlog.acts import act_taken, duties_changed
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.kinds import EventKind
from comity_policy.acts import Act, ActKind
from comity_policy.facts import Role
from comity_policy.obligations import Duty, DutyKind, DutyState, Tracked

ABOUT_REPORT = Tracked(
    Duty(5, "acknowledge/1/XBO/ab", DutyKind.ACKNOWLEDGE, "1", "XBO", "ab", 1, "XAR", "ab", 3), DutyState.OVERDUE
)
ABOUT_CASE = Tracked(Duty(5, "attest-measures/1/XBO/1", DutyKind.ATTEST, "1", "XBO", "1", 1), DutyState.DONE, 4)


def act_of(audit: Audit, kind: ActKind, officer: str, role: Role, *witnesses: str, **changes: Any) -> Act:
    """Give an act of an officer, with what is changed."""
    given: dict[str, Any] = {
        "kind": kind,
        "agreement_id": AGREEMENT,
        "agreement_digest": audit.digest.hex(),
        "party": officer[:3],
        "officer": officer,
        "role": role,
        "made_at": audit.time,
        **FIELDS[kind],
        **({"witnesses": witnesses} if witnesses else {}),
    }
    return Act(**{**given, **changes})


def signed(audit: Audit, act: Act, *signers: str) -> Statement:
    """Give an act that these officers signed."""
    first, *others = (audit.officers[name].signer for name in signers)
    statement = sign_statement(act.to_body(), first)
    return cosign(statement, *others) if others else statement


def acted(audit: Audit, act: Act, *signers: str) -> Event:
    """Add the event of an act to the audit, signed by its officer and witnesses unless said; give it."""
    statement = signed(audit, act, *(signers or sorted(act.signers)))
    common = audit.common(statement)
    del common["agreement_id"]
    digest = hashlib.sha384(statement.body).hexdigest()
    event = act_taken(Act.from_body(act.to_body(), digest=digest), statement=statement, **common)
    audit.events.append(event)
    return event


def every_act(audit: Audit) -> list[Event]:
    """Give an event of each kind of act and of each that tells of duties; some act in roles nobody has accredited."""
    events = []
    for kind in ActKind:
        fields = {"valid_until": audit.time} if kind is ActKind.DECLARE else {}
        events.append(acted(audit, act_of(audit, kind, "XAR/lia", min(kind.roles), **fields)))
    events.append(acted(audit, act_of(audit, ActKind.CERTIFY, "XAR/lia", Role.LIAISON, outcome="returned")))
    for kind in (EventKind.DUTY_DUE, EventKind.DUTY_OVERDUE, EventKind.DUTY_DONE, EventKind.DUTY_MISSED):
        for one, readers in ((ABOUT_REPORT, ("XAR", "XBO")), (ABOUT_CASE, ("XAR", "XBO"))):
            events.append(duties_changed(kind, time=audit.tick(), duties=[one], readers=readers))
    return events
