"""Envelopes: segments, exported envelopes, cores, profiles, labels, manifests, evidence, receipts, portions, sealed content."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from functools import cache
from hashlib import sha384
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from comity.envelope import chunked
from comity.envelope.checks import SigningNode, VerifiedSegment, check_envelope_equalities, receive
from comity.envelope.core import decode_core, encode_core
from comity.envelope.evidence import (
    BatchSignature,
    VerifiedBatches,
    decode_ack,
    decode_batch_signature,
    encode_ack,
    encode_batch_signature,
)
from comity.envelope.exported import decode_exported, encode_exported, verify_exported
from comity.envelope.forwarding import prune
from comity.envelope.manifest import PortionDigest, decode_manifest, encode_manifest
from comity.envelope.open import Opener, index_packets
from comity.envelope.packets import open_stanza, seal_stanza
from comity.envelope.padding import PortionStream, decode_portion, encode_header, encode_portion
from comity.envelope.profile import ProfileMemo, decode_label, decode_profile, encode_label, encode_profile
from comity.envelope.receipts import (
    decode_receipt,
    decode_signed_receipt,
    decode_slot_record,
    encode_receipt,
    encode_signed_receipt,
    encode_slot_record,
)
from comity.envelope.segment import WholeItem, parse_segment
from comity.errors import MalformedError, RejectedError
from comity.keys.signer import SoftDecapsulator
from comity.portion import Portion
from comity.suites import KemSecret, SigningSecret
from comity.verify.records import FormError, read, read_exported
from comity_policy.banner import banner, portion_mark
from comity_policy.facts import PortionMarking
from comity_policy.marking import Label, MarkingError, validate
from comity_policy.stanag4774 import ConfidentialityLabel, from_xml, to_xml
from fuzz.target import Target, both_or_neither, choosing, chosen, same

_VECTORS = Path(__file__).resolve().parents[1] / "vectors/envelope-v1.json"
_READERS_REFUSAL = (FormError, UnicodeDecodeError)
LEVELS = ("OPEN", "RESTRICTED", "SECRET", "TOP-SECRET")


@cache
def vectors() -> list[dict[str, Any]]:
    return json.loads(_VECTORS.read_text(encoding="utf-8"))["suites"]


def _hex(*places: str | int) -> list[bytes]:
    """Give the bytes that stand at a place of both suites' vectors."""
    found = []
    for value in vectors():
        here: Any = value
        for place in places:
            here = here[place]
        found.append(bytes.fromhex(here))
    return found


# --- segments -------------------------------------------------------------------------------------------------------


def segment(data: bytes) -> object:
    read_one = parse_segment(data)
    same(prune(data, ()), data)
    same(parse_segment(data, ProfileMemo()), read_one)
    for _, item in read_one.whole:
        same(encode_manifest(item.manifest), item.manifest_bytes)
        same(encode_core(item.core), item.manifest.core)
    bare = prune(data, range(len(read_one.items)))
    same(parse_segment(bare).segment_id, read_one.segment_id)
    return read_one.items


def opened(data: bytes) -> object:
    """Open what a hostile sender signed: digests are made to fit, signatures left out, everything else is as in a reader."""
    signed_by, opener, came = _reader()
    read_one = parse_segment(data)
    items = tuple(_fitting(item) if isinstance(item, WholeItem) else item for item in read_one.items)
    read_one = replace(read_one, items=items)
    batch = BatchSignature(signed_by.suite, read_one.agreement_id, signed_by.key_set, 1, b"")
    check_envelope_equalities(read_one, batch, signed_by, caller=None)
    verified = VerifiedSegment(read_one, signed_by)
    return [opener.open_slot(verified, slot, came, lambda _: None) for slot in range(len(items))]


def _fitting(item: WholeItem) -> WholeItem:
    """Give an item whose manifest names the bodies that came."""
    manifest = item.manifest
    rows = tuple(
        replace(row, digest=sha384(body).digest()) if isinstance(body, bytes) else row
        for row, body in zip_longest(manifest.rows, item.stanzas[: len(manifest.rows)])
    )
    portions = tuple(
        PortionDigest(sha384(body).digest(), len(body)) if isinstance(body, bytes) else one
        for one, body in zip_longest(manifest.portions, item.ciphertexts[: len(manifest.portions)])
    )
    return replace(item, manifest=replace(manifest, rows=rows, portions=portions))


@cache
def _reader() -> tuple[SigningNode, Opener, dict[bytes, bytes]]:
    value = vectors()[0]
    keys = value["keys"]
    signing = SigningSecret.from_private_bytes(value["suite"], bytes.fromhex(keys["sender-signing"]["private"]))
    kem = KemSecret.from_private_bytes(value["suite"], bytes.fromhex(keys["reader-kem"]["private"]))
    signed_by = SigningNode("XAR", "n1", bytes.fromhex(value["sender_key_set"]), value["suite"], signing.public)
    key = SoftDecapsulator(kem)
    came = index_packets(bytes.fromhex(one["bytes"]) for one in value["packets"])
    return signed_by, Opener("XBO", {key.fingerprint: key}), came


def exported(data: bytes) -> object:
    """Read by SDK and verifier; the verifier leaves equalities that need no signature to the signature."""
    made = both_or_neither(data, (decode_exported, (MalformedError,)), (read_exported, _READERS_REFUSAL))
    same(encode_exported(made), data)
    with contextlib.suppress(RejectedError):
        verify_exported(made, _reader()[0], memo=VerifiedBatches())
    return made


def received(data: bytes) -> object:
    """Verify a mutated segment as one of a batch of its own: nothing but RejectedError comes out."""
    read_one = parse_segment(data)
    batch = decode_batch_signature(_hex("batch", "bytes")[0])
    path = [bytes.fromhex(step) for step in vectors()[0]["batch"]["path_1"]]
    return receive(read_one, batch, 1, path, _reader()[0], memo=VerifiedBatches()).segment.items


# --- records --------------------------------------------------------------------------------------------------------


def _record(name: str, decode: Any, encode: Any) -> Any:
    def run(data: bytes) -> object:
        def reader(given: bytes) -> object:
            return read(name, given)

        made = both_or_neither(data, (decode, (MalformedError,)), (reader, _READERS_REFUSAL))
        same(encode(made), data)
        return made

    return run


def core(data: bytes) -> object:
    made = decode_core(data)
    same(encode_core(made), data)
    same(decode_core(data, ProfileMemo(64)), made)
    said = read("core", data)
    read("profile", said["profile"])
    return made


def label(data: bytes) -> object:
    """Read a label, and show it every way: what a hostile label says never raises where it is only shown."""
    made = _record("label", decode_label, encode_label)(data)
    for viewer in (None, "XBO", made.policy):
        assert banner(made, viewer=viewer)
        assert portion_mark(made, LEVELS, viewer=viewer)
    with contextlib.suppress(MarkingError):
        validate(made, LEVELS)
        one = ConfidentialityLabel(made, created_at=0)
        same(from_xml(to_xml(one), LEVELS), one)
    return made


# --- portions -------------------------------------------------------------------------------------------------------

_MARKING = PortionMarking(Label("XAR", "SECRET", releasable_to=frozenset({"XAR", "XBO"})))


def portion(data: bytes) -> object:
    """Take a padded plaintext apart at once and in pieces, and build from its header what a reader is shown."""
    step = data[0] % 97 + 1 if data else 1
    plaintext = data[1:]
    whole, streamed = _whole(plaintext), _streamed(plaintext, step)
    same(whole, streamed)
    if whole is None:
        raise MalformedError("refused by both")
    header, content = whole
    same(encode_portion(encode_header(header), content), plaintext)
    shown = Portion.from_header(header, content, _MARKING)
    assert shown.file_name.isprintable()
    assert "/" not in shown.file_name
    assert Portion.from_header(shown.header, content, _MARKING) == shown
    return shown, shown.assessment, shown.text, shown.title


def _whole(plaintext: bytes) -> Any:
    try:
        return decode_portion(plaintext)
    except MalformedError:
        return None


def _streamed(plaintext: bytes, step: int) -> Any:
    stream, content = PortionStream(len(plaintext)), b""
    try:
        for place in range(0, len(plaintext), step * 16):
            content += stream.feed(plaintext[place : place + step * 16])
        stream.finish()
    except MalformedError:
        return None
    return stream.header, content


def _portions() -> list[bytes]:
    headers = (
        {"media_type": "text/plain;charset=utf-8", "title": "Harbour"},
        {"file_name": "a b.txt", "grading": {"scale": "6x6", "reliability": "B", "credibility": 2}, "other": [1, {}]},
        {"confidence": {"scale": "icd-203", "word": "moderate"}, "estimative": {"scale": "icd-203", "word": "likely"}},
        {},
    )
    return [bytes([n]) + encode_portion(encode_header(one), b"text" * n * 40) for n, one in enumerate(headers)]


# --- what is sealed -------------------------------------------------------------------------------------------------


def _packet(data: bytes) -> object:
    """Open a key packet with the reader's key."""
    value = vectors()[0]
    kem = KemSecret.from_private_bytes(value["suite"], bytes.fromhex(value["keys"]["reader-kem"]["private"]))
    return kem.decapsulate(data, bytes.fromhex(value["packets"][0]["info"]))


_KEY, _NONCE = bytes(range(32)), bytes(12)


def _stanza(data: bytes) -> object:
    return open_stanza(AESGCM(_KEY), data, b"context", (0, 3))


def _content(data: bytes) -> object:
    """Decrypt a ciphertext at once and in pieces: both give the same, or both refuse."""
    try:
        whole = chunked.open_whole(_KEY, b"context", data)
    except RejectedError:
        whole = None
    try:
        pieces = [data[place : place + 1000] for place in range(0, len(data), 1000)]
        streamed = b"".join(chunked.open_stream(_KEY, b"context", pieces))
    except RejectedError:
        streamed = None
    same(whole, streamed)
    if whole is None:
        raise RejectedError("refused by both")
    same(chunked.plaintext_size(len(data)), len(whole))
    return whole


def _sealed() -> list[bytes]:
    stanza = seal_stanza(AESGCM(_KEY), _NONCE, b"context", [(0, _KEY), (3, _KEY)])
    texts = (b"", b"two boats", b"b" * chunked.CHUNK, b"c" * (chunked.CHUNK + 7))
    return [
        *choosing(0, *_hex("packets", 0, "bytes"), *_hex("packets", 1, "bytes")),
        *choosing(1, stanza),
        *choosing(2, *(chunked.seal(_KEY, b"context", one) for one in texts)),
    ]


def _segments() -> list[bytes]:
    return [*_hex("segment", "bytes"), *_hex("segment", "pruned_0"), *_hex("approval", "segment")]


def _profiles() -> list[bytes]:
    return [
        encode_profile(decode_core(one).profile) for place in (0, 1) for one in _hex("reports", place, "core_bytes")
    ]


def _labels() -> list[bytes]:
    return [encode_label(part.label) for one in _profiles() for part in decode_profile(one).portions]


def _evidence() -> list[bytes]:
    return [
        *choosing(0, *_hex("batch", "bytes")),
        *choosing(1, *_hex("ack", "bytes")),
        *choosing(2, *_hex("receipt", "bytes")),
        *choosing(3, *_hex("receipt", "signed")),
        *choosing(4, *_hex("receipt", "slot_record")),
    ]


TARGETS = (
    Target("segment", "segments, as a sender or a broker gives them", segment, _segments),
    Target("segment-verified", "segments of a batch that does not sign them", received, _segments),
    Target("segment-opened", "segments that a hostile sender signed", opened, _segments, inputs=150),
    Target("exported", "envelopes that travel alone; SDK and verifier", exported, lambda: _hex("exported")),
    Target(
        "core",
        "cores, with the profile in them",
        core,
        lambda: [*_hex("reports", 0, "core_bytes"), *_hex("reports", 1, "core_bytes")],
    ),
    Target("profile", "profiles; SDK and verifier", _record("profile", decode_profile, encode_profile), _profiles),
    Target("label", "labels, shown and exported", label, _labels),
    Target(
        "manifest",
        "manifests; SDK and verifier",
        _record("manifest", decode_manifest, encode_manifest),
        lambda: [*_hex("reports", 0, "manifest_bytes"), *_hex("reports", 1, "manifest_bytes")],
    ),
    Target(
        "evidence",
        "batch signatures, acknowledgements, receipts, slot records; SDK and verifier",
        chosen(
            {
                "batch": _record("batch", decode_batch_signature, encode_batch_signature),
                "ack": _record("ack", decode_ack, encode_ack),
                "receipt": _record("receipt", decode_receipt, encode_receipt),
                "signed": _record("signed", decode_signed_receipt, encode_signed_receipt),
                "slot": _record("slot", decode_slot_record, encode_slot_record),
            }
        ),
        _evidence,
        inputs=500,
    ),
    Target("portion", "padded plaintexts and sealed headers", portion, _portions),
    Target(
        "sealed",
        "key packets, stanzas, encrypted content",
        chosen({"packet": _packet, "stanza": _stanza, "content": _content}),
        _sealed,
    ),
)
