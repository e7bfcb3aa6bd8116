"""Which entry says of a node's report that its originator withdrew it or took it back: one entry for each recipient node.

The store keeps where the word's first entry is; those for other nodes follow it, and each is read by its own recipient's party.
"""

from __future__ import annotations

from typing import Final

from comity_broker.auditlog.kinds import EventKind, LogKind, read_body
from comity_broker.dispatch.logged import Recipient
from comity_broker.storage.protocol import ExceptionState, Reader

_RECIPIENTS: Final = 256


async def withdrawal_of(reader: Reader, agreement_id: str, to: Recipient, segment_id: bytes, first: int) -> int:
    """Give the entry from `first` on that tells this recipient of the withdrawal of a segment's reports; else `first`."""
    return await _entry_of(reader, agreement_id, to, segment_id, first, EventKind.HELD_WITHDRAWN.value)


async def taking_back_of(  # noqa: PLR0917 - what the entry is found by
    reader: Reader, agreement_id: str, to: Recipient, segment_id: bytes, first: int, state: ExceptionState
) -> int:
    """Give the entry from `first` on that tells this recipient of the recall (or replacement); else `first`."""
    return await _entry_of(reader, agreement_id, to, segment_id, first, state.name)


async def _entry_of(  # noqa: PLR0917 - what the entry is found by
    reader: Reader, agreement_id: str, to: Recipient, segment_id: bytes, first: int, kind: str
) -> int:
    rows = await reader.entries(agreement_id, first, _RECIPIENTS)
    named = [row.log_index for row in rows if row.kind == kind]
    for row in await reader.bodies(agreement_id, named, [to.party]):
        body = read_body(LogKind.AGREEMENT, kind, to.party, row.body)
        if body.get("recipient") == {"party": to.party, "node": to.name} and _names(body.get("segments"), segment_id):
            return row.log_index
    return first


def _names(segments: object, segment_id: bytes) -> bool:
    return isinstance(segments, list) and any(
        isinstance(one, dict) and one.get("segment_id") == segment_id.hex() for one in segments
    )
