"""What nodes, officers and recipients sign about envelopes: BatchSignature, Approval, Ack (designs 03 and 05).

- A BatchSignature covers the root over the segment ids of a batch, and their number. To the broker it travels with the
  list of ids, to a subscriber with one segment's index and path.
- An Approval stands beside its manifest, so the carriage can drop it: one that does not verify refuses the envelope.
- An Ack gives exactly one outcome to every slot of up to 64 segments of one agreement and one originator party.

A signature is verified under the suite of the *key*, which the directory names; a structure that names another suite is
refused. Key status is asked again for each segment and lies outside this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from comity.envelope import limits, reasons, tree
from comity.envelope.core import LogSeen, encode_log_seen, read_log_seen
from comity.envelope.reasons import RejectReason
from comity.envelope.records import Reader, bounded, fixed, listed, text, u8, u16, u32, u64, variable
from comity.errors import MalformedError
from comity.keys.signer import Signer
from comity.pae import pae
from comity.suites import SUITES, verify_signature
from comity_policy.facts import Role

SIGNATURE_BYTES: Final = max(row.signature_size for row in SUITES.values())
_BATCH_BYTES: Final = 8 << 10
_ACK_BYTES: Final = 64 << 10


class AckOutcome(IntEnum):
    """What became of one slot at its recipient. 3 accuses the originator, 4 and 6 the carriage."""

    NOT_IN_THIS_ACK = 0
    ACKNOWLEDGED = 1
    PARKED = 2
    UNREADABLE = 3
    INCOMPLETE = 4
    REFUSED = 5
    PRUNED = 6


class SlotCode(IntEnum):
    """Why a slot was refused; a u8 in receipts and audit records. Append only."""

    PRUNED = 1
    POLICY = 2
    REPLAYED = 3
    ID_REUSED = 4
    CLOCK_WINDOW = 5
    KEY_STATUS = 6
    SUITE = 7
    LOG_SEEN = 8
    SEQUENCE_GAP = 9
    NOT_IN_FORCE = 10
    MALFORMED = 11
    # Its decision permits something, and a stanza gives a node other portions than that.
    STANZAS = 12
    # It takes a report back that is not there, not its originator's, or taken back before; or it is not formed as a recall.
    REFERENCE = 13


# --- batch signature ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchSignature:
    """One signature of a node over `count` segments of one agreement."""

    suite: int
    agreement_id: str
    key_set: bytes
    count: int
    signature: bytes


def encode_batch_signature(batch: BatchSignature) -> bytes:
    """Encode a batch signature."""
    return b"".join(
        (
            u16(batch.suite),
            text(batch.agreement_id),
            fixed(batch.key_set, limits.DIGEST),
            u32(batch.count),
            variable(batch.signature, SIGNATURE_BYTES),
        )
    )


def decode_batch_signature(data: bytes) -> BatchSignature:
    """Decode exactly the bytes of one batch signature."""
    reader = bounded(data, _BATCH_BYTES, "batch signature")
    suite, agreement_id, key_set = reader.u16(), reader.text(), reader.raw(limits.DIGEST)
    count = reader.u32()
    if count > limits.BATCH_SEGMENTS:
        raise reader.over_limit("the number of segments", count, limits.BATCH_SEGMENTS)
    if count == 0:
        raise reader.malformed("a batch has at least one segment")
    signature = reader.variable(SIGNATURE_BYTES, "a signature")
    reader.end()
    return BatchSignature(suite, agreement_id, key_set, count, signature)


def batch_message(batch: BatchSignature, root: bytes) -> bytes:
    """Give the bytes that a batch signature is over."""
    return pae("batch", batch.suite, batch.agreement_id, batch.key_set, batch.count, root)


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """A batch signature with what each of its segments needs to show its place."""

    signature: BatchSignature
    segment_ids: tuple[bytes, ...]
    paths: tuple[tuple[bytes, ...], ...]


def sign_batch(signer: Signer, agreement_id: str, key_set: bytes, segment_ids: Sequence[bytes]) -> SignedBatch:
    """Sign segments of one agreement at once; a worker thread may call it. Raises MalformedError for none or too many."""
    if not 1 <= len(segment_ids) <= limits.BATCH_SEGMENTS:
        raise MalformedError(f"a batch has 1 to {limits.BATCH_SEGMENTS} segments, not {len(segment_ids)}")
    rows = tree.levels(segment_ids)
    suite = int(signer.suite)
    signature = signer.sign("batch", suite, agreement_id, key_set, len(segment_ids), rows[-1][0])
    return SignedBatch(
        BatchSignature(suite, agreement_id, key_set, len(segment_ids), signature),
        tuple(segment_ids),
        tuple(tree.path(rows, index) for index in range(len(segment_ids))),
    )


class VerifiedBatches:
    """Signatures that verified before, by their exact (statement, signature, public key) bytes; bounded."""

    __slots__ = ("_capacity", "_seen")

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._seen: dict[tuple[bytes, bytes, bytes], None] = {}

    def verify(self, batch: BatchSignature, root: bytes, key_suite: int, public: bytes) -> bool:
        """Say whether `batch` signs `root` under this key, which must be of the suite the batch names."""
        if batch.suite != key_suite:
            return False
        message = batch_message(batch, root)
        entry = (message, batch.signature, public)
        if entry in self._seen:
            return True
        if not verify_signature(key_suite, public, "batch", message, batch.signature):
            return False
        if len(self._seen) >= self._capacity:
            del self._seen[next(iter(self._seen))]
        self._seen[entry] = None
        return True


# --- approval -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Approval:
    """An officer's signature beside one envelope, naming its leaf."""

    suite: int
    officer_fingerprint: bytes
    role: Role
    time: int
    signature: bytes


def encode_approval(approval: Approval) -> bytes:
    """Encode an approval, which stands inline."""
    return b"".join(
        (
            u16(approval.suite),
            fixed(approval.officer_fingerprint, limits.DIGEST),
            u8(approval.role),
            u64(approval.time),
            variable(approval.signature, SIGNATURE_BYTES),
        )
    )


def read_approvals(reader: Reader) -> tuple[Approval, ...]:
    """Read a set of approvals, ascending by officer fingerprint."""
    items: list[Approval] = []
    before = b""
    for _ in range(reader.count(limits.APPROVALS, 63, "approvals")):
        item = Approval(
            suite=reader.u16(),
            officer_fingerprint=reader.raw(limits.DIGEST),
            role=reader.enum(Role),
            time=reader.u64(),
            signature=reader.variable(SIGNATURE_BYTES, "a signature"),
        )
        if item.officer_fingerprint <= before:
            raise reader.malformed("approvals are not strictly ascending by officer")
        before = item.officer_fingerprint
        items.append(item)
    return tuple(items)


NO_APPROVALS: Final = b"\x00\x00\x00\x00"


def encode_approvals(approvals: Sequence[Approval]) -> bytes:
    """Encode a set of approvals, given in any order."""
    if not approvals:
        return NO_APPROVALS
    ordered = sorted(approvals, key=lambda item: item.officer_fingerprint)
    if len({item.officer_fingerprint for item in ordered}) != len(ordered):
        raise MalformedError("one officer approves twice")
    return listed((encode_approval(item) for item in ordered), limits.APPROVALS)


def sign_approval(signer: Signer, leaf: bytes, role: Role, time: int) -> Approval:
    """Sign a leaf as an officer whose signing key `signer` holds."""
    suite = int(signer.suite)
    signature = signer.sign("approval", suite, leaf, signer.fingerprint, int(role), time)
    return Approval(suite, signer.fingerprint, role, time, signature)


def approval_verifies(approval: Approval, leaf: bytes, key_suite: int, public: bytes) -> bool:
    """Say whether an approval is of this leaf, by this key."""
    message = pae("approval", approval.suite, leaf, approval.officer_fingerprint, int(approval.role), approval.time)
    return approval.suite == key_suite and verify_signature(key_suite, public, "approval", message, approval.signature)


# --- acknowledgement ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ack:
    """A consumer's outcomes. `segments` holds (segment id, one byte a slot), ascending by id."""

    suite: int
    agreement_id: str
    key_set: bytes
    consumer: str
    time: int
    agreement_log_seen: LogSeen
    segments: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class SignedAck:
    """An acknowledgement's exact bytes and the signature over PAE(ack, those bytes)."""

    record: bytes
    signature: bytes


def encode_ack(ack: Ack) -> bytes:
    """Encode an acknowledgement; raises MalformedError."""
    segments = sorted(ack.segments)
    if len({segment_id for segment_id, _ in segments}) != len(segments):
        raise MalformedError("ack: names one segment twice")
    _check_outcomes(segments)
    return b"".join(
        (
            u16(ack.suite),
            text(ack.agreement_id),
            fixed(ack.key_set, limits.DIGEST),
            text(ack.consumer),
            u64(ack.time),
            encode_log_seen(ack.agreement_log_seen),
            listed(
                (
                    fixed(segment_id, limits.DIGEST) + variable(outcomes, limits.SLOTS)
                    for segment_id, outcomes in segments
                ),
                limits.ACK_SEGMENTS,
                least=1,
            ),
        )
    )


def decode_ack(data: bytes) -> Ack:
    """Decode exactly the bytes of one acknowledgement."""
    reader = bounded(data, _ACK_BYTES, "ack")
    suite, agreement_id, key_set = reader.u16(), reader.text(), reader.raw(limits.DIGEST)
    consumer, time, seen = reader.text(), reader.u64(), read_log_seen(reader)
    segments: list[tuple[bytes, bytes]] = []
    before = b""
    for _ in range(reader.count(limits.ACK_SEGMENTS, limits.DIGEST + 5, "segments", least=1)):
        segment_id = reader.raw(limits.DIGEST)
        if segment_id <= before:
            raise reader.malformed("segments are not strictly ascending")
        before = segment_id
        segments.append((segment_id, reader.variable(limits.SLOTS, "the outcomes")))
    reader.end()
    _check_outcomes(segments)
    return Ack(suite, agreement_id, key_set, consumer, time, seen, tuple(segments))


def sign_ack(signer: Signer, ack: Ack) -> SignedAck:
    """Sign an acknowledgement; its suite must be the signer's."""
    if ack.suite != int(signer.suite):
        raise MalformedError("ack: names another suite than its signer's")
    record = encode_ack(ack)
    return SignedAck(record, signer.sign("ack", record))


def verify_ack(signed: SignedAck, key_suite: int, public: bytes) -> Ack:
    """Verify an acknowledgement's exact bytes, then parse them; raises RejectedError or MalformedError."""
    message = pae("ack", signed.record)
    verifies = verify_signature(key_suite, public, "ack", message, signed.signature)
    reasons.require(verifies, RejectReason.ACK_SIGNATURE)
    ack = decode_ack(signed.record)
    reasons.require(ack.suite == key_suite, RejectReason.ACK_SUITE)
    return ack


def check_ack(
    ack: Ack, *, agreement_id: str, key_set: bytes, consumer: str, slots: Callable[[bytes], int | None]
) -> None:
    """Check that an acknowledgement speaks of what was delivered to this consumer; raises RejectedError.

    `slots` gives the number of slots of a segment that was delivered to this consumer under this agreement, else None.
    """
    reasons.require(ack.agreement_id == agreement_id, RejectReason.ACK_AGREEMENT)
    reasons.require(ack.key_set == key_set, RejectReason.ACK_KEY_SET)
    reasons.require(ack.consumer == consumer, RejectReason.ACK_CONSUMER)
    for segment_id, outcomes in ack.segments:
        count = slots(segment_id)
        reasons.require(count is not None, RejectReason.ACK_SEGMENT)
        reasons.require(count == len(outcomes), RejectReason.ACK_OUTCOMES)


def _check_outcomes(segments: Iterable[tuple[bytes, bytes]]) -> None:
    for _, outcomes in segments:
        if not outcomes or max(outcomes) > AckOutcome.PRUNED:
            raise MalformedError("ack: a segment has no outcomes, or one that is not declared")
