"""Which reports an entry of an agreement's log speaks of, as its bodies name them (a legal hold on an entry holds those).

By slots of segments (hand-overs, answers, parking, holds, expiries), or by their ids and leaves (certificates, breaches, reused ids).
What an entry admitted is said by the entry's own number and is not given here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comity.envelope import limits
from comity.envelope.evidence import AckOutcome, decode_ack
from comity.statement import from_json
from comity_policy.holds import named


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an entry speaks of: (segment id, slot), and ids or leaves of reports in hex."""

    slots: tuple[tuple[bytes, int], ...]
    reports: frozenset[str]


def spoken_of(bodies: Iterable[Mapping[str, Any]]) -> Spoken:
    """Give what an entry speaks of by those of its bodies that are here; raises MalformedError for an answer that is none."""
    slots: list[tuple[bytes, int]] = []
    reports: set[str] = set()
    for body in bodies:
        slots += _slots(body)
        reports.update(_reports(body))
    return Spoken(tuple(dict.fromkeys(slots)), frozenset(reports))


def _slots(body: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
    for one in body.get("segments", ()):
        for first, last in one["slots"]:
            slots = range(first, min(last + 1, limits.SLOTS))
            yield from ((bytes.fromhex(one["segment_id"]), slot) for slot in slots)
    if body.get("ack"):
        for segment_id, outcomes in decode_ack(bytes.fromhex(body["ack"])).segments:
            named_here = (slot for slot, outcome in enumerate(outcomes) if outcome != AckOutcome.NOT_IN_THIS_ACK)
            yield from ((segment_id, slot) for slot in named_here)


def _reports(body: Mapping[str, Any]) -> Iterator[str]:
    if "report_id" in body:
        yield str(body["report_id"])
    if "statement" in body:
        fields = from_json(body["statement"]).fields
        for key in ("reports", "leaves"):
            listed = fields.get(key, ())
            yield from (str(one) for one in listed) if isinstance(listed, list) else ()
        if fields.get("subject") == "report":
            yield str(named("report", str(fields.get("subject_id", ""))))
