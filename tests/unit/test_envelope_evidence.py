"""Batch signatures, approvals, acknowledgements, receipts and slot records as records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_attack import Recorder
from builders_attack_evidence import receipt as attack_receipt
from builders_envelope import AGREEMENT, NOW, NodeKeys, refused
from comity.envelope import receipts
from comity.envelope.core import LogSeen
from comity.envelope.evidence import (
    Ack,
    AckOutcome,
    Approval,
    BatchSignature,
    SlotCode,
    VerifiedBatches,
    decode_ack,
    decode_batch_signature,
    encode_ack,
    encode_approvals,
    encode_batch_signature,
    sign_batch,
)
from comity.envelope.receipts import (
    SlotOutcome,
    SlotRecord,
    VerifiedRoots,
    decode_receipt,
    decode_slot_record,
    encode_receipt,
    encode_slot_record,
    sign_receipts,
    verify_receipt,
)
from comity.envelope.records import u32
from comity.errors import ErrorCode, MalformedError, RejectedError
from comity.suites import verify_signature
from comity_policy.facts import Role

SENDER = NodeKeys.generate("XAR", "n1")


# --- evidence ----------------------------------------------------------------------------------------------------------


def test_a_batch_signature_is_read_strictly() -> None:
    batch = BatchSignature(1, AGREEMENT, bytes(48), 4096, bytes(100))
    data = encode_batch_signature(batch)
    assert decode_batch_signature(data) == batch
    refused(lambda: decode_batch_signature(data + b"\x00"))
    refused(lambda: decode_batch_signature(encode_batch_signature(replace(batch, count=0))))
    over = encode_batch_signature(replace(batch, count=4097))
    refused(lambda: decode_batch_signature(over), code=ErrorCode.LIMIT_EXCEEDED)
    refused(lambda: encode_batch_signature(replace(batch, signature=bytes(5000))), code=ErrorCode.LIMIT_EXCEEDED)


def test_a_batch_has_1_to_4096_segments() -> None:
    for count in (0, 4097):
        refused(lambda count=count: sign_batch(SENDER.signer, AGREEMENT, SENDER.key_set, [bytes(48)] * count))


def test_a_verified_batch_is_remembered_by_statement_signature_and_key() -> None:
    memo = VerifiedBatches(capacity=1)
    batch = sign_batch(SENDER.signer, AGREEMENT, SENDER.key_set, [bytes(48)]).signature
    public = SENDER.signing.public
    assert memo.verify(batch, bytes(48), 1, public)
    assert memo.verify(batch, bytes(48), 1, public)
    assert not memo.verify(batch, b"\x01" * 48, 1, public)
    assert not memo.verify(batch, bytes(48), 1, NodeKeys.generate("XBO", "n1").signing.public)
    assert not memo.verify(replace(batch, signature=batch.signature[:-1] + b"\x00"), bytes(48), 1, public)
    assert not memo.verify(batch, bytes(48), 2, public)


def ack(**changes: object) -> Ack:
    base = Ack(1, AGREEMENT, bytes(48), "default", NOW, LogSeen(bytes(16), 1, bytes(32)), ((bytes(48), b"\x01\x06"),))
    return replace(base, **changes)


def test_an_ack_is_read_strictly() -> None:
    data = encode_ack(ack())
    assert decode_ack(data) == ack()
    refused(lambda: decode_ack(data + b"\x00"))
    refused(lambda: decode_ack(data[:-1] + bytes([AckOutcome.PRUNED + 1])))
    two = encode_ack(ack(segments=((b"\x01" * 48, b"\x01"), (b"\x02" * 48, b"\x02"))))
    start = len(two) - 2 * 53
    refused(lambda: decode_ack(two[:start] + two[start + 53 :] + two[start : start + 53]))


@pytest.mark.parametrize(
    "segments",
    [
        (),
        ((bytes(48), b""),),
        ((bytes(48), b"\x07"),),
        ((bytes(48), b"\x01"), (bytes(48), b"\x02")),
        ((bytes(48), bytes(257)),),
        tuple((bytes([i]) * 48, b"\x01") for i in range(65)),
    ],
    ids=["none", "no outcomes", "undeclared", "twice", "257 slots", "65 segments"],
)
def test_an_ack_over_a_limit_is_not_written(segments: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(MalformedError):
        encode_ack(ack(segments=segments))


def test_one_officer_approves_once() -> None:
    approval = Approval(1, bytes(48), Role.LIAISON, NOW, b"s")
    refused(lambda: encode_approvals([approval, approval]))
    many = [replace(approval, officer_fingerprint=bytes([i]) * 48) for i in range(17)]
    refused(lambda: encode_approvals(many), code=ErrorCode.LIMIT_EXCEEDED)


def test_slot_codes_keep_their_numbers() -> None:
    assert [code.name for code in SlotCode] == [
        "PRUNED",
        "POLICY",
        "REPLAYED",
        "ID_REUSED",
        "CLOCK_WINDOW",
        "KEY_STATUS",
        "SUITE",
        "LOG_SEEN",
        "SEQUENCE_GAP",
        "NOT_IN_FORCE",
        "MALFORMED",
        "STANZAS",
        "REFERENCE",
    ]
    assert [int(code) for code in SlotCode] == list(range(1, 14))


def test_a_receipt_gives_each_slot_its_number() -> None:
    receipt = attack_receipt()
    assert decode_receipt(encode_receipt(receipt)) == receipt
    assert receipt.slots == 5
    assert [receipt.agreement_sequence(slot) for slot in range(6)] == [10, None, 11, None, 12, None]


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0, "duplicates": (), "refusals": ()},
        {"count": 255},
        {"duplicates": ((5, 1),)},
        {"duplicates": ((1, 1), (1, 2))},
        {"duplicates": ((3, 1),)},
        {"refusals": ((4, SlotCode.POLICY), (2, SlotCode.POLICY))},
        {"leaf_hash": bytes(31)},
        {"origin": "x" * 256},
    ],
    ids=["no slots", "257 slots", "beyond", "twice", "in both lists", "order", "leaf hash", "origin"],
)
def test_a_receipt_that_contradicts_itself_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        encode_receipt(attack_receipt(**changes))


def test_a_receipt_is_read_strictly() -> None:
    data = encode_receipt(attack_receipt())
    refused(lambda: decode_receipt(data + b"\x00"))
    refused(lambda: decode_receipt(b"\x00\x02" + data[2:]))
    refused(lambda: decode_receipt(data[:-1] + b"\x00"))
    refused(lambda: decode_receipt(data[:-5] + u32(9) + data[-1:]))


@pytest.mark.parametrize("count", [1, 2, 63, 64])
def test_receipts_are_signed_together_and_verify_alone(count: int) -> None:
    broker = NodeKeys.generate("XAR", "hub").signer
    records = [encode_receipt(attack_receipt(log_index=i)) for i in range(count)]
    signed = sign_receipts(broker, broker.fingerprint, records, Recorder())
    assert len({item.slot for item in signed}) == count
    assert {len(item.path) for item in signed} == {6}
    for index, item in enumerate(signed):
        assert verify_receipt(item, 1, broker.fingerprint, broker.public, VerifiedRoots()).log_index == index


def test_receipts_under_one_signature_are_verified_once_and_under_each_key_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, other = (NodeKeys.generate("XAR", name).signer for name in ("hub", "other"))
    records = [encode_receipt(attack_receipt(log_index=i)) for i in range(3)]
    first, *rest = sign_receipts(broker, broker.fingerprint, records, Recorder())
    asked: list[bytes] = []

    def counted(suite: int, public: bytes, purpose: str, message: bytes, signature: bytes) -> bool:
        asked.append(signature)
        return verify_signature(suite, public, purpose, message, signature)

    monkeypatch.setattr(receipts, "verify_signature", counted)
    memo = VerifiedRoots(capacity=1)
    for item in (first, *rest):
        verify_receipt(item, 1, broker.fingerprint, broker.public, memo)
    assert len(asked) == 1
    for public, item in ((other.public, first), (broker.public, replace(first, signature=bytes(len(first.signature))))):
        with pytest.raises(RejectedError):
            verify_receipt(item, 1, broker.fingerprint, public, memo)
    assert len(asked) == 3
    # Another signature takes the one place there is, and the first is verified again.
    another, _ = sign_receipts(broker, broker.fingerprint, records[1:], Recorder())
    for item in (another, first):
        verify_receipt(item, 1, broker.fingerprint, broker.public, memo)
    assert len(asked) == 5


def test_at_most_64_receipts_are_signed_at_once() -> None:
    broker = NodeKeys.generate("XAR", "hub").signer
    for count in (0, 65):
        records = [encode_receipt(attack_receipt())] * count
        refused(lambda records=records: sign_receipts(broker, broker.fingerprint, records, Recorder()))


def test_a_slot_record_comes_back_as_it_was() -> None:
    for record in (
        SlotRecord(3, SlotOutcome.ADMITTED, bytes(48), bytes(16), None, 2),
        SlotRecord(0, SlotOutcome.PRUNED, bytes(48), b"", SlotCode.PRUNED, 0),
    ):
        data = encode_slot_record(record)
        assert decode_slot_record(data) == record
        refused(lambda data=data: decode_slot_record(data + b"\x00"))
