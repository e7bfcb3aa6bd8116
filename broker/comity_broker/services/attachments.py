"""AttachmentService: pieces in and out. Decides nothing: `comity_broker.attachments` and `downloads` do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self

import grpc

from comity.envelope import limits
from comity.errors import ErrorCode, MalformedError, NotFoundError, StorageError, UnreachableError
from comity.node.read_ahead import ReadAhead
from comity.v1 import attachments_pb2, attachments_pb2_grpc
from comity_broker.access import Caller, caller
from comity_broker.attachments import BLOCK_BYTES, PIECE_BYTES, Attachments, Upload
from comity_broker.dispatch.shared import Shared
from comity_broker.downloads import Downloads, Permitted
from comity_broker.services.agreements import require_agreement
from comity_broker.services.taking import Taking
from comity_broker.storage.blobs import BlobStore
from comity_broker.sweeping import Sweeping

Context = grpc.aio.ServicerContext[Any, Any]
# So often a download on its way is decided anew.
AGAIN_BYTES: Final = 64 << 20


class AttachmentService(attachments_pb2_grpc.AttachmentServiceServicer):
    """Takes uploads and gives downloads."""

    def __init__(self, uploads: Attachments, downloads: Downloads, sweeping: Sweeping) -> None:
        self.uploads = uploads
        self.sweeping = sweeping
        self._downloads = downloads
        self._draining = asyncio.Event()

    @classmethod
    def of(cls, blobs: BlobStore, shared: Shared, time_counts: Callable[[], bool]) -> Self:
        """Make it with its uploads and their sweeping; `time_counts` says whether anything is destroyed by the time alone."""
        uploads = Attachments(blobs, shared.journal, shared.reader, shared.ledger, shared.clock, shared.settings)
        return cls(uploads, Downloads(shared), Sweeping(uploads, time_counts))

    def drain(self) -> None:
        """End every stream: what was taken stays, and what is to be fetched is fetched from the next broker."""
        self._draining.set()

    async def Upload(
        self, request_iterator: AsyncIterator[attachments_pb2.UploadRequest], _: Context
    ) -> AsyncIterator[attachments_pb2.UploadResponse]:
        who = caller()
        with contextlib.closing(Taking(request_iterator, self._draining)) as taking:
            first = await taking.next()
            self._refuse_when_draining()
            if first is None or first.WhichOneof("frame") != "open":
                raise MalformedError("an upload begins with open")
            require_agreement(who, first.open.agreement_id)
            upload = await self.uploads.open(who, first.open.agreement_id, first.open.digest, first.open.length)
            try:
                yield attachments_pb2.UploadResponse(opened=attachments_pb2.UploadOpened(offset=upload.offset))
                while not upload.is_whole:
                    durable = await upload.append(await self._piece(taking))
                    if durable is not None:
                        yield attachments_pb2.UploadResponse(progress=attachments_pb2.UploadProgress(offset=durable))
                await _finished(upload)
                yield attachments_pb2.UploadResponse(ready=attachments_pb2.UploadReady())
            finally:
                await upload.close()

    async def _piece(self, taking: Taking[attachments_pb2.UploadRequest]) -> bytes:
        request = await taking.next()
        self._refuse_when_draining()
        if request is None or request.WhichOneof("frame") != "piece":
            raise MalformedError("after open, every frame of an upload is a piece, until all of it came")
        return request.piece

    async def Download(
        self, request: attachments_pb2.DownloadRequest, _: Context
    ) -> AsyncIterator[attachments_pb2.DownloadResponse]:
        who = caller()
        require_agreement(who, request.agreement_id)
        if len(request.report_id) != limits.UUID:
            raise MalformedError("a report id has 16 bytes")
        self._refuse_when_draining()
        permitted = await self._permitted(who, request)
        offset = request.offset
        if offset > permitted.length:
            raise NotFoundError("the portion ends before that offset", code=ErrorCode.RANGE_INVALID)
        blob = await asyncio.to_thread(self.uploads.blobs.open, permitted.name, offset)
        ahead = ReadAhead(lambda: blob.read(PIECE_BYTES, BLOCK_BYTES // PIECE_BYTES))
        try:
            yield attachments_pb2.DownloadResponse(opened=attachments_pb2.DownloadOpened(length=permitted.length))
            decided = offset
            while offset < permitted.length:
                self._refuse_when_draining()
                if offset - decided >= AGAIN_BYTES:
                    await self._permitted(who, request)
                    decided = offset
                if not (pieces := await ahead.block()):
                    raise StorageError("a ciphertext ends before its length", what_to_do="comity broker check")
                for piece in pieces:
                    offset += len(piece)
                    yield attachments_pb2.DownloadResponse(piece=piece)
        finally:
            await ahead.end()
            await asyncio.to_thread(blob.close)

    async def _permitted(self, who: Caller, request: attachments_pb2.DownloadRequest) -> Permitted:
        return await self._downloads.permitted(who, request.agreement_id, request.report_id, request.portion)

    def _refuse_when_draining(self) -> None:
        if self._draining.is_set():
            raise UnreachableError(
                "the broker is about to stop",
                what_to_do="Go on in a few seconds, from where this ended.",
                code=ErrorCode.DRAINING,
                retry_after_seconds=5.0,
            )


async def _finished(upload: Upload) -> None:
    """Finish an upload to its end, also when the stream goes away: its bytes are all here."""
    finishing = asyncio.ensure_future(upload.finish())
    try:
        await asyncio.shield(finishing)
    except asyncio.CancelledError:
        await asyncio.wait({finishing})
        raise
