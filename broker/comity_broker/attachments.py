"""Uploads: ciphertexts that nodes bring before the envelope that names them (design 04, "Attachments").

Rules in order:
1. An upload is (agreement, node, digest): only the calling node's own. Its agreement is in force and its log not frozen.
2. Before the first byte its row is OPEN, and with it the upload counts: uploads open and bytes announced by a node, bytes of all
   uploads here, and the room on the disk, as ROUTINE traffic, with everything that others still announce.
3. The newest stream of an upload has it; an older one ends with SUPERSEDED. It goes on where the file ends.
4. Bytes are told as durable after a sync, which runs while others are taken. All of it there with its digest: synced, renamed, directory synced, then the row is READY.
   Another digest drops the file, and the upload begins anew.
5. In memory there is no more than what is on its way to the file, two blocks a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from comity.envelope import limits
from comity.errors import ConflictError, ErrorCode, MalformedError, RefusedError, StorageError, UnreachableError
from comity_broker.access import Caller
from comity_broker.clock import BrokerClock
from comity_broker.ledger import Ledger
from comity_broker.outcomes import settled
from comity_broker.settings import Settings
from comity_broker.storage.blobs import BlobStore, PartialBlob, blob_name
from comity_broker.storage.protocol import Head, Known, Reader, Reads, Rows, Unit, UploadRow, UploadState
from comity_broker.tracing import Submitting

BLOCK_BYTES: Final = 512 << 10
SYNC_BYTES: Final = 16 << 20
PIECE_BYTES: Final = 256 << 10
# A block of tiny pieces is a block too: each of them takes more memory than its bytes.
_BLOCK_PIECES: Final = 64
_FULL_RETRY_SECONDS: Final = 30.0
_BUSY_RETRY_SECONDS: Final = 5.0

Key = tuple[str, str, bytes]


@dataclass(frozen=True, slots=True)
class _Held:
    """What is remembered of an upload: where it stands, and its length."""

    state: int
    length: int


@dataclass(slots=True)
class Attachments:
    """Every upload of this broker. Everything is for the event loop's thread; files are worked on in others."""

    blobs: BlobStore
    journal: Submitting
    reader: Reader
    ledger: Ledger
    clock: BrokerClock
    settings: Settings
    _held: dict[Key, _Held] = field(default_factory=dict)
    _streams: dict[Key, Upload] = field(default_factory=dict)

    async def read_back(self) -> None:
        """Read where uploads stand, after the agreements and before anything is served."""
        for standing in self.ledger.standings():
            for row in await self.reader.uploads(standing.agreement_id):
                self.remember(standing.agreement_id, row)

    def remember(self, agreement_id: str, row: UploadRow) -> None:
        """Take note of a row as it is committed."""
        key = (agreement_id, row.node, row.digest)
        if row.state:
            self._held[key] = _Held(row.state, row.length)
        else:
            self._held.pop(key, None)

    def is_streaming(self, agreement_id: str, row: UploadRow) -> bool:
        """Say whether a stream brings this upload now."""
        return (agreement_id, row.node, row.digest) in self._streams

    async def open(self, who: Caller, agreement_id: str, digest: bytes, length: int) -> Upload:
        """Begin an upload or go on with it; whoever opens closes. Raises ComityError by the rules above."""
        self._check_form(digest, length)
        self._check_agreement(who, agreement_id)
        key = (agreement_id, str(who.identity), digest)
        held = self._held.get(key)
        if held is not None and held.length != length:
            raise _mismatch(f"this ciphertext was announced with {held.length} bytes before, and with {length} now")
        if held is None:
            self._check_limits(key, length)
            await self.require_disk(length)
        row = await self._commit(key, length, UploadState.OPEN)
        upload = Upload(self, key, length, is_ready=row.state == UploadState.READY)
        if not upload.is_ready:
            before, self._streams[key] = self._streams.get(key), upload
            try:
                if before is not None:
                    await before.supersede()
                await upload.begin()
                await self.require_disk(length - upload.offset, of=upload)
            except BaseException:
                await upload.close()
                raise
        return upload

    async def commit_ready(self, key: Key, length: int) -> None:
        """Say that an upload is whole and durable."""
        await self._commit(key, length, UploadState.READY)

    def closed(self, upload: Upload) -> None:
        """Forget a stream's upload, unless a newer stream has it."""
        if self._streams.get(upload.key) is upload:
            del self._streams[upload.key]

    async def require_disk(self, announced: int = 0, *, of: Upload | None = None) -> None:
        """Raise StorageError STORAGE_FULL where the disk is past the reserve of ROUTINE, or would be with so many bytes more."""
        usage = await self.reader.usage()
        others = sum(one.length - one.offset for one in self._streams.values() if one is not of) if announced else 0
        used = 1 - (usage.free_bytes - announced - others) / max(1, usage.total_bytes)
        if used > self.settings.routine_full:
            raise StorageError(
                f"the broker's disk would be {used:.0%} full with this upload, past the reserve of attachments",
                what_to_do="Its operator has to make room; the report stays in the outbox and goes on by itself.",
                code=ErrorCode.STORAGE_FULL,
                retry_after_seconds=_FULL_RETRY_SECONDS,
            )

    # --- what is asked of an upload -----------------------------------------------------------------------------------

    def _check_form(self, digest: bytes, length: int) -> None:
        if len(digest) != limits.DIGEST or length < 1:
            raise MalformedError("an upload names a digest of 48 bytes and a length of at least 1")
        most = min(limits.CIPHERTEXT_BYTES, self.settings.attachment_bytes)
        if length > most:
            raise MalformedError(
                f"an upload has at most {most} bytes here, not {length}",
                what_to_do="Send less in one file, or have the broker's operator raise attachment_bytes.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )

    def _check_agreement(self, who: Caller, agreement_id: str) -> None:
        standing = self.ledger.require(agreement_id, who.party)
        if standing.stopped:
            raise StorageError(
                f"the log of {agreement_id} is frozen: {standing.stopped}",
                what_to_do="Nothing is accepted under it until both parties have compared their mirrors.",
                code=ErrorCode.LOG_FROZEN,
                retry_after_seconds=_FULL_RETRY_SECONDS,
            )
        if not standing.in_force(self.clock.now_ms()):
            raise RefusedError(
                f"{agreement_id} is not in force now: nothing is uploaded under it",
                what_to_do=f"comity agreement show {agreement_id}",
                code=ErrorCode.AGREEMENT_NOT_IN_FORCE,
            )

    def _check_limits(self, key: Key, length: int) -> None:
        own = [one for (_, node, _), one in self._held.items() if node == key[1] and one.state == UploadState.OPEN]
        limit = self.settings
        if len(own) >= limit.uploads_per_node:
            raise _busy(f"{key[1]} has {len(own)} uploads open, as many as a node may")
        if own and sum(one.length for one in own) + length > limit.upload_bytes_per_node:
            raise _busy(f"{key[1]} has announced as many bytes as a node may at a time")
        if sum(one.length for one in self._held.values()) + length > limit.attachments_total_bytes:
            raise StorageError(
                "the broker holds as many bytes of attachments as it may",
                what_to_do="Its operator has to raise attachments_total_bytes, or wait until reports expire.",
                code=ErrorCode.STORAGE_FULL,
                retry_after_seconds=_FULL_RETRY_SECONDS,
            )

    # --- rows ---------------------------------------------------------------------------------------------------------

    async def _commit(self, key: Key, length: int, state: UploadState) -> UploadRow:
        """Have the row say `state`, unless it is READY already; give the row."""
        agreement_id, node, digest = key
        now = self.clock.now_ms()

        def build(head: Head, known: Known) -> Rows[UploadRow]:
            before = known.uploads.get((node, digest))
            if before is not None and before.state == UploadState.LEAVING:
                raise _busy("this upload is being removed")
            if before is None and state == UploadState.READY:
                raise _busy("this upload was removed meanwhile")
            if before is not None and before.state == UploadState.READY:
                return Rows(head, before)
            row = UploadRow(node, digest, length, state, now, 0)
            return Rows(head, row, uploads=[row])

        unit = Unit(agreement_id, build, Reads(uploads=[(node, digest)]))
        row = settled(await asyncio.shield(asyncio.ensure_future(self.journal.submit(unit)))).result
        self.remember(agreement_id, row)
        return row


class Upload:
    """One upload as one stream brings it. `offset` is how many bytes were taken, on disk or on their way to it."""

    def __init__(self, of: Attachments, key: Key, length: int, *, is_ready: bool) -> None:
        self._of = of
        self._blob: PartialBlob | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._working: asyncio.Future[None] | None = None
        self._syncing: asyncio.Future[int] | None = None
        self._begun = self._superseded = self._closing = False
        self._closed = asyncio.Event()
        self._sync_from = 0
        self.key = key
        self.length = length
        self.offset = length if is_ready else 0
        self.is_ready = is_ready

    @property
    def is_whole(self) -> bool:
        """Say whether all bytes were taken."""
        return self.offset >= self.length

    async def begin(self) -> None:
        """Open the file, and find how much of it is there."""
        self._require_own()
        await self._work(self._open)
        blob = self._partial()
        if blob.length > self.length:
            await self._work(blob.restart)
        self.offset = self._sync_from = blob.length
        self._begun = True
        self._require_own()

    def _open(self) -> None:
        self._blob = self._of.blobs.begin(blob_name(*self.key))

    async def append(self, piece: bytes) -> int | None:
        """Take the next piece; give how many bytes are durable where that is news. Raises ComityError."""
        if not 1 <= len(piece) <= PIECE_BYTES:
            raise MalformedError(f"a piece has 1 to {PIECE_BYTES} bytes")
        if self.offset + len(piece) > self.length:
            raise _mismatch("more bytes came than were announced")
        self._require_own()
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        self.offset += len(piece)
        if self._waiting_bytes >= BLOCK_BYTES or len(self._waiting) >= _BLOCK_PIECES:
            await self._write()
        durable = await self._synced() if self._syncing is not None and self._syncing.done() else None
        if self._syncing is None and self._partial().length - self._sync_from >= SYNC_BYTES:
            await self._of.require_disk()
            self._sync_from = self._partial().length
            self._syncing = asyncio.ensure_future(asyncio.to_thread(_sync, self._partial()))
        return durable

    async def finish(self) -> None:
        """Make it READY; raises ConflictError UPLOAD_MISMATCH where it has not its digest, after which it begins anew."""
        if self.is_ready:
            return
        await self._write()
        await self._idle()
        await self._synced()
        blob = self._partial()
        if blob.length != self.length or await asyncio.to_thread(lambda: blob.digest) != self.key[2]:
            await self._work(blob.restart)
            raise _mismatch("what was uploaded has not the digest that was announced")
        await self._work(blob.finish)
        await self._of.commit_ready(self.key, self.length)
        self.is_ready = True

    async def supersede(self) -> None:
        """Take it from this stream, whose file is closed then: a newer stream has it from here on."""
        self._superseded = True
        if self._begun:
            await self.close()
        await self._closed.wait()

    async def close(self) -> None:
        """Keep what was taken, and let go of the file; whoever calls it a second time waits for the end of the first."""
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        try:
            await self._let_go()
        finally:
            self._of.closed(self)
            self._closed.set()

    async def _let_go(self) -> None:
        try:
            await self._idle()
            if self._blob is not None and self._waiting:
                await asyncio.to_thread(self._blob.append, self._waiting)
        finally:
            blob, self._blob = self._blob, None
            if blob is not None:
                await asyncio.to_thread(blob.close)
            await asyncio.gather(*filter(None, [self._syncing]), return_exceptions=True)

    async def _write(self) -> None:
        """Hand what waits to the file, once it has taken what was handed before."""
        await self._idle()
        if self._waiting:
            pieces, self._waiting = self._waiting, []
            self._waiting_bytes = 0
            self._working = asyncio.ensure_future(asyncio.to_thread(self._partial().append, pieces))

    async def _work(self, work: Callable[[], None]) -> None:
        self._working = asyncio.ensure_future(asyncio.to_thread(work))
        await self._idle()

    async def _idle(self) -> None:
        """Wait for the file; a stream that is cancelled leaves the thread its work, and `close` waits for it."""
        working = self._working
        if working is not None:
            await asyncio.shield(working)
            if self._working is working:
                self._working = None

    async def _synced(self) -> int | None:
        """Wait for the sync that runs, if any; give how many bytes are durable with it."""
        if self._syncing is None:
            return None
        durable = await asyncio.shield(self._syncing)
        self._syncing = None
        return durable

    def _partial(self) -> PartialBlob:
        self._require_own()
        if self._blob is None:
            raise StorageError("this upload is closed")
        return self._blob

    def _require_own(self) -> None:
        if self._superseded:
            raise ConflictError("a newer stream brings this upload", code=ErrorCode.SUPERSEDED)


def _sync(blob: PartialBlob) -> int:
    """Have on disk what the file has; give how many bytes that is."""
    there = blob.length
    blob.sync()
    return there


def _mismatch(message: str) -> ConflictError:
    return ConflictError(
        message, what_to_do="Begin the upload anew, from its first byte.", code=ErrorCode.UPLOAD_MISMATCH
    )


def _busy(message: str) -> UnreachableError:
    return UnreachableError(
        message,
        what_to_do="Go on with what is open, or wait until it is done.",
        code=ErrorCode.RATE_LIMITED,
        retry_after_seconds=_BUSY_RETRY_SECONDS,
    )
