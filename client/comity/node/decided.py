"""What the agreement's log says was decided about a report: read from the mirror, for people (design 05, "Entries").

The shared part of an entry has one record a slot: admitted, duplicate, refused or pruned. A party's own part has the decisions it
may know of: for each recipient the portions permitted, and the clauses that refused with their reasons and the facts they were
decided on. Nothing here decides again; `comity_policy` has the words of the clauses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from comity.envelope.receipts import SlotRecord, decode_slot_record
from comity.errors import ErrorCode, NotFoundError, VerificationError
from comity.node.entries import SHARED, MirroredEntry
from comity.node.mirror import Mirror

_SUBMISSIONS: Final = frozenset({"SUBMIT_ACCEPTED", "SUBMIT_REJECTED"})
PAGE: Final = 256


@dataclass(frozen=True, slots=True)
class DecidedRecipient:
    """What one recipient node got or not; portions count from 0, `facts` are those the log keeps."""

    node: str
    portions: tuple[int, ...]
    violations: tuple[tuple[str, str, tuple[int, ...]], ...]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DecidedReport:
    """One report's place in the log. `recipients` is empty where the log tells this party nothing of the decision."""

    agreement_id: str
    entry: MirroredEntry
    record: SlotRecord
    at_ms: int
    recipients: tuple[DecidedRecipient, ...]


def decided_report(mirror: Mirror, report_id: UUID, agreement_id: str | None = None) -> DecidedReport:
    """Find a report in the logs of a party's agreements, the newest first in each; raises NotFoundError REPORT_UNKNOWN."""
    names = [view.agreement_id for view in mirror.agreements()] if agreement_id is None else [agreement_id]
    for name in names:
        for entry in _submissions(mirror, name):
            for _, data in entry.parts[SHARED].records:
                record = decode_slot_record(data)
                if record.report_id == report_id.bytes:
                    return _decided(mirror, name, entry, record)
    raise NotFoundError(
        f"no log here holds a report {report_id}",
        what_to_do="comity report list shows those there are; a report refused before it was sent is in no log.",
        code=ErrorCode.REPORT_UNKNOWN,
    )


def _submissions(mirror: Mirror, agreement_id: str) -> Iterator[MirroredEntry]:
    pin = mirror.pin(agreement_id)
    end = 0 if pin is None else pin.size
    while end > 0:
        first = max(0, end - PAGE)
        page = mirror.entries(agreement_id, first, end - first)
        yield from (entry for entry in reversed(page) if entry.kind in _SUBMISSIONS)
        end = first


def _decided(mirror: Mirror, agreement_id: str, entry: MirroredEntry, record: SlotRecord) -> DecidedReport:
    found: list[DecidedRecipient] = []
    for party in mirror.agreement(agreement_id).parties:
        if party in entry.parts:
            found += recipients(entry, party, record.slot)
    return DecidedReport(agreement_id, entry, record, entry.shared()["time"], tuple(found))


def recipients(entry: MirroredEntry, party: str, slot: int) -> list[DecidedRecipient]:
    """Give what a party's own part says of a slot's recipients; raises VerificationError for one of another form.

    A broker wrote it: that it is what was committed to says nothing of its shape.
    """
    own = entry.own(party)
    try:
        return [
            _recipient(one, own["attested"])
            for decision in own.get("decisions", ())
            if any(first <= slot <= last for first, last in decision["slots"])
            for one in decision["recipients"]
        ]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(
            f"entry {entry.log_index} of {entry.origin}: its decisions have not the form they must have",
            what_to_do="Have the log verified: comity audit bundle, comity audit verify.",
        ) from error


def _recipient(one: Mapping[str, Any], attested: Sequence[Mapping[str, Any]]) -> DecidedRecipient:
    violations = tuple(
        (str(violation["clause"]), str(violation["reason"]), tuple(map(int, violation["portions"])))
        for violation in one["violations"]
    )
    portions = tuple(map(int, one["portions"]))
    return DecidedRecipient(f"{one['party']}/{one['node']}", portions, violations, dict(attested[one["facts"]]))
