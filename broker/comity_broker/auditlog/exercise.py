"""The event that the log of an agreement's exercise alone holds (docs/adr/0028)."""

from __future__ import annotations

from comity_broker.auditlog.bodies import Caller, Event, call, shared_event
from comity_broker.auditlog.kinds import EventKind


def exercise_follows(
    *, time: int, caller: Caller, state_epoch: int, agreement_id: str, agreement_origin: str, agreement_log_index: int
) -> Event:
    """Build EXERCISE_FOLLOWS of an exercise's log: from here on its agreement counts as of that entry of its log, inclusive."""
    return shared_event(
        EventKind.EXERCISE_FOLLOWS,
        **call(caller),
        time=time,
        state_epoch=state_epoch,
        agreement=agreement_id,
        agreement_origin=agreement_origin,
        agreement_log_index=agreement_log_index,
    )
