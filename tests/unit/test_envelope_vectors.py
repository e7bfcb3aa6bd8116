"""The pinned vectors of envelope v1: every step checked, by our code and, where it matters, by hand."""

from __future__ import annotations

import hashlib
import json
import struct
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import builders_vectors as vectors
from builders_envelope import NodeKeys
from comity.envelope import chunked, packets, run_form, tree
from comity.envelope.checks import OfficerKey, VerifiedSegment, receive
from comity.envelope.core import core_hash, decode_core, encode_core
from comity.envelope.evidence import (
    SignedAck,
    VerifiedBatches,
    approval_verifies,
    batch_message,
    decode_batch_signature,
    encode_batch_signature,
    verify_ack,
)
from comity.envelope.exported import decode_exported, encode_exported, verify_exported
from comity.envelope.forwarding import prune
from comity.envelope.manifest import decode_manifest, encode_manifest
from comity.envelope.open import OpenedPortion, OpenedReport, WithheldPortion, index_packets
from comity.envelope.packets import packet_id
from comity.envelope.receipts import (
    VerifiedRoots,
    decode_receipt,
    decode_signed_receipt,
    decode_slot_record,
    encode_receipt,
    encode_slot_record,
    slot_record_leaf,
    verify_receipt,
)
from comity.envelope.segment import WholeItem, parse_segment
from comity.pae import pae
from comity.suites import KemSecret, SigningSecret, Suite, fingerprint, verify_signature
from comity_policy.facts import Role

FILE = Path(__file__).parent.parent / "vectors" / "envelope-v1.json"
SUITES: list[dict[str, Any]] = json.loads(FILE.read_text())["suites"]
unhex = bytes.fromhex


@pytest.fixture(params=SUITES, ids=lambda vector: f"suite-{vector['suite']}")
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def whole(vector: dict[str, Any]) -> list[WholeItem]:
    return [item for _, item in parse_segment(unhex(vector["segment"]["bytes"])).whole]


def sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


def sender(vector: dict[str, Any]) -> NodeKeys:
    return vectors.nodes(Suite(vector["suite"]))[0]


def content_keys(vector: dict[str, Any]) -> list[bytes]:
    drawn = unhex(vector["drawn"][0])
    return [drawn[i : i + 32] for i in range(0, len(drawn), 32)]


def test_both_suites_are_pinned() -> None:
    assert [vector["suite"] for vector in SUITES] == [1, 2]


def test_keys(vector: dict[str, Any]) -> None:
    for name, key in vector["keys"].items():
        make = SigningSecret if name.endswith("signing") else KemSecret
        assert make.from_private_bytes(vector["suite"], unhex(key["private"])).public == unhex(key["public"])
        role = "node-signing" if name.endswith("signing") else "node-kem"
        assert fingerprint(role, vector["suite"], unhex(key["public"])) == unhex(key["fingerprint"])
        by_hand = pae("key", role, vector["suite"], unhex(key["public"]))
        assert sha384(by_hand) == unhex(key["fingerprint"])


def test_cores_say_what_is_written_beside_them(vector: dict[str, Any]) -> None:
    for report in vector["reports"]:
        core = decode_core(unhex(report["core_bytes"]))
        assert vectors.describe(core) == report["core"]
        assert encode_core(core) == unhex(report["core_bytes"])
        assert core_hash(unhex(report["core_bytes"])) == unhex(report["core_h"])
        assert sha384(pae("core", unhex(report["core_bytes"]))) == unhex(report["core_h"])


def test_a_core_begins_as_the_design_orders_its_fields(vector: dict[str, Any]) -> None:
    report = vector["reports"][0]
    core = report["core"]
    by_hand = struct.pack(
        ">H16s16sQQQQ16sQ32s16sQ32sI",
        1,
        unhex(core["report_id"]),
        unhex(core["origin_epoch"]),
        core["origin_sequence"],
        core["created_at"],
        core["not_before"],
        core["expires_at"],
        unhex(core["agreement_log_seen"]["incarnation"]),
        core["agreement_log_seen"]["size"],
        unhex(core["agreement_log_seen"]["root"]),
        unhex(core["key_log_seen"]["incarnation"]),
        core["key_log_seen"]["size"],
        unhex(core["key_log_seen"]["root"]),
        0,
    )
    profile = core["profile"]

    def text(value: str) -> bytes:
        return struct.pack(">I", len(value.encode())) + value.encode()

    encoded_profile = b"".join(
        (
            struct.pack(">H", profile["suite"]),
            text("XAR") + text("n1") + text("") + b"\x00",
            unhex(profile["key_set"]),
            text("XAR-XBO-1") + unhex(profile["agreement_digest"]),
            struct.pack(">IBBBI", 3, 1, 0, 1, 1) + text("terrorism"),
            text("counter-terrorism") + text(""),
            struct.pack(">I", 1) + text("XBO") + text("desk-3") + text("") + text("") + b"\x01",
            struct.pack(">II", 0, 1),
        )
    )
    label = b"".join(
        (
            text("XAR") + text("SECRET") + struct.pack(">I", 0),
            b"\x01" + struct.pack(">I", 2) + text("XAR") + text("XBO"),
            b"\x00" + struct.pack(">I", 0),
            b"\x01" + struct.pack(">I", 0),
            b"\x00\x00" + struct.pack(">I", 0) + struct.pack(">Q", 0) + struct.pack(">I", 0),
        )
    )
    encoded_profile += struct.pack(">I", len(label)) + label + struct.pack(">BIB", 1, 0, 0)
    by_hand += struct.pack(">I", len(encoded_profile)) + encoded_profile
    assert by_hand == unhex(report["core_bytes"])


def test_key_packets_open_to_the_drawn_keks(vector: dict[str, Any]) -> None:
    # Packets are sealed in the order of the first report's rows: the sender's own party first, then the reader's.
    by_party = {packet["recipient_party"]: packet for packet in vector["packets"]}
    for party, name, drawn in (("XAR", "sender-kem", 2), ("XBO", "reader-kem", 3)):
        packet, key = by_party[party], vector["keys"][name]
        info = pae(
            "key-packet",
            vector["suite"],
            "XAR-XBO-1",
            "XAR",
            unhex(vector["sender_key_set"]),
            party,
            unhex(key["fingerprint"]),
        )
        assert info == unhex(packet["info"])
        secret = KemSecret.from_private_bytes(vector["suite"], unhex(key["private"]))
        assert secret.decapsulate(unhex(packet["bytes"]), info) == unhex(vector["drawn"][drawn])
        assert sha384(pae("packet", unhex(packet["bytes"]))) == unhex(packet["id"])
        assert packet_id(unhex(packet["bytes"])) == unhex(packet["id"])


def test_stanzas_open_by_hand_to_the_content_keys(vector: dict[str, Any]) -> None:
    keys, nonces = content_keys(vector), unhex(vector["drawn"][1])
    used = 0
    offsets = [0, *accumulate(len(report["portions"]) for report in vector["reports"])]
    for report, offset in zip(vector["reports"], offsets, strict=False):
        for row in report["rows"]:
            kek = unhex(vector["drawn"][2 if row["party"] == "XAR" else 3])
            indices = b"".join(struct.pack(">I", index) for index in row["indices"])
            context = pae(
                "stanza",
                unhex(report["core_h"]),
                unhex(row["packet_id"]),
                row["party"],
                unhex(row["fingerprint"]),
                indices,
            )
            assert context == unhex(row["context"])
            stanza = unhex(row["stanza"])
            assert stanza[:12] == nonces[used : used + 12]
            used += 12
            plain = AESGCM(kek).decrypt(stanza[:12], stanza[12:], context)
            assert plain == b"".join(struct.pack(">I", i) + keys[offset + i] for i in row["indices"])
            assert sha384(stanza) == unhex(row["digest"])
    assert used == len(nonces)


def test_ciphertexts_open_by_hand_to_padded_portions(vector: dict[str, Any]) -> None:
    keys = iter(content_keys(vector))
    for report, given in zip(vector["reports"], vectors.inputs(Suite(vector["suite"])), strict=True):
        for index, (portion, source) in enumerate(zip(report["portions"], given.portions, strict=True)):
            key, ciphertext = next(keys), unhex(portion["ciphertext"])
            context = pae("portion", unhex(report["core_h"]), index)
            assert (len(ciphertext), sha384(ciphertext)) == (portion["length"], unhex(portion["digest"]))
            plaintext = vectors.cobblestone_open(key, context, ciphertext)
            assert plaintext == chunked.open_whole(key, context, ciphertext)
            assert vectors.cobblestone_seal(key, context, plaintext, ciphertext[:24]) == ciphertext
            header, content = source.encoded_header, source.content
            front = struct.pack(">I", len(header)) + header + struct.pack(">Q", len(content)) + content
            assert plaintext.startswith(front)
            assert not plaintext[len(front) :].strip(b"\x00")


def test_manifests_leaves_and_segment(vector: dict[str, Any]) -> None:
    segment = parse_segment(unhex(vector["segment"]["bytes"]))
    for item, report in zip(whole(vector), vector["reports"], strict=True):
        manifest = unhex(report["manifest_bytes"])
        assert item.manifest_bytes == manifest
        assert encode_manifest(decode_manifest(manifest)) == manifest
        assert sha384(b"\x00" + pae("manifest", manifest)) == unhex(report["leaf"]) == item.leaf
    left, right = (unhex(report["leaf"]) for report in vector["reports"])
    root = sha384(b"\x01" + left + right)
    assert root == unhex(vector["segment"]["root"])
    first = vector["reports"][0]["core"]
    identifier = sha384(b"\x00" + pae("segment", unhex(first["origin_epoch"]), 1, first["origin_sequence"], 2, root))
    assert identifier == unhex(vector["segment"]["id"]) == segment.segment_id
    pruned = unhex(vector["segment"]["pruned_0"])
    assert prune(segment.data, {0}) == pruned
    assert parse_segment(pruned).segment_id == segment.segment_id


def test_batch_signature_and_path(vector: dict[str, Any]) -> None:
    ids = [unhex(item) for item in vector["batch"]["segment_ids"]]
    batch = decode_batch_signature(unhex(vector["batch"]["bytes"]))
    assert encode_batch_signature(batch) == unhex(vector["batch"]["bytes"])
    root = sha384(b"\x01" + sha384(b"\x01" + ids[0] + ids[1]) + ids[2])
    message = pae("batch", vector["suite"], "XAR-XBO-1", unhex(vector["sender_key_set"]), 3, root)
    assert message == unhex(vector["batch"]["message"]) == batch_message(batch, root)
    public = unhex(vector["keys"]["sender-signing"]["public"])
    assert verify_signature(vector["suite"], public, "batch", message, batch.signature)
    path = [unhex(step) for step in vector["batch"]["path_1"]]
    assert path == [ids[0], ids[2]]
    assert tree.root_from_path(ids[1], 1, 3, path) == root


def received(vector: dict[str, Any]) -> VerifiedSegment:
    return receive(
        parse_segment(unhex(vector["approval"]["segment"])),
        decode_batch_signature(unhex(vector["batch"]["bytes"])),
        1,
        [unhex(step) for step in vector["batch"]["path_1"]],
        sender(vector).signing_node,
        memo=VerifiedBatches(),
    )


def test_the_segment_opens_for_its_reader(vector: dict[str, Any]) -> None:
    verified = received(vector)
    reader = vectors.nodes(Suite(vector["suite"]))[1]
    came = index_packets(unhex(packet["bytes"]) for packet in vector["packets"])
    mark, public = (unhex(vector["approval"][name]) for name in ("officer_fingerprint", "officer_public"))
    officer = OfficerKey("XAR/officer1", "XAR", vector["suite"], public, frozenset({Role.RELEASE_AUTHORITY}))
    officers = {mark: officer}.get
    plain = reader.opener().open_slot(verified, 0, came, officers)
    assert isinstance(plain, OpenedReport)
    assert plain.portions == (
        OpenedPortion(0, {"media_type": "text/plain", "title": "Harbour"}, b"two boats at the pier"),
    )
    rich = reader.opener().open_slot(verified, 1, came, officers)
    assert isinstance(rich, OpenedReport)
    assert rich.approved_by == {"XAR/officer1"}
    withheld, given = rich.portions
    assert isinstance(withheld, WithheldPortion)
    assert isinstance(given, OpenedPortion)
    assert given.content == b"b" * 20_000


def test_approval(vector: dict[str, Any]) -> None:
    item = parse_segment(unhex(vector["approval"]["segment"])).items[1]
    assert isinstance(item, WholeItem)
    (approval,) = item.approvals
    public = unhex(vector["approval"]["officer_public"])
    assert approval_verifies(approval, unhex(vector["approval"]["leaf"]), vector["suite"], public)
    message = pae("approval", vector["suite"], item.leaf, approval.officer_fingerprint, 3, approval.time)
    assert verify_signature(vector["suite"], public, "approval", message, approval.signature)


def test_exported(vector: dict[str, Any]) -> None:
    exported = decode_exported(unhex(vector["exported"]))
    assert encode_exported(exported) == unhex(vector["exported"])
    verify_exported(exported, sender(vector).signing_node, memo=VerifiedBatches())


def test_ack(vector: dict[str, Any]) -> None:
    signed = SignedAck(unhex(vector["ack"]["bytes"]), unhex(vector["ack"]["signature"]))
    public = unhex(vector["keys"]["reader-signing"]["public"])
    assert vectors.describe(verify_ack(signed, vector["suite"], public)) == vector["ack"]["ack"]
    assert verify_signature(vector["suite"], public, "ack", pae("ack", signed.record), signed.signature)


def test_receipt(vector: dict[str, Any]) -> None:
    pinned = vector["receipt"]
    signed = decode_signed_receipt(unhex(pinned["signed"]))
    mark, public = unhex(pinned["broker_fingerprint"]), unhex(pinned["broker_public"])
    receipt = verify_receipt(signed, vector["suite"], mark, public, VerifiedRoots())
    assert vectors.describe(receipt) == pinned["receipt"]
    assert encode_receipt(decode_receipt(unhex(pinned["bytes"]))) == unhex(pinned["bytes"]) == signed.record
    root = sha384(b"\x00" + pae("receipt", signed.record))
    for height, step in enumerate(signed.path):
        root = sha384(b"\x01" + (step + root if signed.slot >> height & 1 else root + step))
    assert verify_signature(
        vector["suite"], public, "receipts", pae("receipts", vector["suite"], mark, root), signed.signature
    )
    record = unhex(pinned["slot_record"])
    assert encode_slot_record(decode_slot_record(record)) == record
    assert slot_record_leaf(unhex(pinned["slot_salt"]), record) == unhex(pinned["slot_leaf"])
    assert sha384(b"\x00" + pae("audit-record", unhex(pinned["slot_salt"]), record)) == unhex(pinned["slot_leaf"])


def test_sealing_again_gives_the_same_bytes(vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # What the libraries draw themselves is put back from the file; all else must come out of the fixed source.
    ciphertexts = iter(unhex(p["ciphertext"]) for report in vector["reports"] for p in report["portions"])
    by_mark = {unhex(packet["recipient_fingerprint"]): unhex(packet["bytes"]) for packet in vector["packets"]}
    marks = iter(sorted(by_mark, key=lambda mark: mark != unhex(vector["keys"]["sender-kem"]["fingerprint"])))
    monkeypatch.setattr(run_form.chunked, "seal", lambda *_: next(ciphertexts))
    monkeypatch.setattr(packets, "seal_packet", lambda *_: by_mark[next(marks)])
    sealer, drawn = vectors.sealer(Suite(vector["suite"]))
    sealed = sealer.seal_segment(vectors.inputs(Suite(vector["suite"])))
    assert [value.hex() for value in drawn] == vector["drawn"]
    assert sealed.data.hex() == vector["segment"]["bytes"]
    assert sealed.segment_id.hex() == vector["segment"]["id"]
