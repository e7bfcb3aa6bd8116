"""Frames as protobuf messages: what nodes publish and answer, what a broker hands over, receipts, refusals, tokens."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from builders_audit_outcomes import receipt_of
from builders_delivery import AGREEMENT, READER, Hand, handing
from builders_envelope import EPOCH, Stream
from builders_hostile import Hostile, mirror_of
from comity.envelope.evidence import (
    encode_batch_signature,
    sign_batch,
    verify_ack,
)
from comity.envelope.forwarding import prune
from comity.envelope.open import Opener
from comity.envelope.receipts import encode_receipt, encode_signed_receipt, sign_receipts
from comity.envelope.segment import parse_segment
from comity.errors import ComityError, MalformedError
from comity.node.accounting import account
from comity.node.claims import contradiction, decode_claim, encode_claim
from comity.node.listing import _row
from comity.node.mirror import Mirror
from comity.node.opening import Opening
from comity.node.outbox import Lane, StoredSegment
from comity.node.receipting import Receipting
from comity.node.refusals import error_of
from comity.statement import StatementSignature
from comity.v1 import errors_pb2, exchange_pb2, identity_pb2
from comity_broker.access import Caller
from comity_broker.auditlog.kinds import log_kind_of
from comity_broker.dispatch.tokens import ResumeToken, decode_token, encode_token
from comity_broker.dispatch.withheld import (
    decode_due,
    decode_withheld,
    encode_due,
    encode_withheld,
    slots_of,
)
from comity_broker.frames import PreparedFrame, Publisher
from comity_broker.services.audit import _TILE
from comity_broker.services.publishing import _frame
from comity_broker.services.refusals import refusal_of
from comity_broker.services.reports import _position, _token
from comity_broker.services.statements import statement_of
from comity_broker.services.subscribing import _given_back, _opening, _signed
from fuzz.target import Target, choosing, chosen, joined, same, split

M = TypeVar("M", bound=Message)
_HOUR = 3_600_000


def message(kind: Callable[[], M], data: bytes) -> M:
    """Read a message; what is none never reaches a service, gRPC refuses it."""
    one = kind()
    try:
        one.ParseFromString(data)
    except DecodeError as error:
        raise MalformedError("no message") from error
    return one


# --- the world of a reader ----------------------------------------------------------------------------------------------


@dataclass
class World:
    """XBO's mirror of an agreement in force, whose broker is gone; frames that it handed over, and who may sign anew."""

    hand: Hand
    broker: Hostile
    mirror: Mirror
    frames: list[exchange_pb2.Delivery]
    kept: tempfile.TemporaryDirectory[str]

    def opening(self) -> Opening:
        key = self.hand.audit.node("XBO/m1").decapsulator
        return Opening(self.mirror, READER, Opener("XBO", {key.fingerprint: key}), now_ms=self.hand.clock)


@cache
def world() -> World:
    kept = tempfile.TemporaryDirectory()
    folder = Path(kept.name)

    async def prepare() -> tuple[Hand, list[exchange_pb2.Delivery]]:
        async with handing(folder) as hand:
            whole = hand.frame(3)
            pruned = exchange_pb2.Delivery()
            pruned.CopyFrom(whole)
            segment = parse_segment(whole.segment)
            pruned.segment = prune(whole.segment, {1})
            del pruned.slots[1]
            reason = {"reason": exchange_pb2.SKIP_REASON_REFUSED, "log_index": 1}
            pruned.absent.add(origin_sequence=segment.first_origin_sequence + 1, leaf=segment.leaves[1], **reason)
            pruned.skipped.add(origin_sequence=1, leaf=bytes(48), **reason)
            return hand, [whole, pruned, hand.frame(1, first=9)]

    hand, frames = asyncio.run(prepare())
    return World(hand, hand.broker, mirror_of(hand.broker, folder, now_ms=hand.clock), frames, kept)


# --- to the broker ------------------------------------------------------------------------------------------------------


def publish(data: bytes) -> object:
    """Read a frame of a publish stream, with all that its segments need before they are admitted."""
    prepared = PreparedFrame(_frame(message(exchange_pb2.PublishRequest, data)), Publisher(_caller()))
    found: list[object] = [_or_none(prepared.packets), _or_none(lambda: prepared.signed_list().root)]
    for number, one in enumerate(prepared.frame.segments):
        assert len(prepared.frame.named(number)) in {0, 48}
        found.append(_or_none(lambda one=one: parse_segment(one).segment_id))
    return found


def _caller() -> Caller:
    return Caller(READER, frozenset({"node"}), bytes(48), bytes(48))


def _or_none(read: Callable[[], object]) -> object:
    try:
        return read()
    except ComityError:
        return None


def subscribe(data: bytes) -> object:
    """Read a frame of a subscribe stream: open with its token, credit, answers, what is given back."""
    request = message(exchange_pb2.SubscribeRequest, data)
    match request.WhichOneof("frame"):
        case "open":
            opening = _opening(request.open)
            return opening, decode_token(opening.resume_token) if opening.resume_token else None
        case "ack":
            signed = _signed(request.ack)
            return verify_ack(signed, 1, world().hand.audit.node("XBO/m1").signing.public)
        case "nack":
            return _given_back(request.nack)
        case other:
            if other is None:
                raise MalformedError("says nothing")
            return other


def _published() -> list[bytes]:
    frames = world().frames
    batch = exchange_pb2.PublishBatch(
        batch_signature=frames[0].batch_signature,
        segment_ids=[parse_segment(one.segment).segment_id for one in frames],
        segments=[one.segment for one in frames],
        indices=[0, 0, 2],
        key_packets=frames[0].key_packets,
    )
    return [exchange_pb2.PublishRequest(batch=batch).SerializeToString()]


def _subscribed() -> list[bytes]:
    value = json.loads((Path(__file__).resolve().parents[1] / "vectors/envelope-v1.json").read_text())["suites"][0]
    token = encode_token(ResumeToken(bytes(16), 7, {("XAR-XBO-1", 4): 12, ("XAR-XBO-1", 5): 0}))
    slot = exchange_pb2.SlotRef(agreement_id=AGREEMENT, segment_id=bytes(48), slot=3)
    retry = exchange_pb2.Nack(slots=[slot])
    retry.retry_after.FromSeconds(9)
    ack = exchange_pb2.SignedAckFrame(
        record=bytes.fromhex(value["ack"]["bytes"]), signature=bytes.fromhex(value["ack"]["signature"])
    )
    frames = (
        exchange_pb2.SubscribeRequest(open=exchange_pb2.SubscribeOpen(consumer="default", resume_token=token)),
        exchange_pb2.SubscribeRequest(ack=ack),
        exchange_pb2.SubscribeRequest(nack=retry),
        exchange_pb2.SubscribeRequest(nack=exchange_pb2.Nack(slots=[slot, slot], park_reason="later")),
        exchange_pb2.SubscribeRequest(credit=exchange_pb2.Credit(reports=64, bytes=1 << 20)),
        exchange_pb2.SubscribeRequest(stop=exchange_pb2.StopDelivery()),
    )
    return [one.SerializeToString() for one in frames]


# --- from the broker ------------------------------------------------------------------------------------------------------


def delivery(data: bytes) -> object:
    """Open what a broker hands over, as it is or signed anew by a hostile sender; account for it, compare it with the log."""
    frame = message(exchange_pb2.Delivery, data[1:])
    if data[:1] == b"s":
        _sign_anew(frame)
    here = world()
    opening = here.opening()
    opened = opening.open_segment(frame, refreshed=True)
    found: list[object] = [opening.open_slot(opened, slot) for slot in range(len(opened.segment.items))]
    for before in (None, 0, 7):
        accounted = account(frame, opened.segment, before)
        for claim in accounted.claims:
            # It is kept until the log is there, whatever it says.
            same(decode_claim(claim.agreement_id, encode_claim(claim)), claim)
            entries = here.mirror.entries(claim.agreement_id, claim.log_index, 1)
            found += [contradiction(claim, entry, party="XBO", node="m1") for entry in entries]
        found.append(accounted)
    # What an opened report holds refers to the mirror, which is no part of its weight.
    return len(found)


def _sign_anew(frame: exchange_pb2.Delivery) -> None:
    node = world().hand.audit.node("XAR/n1")
    segment = parse_segment(frame.segment)
    batch = sign_batch(node.signer, segment.agreement_id, node.key_set, [segment.segment_id])
    frame.batch_signature = encode_batch_signature(batch.signature)
    frame.batch_index = 0
    del frame.batch_path[:]


def _deliveries() -> list[bytes]:
    return [mode + one.SerializeToString() for mode in (b"-", b"s") for one in world().frames]


def _receipt_frame(data: bytes) -> object:
    frame = message(exchange_pb2.SegmentReceipt, data)
    return Receipting(world().mirror, "XBO").verify(_sent(), frame).receipt


def _receipt_signed(data: bytes) -> object:
    """Take a receipt with any record, entry and refusals that the broker signed."""
    record, rest = split(data, 2)
    hub = world().hand.audit.hub.signer
    (signed,) = sign_receipts(hub, hub.fingerprint, [record], Stream(b"receipt"))
    frame = message(exchange_pb2.SegmentReceipt, rest)
    frame.signed_receipt, frame.broker_key = encode_signed_receipt(signed), hub.fingerprint
    made = Receipting(world().mirror, "XBO").verify(_sent(), frame)
    return made.receipt, [made.receipt.agreement_sequence(slot) for slot in range(made.receipt.slots)]


@cache
def _sent() -> StoredSegment:
    admission = world().hand.audit.sent[-1].admission
    lane = Lane(AGREEMENT, EPOCH, 4)
    return StoredSegment(admission.segment_id, lane, admission.first_origin_sequence, admission.slots, b"", 0, (), 1)


def _refusal(data: bytes) -> object:
    error = error_of(message(errors_pb2.Refusal, data))
    assert error.exit_code
    assert error.message
    refusal_of(error).SerializeToString()
    return str(error), error.clauses


def _listed(data: bytes) -> object:
    return _row(message(exchange_pb2.ReportRow, data))


def _statement(data: bytes) -> object:
    made = statement_of(message(identity_pb2.Statement, data))
    assert all(isinstance(one, StatementSignature) for one in made.signatures)
    return made


def _answers() -> list[bytes]:
    here, audit = world(), world().hand.audit
    index = audit.find("SUBMIT_ACCEPTED", -1)
    receipt = replace(receipt_of(_admission(), index), leaf_hash=here.broker.log.entries[index].leaf_hash)
    record, hub = encode_receipt(receipt), audit.hub.signer
    (signed,) = sign_receipts(hub, hub.fingerprint, [record], Stream(b"receipt"))
    frame = exchange_pb2.SegmentReceipt(signed_receipt=encode_signed_receipt(signed), broker_key=hub.fingerprint)
    frame.entry.CopyFrom(here.broker.log.entry(index, ("shared", "XBO")))
    refusal = errors_pb2.Refusal(code=errors_pb2.ERROR_CODE_POLICY_DENIED, message="4.1 refuses", what_to_do="Ask.")
    refusal.retry_after.FromSeconds(3)
    frame.refusals.add(slot=2, refusal=refusal)
    row = exchange_pb2.ReportRow(agreement_id=AGREEMENT, report_id=bytes(16), leaf=bytes(48), originator="XAR/n1")
    row.consumers.add(node="XBO/m1", consumer="default", state=2, attempts=1, reason="r")
    said = audit.xar.card_statement
    told = identity_pb2.Statement(body=said.body)
    told.signatures.add(key=said.signatures[0].key, signature=said.signatures[0].signature)
    return [
        *choosing(0, frame.SerializeToString()),
        *choosing(1, joined(record, frame.SerializeToString())),
        *choosing(2, refusal.SerializeToString()),
        *choosing(3, row.SerializeToString()),
        *choosing(4, told.SerializeToString()),
    ]


def _admission() -> Any:
    return world().hand.audit.sent[-1].admission


# --- tokens and bitmaps ---------------------------------------------------------------------------------------------------


def _resume(data: bytes) -> object:
    made = decode_token(data)
    same(encode_token(made), data)
    return made


def _due(data: bytes) -> object:
    mask = decode_due(data)
    same(encode_due(slots_of(mask), 8 * len(data)), data)
    return mask


def _withheld(data: bytes) -> object:
    made = decode_withheld(data)
    same(encode_withheld(made), data)
    return made


def _page(data: bytes) -> object:
    made = _position(data)
    if made is not None:
        same(_token(made), data)
    return made


def _names(data: bytes) -> object:
    text = data.decode("utf-8", "surrogateescape")
    tile = _TILE.fullmatch(text)
    return log_kind_of(text) if tile is None else tile.groups()


def _tokens() -> list[bytes]:
    token = encode_token(ResumeToken(bytes(16), 7, {("XAR-XBO-1", 4): 12, ("XAR-XBO-2", 5): 0}))
    return [
        *choosing(0, token),
        *choosing(1, encode_due({0, 2, 9}, 16)),
        *choosing(2, encode_withheld({2: {1}, 3: {1}, 9: {0, 63}})),
        *choosing(3, len(AGREEMENT).to_bytes(4, "big") + AGREEMENT.encode() + bytes(12)),
        *choosing(4, b"tile/0/x001/002.p/7", b"hub.xar.example/keys/00"),
    ]


TARGETS = (
    Target("publish-frame", "frames of a publish stream", publish, _published),
    Target("subscribe-frame", "frames of a subscribe stream", subscribe, _subscribed, inputs=400),
    Target("delivery", "deliveries of a hostile broker or sender", delivery, _deliveries, inputs=80),
    Target(
        "answer",
        "receipts, refusals, listed reports, statements as messages",
        chosen(
            {
                "receipt": _receipt_frame,
                "signed": _receipt_signed,
                "refusal": _refusal,
                "row": _listed,
                "statement": _statement,
            }
        ),
        _answers,
        inputs=300,
    ),
    Target(
        "token",
        "resume tokens, bitmaps, page tokens, names of tiles and logs",
        chosen({"resume": _resume, "due": _due, "withheld": _withheld, "page": _page, "name": _names}),
        _tokens,
        inputs=500,
    ),
)
