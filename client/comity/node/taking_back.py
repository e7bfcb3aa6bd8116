"""Taking back what was sent: recall a report, or put another in its place (design 04).

Rules in order:
1. The report is one that the agreement's log says our party sent: found by its id, at the entry that the broker's list names, but
   read from the own mirror, which has verified it.
2. A recall says nothing but that, and a reason in few words: its marking is the lowest of its party, released to those the report was
   sent to, so the reason is written for all of them to read. It goes to every party that was permitted something of the report.
3. A replacement is a report as any other, of its own marking and content; the agreement decides on it as on what it replaces.
4. Whether it was taken back before is the broker's to say (REPORT_RECALLED): its log has the order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from comity.envelope.profile import is_exercise_class
from comity.envelope.receipts import SlotOutcome, decode_slot_record
from comity.errors import ErrorCode, MalformedError, NotFoundError, UsageError
from comity.identity.names import Identity, agreement_of
from comity.node.agreement_view import AgreementView
from comity.node.approving import Approver
from comity.node.connection import Connection
from comity.node.delivery import CLASSES
from comity.node.entries import SHARED, MirroredEntry
from comity.node.holders import Holding, holders_of
from comity.node.listing import find_report
from comity.node.logged_entries import slots_in
from comity.node.mirror import Mirror
from comity.node.receipts import Receipt
from comity.portion import Marking, Portion
from comity.report import Report
from comity_policy.facts import Addressee, Kind, Precedence
from comity_policy.marking import Label

REASON_BYTES: Final = 700
_NO_REASON: Final = "Recalled by its originator."


@dataclass(frozen=True, slots=True)
class SentReport:
    """A report that our party sent, as the log has it, and the parties that were permitted something of it."""

    agreement_id: str
    report_id: bytes
    leaf: bytes
    log_index: int
    transport_class: int
    parties: tuple[str, ...]

    @property
    def exercise(self) -> bool:
        """Say whether it was sent as one of an exercise: what takes it back is of the same."""
        return is_exercise_class(self.transport_class)


class TakesBack(ABC):
    """What a node does about reports it sent before; `comity.node.node` has the rest of it."""

    identity: Identity
    mirror: Mirror

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """Give the connection to call the broker with."""

    @abstractmethod
    async def refresh(self, agreements: Sequence[str] | None = None) -> None:
        """Fetch and verify what is new."""

    @abstractmethod
    async def send(self, report: Report, *, agreement: str, approved_by: Sequence[Approver] = ()) -> Receipt:
        """Send a report."""

    async def recall(self, report_id: UUID, *, agreement: str = "", reason: str = "") -> Receipt:
        """Take a report back: who does not have it never gets it, who has it is told, shows it no more and answers with a signature.

        Any node of the party that sent it may, also while the agreement is suspended or over. `reason` is read by every addressee,
        whatever its clearance. `agreement` narrows where it is looked for. The receipt is the recall's; `holders` says what became
        of it. Raises NotFoundError for a report that the log does not have of this party, ConflictError REPORT_RECALLED for one
        that was recalled before, UsageError for a reason of more than 700 bytes.
        """
        sent = await self._sent(report_id, agreement)
        view = self.mirror.agreement(sent.agreement_id)
        return await self.send(_recall(view, sent, self.identity.party, reason), agreement=sent.agreement_id)

    async def supersede(
        self, report_id: UUID, report: Report, *, agreement: str = "", approved_by: Sequence[Approver] = ()
    ) -> Receipt:
        """Put a report in the place of one that was sent: the old one is handed over and shown no more, the new one goes as any other.

        `report` is of kind report or supersede and may refer to others; it is of an exercise where the old one is. Raises as
        `recall`, and as `send`.
        """
        if report.kind not in {Kind.REPORT, Kind.SUPERSEDE}:
            raise UsageError(f"a {report.kind.word} takes the place of nothing", what_to_do="Send it by itself.")
        sent = await self._sent(report_id, agreement)
        named = (("supersedes", report_id, sent.leaf), *report.refers_to)
        addressees = report.addressees or tuple(map(Addressee, sent.parties))
        new = replace(report, kind=Kind.SUPERSEDE, refers_to=named, addressees=addressees, exercise=sent.exercise)
        return await self.send(new, agreement=sent.agreement_id, approved_by=approved_by)

    def holders(self, report_id: UUID, *, agreement: str = "") -> Holding:
        """Say for each node that was to get a report of this party what it has of it, by the own mirror of the log alone."""
        return holders_of(self.mirror, report_id, agreement)

    async def _sent(self, report_id: UUID, agreement_id: str) -> SentReport:
        found = [row async for row in find_report(self.connection, agreement_id, report_id)]
        own = [row for row in found if row.originator.partition("/")[0] == self.identity.party]
        if not own:
            raise NotFoundError(
                f"the broker lists no report {report_id} that {self.identity.party} sent",
                what_to_do="comity report list shows those there are; one that is still in the outbox goes first.",
                code=ErrorCode.REPORT_UNKNOWN,
            )
        await self.refresh([own[0].agreement_id])
        return sent_report(self.mirror, own[0].agreement_id, own[0].log_index, report_id)


def sent_report(mirror: Mirror, agreement_id: str, log_index: int, report_id: UUID) -> SentReport:
    """Give a report as an entry of the mirror has it, of an agreement's log or its exercise's; raises NotFoundError where that entry admitted no such report of ours."""
    for entry in mirror.entry_at(agreement_id, log_index):
        found = _admitted(entry, mirror.party, report_id)
        if found is not None:
            leaf, parties = found
            return SentReport(
                agreement_of(agreement_id), report_id.bytes, leaf, log_index, entry.shared()["class"], parties
            )
    raise NotFoundError(
        f"entry {log_index} of the log of {agreement_id} admitted no report {report_id} of {mirror.party}",
        what_to_do="comity audit verify holds what the broker says against its log.",
        code=ErrorCode.REPORT_UNKNOWN,
    )


def _admitted(entry: MirroredEntry, party: str, report_id: UUID) -> tuple[bytes, tuple[str, ...]] | None:
    if entry.kind != "SUBMIT_ACCEPTED" or entry.shared()["actor"]["party"] != party:
        return None
    records = (decode_slot_record(record) for _, record in entry.parts[SHARED].records)
    for record in records:
        if record.report_id == report_id.bytes and record.outcome is SlotOutcome.ADMITTED:
            for decision in entry.own(party)["decisions"]:
                if record.slot in slots_in(decision["slots"]):
                    given = (one["party"] for one in decision["recipients"] if one["portions"])
                    return record.leaf, tuple(dict.fromkeys(given))
    return None


def _recall(view: AgreementView, sent: SentReport, own: str, reason: str) -> Report:
    if len(reason.encode()) > REASON_BYTES:
        raise UsageError(f"a reason has at most {REASON_BYTES} bytes", what_to_do="Say it in fewer words.")
    if sent.transport_class % CLASSES == 0:
        raise MalformedError(
            "a recall is not recalled",
            what_to_do="What it recalled may be sent anew, as a new report.",
            code=ErrorCode.REFERENCE_REFUSED,
        )
    levels = view.document.levels_of(own)
    label = Label(policy=own, classification=levels[0], releasable_to=frozenset({own, *sent.parties}))
    return Report.of(
        (Portion.of_text(reason or _NO_REASON, Marking.of(label)),),
        marking=label,
        purpose=Kind.RECALL.word,
        precedence=Precedence.FLASH,
        kind=Kind.RECALL,
        addressees=[Addressee(party) for party in sent.parties],
        refers_to=[("recalls", UUID(bytes=sent.report_id), sent.leaf)],
        exercise=sent.exercise,
    )
