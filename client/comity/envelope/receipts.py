"""Receipts: what a broker says it made durable, and the per-slot records of its log (design 05).

A receipt is a record for one segment: the log entry it became, the agreement sequences its admitted slots got, and which
slots were duplicates or refused. All receipts committed meanwhile are signed at once, over a tree that always has 64
slots in random order, random where empty, so that neither index nor path says how busy other agreements are.

    leaf = SHA-384(0x00 | PAE(receipt, record));  signature over PAE(receipts, suite, broker key fpr, root)
    record leaf = SHA-384(0x00 | PAE(audit-record, salt, record))
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from comity.envelope import limits, reasons, tree
from comity.envelope.evidence import SIGNATURE_BYTES, SlotCode
from comity.envelope.reasons import RejectReason
from comity.envelope.records import Reader, bounded, fixed, fixed_or_empty, listed, text, u8, u16, u32, u64, variable
from comity.errors import MalformedError
from comity.keys.signer import Signer
from comity.light import light
from comity.pae import pae
from comity.suites import RandomBytes, verify_signature

_RECEIPT_BYTES: Final = 16 << 10
# A slot record that has a report id.
_WHOLE: Final = struct.Struct(f">IB{limits.DIGEST}sI{limits.UUID}sBI")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one segment. `duplicates` are (slot, log_index), `refusals` (slot, code), both ascending by slot.

    `count` slots are in neither list; the first of them has `first_agreement_sequence`, the others follow densely. With
    `count` 0 that number is the next one to be given.
    """

    origin: str
    agreement_id: str
    segment_id: bytes
    first_agreement_sequence: int
    count: int
    log_index: int
    leaf_hash: bytes
    received_at: int
    admitted_at: int
    duplicates: tuple[tuple[int, int], ...] = ()
    refusals: tuple[tuple[int, SlotCode], ...] = ()

    @property
    def slots(self) -> int:
        """Give how many slots the segment has."""
        return self.count + len(self.duplicates) + len(self.refusals)

    def agreement_sequence(self, slot: int) -> int | None:
        """Give the number an admitted slot got, or None for a duplicate, a refused slot, or no slot at all."""
        others = {other for other, _ in (*self.duplicates, *self.refusals)}
        if slot in others or not 0 <= slot < self.slots:
            return None
        return self.first_agreement_sequence + slot - sum(other < slot for other in others)


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt's exact bytes, its slot and path among the 64, and the signature: the `extra` of a tlog-proof."""

    record: bytes
    slot: int
    path: tuple[bytes, ...]
    signature: bytes


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode a receipt; raises MalformedError where its parts contradict one another."""
    _check(receipt)
    return b"".join(
        (
            u16(limits.VERSION),
            text(receipt.origin, limit=limits.ORIGIN_BYTES),
            text(receipt.agreement_id),
            fixed(receipt.segment_id, limits.DIGEST),
            u64(receipt.first_agreement_sequence),
            u32(receipt.count),
            u64(receipt.log_index),
            fixed(receipt.leaf_hash, limits.ROOT),
            u64(receipt.received_at),
            u64(receipt.admitted_at),
            listed((u32(slot) + u64(log_index) for slot, log_index in receipt.duplicates), limits.SLOTS),
            listed((u32(slot) + u8(code) for slot, code in receipt.refusals), limits.SLOTS),
        )
    )


def decode_receipt(data: bytes) -> Receipt:
    """Decode exactly the bytes of one receipt."""
    reader = bounded(data, _RECEIPT_BYTES, "receipt")
    version = reader.u16()
    if version != limits.VERSION:
        raise reader.malformed(f"version {version} is not known here")
    receipt = Receipt(
        origin=reader.text(limit=limits.ORIGIN_BYTES),
        agreement_id=reader.text(),
        segment_id=reader.raw(limits.DIGEST),
        first_agreement_sequence=reader.u64(),
        count=reader.u32(),
        log_index=reader.u64(),
        leaf_hash=reader.raw(limits.ROOT),
        received_at=reader.u64(),
        admitted_at=reader.u64(),
        duplicates=tuple((reader.u32(), reader.u64()) for _ in range(reader.count(limits.SLOTS, 12, "duplicates"))),
        refusals=tuple((reader.u32(), reader.enum(SlotCode)) for _ in range(reader.count(limits.SLOTS, 5, "refusals"))),
    )
    reader.end()
    _check(receipt)
    return receipt


def _check(receipt: Receipt) -> None:
    if not 1 <= receipt.slots <= limits.SLOTS:
        raise MalformedError(f"receipt: speaks of {receipt.slots} slots, not 1 to {limits.SLOTS}")
    duplicates = [slot for slot, _ in receipt.duplicates]
    refusals = [slot for slot, _ in receipt.refusals]
    for slots in (duplicates, refusals):
        if any(slots[i] >= slots[i + 1] for i in range(len(slots) - 1)):
            raise MalformedError("receipt: slots are not strictly ascending")
        if slots and slots[-1] >= receipt.slots:
            raise MalformedError("receipt: names a slot that the segment does not have")
    if not set(duplicates).isdisjoint(refusals):
        raise MalformedError("receipt: one slot is a duplicate and refused")


# --- the tree of receipts -------------------------------------------------------------------------------------------


def sign_receipts(
    signer: Signer, broker_fingerprint: bytes, records: Sequence[bytes], random_bytes: RandomBytes
) -> tuple[SignedReceipt, ...]:
    """Sign 1 to 64 encoded receipts of one suite at once; the rest waits for the next signature."""
    if not 1 <= len(records) <= limits.RECEIPT_SLOTS:
        raise MalformedError(f"1 to {limits.RECEIPT_SLOTS} receipts are signed at once, not {len(records)}")
    draw = random_bytes(16 * limits.RECEIPT_SLOTS)
    shuffled = sorted(range(limits.RECEIPT_SLOTS), key=lambda slot: draw[16 * slot : 16 * slot + 16])
    filling = random_bytes(limits.DIGEST * limits.RECEIPT_SLOTS)
    leaves = [filling[limits.DIGEST * i : limits.DIGEST * (i + 1)] for i in range(limits.RECEIPT_SLOTS)]
    for slot, record in zip(shuffled, records, strict=False):
        leaves[slot] = tree.labelled_leaf("receipt", record)
    rows = tree.levels(leaves)
    signature = signer.sign("receipts", int(signer.suite), broker_fingerprint, rows[-1][0])
    return tuple(
        SignedReceipt(record, slot, tree.path(rows, slot), signature)
        for slot, record in zip(shuffled, records, strict=False)
    )


class VerifiedRoots:
    """Signatures over up to 64 receipts that verified before, by their exact (message, signature, public key) bytes; bounded."""

    __slots__ = ("_capacity", "_seen")

    def __init__(self, capacity: int = 64) -> None:
        self._capacity = capacity
        self._seen: dict[tuple[bytes, bytes, bytes], None] = {}

    def verify(self, message: bytes, signature: bytes, key_suite: int, public: bytes) -> bool:
        """Say whether the signature is of this message by this key."""
        entry = (message, signature, public)
        if entry in self._seen:
            return True
        if not verify_signature(key_suite, public, "receipts", message, signature):
            return False
        if len(self._seen) >= self._capacity:
            del self._seen[next(iter(self._seen))]
        self._seen[entry] = None
        return True


def verify_receipt(
    signed: SignedReceipt, key_suite: int, broker_fingerprint: bytes, public: bytes, memo: VerifiedRoots
) -> Receipt:
    """Verify a receipt's exact bytes, then parse them; raises RejectedError or MalformedError.

    `memo` remembers the signatures that it verified: one covers up to 64 receipts, each of which is bound to its root by a path.
    """
    leaf = tree.labelled_leaf("receipt", signed.record)
    root = tree.root_from_path(leaf, signed.slot, limits.RECEIPT_SLOTS, signed.path)
    reasons.require(root is not None, RejectReason.RECEIPT_PATH)
    message = pae("receipts", key_suite, broker_fingerprint, root)
    verifies = memo.verify(message, signed.signature, key_suite, public)
    reasons.require(verifies, RejectReason.RECEIPT_SIGNATURE)
    return decode_receipt(signed.record)


def encode_signed_receipt(signed: SignedReceipt) -> bytes:
    """Encode {receipt, slot, path, signature}."""
    return b"".join(
        (
            variable(signed.record, _RECEIPT_BYTES),
            u32(signed.slot),
            listed((fixed(item, limits.DIGEST) for item in signed.path), limits.RECEIPT_PATH),
            variable(signed.signature, SIGNATURE_BYTES),
        )
    )


def decode_signed_receipt(data: bytes) -> SignedReceipt:
    """Decode exactly the bytes of {receipt, slot, path, signature}; the receipt itself stays opaque until verified."""
    reader = bounded(data, _RECEIPT_BYTES + SIGNATURE_BYTES + 1024, "signed receipt")
    signed = SignedReceipt(
        record=reader.variable(_RECEIPT_BYTES, "a receipt"),
        slot=reader.u32(),
        path=reader.digests(limits.RECEIPT_PATH, limits.DIGEST, "hashes of a path"),
        signature=reader.variable(SIGNATURE_BYTES, "a signature"),
    )
    reader.end()
    return signed


# --- the records of an admitted segment -----------------------------------------------------------------------------


class SlotOutcome(IntEnum):
    """What admission did with a slot."""

    ADMITTED = 1
    DUPLICATE = 2
    REFUSED = 3
    PRUNED = 4


@light
class SlotRecord:
    """One slot in the `records` tree of a segment's log entry; `code` is None unless refused or pruned.

    `report_id` is empty for a pruned slot. `decision` is an index into the decisions of the entry's body.
    """

    slot: int
    outcome: SlotOutcome
    leaf: bytes
    report_id: bytes
    code: SlotCode | None
    decision: int


def encode_slot_record(record: SlotRecord) -> bytes:
    """Encode a slot record."""
    if len(record.leaf) == limits.DIGEST and len(record.report_id) == limits.UUID:
        code = 0 if record.code is None else record.code
        with contextlib.suppress(struct.error):
            return _WHOLE.pack(
                record.slot, record.outcome, record.leaf, limits.UUID, record.report_id, code, record.decision
            )
    # A pruned slot has no report id; and what does not fit is refused here.
    return b"".join(
        (
            u32(record.slot),
            u8(record.outcome),
            fixed(record.leaf, limits.DIGEST),
            fixed_or_empty(record.report_id, limits.UUID),
            u8(0 if record.code is None else record.code),
            u32(record.decision),
        )
    )


def decode_slot_record(data: bytes) -> SlotRecord:
    """Decode exactly the bytes of one slot record."""
    reader = Reader(data, "slot record")
    record = SlotRecord(
        slot=reader.u32(),
        outcome=reader.enum(SlotOutcome),
        leaf=reader.raw(limits.DIGEST),
        report_id=reader.fixed_or_empty(limits.UUID, "a report id"),
        code=reader.enum_or_none(SlotCode),
        decision=reader.u32(),
    )
    reader.end()
    return record


def slot_record_leaf(salt: bytes, record: bytes) -> bytes:
    """Give the leaf of an encoded slot record under its own 32-byte salt."""
    return tree.labelled_leaf("audit-record", fixed(salt, limits.SALT), record)
