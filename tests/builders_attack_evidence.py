"""Attacks on acknowledgements, receipts and exported envelopes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from builders_attack import R, attack
from builders_envelope import (
    AGREEMENT,
    HOUR,
    NOW,
    RawSigner,
    World,
)
from comity.envelope import packets
from comity.envelope.core import LogSeen
from comity.envelope.evidence import (
    Ack,
    AckOutcome,
    SignedAck,
    SlotCode,
    VerifiedBatches,
    check_ack,
    sign_ack,
    verify_ack,
)
from comity.envelope.exported import decode_exported, encode_exported, export, verify_exported
from comity.envelope.receipts import Receipt, VerifiedRoots, encode_receipt, sign_receipts, verify_receipt
from comity.envelope.segment import (
    Absent,
)
from comity.suites import KeyRole, Suite, generate_signing

# --- acknowledgements --------------------------------------------------------------------------------------------------


def _acked(change: Callable[[Ack], Ack] = lambda ack: ack, sign: Callable[[SignedAck], SignedAck] = lambda s: s):
    world = World()
    sealed = world.seal(2)
    ack = Ack(
        suite=int(world.suite),
        agreement_id=AGREEMENT,
        key_set=world.reader.key_set,
        consumer="default",
        time=NOW,
        agreement_log_seen=LogSeen(bytes(16), 7, bytes(32)),
        segments=((sealed.segment_id, bytes([AckOutcome.ACKNOWLEDGED, AckOutcome.PARKED])),),
    )
    signed = sign(sign_ack(world.reader.signer, change(ack)))
    verified = verify_ack(signed, int(world.suite), world.reader.signing.public)
    check_ack(
        verified,
        agreement_id=AGREEMENT,
        key_set=world.reader.key_set,
        consumer="default",
        slots=lambda name: 2 if name == sealed.segment_id else None,
    )
    return verified


@attack(R.ACK_SIGNATURE)
def ack_with_another_outcome_than_was_signed():
    def change(signed: SignedAck) -> SignedAck:
        return replace(signed, record=signed.record[:-1] + bytes([AckOutcome.ACKNOWLEDGED]))

    return _acked(sign=change)


@attack(R.ACK_SUITE)
def ack_that_names_another_suite_than_its_key():
    def change(signed: SignedAck) -> SignedAck:
        record = b"\x00\x02" + signed.record[2:]
        return SignedAck(record, World().reader.signer.sign("ack", record))

    return _acked(sign=change)


@attack(R.ACK_AGREEMENT)
def ack_moved_to_another_agreement():
    return _acked(lambda ack: replace(ack, agreement_id="XAR-XBO-2"))


@attack(R.ACK_KEY_SET)
def ack_under_an_older_key_set():
    return _acked(lambda ack: replace(ack, key_set=bytes(48)))


@attack(R.ACK_CONSUMER)
def ack_moved_to_another_consumer():
    return _acked(lambda ack: replace(ack, consumer="archive"))


@attack(R.ACK_SEGMENT)
def ack_moved_to_another_segment():
    return _acked(lambda ack: replace(ack, segments=((bytes(48), ack.segments[0][1]),)))


@attack(R.ACK_OUTCOMES)
def ack_with_an_outcome_too_few():
    return _acked(lambda ack: replace(ack, segments=((ack.segments[0][0], b"\x01"),)))


# --- receipts ----------------------------------------------------------------------------------------------------------


def receipt(**changes: object) -> Receipt:
    base = Receipt(
        origin="hub.xar.example/agreement/XAR-XBO-1/" + "00" * 16,
        agreement_id=AGREEMENT,
        segment_id=bytes(48),
        first_agreement_sequence=10,
        count=3,
        log_index=4,
        leaf_hash=bytes(32),
        received_at=NOW,
        admitted_at=NOW + HOUR,
        duplicates=((1, 2),),
        refusals=((3, SlotCode.POLICY),),
    )
    return replace(base, **changes)


def _receipted(change):
    broker = RawSigner(generate_signing(Suite.HYBRID), KeyRole.BROKER_SIGNING)
    (signed,) = sign_receipts(
        broker, broker.fingerprint, [encode_receipt(receipt())], lambda size: hashlib.shake_256(b"r").digest(size)
    )
    # What was verified before must not speak for what was not.
    key, memo = (int(broker.suite), broker.fingerprint, broker.public), VerifiedRoots()
    verify_receipt(signed, *key, memo)
    return verify_receipt(change(signed), *key, memo)


@attack(R.RECEIPT_PATH)
def receipt_with_a_path_of_five():
    return _receipted(lambda signed: replace(signed, path=signed.path[:5]))


@attack(R.RECEIPT_PATH)
def receipt_in_a_slot_beyond_the_tree():
    return _receipted(lambda signed: replace(signed, slot=64))


@attack(R.RECEIPT_SIGNATURE)
def receipt_with_another_sequence():
    return _receipted(lambda signed: replace(signed, record=encode_receipt(receipt(first_agreement_sequence=11))))


@attack(R.RECEIPT_SIGNATURE)
def receipt_in_another_slot():
    return _receipted(lambda signed: replace(signed, slot=signed.slot ^ 1))


# --- envelopes alone ---------------------------------------------------------------------------------------------------


def _exported(change, count: int = 3, **options: object):
    delivery = World().delivery(count, **options)
    alone = export(
        delivery.segment,
        1,
        batch=delivery.batch,
        index=0,
        batch_path=delivery.path,
        key_packets=list(delivery.packets.values()),
    )
    changed = decode_exported(encode_exported(change(alone)))
    verify_exported(changed, delivery.world.sender.signing_node, memo=VerifiedBatches())
    return changed


@attack(R.EXPORTED_ROOT)
def exported_with_a_path_too_short():
    return _exported(lambda alone: replace(alone, path=alone.path[:1]))


@attack(R.EXPORTED_ROOT)
def exported_with_a_slot_beyond_its_count():
    return _exported(lambda alone: replace(alone, slot=3))


@attack(R.BATCH_SIGNATURE)
def exported_under_another_slot():
    return _exported(lambda alone: replace(alone, slot=0))


@attack(R.BATCH_SIGNATURE)
def exported_under_another_count():
    return _exported(lambda alone: replace(alone, leaf_count=4))


@attack(R.PACKET_UNNAMED)
def exported_with_a_packet_no_row_names():
    def change(alone):
        more = sorted([*alone.key_packets, bytes(1168)], key=packets.packet_id)
        return replace(alone, key_packets=tuple(more))

    return _exported(change)


@attack(R.CIPHERTEXT_DIGEST)
def exported_with_another_ciphertext():
    def change(alone):
        item = replace(alone.item, ciphertexts=(bytes(1096), Absent.WITHHELD))
        return replace(alone, item=item)

    return _exported(change)
