"""The other side of a session, for tests of delivery: it reads frame by frame and answers as a node would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from builders_dispatch_store import INCARNATION
from builders_identity import Held
from comity.envelope.core import LogSeen
from comity.envelope.evidence import Ack, SignedAck, sign_ack
from comity.envelope.segment import parse_segment
from comity_broker.dispatch.answering import GivenBack, SlotName
from comity_broker.dispatch.frames import AckConfirmed, Delivered, Frame, FrameRefused, SkipReason
from comity_broker.dispatch.session import LOW_WATER, Session

if TYPE_CHECKING:
    from builders_dispatch import DispatchWorld

AGREEMENT = "XAR-XBO-1"
_TURNS = 20
_PATIENCE = 1_000_000


class Consumer:
    """One session as the node sees it. `frames` are all that came."""

    def __init__(self, world: DispatchWorld, session: Session, held: Held) -> None:
        self.world = world
        self.session = session
        self.held = held
        self.frames: list[Frame] = []

    # --- reading ----------------------------------------------------------------------------------------------------

    async def frame(self) -> Frame:
        """Read the next frame."""
        async with asyncio.timeout(20):
            frame = await self.session.next_frame()
        self.session.written()
        assert frame is not None, "the stream ended"
        self.frames.append(frame)
        return frame

    async def until(self, kind: type, *, but: tuple[type, ...] = ()) -> Frame:
        """Read frames until one of a kind comes."""
        while True:
            frame = await self.frame()
            assert not isinstance(frame, but), frame
            if isinstance(frame, kind):
                return frame

    async def delivery(self) -> Delivered:
        """Read until a delivery comes."""
        return await self.until(Delivered, but=(FrameRefused,))

    async def all(self, most: int = 1 << 30) -> list[Frame]:
        """Read until nothing comes any more and the session has nothing under way, or so many frames; give what came."""
        read: list[Frame] = []
        while len(read) < most:
            reading = asyncio.ensure_future(self.session.next_frame())
            await quiet(self.session, reading)
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                return read
            frame = reading.result()
            self.session.written()
            if frame is None:
                return read
            self.frames.append(frame)
            read.append(frame)
        return read

    async def deliveries(self) -> list[Delivered]:
        """Read until nothing comes any more; give the deliveries."""
        return [frame for frame in await self.all() if isinstance(frame, Delivered)]

    async def idle(self) -> None:
        """Read nothing, until the session has nothing under way but frames to be read."""
        session = self.session
        await happens(
            lambda: (
                not session._tasks
                or (
                    not session._answers_running
                    and all(len(session._outgoing[one]) > LOW_WATER for one in session._pumping)
                )
            )
        )

    # --- answering --------------------------------------------------------------------------------------------------

    def ack(self, *outcomes: tuple[bytes, Sequence[int]], **changes) -> SignedAck:
        """Sign an acknowledgement: (segment id, one outcome a slot)."""
        given = {
            "suite": int(self.held.signer.suite),
            "agreement_id": AGREEMENT,
            "key_set": self.world.key_set(self.held),
            "consumer": self.session.to.consumer,
            "time": self.world.clock.now_ms(),
            "agreement_log_seen": LogSeen(INCARNATION, 1, bytes(32)),
            "segments": tuple((segment_id, bytes(codes)) for segment_id, codes in outcomes),
        }
        return sign_ack(self.held.signer, Ack(**{**given, **changes}))

    async def acknowledge(self, frame: Delivered, outcome: int = 1) -> AckConfirmed:
        """Give one outcome to every slot a frame handed over, and wait for the confirmation."""
        await self.session.answer(self.ack(outcomes_of(frame, outcome)))
        return await self.until(AckConfirmed, but=(FrameRefused,))

    async def refused(self, answer: SignedAck | GivenBack) -> FrameRefused:
        """Answer, and expect that it is refused."""
        await self.session.answer(answer)
        return await self.until(FrameRefused, but=(AckConfirmed,))

    async def give_back(
        self, frame: Delivered, retry_after: float | None = None, slots: Sequence[int] | None = None
    ) -> None:
        """Give back what a frame handed over: later, or (without a time) parked."""
        segment_id = parse_segment(frame.segment).segment_id
        named = [slot for slot, _ in frame.slots] if slots is None else slots
        await self.session.answer(GivenBack([SlotName(AGREEMENT, segment_id, slot) for slot in named], retry_after))

    async def leave(self) -> None:
        """Close the stream, and wait until the broker is done with it."""
        self.world.dispatcher.release(self.session)
        await self.session.close()


async def happens(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    for _ in range(_PATIENCE):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


async def quiet(session: Session, reading: asyncio.Future) -> None:
    """Let the loop turn until a read is over, or nothing under way could end it."""
    turns = 0
    while not reading.done() and turns < _TURNS:
        await asyncio.sleep(0)
        turns = 0 if session._tasks else turns + 1


def outcomes_of(frame: Delivered, outcome: int = 1, slots: Sequence[int] | None = None) -> tuple[bytes, list[int]]:
    """Give an outcome to what a frame handed over, or to some of it; 0 to the rest."""
    segment = parse_segment(frame.segment)
    here = {slot for slot, _ in frame.slots} if slots is None else set(slots)
    return segment.segment_id, [outcome if slot in here else 0 for slot in range(len(segment.items))]


def numbers(*frames: Delivered) -> list[int]:
    """Give the origin sequences that frames hand over, in order."""
    return [parse_segment(one.segment).first_origin_sequence + slot for one in frames for slot, _ in one.slots]


def why(frame: Delivered) -> dict[int, SkipReason]:
    """Give why a frame leaves out which origin sequences."""
    return {one.origin_sequence: one.reason.why for one in frame.absent}
