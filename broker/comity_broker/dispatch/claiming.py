"""Who holds a consumer: sessions are numbered in the store, a resume token is compared with the floors, a name has a form.

In order, for an opening: the name; not more consumers than a node may have; the token, which moves nothing: a floor or a session
above the broker's own means that the broker lost state, which stops everything under that agreement; the next session number,
committed. Whether another stream holds the consumer is known in memory, and looked at before.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from comity.errors import ConflictError, ErrorCode, MalformedError
from comity.identity.names import log_name
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.tokens import ResumeToken, decode_token
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import SESSIONS, ConsumerRow, Head, Known, Reads, Rows, Unit

_LOG: Final = logging.getLogger(__name__)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_URGENCY: Final = 1
DEFAULT_CONSUMER: Final = "default"


def consumer_name(name: str, *, exercise: bool = False) -> str:
    """Give the name of a consumer of real or of exercise traffic, the default for an empty one; raises MalformedError.

    The two are different consumers, each with its session and floors: the name of the latter ends with ``/exercise``.
    """
    if name and not _NAME.fullmatch(name):
        raise MalformedError(
            f"{name[:64]!r} is no name of a consumer",
            what_to_do="1 to 63 characters: lower-case letters, digits and hyphens.",
        )
    return log_name(name or DEFAULT_CONSUMER, exercise=exercise)


async def check_room(shared: Shared, node: str, consumer: str) -> ConsumerRow | None:
    """Give the consumer's row, where it has one; raises ConflictError where a node has too many."""
    rows = [row for row in await shared.reader.consumers() if row.node == node]
    known = next((row for row in rows if row.consumer == consumer), None)
    if known is None and len(rows) >= shared.settings.consumers_per_node:
        raise ConflictError(
            f"{node} has {len(rows)} consumers already",
            what_to_do="Use one of them; a consumer's name is durable.",
            code=ErrorCode.LIMIT_EXCEEDED,
        )
    return known


async def check_token(shared: Shared, row: ConsumerRow | None, node: str, consumer: str, data: bytes) -> None:
    """Compare a resume token with what the store says; raises ConflictError FLOOR_AHEAD, MalformedError."""
    if not data:
        return
    token = decode_token(data)
    if token.incarnation != shared.incarnation:
        _LOG.warning("resume_token_of_another_incarnation", extra={"node": node, "consumer": consumer})
        return
    party = node.partition("/")[0]
    mine = {one.agreement_id for one in shared.ledger.books(party)}
    ahead = await _ahead(shared, node, consumer, token, mine)
    if token.session > (0 if row is None else row.session):
        ahead |= {agreement_id for agreement_id, _ in token.floors if agreement_id in mine}
        ahead.add("")
    for agreement_id in sorted(ahead - {""}):
        reason = f"{node} ({consumer}) holds a resume token that is ahead of this broker: it lost state"
        await shared.freeze(agreement_id, reason)
    if ahead:
        _LOG.critical("floor_ahead", extra={"node": node, "consumer": consumer, "agreements": sorted(ahead)})
        raise ConflictError(
            "this consumer has acknowledged more than this broker knows of: the broker lost state",
            what_to_do="Nothing is handed over until both parties have compared their mirrors with the broker's log.",
            code=ErrorCode.FLOOR_AHEAD,
        )


async def _ahead(shared: Shared, node: str, consumer: str, token: ResumeToken, mine: set[str]) -> set[str]:
    found: set[str] = set()
    for agreement_id in sorted({agreement_id for agreement_id, _ in token.floors} & mine):
        floors = {row.lane: row.floor for row in await shared.reader.floors(agreement_id, node, consumer)}
        named = ((lane, floor) for (of, lane), floor in token.floors.items() if of == agreement_id)
        if any(floor > floors.get(lane, 0) for lane, floor in named):
            found.add(agreement_id)
    return found


async def claim(shared: Shared, node: str, consumer: str) -> int:
    """Commit the next session of a consumer; give its number."""
    now_ms = shared.clock.now_ms()

    def build(head: Head, known: Known) -> Rows[int]:
        before = known.consumers.get((node, consumer))
        number = 1 if before is None else before.session + 1
        created_at = now_ms if before is None else before.created_at
        return Rows(head, number, consumers=[ConsumerRow(node, consumer, number, created_at)])

    unit = Unit(SESSIONS, build, Reads(consumers=[(node, consumer)]), urgency=_URGENCY, create=True)
    return settled(await shared.journal.submit(unit)).result
