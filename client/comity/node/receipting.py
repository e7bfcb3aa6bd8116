"""Receipts as they come from a broker: verified, then told apart by report (design 05, "Receipt").

Rules in order:
1. The key is one the broker's newest bundle lists for receipts, as the mirror has it; nothing in a receipt chooses a key.
2. The receipt is of the very segment, in the log that the mirror follows, with an outcome for each of its slots.
3. The entry that comes with it has the leaf hash the receipt names, and the parts a party may see are those it commits to.
4. A receipt is compared with the log when the mirror has come that far: another leaf there is evidence against the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from comity.envelope.evidence import SlotCode
from comity.envelope.receipts import Receipt as SegmentReceipt
from comity.envelope.receipts import SignedReceipt, VerifiedRoots, decode_receipt, decode_signed_receipt, verify_receipt
from comity.errors import ComityError, ErrorCode, RefusedError, RejectedError, VerificationError
from comity.identity.names import agreement_of, exercise_of, is_exercise
from comity.node.alarms import AlarmKind
from comity.node.following import Followed, checked_entry
from comity.node.losing import log_of
from comity.node.mirror import Mirror
from comity.node.outbox import StoredReceipt, StoredSegment
from comity.node.receipts import Receipt
from comity.node.refusals import error_of
from comity.node.sealing import Sealed
from comity.suites import KeyRole
from comity.v1 import exchange_pb2
from comity.verify.trees import leaf_hash


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified receipt of one segment, and why slots were refused, by slot."""

    receipt: SegmentReceipt
    signed: SignedReceipt
    stored: StoredReceipt
    refusals: Mapping[int, ComityError]
    duplicates: frozenset[int]

    def of_slot(self, slot: int, sealed: Sealed) -> Receipt:
        """Give one report's part of it; only for a slot that was not refused."""
        cleared, segment, receipt = sealed.cleared[slot], sealed.stored, self.receipt
        duplicate = slot in self.duplicates
        whole = receipt.count == segment.slots
        return Receipt(
            agreement_id=receipt.agreement_id,
            report_id=UUID(bytes=sealed.report_ids[slot]),
            leaf=sealed.leaves[slot],
            segment_id=segment.segment_id,
            slot=slot,
            transport_class=segment.lane.transport_class,
            origin_sequence=segment.first_origin_sequence + slot,
            agreement_sequence=receipt.first_agreement_sequence + slot if whole else receipt.agreement_sequence(slot),
            log_origin=receipt.origin,
            log_index=dict(receipt.duplicates)[slot] if duplicate else receipt.log_index,
            admitted_at=receipt.admitted_at,
            duplicate=duplicate,
            recipients=cleared.nodes,
            refused_parties=cleared.refused_parties,
            signed=self.signed,
        )


class Receipting:
    """Verifies the receipts of one node."""

    def __init__(self, mirror: Mirror, party: str) -> None:
        self._mirror = mirror
        self._party = party
        self._verified = VerifiedRoots()

    def verify(self, segment: StoredSegment, frame: exchange_pb2.SegmentReceipt) -> Answer:
        """Verify a receipt; raises VerificationError, RejectedError or MalformedError."""
        signed = decode_signed_receipt(frame.signed_receipt)
        owner = self._mirror.directory.owner(frame.broker_key)
        is_brokers = (
            owner is not None
            and owner.identity == self._mirror.broker
            and owner.key.role is KeyRole.BROKER_SIGNING
            and self._mirror.directory.counts(frame.broker_key)
        )
        if owner is None or not is_brokers:
            raise VerificationError(f"a receipt is signed with a key that is not listed for {self._mirror.broker}")
        receipt = verify_receipt(signed, owner.key.suite, frame.broker_key, owner.key.public, self._verified)
        name = log_of(segment.lane)
        pin = self._mirror.pin(name)
        said = (receipt.segment_id, receipt.agreement_id, receipt.slots, receipt.origin)
        origin = self._first_origin(name) if pin is None else pin.origin_at(receipt.log_index)
        wanted = (segment.segment_id, segment.lane.agreement_id, segment.slots, origin)
        if said != wanted:
            raise VerificationError("a receipt is of another segment, agreement or log than what was sent")
        return Answer(
            receipt=receipt,
            signed=signed,
            stored=StoredReceipt(
                segment_id=segment.segment_id,
                agreement_id=name,
                log_index=receipt.log_index,
                leaf_hash=receipt.leaf_hash,
                signed=frame.signed_receipt,
                broker_key=frame.broker_key,
                entry=self._entry(name, receipt, frame),
            ),
            refusals=_refusals(receipt, frame),
            duplicates=frozenset(slot for slot, _ in receipt.duplicates),
        )

    def _first_origin(self, name: str) -> str:
        """Give the name that the log of an exercise has which the mirror has not seen yet: it begins with its first report."""
        pin = self._mirror.pin(agreement_of(name))
        return exercise_of(pin.origin) if pin is not None and is_exercise(name) else ""

    def prove(self, receipts: tuple[StoredReceipt, ...]) -> list[bytes]:
        """Compare receipts with the mirrored log; give the segment ids of those that stand there. Others are alarms."""
        proved: list[bytes] = []
        for one in receipts:
            leaf = self._mirror.leaf_hash(one.agreement_id, one.log_index)
            if leaf == one.leaf_hash:
                proved.append(one.segment_id)
            elif leaf is not None and not self._was_lost(one):
                self._mirror.keep_evidence(one.agreement_id, f"receipt of {one.segment_id.hex()}", one.signed)
                self._mirror.raise_alarm(
                    AlarmKind.RECEIPT_FALSE,
                    one.agreement_id,
                    one.segment_id.hex(),
                    f"entry {one.log_index} of the log is not the one that the broker's receipt names",
                )
        return proved

    def _was_lost(self, stored: StoredReceipt) -> bool:
        """Say whether the entry of a receipt was lost by a broker that was restored since: `republishing` sees to it."""
        pin = self._mirror.pin(stored.agreement_id)
        return pin is not None and bool(pin.before) and origin_of(stored) != pin.origin_at(stored.log_index)

    def _entry(self, name: str, receipt: SegmentReceipt, frame: exchange_pb2.SegmentReceipt) -> bytes:
        if not frame.HasField("entry"):
            return b""
        fits = frame.entry.log_index == receipt.log_index and leaf_hash(frame.entry.entry) == receipt.leaf_hash
        if not fits:
            raise VerificationError("a receipt came with another entry than it names")
        parties = self._mirror.agreement(receipt.agreement_id).parties
        checked_entry(Followed(name, parties, self._party, ""), receipt.origin, frame.entry)
        return frame.entry.SerializeToString(deterministic=True)


def origin_of(stored: StoredReceipt) -> str:
    """Give the name of the log that a stored receipt is of."""
    return decode_receipt(decode_signed_receipt(stored.signed).record).origin


def _refusals(receipt: SegmentReceipt, frame: exchange_pb2.SegmentReceipt) -> dict[int, ComityError]:
    """Give why slots were refused: that they were is signed, the words are not."""
    words = {one.slot: error_of(one.refusal) for one in frame.refusals}
    return {slot: words.get(slot) or _unexplained(code) for slot, code in receipt.refusals}


def _unexplained(code: SlotCode) -> ComityError:
    if code is SlotCode.MALFORMED:
        return RejectedError("the broker refused the slot without a word")
    codes = {
        SlotCode.REPLAYED: ErrorCode.REPLAYED,
        SlotCode.ID_REUSED: ErrorCode.ID_REUSED,
        SlotCode.CLOCK_WINDOW: ErrorCode.CLOCK_WINDOW,
        SlotCode.NOT_IN_FORCE: ErrorCode.AGREEMENT_NOT_IN_FORCE,
        SlotCode.SUITE: ErrorCode.SUITE_NOT_ALLOWED,
        SlotCode.REFERENCE: ErrorCode.REFERENCE_REFUSED,
    }
    return RefusedError(f"the broker refused it: {code.name}", code=codes.get(code, ErrorCode.POLICY_DENIED))
