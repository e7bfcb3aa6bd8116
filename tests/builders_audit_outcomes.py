"""What an admission gives its slots and its sender in made-up logs: outcomes and receipts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from builders_identity import NOW
from comity.envelope.evidence import SlotCode
from comity.envelope.manifest import Manifest, encode_manifest
from comity.envelope.receipts import Receipt, SlotOutcome
from comity.envelope.segment import SegmentHead, encode_segment, encode_whole_item, parse_segment
from comity_broker.auditlog.submissions import DecidedUnder, SegmentAdmission
from comity_policy.facts import Moment, Point, Role

AGREEMENT = "XAR-XBO-1"
INCARNATION = bytes(range(16)).hex()
# A node's own sending, where nothing is counted, late or declared.
ADMITTING = Moment(
    Point.ADMISSION,
    NOW,
    "hub",
    "xar",
    5,
    frozenset({Role.NODE}),
    direct=True,
    sender_key_since=NOW,
    usage={},
    log_available=True,
)
ORIGIN = f"hub.xar.example/agreement/{AGREEMENT}/{INCARNATION}"


def note_caveat(caveats: dict[tuple[str, str], str], fields: Mapping[str, Any]) -> None:
    """Keep which caveats are in force, by party and name, with their digests, after a step."""
    if fields["type"] == "agreement-caveat-add":
        caveats[fields["party"], fields["caveat"]] = fields["caveat_digest"]
    elif fields["type"] == "agreement-caveat-withdraw":
        caveats.pop((fields["party"], fields["caveat"]), None)


def made_under(under: DecidedUnder, caveats: Mapping[tuple[str, str], str]) -> DecidedUnder:
    """Give the same with the caveats in force."""
    named = tuple((*name, bytes.fromhex(digest)) for name, digest in sorted(caveats.items()))
    return replace(under, caveats=named)


def outcome_of(code: SlotCode | None) -> SlotOutcome:
    """Give the outcome of a slot that was refused with that code, or not at all."""
    if code is None:
        return SlotOutcome.ADMITTED
    return SlotOutcome.PRUNED if code is SlotCode.PRUNED else SlotOutcome.REFUSED


def receipt_of(admission: SegmentAdmission, log_index: int) -> Receipt:
    """Give the receipt of an admission; its leaf hash is filled in when it is written."""
    return Receipt(
        origin=ORIGIN,
        agreement_id=AGREEMENT,
        segment_id=admission.segment_id,
        first_agreement_sequence=admission.first_agreement_sequence,
        count=admission.count,
        log_index=log_index,
        leaf_hash=b"",
        received_at=admission.received_at,
        admitted_at=admission.time,
        refusals=admission.refusals,
    )


def with_manifests(data: bytes, change: Callable[[Manifest], Manifest]) -> bytes:
    """Give a segment with other manifests, as its sender could have sealed it."""
    segment = parse_segment(data)
    head = SegmentHead(AGREEMENT, segment.origin_epoch, segment.transport_class, segment.first_origin_sequence)
    items = [
        encode_whole_item(encode_manifest(change(item.manifest)), item.stanzas, item.ciphertexts)
        for _, item in segment.whole
    ]
    return encode_segment(head, items)
