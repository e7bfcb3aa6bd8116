"""On what grounds anything is handed over outside a session: to a download, to a replay (design 04).

In order: the agreement is one of the caller's party's; its log is not frozen, nor its umbrella's; it is in force, and its log signed by
all; the caller's own bundle is current.
"""

from __future__ import annotations

from comity.errors import ErrorCode, KeyFault, RefusedError, StorageError
from comity.identity.records import NodeRecord
from comity_broker.access import Caller
from comity_broker.dispatch.shared import Shared
from comity_broker.standing import Standing

_FROZEN_RETRY_SECONDS = 30.0


def standing_for(shared: Shared, who: Caller, agreement_id: str) -> Standing:
    """Give an agreement, or its exercise by the name of its log, under which reports may be handed over now; raises NotFoundError, AccessError, StorageError, RefusedError."""
    standing, now_ms = shared.ledger.require_book(agreement_id, who.party), shared.clock.now_ms()
    if standing.stopped:
        raise StorageError(
            f"the log of {agreement_id} is frozen: {standing.stopped}",
            what_to_do="Nothing is handed over under it until both parties have compared their mirrors.",
            code=ErrorCode.LOG_FROZEN,
            retry_after_seconds=_FROZEN_RETRY_SECONDS,
        )
    if not standing.in_force(now_ms) or not standing.admits(now_ms):
        raise RefusedError(
            f"{agreement_id} is not in force now: nothing is handed over under it",
            what_to_do=f"comity agreement show {agreement_id}",
            code=ErrorCode.AGREEMENT_NOT_IN_FORCE,
        )
    return standing


def node_of(shared: Shared, who: Caller) -> NodeRecord:
    """Give the calling node, whose bundle is current; raises KeyFault."""
    record = shared.keys.node(who.party, who.identity.name)
    if record is None or not shared.keys.is_current(record, shared.clock.now_ms()):
        raise KeyFault(
            f"the bundle of {who.identity} is not current",
            what_to_do="Renew the node's keys: comity node rotate.",
            code=ErrorCode.KEY_EXPIRED,
        )
    return record
