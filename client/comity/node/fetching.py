"""Fetching attachments: downloaded where they were cut, checked whole, decrypted, and only then given their name (designs 03, 04).

Rules in order:
1. The ciphertext comes into a spool, from where it ended; the broker decides whether it may, now.
2. Pass one: all of it is here and has the signed digest. What went on from an earlier process and has not, begins anew once.
3. Pass two: it is decrypted into a hidden file beside where it is to be, which a later process takes up and writes anew. Only when it
   opened to its end it gets its name, never in the place of another: one with the same content counts as written.
4. Then the spool goes. Whatever dies before leaves a spool, and no file that was not whole.
5. Constant memory: a few blocks, whatever the length.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

import grpc

from comity.attachment import Attachment, Progress, SavedAttachment, Stage, Tell, Where
from comity.envelope.open import OpenedReport, UploadedPortion
from comity.envelope.reasons import RejectReason
from comity.errors import (
    ComityError,
    ConflictError,
    ErrorCode,
    MalformedError,
    RejectedError,
    StorageError,
    UnreachableError,
    UsageError,
)
from comity.node.backoff import Backoff
from comity.node.clock import NowMs
from comity.node.connection import Connection
from comity.node.files import private_directory, storage_error, sync_directory
from comity.node.spool import BLOCK_BYTES, Spool, remove_expired
from comity.portion import Marking, Portion, StoredContent
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
                async with self._room:
                    await self._fetch(what, spool, tell)
                saved = await asyncio.to_thread(_open, what, spool, where, _told(tell, Stage.OPENING, what))
                await asyncio.to_thread(spool.remove)
        if not lock.locked():
            self._saving.pop(digest, None)
        return saved

    # --- pass one -----------------------------------------------------------------------------------------------------

    async def _fetch(self, what: Fetchable, spool: Spool, tell: Tell) -> None:
        """Have all of it, with its digest; raises RejectedError for what the broker gave instead."""
        portion = what.portion
        went_on = spool.length > 0
        if spool.length > portion.length:
            await asyncio.to_thread(spool.restart)
        await self._download(what, spool, tell)
        if went_on and spool.digest != portion.digest:
            await asyncio.to_thread(spool.restart)
            await self._download(what, spool, tell)
        if spool.digest != portion.digest:
            await asyncio.to_thread(spool.remove)
            raise RejectedError(RejectReason.UPLOAD_DIGEST)

    async def _download(self, what: Fetchable, spool: Spool, tell: Tell) -> None:
        """Come again as long as it helps: at most 30 s without a byte."""
        loop, backoff = asyncio.get_running_loop(), Backoff(self._random_bytes)
        since, before = loop.time(), spool.length
        while spool.length < what.portion.length:
            try:
                await self._stream(what, spool, tell)
            except ComityError as error:
                if spool.length > before:
                    since, before = loop.time(), spool.length
                    backoff.succeeded()
                again = isinstance(error, UnreachableError | StorageError) and error.code is not ErrorCode.LOG_FROZEN
                wait = backoff.next_seconds(error.retry_after_seconds)
                if not again or loop.time() + wait - since > PATIENCE_SECONDS or _own_disk(error):
                    raise
                await asyncio.sleep(wait)

    async def _stream(self, what: Fetchable, spool: Spool, tell: Tell) -> None:
        request = attachments_pb2.DownloadRequest(
            agreement_id=what.agreement_id,
            report_id=what.report_id,
            portion=what.portion.index,
            offset=spool.length,
        )
        call = self._connection.attachments.Download(request)
        told = _told(tell, Stage.DOWNLOADING, what)
        writing = _Writing(spool, what.portion.length)
        try:
            while (response := await self._read(call)) is not None:
                if response.WhichOneof("frame") == "piece":
                    await writing.take(response.piece)
                    told(spool.length)
        finally:
            call.cancel()
            await writing.end()
        told(spool.length)
        if spool.length < what.portion.length:
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
    """Pieces on their way into a spool: one block is written in another thread while the next one is gathered."""

    def __init__(self, spool: Spool, length: int) -> None:
        self._spool = spool
        self._left = length - spool.length
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
            self._working = asyncio.ensure_future(asyncio.to_thread(self._spool.append, pieces))

    async def _idle(self) -> None:
        working, self._working = self._working, None
        if working is not None:
            await asyncio.shield(working)


# --- pass two -------------------------------------------------------------------------------------------------------


def _open(what: Fetchable, spool: Spool, where: Where, told: Callable[[int], None]) -> SavedAttachment:
    """Decrypt a spool that has its digest, and give the file its name. Blocks."""
    opener = what.portion.decrypt(_told_blocks(spool, told))
    content = iter(opener)
    # The header is known with the first content, and it is the originator's: all of the ciphertext has the signed digest.
    first = next(content, b"")

    def portion(path: Path, length: int) -> Portion:
        return Portion.from_header(opener.header, StoredContent(path, length), what.marking)

    path = where if isinstance(where, Path) else where(portion(Path(), 0))
    temporary = path.with_name(f".{path.name}.partial")
    try:
        private_directory(path.parent)
        with _owned(temporary) as file:
            length = file.write(first) + sum(file.write(piece) for piece in content)
            file.flush()
            os.fsync(file.fileno())
            new = _linked(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    return SavedAttachment(portion(path, length), path, new)


def _told_blocks(spool: Spool, told: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for block in spool.blocks():
        yield block
        done += len(block)
        told(done)


@contextmanager
def _owned(path: Path) -> Iterator[BinaryIO]:
    """Give a hidden file, empty and this process's alone, and remove it at the end; raises ConflictError where another has it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"another process writes {path.name[1:]} now", what_to_do="Let it end.", code=ErrorCode.LOCKED
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            yield file
        finally:
            # Still locked: nobody else takes it up between its last byte and its name.
            with suppress(FileNotFoundError):
                path.unlink()


def _linked(temporary: Path, path: Path) -> bool:
    """Give a written file its name; False for one that is there with the same content. Raises ConflictError for another."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        if path.is_symlink() or not path.is_file() or not _same(temporary, path):
            raise ConflictError(
                f"{path} is there with another content: the attachment was not written",
                what_to_do="Move that file away, then save it again.",
                code=ErrorCode.FILE_EXISTS,
            ) from None
        return False
    return True


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(BLOCK_BYTES):
            if second.read(BLOCK_BYTES) != block:
                return False
    return True


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
