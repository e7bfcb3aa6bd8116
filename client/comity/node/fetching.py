"""Fetching attachments: downloaded from where they were cut, and given their name only when they are whole (designs 03, 04).

Rules in order:
1. The ciphertext comes from where an earlier download ended; the broker decides whether it may, now. `arriving` has what becomes of it.
2. What went on from an earlier process and has not the signed digest, begins anew once.
3. Whatever dies leaves a spool of ciphertext, and no file that was not whole.
4. Constant memory: a few blocks, whatever the length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import grpc

from comity.attachment import Attachment, Progress, SavedAttachment, Stage, Tell, Where
from comity.envelope.open import OpenedReport, UploadedPortion
from comity.errors import ComityError, ErrorCode, MalformedError, StorageError, UnreachableError, UsageError
from comity.node.arriving import Arriving
from comity.node.background import to_its_end
from comity.node.backoff import Backoff
from comity.node.clock import NowMs
from comity.node.connection import Connection
from comity.node.spool import BLOCK_BYTES, Spool, remove_expired
from comity.portion import Marking
from comity.suites import RandomBytes
from comity.v1 import attachments_pb2
from comity_policy.facts import PortionMarking

PATIENCE_SECONDS: Final = 30.0
# A broker lets a node have few streams, and others are needed.
AT_ONCE: Final = 2
_BLOCK_PIECES: Final = 64
FOLDER: Final = "attachments"


@dataclass(frozen=True, slots=True)
class Fetchable:
    """An uploaded portion that this opening may have: of which report, what opens it, and its signed marking."""

    agreement_id: str
    report_id: bytes
    expires_at: int
    portion: UploadedPortion
    marking: PortionMarking

    @classmethod
    def of(cls, report: OpenedReport, portion: UploadedPortion) -> Self:
        """Give a portion of a report that was opened."""
        core = report.core
        marking = core.profile.portions[portion.index]
        return cls(core.profile.agreement_id, core.report_id, core.expires_at, portion, marking)


Attach = Callable[[Fetchable], Attachment]


class Fetching:
    """Makes attachments that can be saved, for one consumer of a node. `folder` is where its spools lie."""

    def __init__(self, folder: Path, connection: Connection, *, now_ms: NowMs, random_bytes: RandomBytes) -> None:
        self._folder = folder
        self._connection = connection
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._saving: dict[bytes, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def attachment(self, what: Fetchable) -> Attachment:
        """Give the attachment; nothing is fetched before it is saved."""

        async def save(where: Where, tell: Tell) -> SavedAttachment:
            return await self._save(what, where, tell)

        return Attachment(what.portion.index, Marking(label=what.marking.label), what.portion.length, save)

    async def _save(self, what: Fetchable, where: Where, tell: Tell) -> SavedAttachment:
        digest = what.portion.digest
        lock = self._saving.setdefault(digest, asyncio.Lock())
        async with lock:
            await asyncio.to_thread(remove_expired, self._folder, self._now_ms())
            spool = await asyncio.to_thread(Spool, self._folder, digest, what.expires_at)
            with spool:
                arriving = Arriving(what.portion, what.marking, spool, where)
                try:
                    await to_its_end(asyncio.to_thread(arriving.begin))
                    async with self._room:
                        await self._fetch(what, arriving, tell)
                    saved = await to_its_end(asyncio.to_thread(arriving.finish))
                finally:
                    await to_its_end(asyncio.to_thread(arriving.close))
        if not lock.locked():
            self._saving.pop(digest, None)
        return saved

    async def _fetch(self, what: Fetchable, arriving: Arriving, tell: Tell) -> None:
        """Have all of it; what an earlier process left and does not fit, begins anew."""
        went_on = arriving.length > 0
        if arriving.length > what.portion.length:
            await to_its_end(asyncio.to_thread(arriving.restart))
        await self._download(what, arriving, tell)
        if went_on and not await to_its_end(asyncio.to_thread(arriving.is_right)):
            await to_its_end(asyncio.to_thread(arriving.restart))
            await self._download(what, arriving, tell)

    async def _download(self, what: Fetchable, arriving: Arriving, tell: Tell) -> None:
        """Come again as long as it helps: at most 30 s without a byte."""
        loop, backoff = asyncio.get_running_loop(), Backoff(self._random_bytes)
        since, before = loop.time(), arriving.length
        while arriving.length < what.portion.length:
            try:
                await self._stream(what, arriving, tell)
            except ComityError as error:
                if arriving.length > before:
                    since, before = loop.time(), arriving.length
                    backoff.succeeded()
                again = isinstance(error, UnreachableError | StorageError) and error.code is not ErrorCode.LOG_FROZEN
                wait = backoff.next_seconds(error.retry_after_seconds)
                if not again or loop.time() + wait - since > PATIENCE_SECONDS or _own_disk(error):
                    raise
                await asyncio.sleep(wait)

    async def _stream(self, what: Fetchable, arriving: Arriving, tell: Tell) -> None:
        request = attachments_pb2.DownloadRequest(
            agreement_id=what.agreement_id,
            report_id=what.report_id,
            portion=what.portion.index,
            offset=arriving.length,
        )
        call = self._connection.attachments.Download(request)
        told = _told(tell, Stage.DOWNLOADING, what)
        writing = _Writing(arriving, what.portion.length)
        try:
            while (response := await self._read(call)) is not None:
                if response.WhichOneof("frame") == "piece":
                    await writing.take(response.piece)
                    told(arriving.length)
        finally:
            call.cancel()
            await writing.end()
        told(arriving.length)
        if arriving.length < what.portion.length:
            raise UnreachableError("the broker ended a download before it was whole")

    async def _read(
        self, call: grpc.aio.UnaryStreamCall[attachments_pb2.DownloadRequest, attachments_pb2.DownloadResponse]
    ) -> attachments_pb2.DownloadResponse | None:
        try:
            response = await call.read()
        except grpc.aio.AioRpcError as error:
            raise self._connection.error_of(error) from error
        return response if isinstance(response, attachments_pb2.DownloadResponse) else None


class _Writing:
    """Pieces on their way to disk: one block is written in another thread while the next one is gathered."""

    def __init__(self, arriving: Arriving, length: int) -> None:
        self._arriving = arriving
        self._left = length - arriving.length
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._working: asyncio.Future[None] | None = None

    async def take(self, piece: bytes) -> None:
        """Take a piece; raises MalformedError for an empty one, and for more than there is."""
        self._left -= len(piece)
        if not piece or self._left < 0:
            raise MalformedError("the broker gives more of an attachment than there is, or nothing again and again")
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting >= BLOCK_BYTES or len(self._pieces) >= _BLOCK_PIECES:
            await self._write()

    async def end(self) -> None:
        """Write what is left."""
        await self._write()
        await self._idle()

    async def _write(self) -> None:
        await self._idle()
        if self._pieces:
            pieces, self._pieces, self._waiting = self._pieces, [], 0
            self._working = asyncio.ensure_future(asyncio.to_thread(self._arriving.take, pieces))

    async def _idle(self) -> None:
        """Wait for the thread; whoever is cancelled leaves it its work, and `end` waits for that."""
        working = self._working
        if working is not None:
            await asyncio.shield(working)
            self._working = None


# --- telling --------------------------------------------------------------------------------------------------------


def _told(tell: Tell, stage: Stage, what: Fetchable) -> Callable[[int], None]:
    """Give what tells how far a stage is, from whichever thread, at most once a block."""
    loop, total, index = asyncio.get_running_loop(), what.portion.length, what.portion.index
    heard = -BLOCK_BYTES

    def told(done: int) -> None:
        nonlocal heard
        if done - heard >= BLOCK_BYTES or (done == total and heard != total):
            heard = done
            loop.call_soon_threadsafe(tell, Progress(stage, index, done, total))

    return told


def _own_disk(error: ComityError) -> bool:
    """Say whether it was this machine's disk that failed: what the broker says comes without a cause of the system."""
    return isinstance(error.__cause__, OSError)


def unfetched(what: Fetchable) -> Attachment:
    """Give an attachment where nothing fetches: it is shown, and saving it raises."""

    async def save(_: Where, __: Tell) -> SavedAttachment:
        raise UsageError("attachments are fetched by a node that is connected")

    return Attachment(what.portion.index, Marking(label=what.marking.label), what.portion.length, save)
