"""Facts for the ledger of duties as an agreement's log has them: hand-overs, answers, readings, ends, and what it was told of duties.

A log names segments and slots; which reports these are, the store says. Bodies are read by the closed table they were written by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from comity.envelope.answering import answered, is_control, precedence_of
from comity.envelope.evidence import decode_ack
from comity.envelope.receipts import decode_receipt
from comity.envelope.speaking import spoken_of
from comity.statement import from_json
from comity_broker.auditlog.kinds import SHARED, EventKind, LogKind, read_body
from comity_broker.duty_book import DAY_MS, Numbered, Run, ToldOf
from comity_broker.storage.protocol import Reader, Reads, ReportRow, SegmentRow
from comity_policy.acts import Act
from comity_policy.obligations import Duty, DutyKind, Handover

_ENDING: Final = frozenset({EventKind.EXPIRED.value, EventKind.PARKED_DROPPED.value})
TELLING: Final = frozenset(
    one.value for one in (EventKind.DUTY_DUE, EventKind.DUTY_OVERDUE, EventKind.DUTY_DONE, EventKind.DUTY_MISSED)
)
# What was taken back is owed to nobody any more: that ends a waiting as an answer does.
TAKEN_BACK: Final = frozenset({EventKind.RECALLED.value, EventKind.SUPERSEDED.value})
_HANDLING: Final = frozenset({EventKind.READ.value, EventKind.ACTIONED.value})
_HANDED: Final = frozenset({EventKind.DELIVERED.value, EventKind.ACKNOWLEDGED.value})
FOLLOWED: Final = _HANDED | _ENDING | TAKEN_BACK | _HANDLING | TELLING


@dataclass(frozen=True, slots=True)
class Spoken:
    """Slots of one segment that an entry speaks of, ascending, and the party that sent it; the row is without its bytes."""

    segment: SegmentRow
    originator: str
    slots: Sequence[int]

    @property
    def run(self) -> Run | None:
        """Give its reports by their numbers, where all of a segment that was admitted whole are meant; None for others."""
        row = self.segment
        day = row.expires_first // DAY_MS
        if len(self.slots) != row.slots or day != row.expires_at // DAY_MS:
            return None
        receipt = decode_receipt(row.receipt)
        first, count = receipt.first_agreement_sequence, receipt.count
        return Run(first, first + count - 1, day) if count == row.slots else None


@dataclass(frozen=True, slots=True)
class SpokenReport:
    """One report that an entry speaks of, as the store has it."""

    of: Spoken
    row: ReportRow

    @property
    def numbered(self) -> Numbered:
        """Give it by its number."""
        return _numbered(self.row)


@dataclass(frozen=True, slots=True)
class Followed:
    """What one entry says: `handed` to a party, `ended` its waiting (with `given` by its answer), `read` by it, `told` of duties.

    `taken_back` says that what ended needs no reading any more either.
    """

    log_index: int
    at_ms: int
    party: str = ""
    handed: tuple[Spoken, ...] = ()
    ended: tuple[Spoken, ...] = ()
    given: bool = True
    taken_back: bool = False
    told: tuple[ToldOf, ...] = ()
    read: tuple[Numbered, ...] = ()

    def handover(self, one: SpokenReport) -> Handover:
        """Give the hand-over of a report of `handed`, as duties follow from it."""
        return replace(self.together(one.of), report=one.row.report_id.hex(), leaf=one.row.leaf.hex())

    def together(self, one: Spoken) -> Handover:
        """Give the hand-over of one of `handed` without the report: what was admitted and handed over together owes alike."""
        return Handover(
            report="",
            leaf="",
            entry=one.segment.log_index,
            admitted_at=one.segment.admitted_at,
            originator=one.originator,
            recipient=self.party,
            precedence=precedence_of(one.segment.transport_class),
            at_ms=self.at_ms,
            control=is_control(one.segment.transport_class),
        )


@dataclass(frozen=True, slots=True)
class _Segments:
    """Segments by id, the party that sent each by lane, and reports that are named by their ids."""

    rows: Mapping[bytes, SegmentRow]
    originators: Mapping[int, str]
    named: Mapping[bytes, ReportRow]

    def spoken(self, slots: Iterable[tuple[bytes, Sequence[int]]]) -> tuple[Spoken, ...]:
        """Give what is here of segments that are named by id."""
        return tuple(
            Spoken(row, self.originators[row.lane], named)
            for segment_id, named in slots
            if (row := self.rows.get(segment_id)) is not None
        )


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The reader of one agreement's log."""

    reader: Reader
    agreement_id: str
    parties: Sequence[str]
    _originators: dict[int, str] = field(default_factory=dict)

    async def read(self, kinds: Mapping[int, str]) -> list[Followed]:
        """Give what entries of `FOLLOWED` kinds say, by their indices, ascending; raises StorageError."""
        bodies = await self._bodies(kinds)
        named = {one for index, kind in kinds.items() for one, _ in _slots(kind, bodies[index])}
        segments = await self._segments(
            named, {one for index, kind in kinds.items() for one in _read(kind, bodies[index])[1]}
        )
        return [self._followed(index, kinds[index], bodies[index], segments) for index in sorted(kinds)]

    async def speaking(self, indices: Iterable[int]) -> dict[int, frozenset[str]]:
        """Give which reports entries speak of, by ids and leaves; entries that are not there yet are left out. Raises StorageError."""
        kinds: dict[int, str] = {}
        for index in sorted(indices):
            kinds.update((one.log_index, one.kind) for one in await self.reader.entries(self.agreement_id, index, 1))
        spoken = {index: spoken_of(parts.values()) for index, parts in (await self._bodies(kinds)).items()}
        segments = await self._segments({segment_id for one in spoken.values() for segment_id, _ in one.slots})
        found: dict[int, frozenset[str]] = {}
        for index, one in spoken.items():
            reports = await self.reports(segments.spoken((segment_id, (slot,)) for segment_id, slot in one.slots))
            found[index] = one.reports.union(report.row.report_id.hex() for report in reports)
        return found

    async def reports(self, spoken: Iterable[Spoken]) -> list[SpokenReport]:
        """Give each report of these that is here, in their order; raises StorageError."""
        told = list(spoken)
        rows = await self.reader.reports_of(self.agreement_id, [one.segment.item for one in told])
        by_slot = {(row.item, row.slot): row for found in rows.values() for row in found}
        return [
            SpokenReport(one, row)
            for one in told
            for slot in one.slots
            if (row := by_slot.get((one.segment.item, slot))) is not None
        ]

    async def _bodies(self, kinds: Mapping[int, str]) -> dict[int, dict[str, dict[str, Any]]]:
        found: dict[int, dict[str, dict[str, Any]]] = {index: {} for index in kinds}
        # Of most events both parties have the very same body.
        read: dict[tuple[str, bool, bytes], dict[str, Any]] = {}
        for row in await self.reader.bodies(self.agreement_id, sorted(kinds), [SHARED, *self.parties]):
            key = (kinds[row.log_index], row.part == SHARED, row.body)
            body = read.get(key)
            if body is None:
                body = read[key] = read_body(LogKind.AGREEMENT, key[0], row.part, row.body)
            if body:
                found[row.log_index][row.part] = body
        return found

    async def _segments(self, named: set[bytes], reports: Iterable[bytes] = ()) -> _Segments:
        ids = sorted(reports)
        known = (await self.reader.known(self.agreement_id, Reads(report_ids=ids))).reports if ids else {}
        rows = await self.reader.segments_named(self.agreement_id, sorted(named)) if named else {}
        if any(row.lane not in self._originators for row in rows.values()):
            lanes = await self.reader.lanes(self.agreement_id)
            self._originators.update((lane.lane, lane.key.node.partition("/")[0]) for lane in lanes)
        return _Segments(rows, self._originators, known)

    def _followed(
        self, log_index: int, kind: str, bodies: Mapping[str, dict[str, Any]], segments: _Segments
    ) -> Followed:
        at_ms: int = bodies[SHARED]["time"]
        if kind in TELLING:
            return Followed(log_index, at_ms, told=tuple(_told(EventKind(kind), bodies)))
        if kind in _HANDLING:
            party, ids = _read(kind, bodies)
            return Followed(
                log_index,
                at_ms,
                party,
                read=tuple(_numbered(segments.named[one]) for one in ids if one in segments.named),
            )
        recipient: str = _own(bodies)["recipient"]["party"]
        there = segments.spoken(_slots(kind, bodies))
        if kind == EventKind.DELIVERED:
            return Followed(log_index, at_ms, recipient, handed=there)
        given, taken_back = kind not in _ENDING, kind in TAKEN_BACK
        return Followed(log_index, at_ms, recipient, ended=there, given=given, taken_back=taken_back)


def _own(bodies: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Give the body that both parties of an event have."""
    return next(body for part, body in bodies.items() if part != SHARED)


def _slots(kind: str, bodies: Mapping[str, dict[str, Any]]) -> Iterator[tuple[bytes, Sequence[int]]]:
    """Give the segments and slots an entry speaks of; of an acknowledgement those that it answers."""
    if kind in TELLING or kind in _HANDLING:
        return
    own = _own(bodies)
    if kind == EventKind.ACKNOWLEDGED:
        for segment_id, outcomes in decode_ack(bytes.fromhex(own["ack"])).segments:
            yield segment_id, answered(outcomes)
        return
    for one in own["segments"]:
        slots = [slot for first, last in one["slots"] for slot in range(first, last + 1)]
        yield bytes.fromhex(one["segment_id"]), slots


def _read(kind: str, bodies: Mapping[str, dict[str, Any]]) -> tuple[str, list[bytes]]:
    """Give whose officer says that it read which reports, or acted on them; nothing for an entry of another kind."""
    if kind not in _HANDLING:
        return "", []
    act = Act.from_body(from_json(_own(bodies)["statement"]).fields)
    return act.party, [bytes.fromhex(report) for report in act.reports]


def _numbered(row: ReportRow) -> Numbered:
    return Numbered(row.report_id.hex(), row.agreement_sequence, row.expires_at)


def _told(kind: EventKind, bodies: Mapping[str, dict[str, Any]]) -> Iterator[ToldOf]:
    readers = bodies.keys() - {SHARED}
    for one in _own(bodies)["duties"]:
        duty_kind = DutyKind(one["kind"])
        about = duty_kind.about_reports
        yield ToldOf(
            kind,
            Duty(
                due_ms=one["due"],
                id=one["duty"],
                kind=duty_kind,
                clause_id=one["clause"],
                owner=one["owner"],
                subject=one["subject"],
                since_ms=0,
                originator=next(iter(readers - {one["owner"]})) if about else "",
                leaf=one["duty"].rpartition("/")[2] if about else "",
            ),
        )
