"""One upload over one stream: from where the broker has it to the broker's word that it is whole (design 04, "Attachments").

Rules in order:
1. The broker says how much it has; what follows is read from the file of ciphertext, a block ahead, and sent in pieces.
2. Constant memory: two blocks, and what the transport lets go of.
3. It is done when the broker says READY. Whatever else ends the stream raises, and whoever asked comes again.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comity.errors import ErrorCode, MalformedError, NotFoundError, UnreachableError
from comity.node.connection import Connection
from comity.node.duplex import Duplex
from comity.node.read_ahead import ReadAhead
from comity.v1 import attachments_pb2

PIECE_BYTES: Final = 256 << 10
BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A sealed portion in a file: under which agreement, its SHA-384 and its length."""

    agreement_id: str
    digest: bytes
    length: int
    path: Path


async def upload(connection: Connection, what: Ciphertext, told: Callable[[int], None]) -> None:
    """Bring a ciphertext to the broker; `told` hears how many bytes are there. Raises ComityError where it did not get there."""
    source = await asyncio.to_thread(_Source, what)
    sending = _Sending(what, source)
    try:
        stream: Duplex[attachments_pb2.UploadRequest, attachments_pb2.UploadResponse] = Duplex(
            connection, connection.attachments.Upload(), sending.next_frame
        )
        async with stream:
            while (response := await stream.read()) is not None:
                match response.WhichOneof("frame"):
                    case "opened":
                        sending.begin(response.opened.offset)
                        told(sending.offset)
                    case "progress":
                        told(min(response.progress.offset, what.length))
                    case "ready":
                        told(what.length)
                        return
                    case _:
                        pass  # a frame of a later version
        raise UnreachableError("the broker ended an upload before it was whole")
    finally:
        await sending.end()
        await asyncio.to_thread(source.close)


class _Sending:
    """The sender's side of the stream: open, then pieces from where the broker says."""

    def __init__(self, what: Ciphertext, source: _Source) -> None:
        self._what = what
        self._source = source
        self._ahead = ReadAhead(source.read)
        self._opened = False
        self._began = asyncio.Event()
        self._pieces: deque[bytes] = deque()
        self.offset = 0

    def begin(self, offset: int) -> None:
        """Begin with the bytes at that offset; raises MalformedError for one beyond the end."""
        if offset > self._what.length:
            raise MalformedError("the broker has more of an upload than there is")
        self.offset = self._source.offset = offset
        self._began.set()

    async def next_frame(self) -> attachments_pb2.UploadRequest | None:
        """Give the next frame, None at the end."""
        if not self._opened:
            self._opened = True
            what = self._what
            return attachments_pb2.UploadRequest(
                open=attachments_pb2.UploadOpen(agreement_id=what.agreement_id, digest=what.digest, length=what.length)
            )
        await self._began.wait()
        if self.offset >= self._what.length:
            return None
        if not self._pieces:
            self._pieces.extend(await self._ahead.block())
        piece = self._pieces.popleft()
        self.offset += len(piece)
        return attachments_pb2.UploadRequest(piece=piece)

    async def end(self) -> None:
        """Return when nothing is read any more."""
        await self._ahead.end()


class _Source:
    """The file of ciphertext, read from `offset` on; raises NotFoundError where it is not what it was."""

    def __init__(self, what: Ciphertext) -> None:
        self._what = what
        self.offset = 0
        try:
            self._descriptor = os.open(what.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise _gone(what, str(error.strerror)) from error

    def read(self) -> list[bytes]:
        """Give the next block, in pieces."""
        end = min(self.offset + BLOCK_BYTES, self._what.length)
        pieces: list[bytes] = []
        while self.offset < end:
            size = min(PIECE_BYTES, end - self.offset)
            try:
                piece = os.pread(self._descriptor, size, self.offset)
            except OSError as error:
                raise _gone(self._what, str(error.strerror)) from error
            if len(piece) != size:
                raise _gone(self._what, "it is shorter than it was")
            pieces.append(piece)
            self.offset += size
        return pieces

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def _gone(what: Ciphertext, why: str) -> NotFoundError:
    return NotFoundError(
        f"{what.path} cannot be read: {why}",
        what_to_do="The report cannot be sent without it. Send the report anew.",
        code=ErrorCode.FILE_UNKNOWN,
    )
