"""Deliveries to XBO/m1 as a broker would hand them over, and a mirror of XBO's to judge them by.

async with handing(tmp_path) as hand:
    opened = hand.opening().open_segment(hand.frame(), refreshed=False)
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from builders_audit import fresh_audit
from builders_audit_log import AGREEMENT, Audit
from builders_envelope import HOUR, Stream, core, portion, profile
from builders_hostile import Hostile, mirrored
from comity.envelope.core import LogSeen
from comity.envelope.evidence import encode_batch_signature, sign_batch
from comity.envelope.open import Opener
from comity.envelope.seal import SealInput
from comity.identity.names import Identity, IdentityKind
from comity.node.clock import NowMs
from comity.node.mirror import Mirror
from comity.node.opening import Opening
from comity.v1 import exchange_pb2

READER = Identity("XBO", IdentityKind.NODE, "m1")
PURPOSE = "counter-terrorism"


@dataclass
class Hand:
    """A broker's hand: what it gives to XBO/m1."""

    audit: Audit
    broker: Hostile
    mirror: Mirror
    refresh: Callable[..., object]
    now: int = 0
    sent: int = 0
    clock: NowMs = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.audit.time
        self.clock = lambda: self.now

    def opening(self, **options: object) -> Opening:
        node = self.audit.node("XBO/m1")
        key = node.decapsulator
        given = {"purposes": (PURPOSE,), **options}
        return Opening(self.mirror, READER, Opener("XBO", {key.fingerprint: key}), now_ms=self.clock, **given)

    def seen(self) -> dict[str, LogSeen]:
        view = self.mirror.agreement(AGREEMENT)
        return {"agreement_log_seen": view.log_seen, "key_log_seen": view.key_log_seen}

    def frame(
        self,
        count: int = 1,
        *,
        log_index: int | None = None,
        admitted_at: int | None = None,
        first: int | None = None,
        fields: dict[str, object] | None = None,
        sender: str = "XAR/n1",
        **changes: object,
    ) -> exchange_pb2.Delivery:
        """Seal `count` reports and hand all of them over; `fields` are the profile's, `changes` the core's."""
        node, reader = self.audit.node(sender), self.audit.node("XBO/m1")
        begin = self.sent + 1 if first is None else first
        self.sent = begin + count - 1
        shared = profile(node, agreement_digest=self.audit.digest, **(fields or {}))
        times = {"created_at": self.now, "not_before": self.now, "expires_at": self.now + HOUR}
        inputs = [
            SealInput(
                core(node, number, shared, **{**times, **self.seen(), **changes}),
                tuple(portion(f"{number} portion {i}") for i in range(len(shared.portions))),
                ((reader.recipient, (0,)),),
            )
            for number in range(begin, begin + count)
        ]
        sealer = node.sealer(now_ms=self.clock, random_bytes=Stream(b"delivery %d" % begin))
        sealed = sealer.seal_segment(inputs)
        batch = sign_batch(node.signer, AGREEMENT, node.key_set, [sealed.segment_id])
        return exchange_pb2.Delivery(
            segment=sealed.data,
            batch_signature=encode_batch_signature(batch.signature),
            batch_index=0,
            batch_path=batch.paths[0],
            key_packets=[one.data for one in sealed.packets],
            log_index=len(self.audit.events) if log_index is None else log_index,
            admitted_at=self.now if admitted_at is None else admitted_at,
            slots=[exchange_pb2.DeliveredSlot(slot=slot, attempt=1) for slot in range(count)],
        )

    async def fetch(self) -> None:
        """Let the mirror have what the audit's events are now."""
        self.broker.publish()
        await self.refresh()


@contextlib.asynccontextmanager
async def handing(path: Path, audit: Audit | None = None) -> AsyncIterator[Hand]:
    """Serve an agreement in force between two nations whose nodes are accredited, and open XBO's mirror of it."""
    audit = audit or fresh_audit()
    for name, nation in (("XBO/m1", audit.xbo), ("XAR/n1", audit.xar)):
        audit.enrol(audit.nodes[name].reissued(accreditation=nation.attestation("TOP-SECRET")))
    audit.tick()
    holder: list[Hand] = []
    async with mirrored(audit, path, reader="XBO", now_ms=lambda: holder[0].now if holder else audit.time) as parts:
        broker, mirror, refresh = parts
        hand = Hand(audit, broker, mirror, refresh)
        holder.append(hand)
        await hand.fetch()
        yield hand


def cut(frame: exchange_pb2.Delivery, **changes: object) -> exchange_pb2.Delivery:
    """Give a frame with other values."""
    copy = exchange_pb2.Delivery()
    copy.CopyFrom(frame)
    for name, value in changes.items():
        copy.ClearField(name)
        if isinstance(value, list):
            getattr(copy, name).extend(value)
        else:
            setattr(copy, name, value)
    return copy


__all__ = ["AGREEMENT", "READER", "Hand", "cut", "handing"]
