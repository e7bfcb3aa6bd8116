"""What takes a report back: recalls and replacements, looked at before their commit, and what follows from them in it.

Rules in order, for a slot:
1. A recall refers to exactly one report, which it RECALLS; a replacement to exactly one that it SUPERSEDES, beside others it may
   refer to. No other kind of message refers to a report in one of these two ways.
2. The report is here, under that leaf, and of the caller's party: any node of that party takes back what one of them sent. It is no
   recall itself.
3. A recall gives nothing, since policy lets it pass everywhere: one portion of the shortest length, without personal data, to parties
   that the report was for.
4. In the commit: what was recalled is recalled no second time and replaced no more; what was superseded is superseded no second time.
   Then the word is written beside the report, its lane goes on without it, and each node that has it due gets an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from comity.envelope.chunked import ciphertext_size
from comity.envelope.core import Reference, Relation
from comity.envelope.evidence import SlotCode
from comity.envelope.padding import padded_size
from comity.envelope.segment import WholeItem, parse_segment
from comity.errors import ComityError, ConflictError, ErrorCode, MalformedError
from comity.identity.directory import KeyDirectory
from comity_broker.auditlog.bodies import Caller, Event, SegmentSlots
from comity_broker.auditlog.events import taken_back
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.withheld import decode_due
from comity_broker.slots import SlotRefused
from comity_broker.storage.protocol import HoldingRow, HoldingState, Reader, Reads, ReportRow, SegmentRow
from comity_policy.facts import Kind, PersonalData, Profile

_BY_KIND: Final = {Kind.RECALL: Relation.RECALLS, Kind.SUPERSEDE: Relation.SUPERSEDES}
_STATES: Final = {Relation.RECALLS: HoldingState.RECALLED, Relation.SUPERSEDES: HoldingState.SUPERSEDED}
_EVENTS: Final = {Relation.RECALLS: EventKind.RECALLED, Relation.SUPERSEDES: EventKind.SUPERSEDED}
_SHORTEST: Final = ciphertext_size(padded_size(0))
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Taking:
    """What one slot takes back: the report, its segment, and the nodes that have it due, (party, node)."""

    relation: Relation
    report: ReportRow
    segment_id: bytes
    recipients: tuple[tuple[str, str], ...]

    @property
    def place(self) -> Place:
        """Give the item and slot of the report."""
        return self.report.item, self.report.slot

    def after(self, word: HoldingRow | None) -> SlotRefused | None:
        """Say why it is refused after the newest word on the report; None where it is not."""
        if word is None or word.state not in set(_STATES.values()):
            return None
        if word.state == HoldingState.SUPERSEDED and self.relation is Relation.RECALLS:
            return None
        done = HoldingState(word.state).name.lower()
        return _refused(
            ConflictError(
                f"report {self.report.report_id.hex()} was {done} before: entry {word.log_index}",
                what_to_do="comity report holders shows what became of it.",
                code=ErrorCode.REPORT_RECALLED,
            )
        )

    def word(self, log_index: int) -> HoldingRow:
        """Give the word on the report, whose first entry is there."""
        return HoldingRow(*self.place, _STATES[self.relation], log_index)

    def events(self, item: WholeItem, caller: Caller, now_ms: int) -> Iterable[Event]:
        """Give the entry for each node that has the report due; `item` is what takes it back."""
        for recipient in self.recipients:
            yield taken_back(
                _EVENTS[self.relation],
                time=now_ms,
                caller=caller,
                recipient=recipient,
                segments=[SegmentSlots(self.segment_id, [self.report.slot])],
                report_id=item.core.report_id,
                leaf=item.leaf,
            )


class Recalling:
    """Looks up what slots take back."""

    def __init__(self, reader: Reader, keys: KeyDirectory) -> None:
        self._reader = reader
        self._keys = keys

    async def look(
        self, agreement_id: str, party: str, items: Sequence[WholeItem], parties: Sequence[str]
    ) -> tuple[dict[int, Taking], dict[int, SlotRefused]]:
        """Give by slot what a segment of `party` takes back, and why slots may not; `parties` are the agreement's."""
        takings: dict[int, Taking] = {}
        refused: dict[int, SlotRefused] = {}
        for slot, item in enumerate(items):
            if not item.core.refers_to and item.core.profile.kind not in _BY_KIND:
                continue
            try:
                reference = _reference(item)
                if reference is not None:
                    takings[slot] = await self._taking(agreement_id, party, item, reference, parties)
            except ComityError as error:
                refused[slot] = _refused(error)
        return takings, refused

    async def _taking(
        self, agreement_id: str, party: str, item: WholeItem, reference: Reference, parties: Sequence[str]
    ) -> Taking:
        known = await self._reader.known(agreement_id, Reads(report_ids=[reference.report_id]))
        report = known.reports.get(reference.report_id)
        lanes = {row.lane: row.key.node for row in await self._reader.lanes(agreement_id)}
        row = None if report is None else (await self._reader.segments(agreement_id, [report.item])).get(report.item)
        # One answer for what is not there and what is somebody else's: who asks learns nothing of others' reports.
        if report is None or row is None or lanes[row.lane].partition("/")[0] != party:
            raise _wrong(f"this party sent no report {reference.report_id.hex()} under {agreement_id}")
        if report.leaf != reference.leaf:
            raise _wrong(f"report {reference.report_id.hex()} has another leaf than is named")
        named = parse_segment(row.data).items[report.slot]
        if not isinstance(named, WholeItem) or named.core.profile.kind is Kind.RECALL:
            raise _wrong("a recall is not taken back", "What it recalled may be sent anew, as a new report.")
        if reference.relation is Relation.RECALLS:
            _check_gives_nothing(item, named.core.profile)
        recipients = await self._recipients(agreement_id, row, report, [one for one in parties if one != party])
        return Taking(reference.relation, report, row.segment_id, recipients)

    async def _recipients(
        self, agreement_id: str, row: SegmentRow, report: ReportRow, parties: Sequence[str]
    ) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        for record in (one for party in parties for one in self._keys.nodes(party)):
            node = f"{record.party}/{record.node}"
            inbox = await self._reader.inbox(agreement_id, node, row.lane, row.item - 1, 1)
            if inbox and inbox[0].item == row.item and decode_due(inbox[0].due) >> report.slot & 1:
                found.append((record.party, record.node))
        return tuple(found)


def words_on(takings: Mapping[int, Taking]) -> list[Place]:
    """Give the places of the words that a commit must know."""
    return [one.place for one in takings.values()]


def _reference(item: WholeItem) -> Reference | None:
    """Give what an item takes back by rule 1; raises MalformedError."""
    taking = [one for one in item.core.refers_to if one.relation in _STATES]
    relation = _BY_KIND.get(item.core.profile.kind)
    alone = relation is not Relation.RECALLS or len(item.core.refers_to) == 1
    if [one.relation for one in taking] != ([relation] if relation else []) or not alone:
        raise _wrong(
            "a recall names the one report that it recalls, a replacement the one that it supersedes, and nothing else does"
        )
    return taking[0] if taking else None


def _check_gives_nothing(item: WholeItem, named: Profile) -> None:
    profile, manifest = item.core.profile, item.manifest
    if len(profile.portions) != 1 or profile.portions[0].personal_data is not PersonalData.NONE:
        raise _wrong("a recall has one portion, without personal data")
    if any(one.length > _SHORTEST for one in manifest.portions):
        raise _wrong("a recall is longer than the shortest report", "Say the reason in fewer words.")
    if not {one.party for one in profile.addressees} <= {one.party for one in named.addressees}:
        raise _wrong("a recall goes to the parties that the report was for, and to no other")


def _wrong(message: str, what_to_do: str = "comity report recall builds what is taken.") -> ComityError:
    return MalformedError(message, what_to_do=what_to_do, code=ErrorCode.REFERENCE_REFUSED)


def _refused(error: ComityError) -> SlotRefused:
    return SlotRefused(SlotCode.REFERENCE, error)
