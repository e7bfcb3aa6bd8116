"""The node: what a program uses to send and receive under the agreements of its party (design 01, "SDK").

    async with comity.connect("broker:7443", identity="XAR/n1", passphrase_file=path) as node:
        receipt = await node.send(report, agreement="XAR-XBO-1")
        async for delivery in node.receive():
            async with delivery as report:
                print(report.banner, report.text)

Rules in order:
1. Opening loads keys, opens the mirror and refreshes it: nothing is sent or opened under a view that was not verified. From
   then on it is refreshed every ten seconds, when an envelope or the broker says that there is more, and when somebody asks.
2. Two connections: what is urgent never queues behind what is not. The outbox opens with the first report sent.
3. After each refresh receipts and what the broker said of its log are compared with the log.
4. Leaving closes everything: what is stored and unanswered is sent by whoever opens the outbox next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, closing
from typing import Final
from uuid import UUID

from comity.attachment import Tell, untold
from comity.errors import ComityError, UnreachableError
from comity.identity.names import Identity, exercise_of, log_name
from comity.node.access import Access
from comity.node.agreement_view import AgreementView
from comity.node.alarms import Alarm
from comity.node.approving import Approver
from comity.node.awaited import WaitingReport
from comity.node.background import Background
from comity.node.clock import NowMs
from comity.node.connection import Connection
from comity.node.consuming import Consuming
from comity.node.delivery import Delivery
from comity.node.egress import Egress
from comity.node.listing import found_report, list_reports, resolve_held
from comity.node.mirror import Mirror
from comity.node.not_carried import FILE as HANDED
from comity.node.not_carried import NotCarried
from comity.node.outbox import Outbox
from comity.node.own_keys import OwnKeys
from comity.node.previews import Preview
from comity.node.reader import ReadingOfficer
from comity.node.reading import Acknowledge, Waiting
from comity.node.reads_again import ReadsAgain
from comity.node.receipts import Receipt, Sent
from comity.node.reports import HeldAction, ParkedAction, ReportRow, ReportState, SlotRef
from comity.node.sending import Sender
from comity.node.taking_back import TakesBack
from comity.report import ReceivedReport, Report
from comity.suites import RandomBytes
from comity_policy.facts import Use

DEFAULT_CONSUMER: Final = "default"
_LOG: Final = logging.getLogger(__name__)


class Node(TakesBack, ReadsAgain):
    """A node that is connected. `connecting.connect` makes one; its methods may be used by several tasks of one event loop."""

    def __init__(
        self,
        access: Access,
        mirror: Mirror,
        connections: tuple[Connection, Connection],
        *,
        now_ms: NowMs,
        random_bytes: RandomBytes,
        refresh_seconds: float,
        patience_seconds: float,
    ) -> None:
        self.identity = access.place.identity
        self.mirror = mirror
        self._access = access
        self._connections = connections
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._refresh_seconds = refresh_seconds
        self._patience_seconds = patience_seconds
        self._egress = Egress(mirror, self.identity, now_ms)
        self._sender: Sender | None = None
        self._opening_sender = asyncio.Lock()
        self._failure: Exception | None = None
        self._background = Background(self._fail)
        self.keys = OwnKeys(self.identity, access.ring, mirror, access.newer)
        place = access.place
        self._carried = NotCarried(place.directory / HANDED, mirror, self.identity.party)
        self._consuming = Consuming(
            place, mirror, connections, self.keys, refresh=self.refresh, now_ms=now_ms, random_bytes=random_bytes
        )

    @property
    def connection(self) -> Connection:
        """Give the connection for what is not urgent, to call the broker with."""
        return self._connections[0]

    # --- knowing ----------------------------------------------------------------------------------------------------

    async def refresh(self, agreements: Sequence[str] | None = None) -> None:
        """Fetch and verify what is new, then compare receipts and what the broker said with it; raises as `Mirror.refresh`."""
        await self.mirror.refresh(self.connection, agreements)
        for view in self.mirror.agreements():
            for name in (view.agreement_id, exercise_of(view.agreement_id)):
                if self._sender is not None:
                    await self._sender.prove(name)
                for receiver in self._consuming.receivers:
                    await receiver.prove(name)
                await self._carried.look(name)

    def agreements(self) -> tuple[AgreementView, ...]:
        """Give the party's agreements as of now, by id; `mirror.faults` has those that could not be verified."""
        return self.mirror.agreements()

    def agreement(self, agreement_id: str) -> AgreementView:
        """Give one agreement as of now; raises NotFoundError, or what stops it."""
        return self.mirror.agreement(agreement_id)

    def alarms(self) -> tuple[Alarm, ...]:
        """Give every alarm of this node, the oldest first."""
        return self.mirror.alarms()

    def preview(self, report: Report, *, agreement: str, approved_by: Sequence[Identity] = ()) -> Preview:
        """Say who would receive a report that these officers approve, and why not the others; nothing is sent."""
        return self._egress.preview(report, agreement, approved_by)

    async def reports(
        self,
        agreement: str = "",
        *,
        states: Sequence[ReportState] = (),
        report_id: UUID | None = None,
        exercise: bool = False,
    ) -> AsyncIterator[ReportRow]:
        """Give the reports this party sent or may receive, of one agreement or all, in the order of admission.

        With `exercise` those of exercises and nothing else; without it none of them.
        """
        async for row in list_reports(self.connection, agreement, states, report_id, exercise=exercise):
            yield row

    async def find(self, report_id: UUID, *, agreement: str = "") -> ReportRow:
        """Give where one report stands, real or of an exercise; raises NotFoundError REPORT_UNKNOWN."""
        return await found_report(self.connection, agreement, report_id)

    # --- sending ----------------------------------------------------------------------------------------------------

    async def send(
        self, report: Report, *, agreement: str, approved_by: Sequence[Approver] = (), progress: Tell = untold
    ) -> Receipt:
        """Send a report; the receipt means that it is durable at the broker and in the agreement's log.

        `approved_by` are the officers who approve it, each of whom is shown what is sealed; the first of them is who acts.
        `progress` hears how far its attachments (`comity.attached`) have come. Raises RefusedError, whose `clauses` explain,
        UnreachableError when the broker does not take it in time (it stays in the outbox then), and what else there is.
        """
        return await (await self._sending()).send(report, agreement, approved_by, progress)

    async def send_many(
        self, reports: Iterable[Report] | AsyncIterable[Report], *, agreement: str, approved_by: Sequence[Approver] = ()
    ) -> AsyncIterator[Sent]:
        """Send reports in constant memory; gives what became of each, in their order. One refused report stops nothing."""
        async for sent in (await self._sending()).send_many(reports, agreement, approved_by):
            yield sent

    async def await_approval(
        self, report: Report, *, agreement: str, approved_by: Sequence[Approver] = (), progress: Tell = untold
    ) -> WaitingReport:
        """Seal a report and let it wait on disk, 72 hours at most, until enough officers have approved it; whoever sends next sends it."""
        return await (await self._sending()).await_approval(report, agreement, approved_by, progress)

    @property
    def released(self) -> tuple[UUID, ...]:
        """Give the reports that had waited for approvals and went when this node began to send."""
        return () if self._sender is None else self._sender.released

    async def settle(self) -> None:
        """Send what an earlier process stored and nobody answered, and wait until all of it is answered.

        From then on this node has the outbox: no other process sends with it. Raises ConflictError LOCKED while one does.
        """
        await (await self._sending(wait=False)).settled()

    async def _sending(self, *, wait: bool = True) -> Sender:
        async with self._opening_sender:
            if self._sender is None:
                self._require_node()
                outbox = await Outbox.open(self._access.place.outbox, wait=wait, random_bytes=self._random_bytes)
                sender = Sender(
                    outbox,
                    identity=self.identity,
                    mirror=self.mirror,
                    egress=self._egress,
                    connections=self._connections,
                    keys=self.keys,
                    refresh=self.refresh,
                    now_ms=self._now_ms,
                    random_bytes=self._random_bytes,
                    patience_seconds=self._patience_seconds,
                )
                await sender.start()
                self._sender = sender
            return self._sender

    # --- receiving --------------------------------------------------------------------------------------------------

    async def receive(
        self,
        *,
        consumer: str = DEFAULT_CONSUMER,
        follow: bool = True,
        purpose: str | Sequence[str] = (),
        use: Use = Use.READ,
        reader: ReadingOfficer | None = None,
        acknowledge: Acknowledge | None = None,
        waiting: Callable[[Waiting], None] | None = None,
        take_over: bool = False,
        exercise: bool = False,
    ) -> AsyncIterator[Delivery]:
        """Give reports as they come, at least once each, never again once acknowledged; in order within a lane.

        Reports of exercises come to whoever asks for them (`exercise`), who gets nothing else: that is another consumer, whatever
        its name.

        `purpose` is what they are opened for, one word or several, where an agreement asks: a report stated for something else
        stays closed, and without one every report. `reader` is the officer who opens, `acknowledge` is shown each use caveat
        before the report and says whether it is acknowledged; what lacks one of these is parked, told to `waiting`, and handed
        over again to a later `receive` that brings it. Without `follow` it ends when everything that was due was given. Raises
        ConflictError LOCKED or CONSUMER_BUSY while another process has the consumer, unless `take_over` is set at the broker,
        KeyFault for a reader whose key or accreditation does not count, AccessError for one of another party.
        """
        terms = self._terms(reader, purpose, use, acknowledge, waiting)
        async for delivery in self._consuming.deliveries(
            log_name(consumer, exercise=exercise), terms, follow=follow, take_over=take_over
        ):
            yield delivery

    async def reopen(
        self,
        report_id: UUID,
        *,
        use: Use,
        purpose: str | Sequence[str] = (),
        reader: ReadingOfficer | None = None,
        acknowledge: Acknowledge | None = None,
        portion: int | None = None,
        copied: bool = False,
        whole: bool = False,
    ) -> ReceivedReport:
        """Open a portion again for a use, from the envelope that was kept since it was opened first; raises RefusedError.

        `portion` counts from 0; None means the only one that may be had. A copy or translation that must be registered takes the number that `register_copy` gave this reader for that use. `copied`: it is written down for the use, which makes a copy of it. `whole`: all that may be had, to be read here and nothing else; the log says that the officer read it.
        """
        with closing(self._consuming.reopening(self._terms(reader, purpose, use, acknowledge))) as reopening:
            return await (reopening.read(report_id) if whole else reopening.open(report_id, portion, copied=copied))

    async def register_copy(
        self,
        report_id: UUID,
        *,
        use: Use,
        purpose: str | Sequence[str] = (),
        reader: ReadingOfficer | None = None,
        acknowledge: Acknowledge | None = None,
    ) -> int:
        """Enter one copy or translation that is to be made; gives its number. Raises RefusedError for one that may not be."""
        with closing(self._consuming.reopening(self._terms(reader, purpose, use, acknowledge))) as reopening:
            return await reopening.register_copy(report_id)

    async def action(self, reports: Sequence[UUID], *, agreement: str, reader: ReadingOfficer, note: str = "") -> int:
        """Have the log say, signed by an officer, that it acted on reports of one originator, who reads the note; gives the entry."""
        return await self._consuming.says(self._proved(reader)).action(agreement, reports, note)

    async def resolve_parked(
        self, refs: Iterable[SlotRef], action: ParkedAction, *, consumer: str = DEFAULT_CONSUMER
    ) -> int:
        """Replay or drop parked reports of one agreement; gives the log entry that says so."""
        return await self._consuming.resolve_parked(list(refs), action, consumer)

    async def resolve_held(self, refs: Iterable[SlotRef], action: HeldAction) -> int:
        """Say of reports that were held during a suspension whether they go; gives the log entry that says so."""
        return await resolve_held(self.connection, refs, action)

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Keep the mirror fresh from now on."""
        self._background.start(self._keep_fresh(), "refresh")

    async def close(self) -> None:
        """Close everything that was begun; the mirror and the connections are closed by whoever opened them."""
        async with AsyncExitStack() as stack:
            stack.callback(self._carried.close)
            stack.push_async_callback(self._background.close)
            sender, self._sender = self._sender, None
            if sender is not None:
                stack.push_async_callback(sender.close)
            for receiver in self._consuming.receivers:
                stack.push_async_callback(receiver.close)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                await self.refresh()
            except UnreachableError as error:
                _LOG.info("refresh_delayed", extra={"reason": error.message})
            except ComityError as error:
                # What it is about is stopped in the mirror, and is raised to whoever asks for it.
                _LOG.warning("refresh_failed", extra={"code": error.code.name, "reason": error.message})

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
