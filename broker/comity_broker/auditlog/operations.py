"""The events of the operations log: what has no agreement, and the precise reason behind a refusal (design of audit)."""

from __future__ import annotations

from collections.abc import Sequence

from comity_broker.auditlog.bodies import Caller, Event, call, ranges, shared_event
from comity_broker.auditlog.kinds import EventKind


def authn_failed(
    *, time: int, certificate: bytes, peer: str, identity: str, reason: str, count: int = 1, since: int = 0
) -> Event:
    """Build AUTHN_FAILED; `count` failures since `since`, where a peer's are counted a minute."""
    return shared_event(
        EventKind.AUTHN_FAILED,
        time=time,
        certificate=certificate.hex(),
        peer=peer,
        identity=identity,
        reason=reason,
        count=count,
        since=since,
    )


def authz_denied(*, time: int, caller: Caller, action: str, agreement_id: str, reason: str) -> Event:
    """Build AUTHZ_DENIED: `action` is the method that was called."""
    return shared_event(
        EventKind.AUTHZ_DENIED, **call(caller), time=time, action=action, agreement=agreement_id, reason=reason
    )


def admin_action(*, time: int, caller: Caller, action: str, target: str, outcome: str) -> Event:
    """Build ADMIN_ACTION: what an operator did to what, and how it ended."""
    return shared_event(
        EventKind.ADMIN_ACTION, **call(caller), time=time, action=action, object=target, outcome=outcome
    )


def clock_stepped(*, time: int, before: int, after: int) -> Event:
    """Build CLOCK_STEPPED."""
    return shared_event(EventKind.CLOCK_STEPPED, time=time, before=before, after=after)


def rejected(
    *, time: int, caller: Caller, agreement_id: str, target: bytes, slots: Sequence[int], reason: str
) -> Event:
    """Build REJECTED: the precise reason behind a refusal. `target` is a leaf, a segment id or another digest."""
    return shared_event(
        EventKind.REJECTED,
        **call(caller),
        time=time,
        agreement=agreement_id,
        object=target.hex(),
        ranges=ranges(slots),
        reason=reason,
    )
