"""How envelope-v1.json is made, and the parts of the format written a second time by hand to check it with.

Everything comes from a fixed random source but what the libraries draw themselves: HPKE's encapsulation, Cobblestone's
salt and ML-DSA's hedge. Those outputs are pinned in the file; `replay` seals again with them put back in their places.
"""

from __future__ import annotations

import dataclasses
import hmac
from enum import Enum

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from builders_envelope import (
    AGREEMENT,
    HOUR,
    NOW,
    NodeKeys,
    RawSigner,
    Stream,
    core,
    portion,
    profile,
    report_id,
)
from comity.envelope import tree
from comity.envelope.core import Core, LogSeen, Reference, Relation, core_hash
from comity.envelope.evidence import (
    Ack,
    AckOutcome,
    SlotCode,
    batch_message,
    encode_approval,
    encode_batch_signature,
    sign_ack,
    sign_approval,
    sign_batch,
)
from comity.envelope.exported import encode_exported, export
from comity.envelope.forwarding import prune, with_approvals
from comity.envelope.packets import packet_info, stanza_context
from comity.envelope.receipts import (
    Receipt,
    SlotOutcome,
    SlotRecord,
    encode_receipt,
    encode_signed_receipt,
    encode_slot_record,
    sign_receipts,
    slot_record_leaf,
)
from comity.envelope.seal import SealedSegment, Sealer, SealInput
from comity.envelope.segment import WholeItem, parse_segment
from comity.suites import KeyRole, Suite, generate_signing
from comity_policy.facts import Action, Addressee, Kind, Originator, PersonalData, PortionMarking, Precedence, Role
from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Pap, Tlp

COBBLESTONE = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def cobblestone_derive(content_key: bytes, salt: bytes, context: bytes) -> tuple[bytes, bytes, bytes]:
    """Give key, base nonce and commitment: HKDF-Expand-SHA512 of 76 bytes, by hand."""
    info = COBBLESTONE + salt + context
    first = hmac.digest(content_key, info + b"\x01", "sha512")
    second = hmac.digest(content_key, first + info + b"\x02", "sha512")
    okm = first + second
    return okm[:32], okm[32:44], okm[44:76]


def cobblestone_seal(content_key: bytes, context: bytes, plaintext: bytes, salt: bytes) -> bytes:
    """Encrypt by hand, with a chosen salt."""
    key, base, commitment = cobblestone_derive(content_key, salt, context)
    chunks = [plaintext[i : i + 16384] for i in range(0, len(plaintext), 16384)]
    if not chunks or len(chunks[-1]) == 16384:
        chunks.append(b"")
    aead = AESGCM(key)
    return salt + commitment + b"".join(aead.encrypt(_nonce(base, i), chunk, b"") for i, chunk in enumerate(chunks))


def cobblestone_open(content_key: bytes, context: bytes, ciphertext: bytes) -> bytes:
    """Decrypt by hand."""
    key, base, commitment = cobblestone_derive(content_key, ciphertext[:24], context)
    assert ciphertext[24:56] == commitment
    body = ciphertext[56:]
    chunks = [body[i : i + 16400] for i in range(0, len(body), 16400)]
    assert len(chunks[-1]) < 16400
    aead = AESGCM(key)
    return b"".join(aead.decrypt(_nonce(base, i), chunk, b"") for i, chunk in enumerate(chunks))


def _nonce(base: bytes, number: int) -> bytes:
    return (int.from_bytes(base, "big") ^ number).to_bytes(12, "big")


def describe(value: object) -> object:
    """Give a domain object as JSON people can read: bytes in hex, enums by name, sets sorted."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [describe(item) for item in value]
    return value


def nodes(suite: Suite) -> tuple[NodeKeys, NodeKeys]:
    """Give sender and reader."""
    return NodeKeys.generate("XAR", "n1", suite), NodeKeys.generate("XBO", "n1", suite)


def cores(sender: NodeKeys) -> list[Core]:
    """Give a plain core, and one in which every field that may be empty is not."""
    successor = Label(policy="XAR", classification="RESTRICTED", releasable_to=frozenset({"XAR", "XBO"}))
    full = Label(
        policy="XAR",
        classification="SECRET",
        dissemination=frozenset({"ORCON"}),
        releasable_to=frozenset({"XAR", "XBO"}),
        display_only=frozenset({"XDE"}),
        origin=Origin(OriginKind.JOINT, frozenset({"XAR", "XBO"})),
        tlp=Tlp.AMBER_STRICT,
        pap=Pap.AMBER,
        categories=(
            CategorySet("compartment", CategoryKind.RESTRICTIVE, frozenset({"harbour", "straße"})),
            CategorySet("nobody", CategoryKind.PERMISSIVE, frozenset()),
            CategorySet("topic", CategoryKind.INFORMATIVE, None),
        ),
        review_at=NOW + HOUR,
        successor=successor,
    )
    releasable = PortionMarking(Label(policy="XAR", classification="SECRET", releasable_to=frozenset({"XAR", "XBO"})))
    shared = {"addressees": (Addressee("XBO", Action.ACTION, office="desk-3"),), "precedence": Precedence.FLASH}
    plain = profile(sender, portions=(releasable,), **shared)
    rich = profile(
        sender,
        originator=Originator("XAR", "n1", bytes(range(48)), Role.DUTY_OFFICER),
        kind=Kind.SUPERSEDE,
        categories=("piracy", "terrorism"),
        emergency=b"\x11" * 48,
        approvals_required=1,
        portions=(releasable, PortionMarking(full, PersonalData.SPECIAL, 7, warn=True)),
        **shared,
    )
    return [
        core(sender, 41, plain),
        core(
            sender,
            42,
            rich,
            not_before=NOW + 1,
            key_log_seen=LogSeen(b"\x22" * 16, 2**53 - 1, b"\x33" * 32),
            refers_to=(
                Reference(Relation.SUPERSEDES, report_id(7), b"\x44" * 48),
                Reference(Relation.DERIVED_FROM, report_id(8), b"\x55" * 48),
            ),
        ),
    ]


def inputs(suite: Suite) -> list[SealInput]:
    """Give what is sealed: one portion, and two of which the reader gets the second."""
    sender, reader = nodes(suite)
    plain, rich = cores(sender)
    return [
        SealInput(plain, (portion("two boats at the pier", title="Harbour"),), ((reader.recipient, (0,)),)),
        SealInput(rich, (portion("", grading="B2"), portion("b" * 20_000)), ((reader.recipient, (1,)),)),
    ]


def sealer(suite: Suite) -> tuple[Sealer, list[bytes]]:
    """Give a sealer from the fixed random source, and the list of what it draws."""
    source, drawn = Stream(f"envelope-v1/{int(suite)}".encode()), []

    def random_bytes(size: int) -> bytes:
        drawn.append(source(size))
        return drawn[-1]

    return nodes(suite)[0].sealer(random_bytes=random_bytes), drawn


def build(suite: Suite) -> dict[str, object]:
    """Make the vectors of one suite."""
    sender, reader = nodes(suite)
    made, drawn = sealer(suite)
    sealed = made.seal_segment(inputs(suite))
    segment = parse_segment(sealed.data)
    officer = RawSigner(generate_signing(suite, Stream(b"officer")), KeyRole.OFFICER_SIGNING)
    broker = RawSigner(generate_signing(suite, Stream(b"broker")), KeyRole.BROKER_SIGNING)
    batch = sign_batch(sender.signer, AGREEMENT, sender.key_set, [b"\x00" * 48, sealed.segment_id, b"\x01" * 48])
    approval = sign_approval(officer, sealed.leaves[1], Role.RELEASE_AUTHORITY, NOW)
    approved = with_approvals(sealed.data, {1: [approval]})
    alone = export(
        parse_segment(approved),
        1,
        batch=batch.signature,
        index=1,
        batch_path=batch.paths[1],
        key_packets=[packet.data for packet in sealed.packets],
    )
    return {
        "suite": int(suite),
        "keys": {
            name: {
                "private": secret.to_private_bytes().hex(),
                "public": secret.public.hex(),
                "fingerprint": mark.hex(),
            }
            for name, secret, mark in (
                ("sender-signing", sender.signing, sender.signer.fingerprint),
                ("sender-kem", sender.kem, sender.decapsulator.fingerprint),
                ("reader-signing", reader.signing, reader.signer.fingerprint),
                ("reader-kem", reader.kem, reader.decapsulator.fingerprint),
            )
        },
        "sender_key_set": sender.key_set.hex(),
        "reader_key_set": reader.key_set.hex(),
        "drawn": [value.hex() for value in drawn],
        "packets": [_packet(suite, sender, packet) for packet in sealed.packets],
        "reports": [_report(item) for _, item in segment.whole],
        "segment": {
            "bytes": sealed.data.hex(),
            "root": tree.root(sealed.leaves).hex(),
            "id": sealed.segment_id.hex(),
            "pruned_0": prune(sealed.data, {0}).hex(),
        },
        "batch": {
            "segment_ids": [item.hex() for item in batch.segment_ids],
            "message": batch_message(batch.signature, tree.root(batch.segment_ids)).hex(),
            "bytes": encode_batch_signature(batch.signature).hex(),
            "path_1": [step.hex() for step in batch.paths[1]],
        },
        "approval": {
            "officer_public": officer.public.hex(),
            "officer_fingerprint": officer.fingerprint.hex(),
            "leaf": sealed.leaves[1].hex(),
            "bytes": encode_approval(approval).hex(),
            "segment": approved.hex(),
        },
        "exported": encode_exported(alone).hex(),
        "ack": _ack(suite, reader, sealed),
        "receipt": _receipt(broker, sealed),
    }


def _packet(suite: Suite, sender: NodeKeys, packet) -> dict[str, object]:
    info = packet_info(
        suite=int(suite),
        agreement_id=AGREEMENT,
        sealer_party=sender.party,
        sealer_key_set=sender.key_set,
        recipient_party=packet.recipient_party,
        recipient_fingerprint=packet.recipient_fingerprint,
    )
    return {
        "recipient_party": packet.recipient_party,
        "recipient_fingerprint": packet.recipient_fingerprint.hex(),
        "info": info.hex(),
        "bytes": packet.data.hex(),
        "id": packet.packet_id.hex(),
    }


def _report(item: WholeItem) -> dict[str, object]:
    core_h = core_hash(item.manifest.core)
    rows = [
        {
            **describe(row),
            "context": stanza_context(core_h, row.packet_id, row.party, row.fingerprint, row.indices).hex(),
            "stanza": stanza.hex(),
        }
        for row, stanza in zip(item.manifest.rows, item.stanzas, strict=True)
    ]
    return {
        "core": describe(item.core),
        "core_bytes": item.manifest.core.hex(),
        "core_h": core_h.hex(),
        "portions": [
            {"digest": digest.digest.hex(), "length": digest.length, "ciphertext": ciphertext.hex()}
            for digest, ciphertext in zip(item.manifest.portions, item.ciphertexts, strict=True)
        ],
        "rows": rows,
        "manifest_bytes": item.manifest_bytes.hex(),
        "leaf": item.leaf.hex(),
    }


def _ack(suite: Suite, reader: NodeKeys, sealed: SealedSegment) -> dict[str, object]:
    ack = Ack(
        suite=int(suite),
        agreement_id=AGREEMENT,
        key_set=reader.key_set,
        consumer="default",
        time=NOW,
        agreement_log_seen=LogSeen(bytes(16), 9, b"\x66" * 32),
        segments=((sealed.segment_id, bytes([AckOutcome.ACKNOWLEDGED, AckOutcome.PARKED])),),
    )
    signed = sign_ack(reader.signer, ack)
    return {"ack": describe(ack), "bytes": signed.record.hex(), "signature": signed.signature.hex()}


def _receipt(broker: RawSigner, sealed: SealedSegment) -> dict[str, object]:
    receipt = Receipt(
        origin="hub.xar.example/agreement/XAR-XBO-1/00000000000000000000000000000000",
        agreement_id=AGREEMENT,
        segment_id=sealed.segment_id,
        first_agreement_sequence=12,
        count=1,
        log_index=5,
        leaf_hash=b"\x77" * 32,
        received_at=NOW,
        admitted_at=NOW + 3,
        refusals=((1, SlotCode.POLICY),),
    )
    record = encode_receipt(receipt)
    (signed,) = sign_receipts(broker, broker.fingerprint, [record], Stream(b"receipts"))
    slot = SlotRecord(1, SlotOutcome.REFUSED, sealed.leaves[1], report_id(42), SlotCode.POLICY, 0)
    encoded = encode_slot_record(slot)
    return {
        "receipt": describe(receipt),
        "bytes": record.hex(),
        "signed": encode_signed_receipt(signed).hex(),
        "broker_public": broker.public.hex(),
        "broker_fingerprint": broker.fingerprint.hex(),
        "slot_record": encoded.hex(),
        "slot_salt": (b"\x88" * 32).hex(),
        "slot_leaf": slot_record_leaf(b"\x88" * 32, encoded).hex(),
    }
