"""What a broker says when it hands over, to be compared with its log once the mirror has come that far (design 04, promise 3).

A delivery names an entry, a time and slots; a reason names an entry. Neither is believed: when the entry is in the mirror, it
must say the same of these very leaves, or that is an alarm with both sides kept. Pure; encoded for the inbox as canonical JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from comity import canonical
from comity.envelope.receipts import SlotOutcome, SlotRecord, decode_slot_record
from comity.errors import ComityError, MalformedError
from comity.node.entries import SHARED, MirroredEntry
from comity.runs import Runs

_SUBMITTED: Final = frozenset({"SUBMIT_ACCEPTED", "SUBMIT_REJECTED"})
_ENDED: Final = {
    "EXPIRED": frozenset({"EXPIRED"}),
    "PARKED": frozenset({"PARKED", "PARKED_DROPPED"}),
    "WITHDRAWN": frozenset({"HELD_WITHDRAWN"}),
    "RECALLED": frozenset({"RECALLED"}),
    "SUPERSEDED": frozenset({"SUPERSEDED"}),
}


class Said(IntEnum):
    """What a broker said of slots; the reasons have the numbers of ``comity.v1.SkipReason``."""

    DELIVERED = 0
    REFUSED = 1
    NOT_ADDRESSED = 2
    EXPIRED = 3
    PARKED = 4
    WITHDRAWN = 5
    DUPLICATE = 10
    RECALLED = 11
    SUPERSEDED = 12


_OUTCOMES: Final = {
    Said.DELIVERED: SlotOutcome.ADMITTED,
    Said.REFUSED: SlotOutcome.REFUSED,
    Said.NOT_ADDRESSED: SlotOutcome.ADMITTED,
    Said.DUPLICATE: SlotOutcome.DUPLICATE,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """What the broker said of one segment's slots (or, with an empty segment id, of numbers of a lane), naming an entry.

    `leaves` is SHA-384 over the leaves of the slots or numbers, one after the other; `admitted_at` is 0 where no time was said,
    `origin` the name of the log as it was then, empty where that is not known.
    """

    agreement_id: str
    log_index: int
    said: Said
    segment_id: bytes
    numbers: tuple[int, ...]
    leaves: bytes
    admitted_at: int = 0
    origin: str = ""


def over(leaves: Iterable[bytes]) -> bytes:
    """Give what a claim keeps of leaves."""
    return hashlib.sha384(b"".join(leaves)).digest()


def encode_claim(claim: Claim) -> bytes:
    """Encode a claim for the inbox."""
    return canonical.dumps(
        {
            "log_index": claim.log_index,
            "said": int(claim.said),
            "segment_id": claim.segment_id.hex(),
            "numbers": list(Runs((number, number) for number in claim.numbers).spans),
            "leaves": claim.leaves.hex(),
            "admitted_at": claim.admitted_at,
            "origin": claim.origin,
        }
    )


def decode_claim(agreement_id: str, data: bytes) -> Claim:
    """Read what `encode_claim` wrote."""
    value: dict[str, Any] = canonical.load_object(data)
    return Claim(
        agreement_id,
        value["log_index"],
        Said(value["said"]),
        bytes.fromhex(value["segment_id"]),
        tuple(number for first, last in value["numbers"] for number in range(first, last + 1)),
        bytes.fromhex(value["leaves"]),
        value["admitted_at"],
        # A file that was begun before says nothing of it.
        value.get("origin", ""),
    )


def contradiction(claim: Claim, entry: MirroredEntry, *, party: str, node: str) -> str:
    """Say how a verified entry contradicts a claim to this node; empty where it says the same."""
    try:
        if claim.said in _OUTCOMES:
            return _of_submission(claim, entry, party, node)
        return _of_ending(claim, entry, party, node)
    except ComityError as error:
        return error.message


def _of_submission(claim: Claim, entry: MirroredEntry, party: str, node: str) -> str:
    if entry.kind not in _SUBMITTED:
        return f"entry {claim.log_index} is {entry.kind}, no submission"
    header = entry.shared()
    if claim.segment_id and header["segment_id"] != claim.segment_id.hex():
        return f"entry {claim.log_index} is about another segment"
    if claim.admitted_at and header["time"] != claim.admitted_at:
        return f"entry {claim.log_index} has another time than was said"
    first = 0 if claim.segment_id else header["first_origin_sequence"]
    records = _records(entry)
    slots = [number - first for number in claim.numbers]
    if (
        not all(0 <= slot < len(records) for slot in slots)
        or over(records[slot].leaf for slot in slots) != claim.leaves
    ):
        return f"entry {claim.log_index} has other reports there"
    for slot in slots:
        if records[slot].outcome is not _OUTCOMES[claim.said]:
            return f"entry {claim.log_index} says {records[slot].outcome.name} of slot {slot}, not {claim.said.name}"
    if claim.said is Said.DELIVERED:
        given = _given(entry, party, node)
        wrong = [slot for slot in slots if slot not in given]
        if wrong:
            return f"entry {claim.log_index} gives this node nothing of slot {wrong[0]}"
    # That a slot was not addressed to this node only its manifest shows, which did not come.
    return ""


def _given(entry: MirroredEntry, party: str, node: str) -> Runs:
    """Give the slots of which this node was given portions."""
    given = Runs()
    for decision in entry.own(party).get("decisions", ()):
        for one in decision["recipients"]:
            if (one["party"], one["node"]) == (party, node) and one["portions"]:
                for first, last in decision["slots"]:
                    given.add_span(first, last)
    return given


def _of_ending(claim: Claim, entry: MirroredEntry, party: str, node: str) -> str:
    if entry.kind not in _ENDED[claim.said.name]:
        return f"entry {claim.log_index} is {entry.kind}, not {claim.said.name}"
    body = entry.own(party)
    if body.get("recipient") != {"party": party, "node": node}:
        return f"entry {claim.log_index} is about another node"
    if not claim.segment_id:
        return ""
    for segment in body["segments"]:
        if segment["segment_id"] == claim.segment_id.hex():
            covered = all(any(first <= slot <= last for first, last in segment["slots"]) for slot in claim.numbers)
            return "" if covered else f"entry {claim.log_index} leaves out slots that it should end"
    return f"entry {claim.log_index} is about other segments"


def _records(entry: MirroredEntry) -> Sequence[SlotRecord]:
    records = [decode_slot_record(record) for _, record in entry.parts[SHARED].records]
    if [record.slot for record in records] != list(range(len(records))):
        raise MalformedError("slot records are not in the order of their slots")
    return records
