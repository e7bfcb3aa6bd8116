"""A receiver of XBO/m1 with a real inbox and mirror, and a broker that hands over what a test says.

async with receiving(tmp_path) as world:
    world.hand_over(world.hand.frame(2))
    world.catch_up()
    async for delivery in world.deliveries(): ...
    world.outcomes(frame)          # what was acknowledged of a frame, a number a slot
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from builders_delivery import PURPOSE, READER, Hand, handing
from builders_exchange import Service, exchanging
from comity.envelope.evidence import Ack, SignedAck, verify_ack
from comity.envelope.segment import parse_segment
from comity.node.acknowledging import Acknowledging
from comity.node.backoff import Backoff
from comity.node.connection import Connection
from comity.node.inbox import Inbox
from comity.node.reading import Reading, Terms
from comity.node.receiving import Receiver
from comity.node.register import Register
from comity.node.subscribing import Subscription
from comity.v1 import exchange_pb2


@dataclass
class Receiving:
    """The world of one receiver. Frames of a session wait in `waiting`; a new session begins with what is put after `drop`."""

    hand: Hand
    connection: Connection
    folder: Path
    service: Service
    waiting: asyncio.Queue = field(default_factory=asyncio.Queue)
    acks: list[Ack] = field(default_factory=list)
    nacks: list[exchange_pb2.Nack] = field(default_factory=list)
    confirms: bool = True
    left: bool = False
    moving: asyncio.Task | None = None

    async def receiver(self, terms: Terms | None = None, **options: object) -> Receiver:
        """Open the inbox and make a receiver, as a new process does."""
        node = self.hand.audit.node("XBO/m1")
        inbox = await Inbox.open(self.folder / "inbox-default.sqlite")
        terms = terms or Terms(purposes=(PURPOSE,))
        opening = self.hand.opening(purposes=terms.purposes, use=terms.use, reader=terms.reader)
        register = Register(self.folder / "register.sqlite")

        async def refresh() -> None:
            await self.hand.refresh()

        return Receiver(
            inbox,
            mirror=self.hand.mirror,
            identity=READER,
            opening=opening,
            reading=Reading(opening, register, terms, identity=READER, consumer="default", now_ms=self.hand.clock),
            acknowledging=lambda send: Acknowledging(
                inbox,
                self.hand.mirror,
                "default",
                signing=lambda: ((node.key_set, 1), node.signer),
                send=send,
                now_ms=self.hand.clock,
            ),
            subscription=lambda listener: Subscription(
                (self.connection, self.connection),
                "default",
                listener,
                resume_token=lambda: inbox.resume_token,
                take_over=False,
                backoff=Backoff(bytes),
            ),
            refresh=refresh,
            **options,
        )

    def hand_over(self, *frames: exchange_pb2.Delivery) -> None:
        for frame in frames:
            self.waiting.put_nowait(exchange_pb2.SubscribeResponse(delivery=frame))

    def catch_up(self) -> None:
        self.waiting.put_nowait(exchange_pb2.SubscribeResponse(caught_up=exchange_pb2.CaughtUp()))

    def drop(self) -> None:
        """Break the stream when what was put before has been sent."""
        self.waiting.put_nowait(None)

    async def texts(self, *, follow: bool = False) -> list[str]:
        """Receive everything, acknowledge it, and give the texts."""
        receiver = await self.receiver()
        found = []
        async for delivery in receiver.deliveries(follow=follow):
            async with delivery as report:
                found.append(report.text)
        if self.moving is not None:
            self.moving.cancel()  # or it takes what is meant for the next session, until the server hears of the end
        return found

    def outcomes(self, frame: exchange_pb2.Delivery) -> list[int]:
        """Give what the acknowledgements say of a frame's segment, later ones over earlier ones."""
        segment = parse_segment(frame.segment)
        said = [0] * len(segment.items)
        for ack in self.acks:
            for segment_id, outcomes in ack.segments:
                if segment_id == segment.segment_id:
                    said = [new or old for old, new in zip(said, outcomes, strict=True)]
        return said

    def alarms(self) -> list[str]:
        return [one.kind.value for one in self.hand.mirror.alarms()]

    async def serve(self, service: Service, requests, context):
        """Be the broker's side of a session."""
        await service.next(requests)
        opened = exchange_pb2.SubscribeResponse(opened=exchange_pb2.SubscribeOpened(session=service.begun))
        opened.opened.deadline.FromSeconds(60)
        yield opened
        answers: asyncio.Queue = asyncio.Queue()
        if self.moving is not None:
            self.moving.cancel()
        self.moving = asyncio.create_task(_move(self.waiting, answers))
        taking = asyncio.create_task(self.take(service, requests, answers))
        try:
            while (response := await answers.get()) is not None:
                yield response
        finally:
            taking.cancel()

    async def take(self, service: Service, requests, answers: asyncio.Queue) -> None:
        node = self.hand.audit.node("XBO/m1")
        while True:
            try:
                frame = await service.next(requests)
            except StopAsyncIteration:
                # The client has said all it has to say; its broker ends the stream then.
                self.left = True
                answers.put_nowait(None)
                return
            if frame.WhichOneof("frame") == "ack":
                signed = SignedAck(frame.ack.record, frame.ack.signature)
                self.acks.append(verify_ack(signed, 1, node.signing.public))
                if self.confirms:
                    digest = hashlib.sha384(frame.ack.record).digest()
                    confirmed = exchange_pb2.AckConfirmed(record_digest=digest)
                    answers.put_nowait(exchange_pb2.SubscribeResponse(ack_confirmed=confirmed))
            elif frame.WhichOneof("frame") == "nack":
                self.nacks.append(frame.nack)


async def _move(source: asyncio.Queue, target: asyncio.Queue) -> None:
    while (response := await source.get()) is not None:
        target.put_nowait(response)
    target.put_nowait(None)


@contextlib.asynccontextmanager
async def receiving(path: Path) -> AsyncIterator[Receiving]:
    """Open XBO's mirror of an agreement in force, and a broker that hands over."""
    worlds: list[Receiving] = []

    async def subscribe(service, requests, context):
        async for response in worlds[0].serve(service, requests, context):
            yield response

    async with handing(path) as hand, exchanging(subscribe=subscribe) as (connection, service):
        worlds.append(Receiving(hand, connection, path, service))
        yield worlds[0]
