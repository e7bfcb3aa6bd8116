"""The publish side with a span around each segment, its examination and its receipt, for a broker that is traced."""

from __future__ import annotations

from typing import Any

from comity.envelope.segment import Segment
from comity.v1 import exchange_pb2
from comity_broker.admission import Admissible
from comity_broker.frames import PreparedFrame
from comity_broker.services.publishing import Publishing, Turn
from comity_broker.storage.protocol import SegmentRow
from comity_broker.tracing import About, TracedJournal, Tracer


def publishing(tracer: Tracer | None, **parts: Any) -> Publishing:
    """Make the publish side, as traced as is wanted."""
    return Publishing(**parts) if tracer is None else TracedPublishing(tracer=tracer, **parts)


class TracedPublishing(Publishing):
    """`Publishing` that makes spans; what it commits has one too (`TracedJournal`)."""

    def __init__(self, *, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**{**parts, "journal": TracedJournal(parts["journal"], tracer)})
        self._tracer = tracer

    async def _settled(
        self, frame: PreparedFrame, number: int, segment: Segment, received_at: int, turn: Turn
    ) -> exchange_pb2.SegmentReceipt:
        party = frame.publisher.caller.party
        about = About(segment.agreement_id, party, segment.transport_class, len(segment.items))
        with self._tracer.span("publish", about):
            return await super()._settled(frame, number, segment, received_at, turn)

    async def _examined(self, frame: PreparedFrame, number: int, segment: Segment, received_at: int) -> Admissible:
        with self._tracer.span("admission", About(segment.agreement_id, frame.publisher.caller.party)):
            return await super()._examined(frame, number, segment, received_at)

    async def _signed(self, agreement_id: str, row: SegmentRow) -> bytes:
        with self._tracer.span("receipt", About(agreement_id)):
            return await super()._signed(agreement_id, row)
