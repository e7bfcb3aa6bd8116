"""Consuming: the receivers of one node, one a consumer, each put together for whoever opens (design 04).

Rules in order:
1. A program receives for a consumer once; a second iteration waits until the first has closed.
2. A reader's key is proved before anything is asked for; one that does not count raises.
3. Where an officer reads, that it was read is said before it is acknowledged (`read_first`).
4. A consumer of exercise traffic is another than the one of its name for real traffic: everything of it is kept under `<name>/exercise`.
5. What waited for an opening like this one is asked for again first (`asking_again`). Where it cannot be asked for now, receiving
   goes on without it. What this node's people drop waits for nobody any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, closing
from dataclasses import replace

from comity.envelope.evidence import SignedAck
from comity.errors import ConflictError, ErrorCode
from comity.identity.names import agreement_of, is_exercise
from comity.node.acknowledging import Acknowledging
from comity.node.asking_again import AskingAgain, forget
from comity.node.backoff import Backoff
from comity.node.clock import NowMs
from comity.node.connection import Connection
from comity.node.delivery import Delivery
from comity.node.fetching import FOLDER, Fetching
from comity.node.home import Place
from comity.node.inbox import Inbox
from comity.node.listing import resolve_parked
from comity.node.mirror import Mirror
from comity.node.officer_says import OfficerSays
from comity.node.opening import Opening
from comity.node.own_keys import OwnKeys
from comity.node.read_first import ReadFirst
from comity.node.reader import ProvedReader
from comity.node.reading import Reading, Terms
from comity.node.reading_again import From, NotReplayed, ReadingAgain, Replayed
from comity.node.receiving import Receiver
from comity.node.register import Register
from comity.node.reopening import Reopening
from comity.node.reports import ParkedAction, SlotRef
from comity.node.subscribing import Subscription
from comity.suites import RandomBytes


class Consuming:
    """The receivers of a node that is connected."""

    def __init__(
        self,
        place: Place,
        mirror: Mirror,
        connections: tuple[Connection, Connection],
        keys: OwnKeys,
        *,
        refresh: Callable[[], Awaitable[None]],
        now_ms: NowMs,
        random_bytes: RandomBytes,
    ) -> None:
        self._place = place
        self._mirror = mirror
        self._connections = connections
        self._connection = connections[0]
        self._keys = keys
        self._refresh = refresh
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._receivers: dict[str, Receiver] = {}

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        """Give the receivers that are open."""
        return tuple(self._receivers.values())

    async def deliveries(
        self, consumer: str, terms: Terms, *, follow: bool, take_over: bool
    ) -> AsyncIterator[Delivery]:
        """Give reports as `Node.receive` says."""
        before = self._receivers.get(consumer)
        if before is not None and not await before.left():
            raise ConflictError(
                f"this program receives for the consumer {consumer!r} already",
                what_to_do="Leave the first iteration, or name another consumer.",
                code=ErrorCode.LOCKED,
            )
        if terms.reader is not None:
            terms.reader.require(self._now_ms())
        receiver, reading, asking = await self._receiver(consumer, terms, take_over=take_over)
        self._receivers[consumer] = receiver
        said = None if terms.reader is None else ReadFirst(self.says(terms.reader), self._mirror)
        try:
            if said is not None:
                said.start()
            await asking.ask(reading)
            async for delivery in receiver.deliveries(follow=follow):
                yield delivery if said is None else said.take(delivery)
        finally:
            try:
                if said is not None:
                    await said.close()
            finally:
                await receiver.close()
                if self._receivers.get(consumer) is receiver:
                    del self._receivers[consumer]

    def reopening(self, terms: Terms) -> Reopening:
        """Give what opens kept envelopes by these terms; whoever asks closes it. Raises as `deliveries` for its reader."""
        if terms.reader is not None:
            terms.reader.require(self._now_ms())
        opening, register = self._opening(terms, ""), Register(self._place.register)
        reading = Reading(opening, register, terms, identity=self._place.identity, consumer="", now_ms=self._now_ms)
        says = None if terms.reader is None else self.says(terms.reader)
        return Reopening(lambda use: self._opening(replace(terms, use=use), ""), register, reading, says)

    async def replayed(
        self, agreement_id: str, start: From, consumer: str, terms: Terms, told: Callable[[NotReplayed], None]
    ) -> AsyncIterator[Replayed]:
        """Give reports as `Node.replay` says."""
        if terms.reader is not None:
            terms.reader.require(self._now_ms())
        opening, identity = self._opening(terms, consumer), self._place.identity
        with closing(Register(self._place.register)) as register:
            register.drop_expired(self._now_ms())
            again = ReadingAgain(
                self._connection,
                self._mirror,
                opening,
                Reading(opening, register, terms, identity=identity, consumer=consumer, now_ms=self._now_ms),
                None if terms.reader is None else self.says(terms.reader),
                identity=identity,
                consumer=consumer,
                refresh=self._refresh,
                backoff=Backoff(self._random_bytes),
                told=told,
            )
            async with aclosing(again.reports(agreement_id, start)) as reports:
                async for one in reports:
                    yield one

    def says(self, reader: ProvedReader) -> OfficerSays:
        """Give what says what a reader read and did, over this node's connection."""
        return OfficerSays(self._mirror, self._connection, reader, self._now_ms)

    async def resolve_parked(self, refs: Sequence[SlotRef], action: ParkedAction, consumer: str) -> int:
        """Replay or drop parked reports of one agreement; gives the log entry that says so."""
        log_index = await resolve_parked(self._connection, refs, action, consumer)
        if action is ParkedAction.DROP:
            with closing(Register(self._place.register)) as register:
                forget(register, refs, consumer)
        return log_index

    def _opening(self, terms: Terms, consumer: str) -> Opening:
        return Opening(
            self._mirror,
            self._place.identity,
            self._keys.opener(),
            purposes=terms.purposes,
            use=terms.use,
            reader=terms.reader,
            now_ms=self._now_ms,
            attach=Fetching(
                self._place.directory / FOLDER / consumer.replace("/", "."),
                self._connection,
                now_ms=self._now_ms,
                random_bytes=self._random_bytes,
            ).attachment,
        )

    async def _receiver(self, consumer: str, terms: Terms, *, take_over: bool) -> tuple[Receiver, Reading, AskingAgain]:
        identity, opening = self._place.identity, self._opening(terms, consumer)
        inbox = await Inbox.open(self._place.inbox(consumer))
        try:
            inbox.drop_expired(self._now_ms())
            register = Register(self._place.register)
            register.drop_expired(self._now_ms())
        except BaseException:
            inbox.close()
            raise
        reading = Reading(opening, register, terms, identity=identity, consumer=consumer, now_ms=self._now_ms)
        receiver = Receiver(
            inbox,
            mirror=self._mirror,
            identity=identity,
            opening=opening,
            reading=reading,
            acknowledging=self._acknowledging(inbox, consumer),
            subscription=lambda listener: Subscription(
                self._connections,
                agreement_of(consumer),
                listener,
                exercise=is_exercise(consumer),
                resume_token=lambda: inbox.resume_token,
                take_over=take_over,
                backoff=Backoff(self._random_bytes),
            ),
            refresh=self._refresh,
            exercise=is_exercise(consumer),
        )
        asking = AskingAgain(
            self._connection, self._mirror, inbox, identity=identity, consumer=consumer, now_ms=self._now_ms
        )
        return receiver, reading, asking

    def _acknowledging(self, inbox: Inbox, consumer: str) -> Callable[[Callable[[SignedAck], None]], Acknowledging]:
        def made(send: Callable[[SignedAck], None]) -> Acknowledging:
            return Acknowledging(
                inbox, self._mirror, consumer, signing=self._keys.newest_signer, send=send, now_ms=self._now_ms
            )

        return made
