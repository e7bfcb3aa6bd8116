"""Receipts: only what the broker's listed key signed, for these very bytes and in this very log, ends a report."""

import contextlib
from dataclasses import replace

import pytest

from builders_audit import fresh_audit
from builders_audit_outcomes import AGREEMENT, receipt_of
from builders_envelope import EPOCH, Stream
from builders_hostile import mirrored
from builders_identity import nation
from comity.envelope.evidence import SlotCode
from comity.envelope.receipts import encode_receipt, encode_signed_receipt, sign_receipts
from comity.errors import ComityError, ErrorCode, RefusedError, RejectedError, VerificationError
from comity.node.alarms import AlarmKind
from comity.node.outbox import Lane, StoredReceipt, StoredSegment
from comity.node.receipting import Receipting
from comity.v1 import errors_pb2, exchange_pb2


class Answered:
    """A segment that was admitted with slot 2 refused, and the receipt a broker sends for it."""

    def __init__(self, audit, broker, mirror):
        self.audit, self.broker, self.mirror = audit, broker, mirror
        self.receipting = Receipting(mirror, "XAR")
        self.admission = audit.sent[-1].admission
        self.index = audit.find("SUBMIT_ACCEPTED", -1)
        self.receipt = replace(
            receipt_of(self.admission, self.index), leaf_hash=broker.log.entries[self.index].leaf_hash
        )
        lane = Lane(AGREEMENT, EPOCH, 4)
        first, slots = self.admission.first_origin_sequence, self.admission.slots
        self.segment = StoredSegment(self.admission.segment_id, lane, first, slots, b"", 0, (), 1)

    def frame(self, *, signer=None, key=None, entry=True, **changes):
        who = signer or self.audit.hub.signer
        (signed,) = sign_receipts(
            who, key or who.fingerprint, [encode_receipt(replace(self.receipt, **changes))], Stream(b"receipt")
        )
        frame = exchange_pb2.SegmentReceipt(
            signed_receipt=encode_signed_receipt(signed), broker_key=key or who.fingerprint
        )
        if entry:
            frame.entry.CopyFrom(self.broker.log.entry(self.index, ("shared", "XAR")))
        refusal = errors_pb2.Refusal(code=errors_pb2.ERROR_CODE_POLICY_DENIED, message="4.1 refuses")
        frame.refusals.add(slot=2, refusal=refusal)
        return frame

    def refused(self, kind=VerificationError, **changes):
        with pytest.raises(kind):
            self.receipting.verify(self.segment, self.frame(**changes))


@contextlib.asynccontextmanager
async def answered(path):
    audit = fresh_audit()
    async with mirrored(audit, path) as (broker, mirror, refresh):
        await refresh()
        yield Answered(audit, broker, mirror)


async def test_a_true_receipt_says_where_each_report_is_and_why_one_is_not(tmp_path):
    async with answered(tmp_path) as world:
        answer = world.receipting.verify(world.segment, world.frame())
        assert answer.receipt.log_index == world.index
        assert answer.stored.entry
        ((slot, error),) = answer.refusals.items()
        assert (slot, type(error), error.message) == (2, RefusedError, "4.1 refuses")


async def test_a_refusal_without_words_is_a_refusal_all_the_same(tmp_path):
    async with answered(tmp_path) as world:
        frame = world.frame()
        del frame.refusals[:]
        assert world.receipting.verify(world.segment, frame).refusals[2].code is ErrorCode.POLICY_DENIED
        codes = {
            SlotCode.REPLAYED: ErrorCode.REPLAYED,
            SlotCode.ID_REUSED: ErrorCode.ID_REUSED,
            SlotCode.NOT_IN_FORCE: ErrorCode.AGREEMENT_NOT_IN_FORCE,
            SlotCode.MALFORMED: ErrorCode.REJECTED,
        }
        for code, expected in codes.items():
            frame = world.frame(refusals=((2, code),))
            del frame.refusals[:]
            error = world.receipting.verify(world.segment, frame).refusals[2]
            assert isinstance(error, ComityError)
            assert error.code is expected


async def test_words_alone_refuse_nothing(tmp_path):
    async with answered(tmp_path) as world:
        frame = world.frame()
        frame.refusals.add(slot=0, refusal=errors_pb2.Refusal(code=errors_pb2.ERROR_CODE_POLICY_DENIED))
        assert set(world.receipting.verify(world.segment, frame).refusals) == {2}


async def test_a_receipt_by_another_key_is_no_receipt(tmp_path):
    async with answered(tmp_path) as world:
        world.refused(signer=world.audit.nodes["XBO/m1"].signer)
        world.refused(signer=nation("XAR").broker("other").signer)
        # The right fingerprint over a signature of somebody else's.
        world.refused(RejectedError, signer=world.audit.nodes["XBO/m1"].signer, key=world.audit.hub.signer.fingerprint)


async def test_a_receipt_by_a_revoked_key_is_no_receipt(tmp_path):
    async with answered(tmp_path) as world, world.broker.connection() as connection:
        world.audit.enrol(world.audit.xar.revocation(world.audit.hub.signer.fingerprint, issued_at=world.audit.time))
        world.broker.publish()
        await world.mirror.refresh(connection)
        world.refused()


@pytest.mark.parametrize(
    "changes",
    [
        {"segment_id": bytes(48)},
        {"agreement_id": "XAR-XBO-2"},
        {"origin": "hub.xar.example/agreement/XAR-XBO-1/" + "ff" * 16},
        {"count": 3},
        {"leaf_hash": bytes(32)},
        {"log_index": 3},
    ],
)
async def test_a_receipt_of_something_else_is_no_receipt(tmp_path, changes):
    async with answered(tmp_path) as world:
        world.refused(**changes)


async def test_an_entry_that_came_with_a_receipt_is_checked(tmp_path):
    async with answered(tmp_path) as world:
        for change in (
            lambda entry: entry.parts.pop(),
            lambda entry: setattr(entry.parts[0], "body", b"{}"),
            lambda entry: setattr(entry, "entry", world.broker.log.entries[3].data),
        ):
            frame = world.frame()
            change(frame.entry)
            with pytest.raises(VerificationError):
                world.receipting.verify(world.segment, frame)
        assert world.receipting.verify(world.segment, world.frame(entry=False)).stored.entry == b""


async def test_a_receipt_whose_entry_is_not_in_the_log_is_evidence(tmp_path):
    async with answered(tmp_path) as world:
        leaf = world.broker.log.entries[world.index].leaf_hash
        true = StoredReceipt(b"t" * 48, AGREEMENT, world.index, leaf, b"signed", bytes(48), b"")
        false = replace(true, segment_id=b"f" * 48, leaf_hash=bytes(32))
        later = replace(true, segment_id=b"l" * 48, log_index=10_000)
        assert world.receipting.prove((true, false, later)) == [true.segment_id]
        assert [(one.kind, one.subject) for one in world.mirror.alarms()] == [
            (AlarmKind.RECEIPT_FALSE, false.segment_id.hex())
        ]
        assert world.mirror.evidence()[0][4] == b"signed"
