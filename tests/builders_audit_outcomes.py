"""What an admission gives its slots and its sender in made-up logs: outcomes and receipts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comity.envelope.evidence import SlotCode
from comity.envelope.receipts import Receipt, SlotOutcome
from comity_broker.auditlog.submissions import DecidedUnder, SegmentAdmission

AGREEMENT = "XAR-XBO-1"
INCARNATION = bytes(range(16)).hex()
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
