"""The blocking face of the SDK: the same names, for programs without an event loop (design 01, "SDK").

    with comity.node.sync.connect("broker:7443", identity="XAR/n1", passphrase_file=path) as node:
        node.send(report, agreement="XAR-XBO-1")
        for delivery in node.receive(follow=False):
            with delivery as report:
                print(report.banner, report.text)

An event loop of its own runs in a thread for as long as the node is open; heartbeats and refreshes go on while the program
thinks. One thread at a time uses a node. Everything else is as in `comity.node.node`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TypeVar
from uuid import UUID

from comity import attachment as attachments
from comity.identity.names import Identity
from comity.node import connecting
from comity.node import delivery as asynchronous
from comity.node import node as nodes
from comity.node.agreement_view import AgreementView
from comity.node.alarms import Alarm
from comity.node.approving import Approver
from comity.node.awaited import WaitingReport
from comity.node.blocking import Loop
from comity.node.blocking_parts import Attachment, asking, blocking_report
from comity.node.holders import Holding
from comity.node.previews import Preview
from comity.node.reader import ReadingOfficer
from comity.node.reading import CaveatShown, Waiting
from comity.node.reading_again import NotReplayed, Replayed
from comity.node.receipts import Receipt, Sent
from comity.node.reports import HeldAction, ParkedAction, ReportRow, ReportState, SlotRef
from comity.report import ReceivedReport, Report
from comity_policy.facts import Use
from comity_policy.readers import Lack

__all__ = ["Attachment", "Delivery", "Node", "connect", "opened"]

T = TypeVar("T")


class Delivery:
    """A report handed over (see `comity.node.delivery.Delivery`); a context manager that gives the report."""

    def __init__(self, loop: Loop, delivery: asynchronous.Delivery) -> None:
        self._loop = loop
        self._delivery = delivery

    @property
    def report(self) -> ReceivedReport:
        """Give the report, with attachments that block."""
        return blocking_report(self._loop, self._delivery.report)

    @property
    def agreement_id(self) -> str:
        """Give the agreement it came under."""
        return self._delivery.agreement_id

    @property
    def exercise(self) -> bool:
        """Say whether it is of an exercise."""
        return self._delivery.exercise

    @property
    def origin(self) -> str:
        """Give the node that sent it, PARTY/NODE."""
        return self._delivery.origin

    @property
    def transport_class(self) -> int:
        """Give the class of its lane, 0 to 9."""
        return self._delivery.transport_class

    @property
    def origin_sequence(self) -> int:
        """Give its number in its lane."""
        return self._delivery.origin_sequence

    @property
    def attempt(self) -> int:
        """Give how often it was handed over, from 1."""
        return self._delivery.attempt

    @property
    def admitted_at(self) -> int:
        """Give when the broker admitted it, Unix milliseconds."""
        return self._delivery.admitted_at

    @property
    def log_index(self) -> int:
        """Give the log entry that admitted it."""
        return self._delivery.log_index

    @property
    def waits_for(self) -> frozenset[Lack]:
        """Give what another opening would bring for portions that stay closed in this one."""
        return self._delivery.waits_for

    @property
    def approved_by(self) -> frozenset[str]:
        """Give the officers whose approvals verified."""
        return self._delivery.approved_by

    def __enter__(self) -> ReceivedReport:
        return self.report

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run(self._delivery.__aexit__(kind, error, trace))

    def acknowledge(self) -> None:
        """Acknowledge; does nothing when it was before."""
        self._loop.call(self._delivery.acknowledge)

    def settled(self) -> None:
        """Acknowledge, and wait until that is on this machine's disk."""
        self._loop.run(self._delivery.settled())

    def park(self, reason: str) -> None:
        """Put it aside for an officer to look at; its lane goes on."""
        self._loop.call(self._delivery.park, reason)

    def retry(self, after_seconds: float | None = None) -> None:
        """Give it back, to be handed over again."""
        self._loop.call(self._delivery.retry, after_seconds)


class Node:
    """A node that is connected (see `comity.node.node.Node`)."""

    def __init__(self, loop: Loop, node: nodes.Node) -> None:
        self._loop = loop
        self._node = node

    @property
    def identity(self) -> Identity:
        """Give who this is."""
        return self._node.identity

    def refresh(self, agreements: Sequence[str] | None = None) -> None:
        """Fetch and verify what is new."""
        self._loop.run(self._node.refresh(agreements))

    def settle(self) -> None:
        """Send what an earlier process stored and nobody answered, and wait until all of it is answered."""
        self._loop.run(self._node.settle())

    def agreements(self) -> tuple[AgreementView, ...]:
        """Give the party's agreements as of now, by id."""
        return self._loop.call(self._node.agreements)  # type: ignore[no-any-return]  # `call` gives what the method gives

    def agreement(self, agreement_id: str) -> AgreementView:
        """Give one agreement as of now."""
        return self._loop.call(self._node.agreement, agreement_id)  # type: ignore[no-any-return]  # as above

    def alarms(self) -> tuple[Alarm, ...]:
        """Give every alarm of this node, the oldest first."""
        return self._loop.call(self._node.alarms)  # type: ignore[no-any-return]  # as above

    def preview(self, report: Report, *, agreement: str, approved_by: Sequence[Identity] = ()) -> Preview:
        """Say who would receive a report that these officers approve; nothing is sent."""
        return self._loop.call(self._node.preview, report, agreement=agreement, approved_by=approved_by)  # type: ignore[no-any-return]  # as above

    def reports(
        self,
        agreement: str = "",
        *,
        states: Sequence[ReportState] = (),
        report_id: UUID | None = None,
        exercise: bool = False,
    ) -> Iterator[ReportRow]:
        """Give the reports this party sent or may receive, in the order of admission; with `exercise` those of exercises alone."""
        return self._loop.each(self._node.reports(agreement, states=states, report_id=report_id, exercise=exercise))

    def find(self, report_id: UUID, *, agreement: str = "") -> ReportRow:
        """Give where one report stands, real or of an exercise."""
        return self._loop.run(self._node.find(report_id, agreement=agreement))

    def send(
        self,
        report: Report,
        *,
        agreement: str,
        approved_by: Sequence[Approver] = (),
        progress: attachments.Tell = attachments.untold,
    ) -> Receipt:
        """Send a report that these officers approve and give its receipt; raises why it was refused."""
        sending = self._node.send(report, agreement=agreement, approved_by=approved_by, progress=progress)
        return self._loop.run(sending)

    def send_many(
        self, reports: Iterable[Report], *, agreement: str, approved_by: Sequence[Approver] = ()
    ) -> Iterator[Sent]:
        """Send reports in constant memory; gives what became of each, in their order. They are read in the loop's thread."""
        return self._loop.each(self._node.send_many(reports, agreement=agreement, approved_by=approved_by))

    def recall(self, report_id: UUID, *, agreement: str = "", reason: str = "") -> Receipt:
        """Take a report back (see `comity.node.node.Node.recall`)."""
        return self._loop.run(self._node.recall(report_id, agreement=agreement, reason=reason))

    def supersede(
        self, report_id: UUID, report: Report, *, agreement: str = "", approved_by: Sequence[Approver] = ()
    ) -> Receipt:
        """Put a report in the place of another (see `comity.node.node.Node.supersede`)."""
        return self._loop.run(self._node.supersede(report_id, report, agreement=agreement, approved_by=approved_by))

    def holders(self, report_id: UUID, *, agreement: str = "") -> Holding:
        """Say who holds a report of this party (see `comity.node.node.Node.holders`)."""
        found: Holding = self._loop.call(self._node.holders, report_id, agreement=agreement)
        return found

    @property
    def released(self) -> tuple[UUID, ...]:
        """Give the reports that had waited for approvals and went when this node began to send."""
        return self._node.released

    def await_approval(
        self,
        report: Report,
        *,
        agreement: str,
        approved_by: Sequence[Approver] = (),
        progress: attachments.Tell = attachments.untold,
    ) -> WaitingReport:
        """Seal a report and let it wait until enough officers have approved it; whoever sends next then sends it."""
        waiting = self._node.await_approval(report, agreement=agreement, approved_by=approved_by, progress=progress)
        return self._loop.run(waiting)

    def receive(
        self,
        *,
        consumer: str = nodes.DEFAULT_CONSUMER,
        follow: bool = True,
        purpose: str | Sequence[str] = (),
        use: Use = Use.READ,
        reader: ReadingOfficer | None = None,
        acknowledge: Callable[[CaveatShown], bool] | None = None,
        waiting: Callable[[Waiting], None] | None = None,
        take_over: bool = False,
        exercise: bool = False,
    ) -> Iterator[Delivery]:
        """Give reports as they come, at least once each, never again once acknowledged; those of exercises to whoever asks for them.

        `acknowledge` is called in a thread of its own and may ask somebody; `waiting` in the loop's thread.
        """
        deliveries = self._node.receive(
            consumer=consumer,
            follow=follow,
            purpose=purpose,
            use=use,
            reader=reader,
            acknowledge=asking(acknowledge),
            waiting=waiting,
            take_over=take_over,
            exercise=exercise,
        )
        for delivery in self._loop.each(deliveries):
            yield Delivery(self._loop, delivery)

    def replay(
        self,
        *,
        agreement: str,
        since: datetime | None = None,
        from_entry: int = 0,
        consumer: str = nodes.DEFAULT_CONSUMER,
        purpose: str | Sequence[str] = (),
        use: Use = Use.READ,
        reader: ReadingOfficer | None = None,
        acknowledge: Callable[[CaveatShown], bool] | None = None,
        told: Callable[[NotReplayed], None] | None = None,
    ) -> Iterator[Replayed]:
        """Give once more what a consumer was handed, to be read only; nothing is acknowledged, and the log says it."""
        reports = self._node.replay(
            agreement=agreement,
            since=since,
            from_entry=from_entry,
            consumer=consumer,
            purpose=purpose,
            use=use,
            reader=reader,
            acknowledge=asking(acknowledge),
            told=told,
        )
        for one in self._loop.each(reports):
            yield replace(one, report=blocking_report(self._loop, one.report))

    def reopen(
        self,
        report_id: UUID,
        *,
        use: Use,
        purpose: str | Sequence[str] = (),
        reader: ReadingOfficer | None = None,
        acknowledge: Callable[[CaveatShown], bool] | None = None,
        portion: int | None = None,
        copied: bool = False,
        whole: bool = False,
    ) -> ReceivedReport:
        """Open a report again for a use, from the envelope that was kept; raises why it may not."""
        asked = asking(acknowledge)
        return self._loop.run(
            self._node.reopen(
                report_id,
                use=use,
                purpose=purpose,
                reader=reader,
                acknowledge=asked,
                portion=portion,
                copied=copied,
                whole=whole,
            )
        )

    def register_copy(
        self,
        report_id: UUID,
        *,
        use: Use,
        purpose: str | Sequence[str] = (),
        reader: ReadingOfficer | None = None,
        acknowledge: Callable[[CaveatShown], bool] | None = None,
    ) -> int:
        """Enter one copy or translation that is to be made; gives its number."""
        asked = asking(acknowledge)
        return self._loop.run(
            self._node.register_copy(report_id, use=use, purpose=purpose, reader=reader, acknowledge=asked)
        )

    def action(self, reports: Sequence[UUID], *, agreement: str, reader: ReadingOfficer, note: str = "") -> int:
        """Have the log say that an officer acted on reports; gives the entry."""
        return self._loop.run(self._node.action(reports, agreement=agreement, reader=reader, note=note))

    def resolve_parked(
        self, refs: Iterable[SlotRef], action: ParkedAction, *, consumer: str = nodes.DEFAULT_CONSUMER
    ) -> int:
        """Replay or drop parked reports of one agreement; gives the log entry that says so."""
        return self._loop.run(self._node.resolve_parked(refs, action, consumer=consumer))

    def resolve_held(self, refs: Iterable[SlotRef], action: HeldAction) -> int:
        """Say of held reports whether they go; gives the log entry that says so."""
        return self._loop.run(self._node.resolve_held(refs, action))


@contextmanager
def connect(
    address: str | None = None,
    *,
    identity: str | Identity,
    home: str | os.PathLike[str] | None = None,
    passphrase_file: str | os.PathLike[str] | None = None,
    passphrase: bytes | None = None,
) -> Iterator[Node]:
    """Connect an identity of this machine to its broker; as `comity.connect`, blocking."""
    opening = connecting.connect(
        address, identity=identity, home=home, passphrase_file=passphrase_file, passphrase=passphrase
    )
    with opened(opening) as node:
        yield node


@contextmanager
def opened(opening: AbstractAsyncContextManager[nodes.Node]) -> Iterator[Node]:
    """Give the blocking face of what an asynchronous context manager opens, with an event loop of its own."""
    loop = Loop()
    try:
        node = loop.run(_entered(opening))
        try:
            yield Node(loop, node)
        finally:
            loop.run(_left(opening))
    finally:
        loop.close()


async def _entered(opening: AbstractAsyncContextManager[nodes.Node]) -> nodes.Node:
    return await opening.__aenter__()


async def _left(opening: AbstractAsyncContextManager[nodes.Node]) -> None:
    await opening.__aexit__(None, None, None)
