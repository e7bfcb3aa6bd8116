"""The event of a replay: what a consumer was handed before is given to it again, to read only."""

from __future__ import annotations

from collections.abc import Sequence

from comity_broker.auditlog.bodies import Caller, Event, Recipient, SegmentSlots, call, event_between
from comity_broker.auditlog.kinds import EventKind


def replayed(
    *,
    time: int,
    caller: Caller,
    originator: str,
    recipient: Recipient,
    consumer: str,
    since: int,
    from_log_index: int,
    segments: Sequence[SegmentSlots],
) -> Event:
    """Build REPLAYED: slots that a consumer of the recipient node was handed before are given to it again, to read only.

    It asked for what was admitted from `since` on (Unix ms), or from the entry `from_log_index` on; the other is 0.
    """
    content = {
        **call(caller, actor=False),
        "consumer": consumer,
        "since": since,
        "from_log_index": from_log_index,
    }
    return event_between(
        EventKind.REPLAYED, originator, recipient, shared={"time": time}, content=content, segments=segments
    )
