"""Sending with attachments: encrypted into the outbox, stored with their report, uploaded, and only then published (design 04).

    report -> decided -> its files encrypted under its core -> sealed alone -> signed -> outbox -> uploads -> Publish

Rules in order:
1. Such a report has a lane to itself, so no other report waits for its upload, nor suffers its refusal. Its number is drawn when
   its files are encrypted, and used once it is stored: what fails before leaves no gap.
2. What is stored goes on by itself, in this process or in the next: what the broker has of an upload is not sent again.
3. What delays (network, disk, limits) is waited for; what the broker refuses for good ends the report, and its lane. Few are
   encrypted ahead of the uploads.
4. A broker that says that it has lost an upload gets it again, while the segment waits.
5. What is urgent is encrypted and uploaded beside what is not, over the connection for it. Constant memory; plaintext is never
   written.
6. A report that officers approve is sealed here too and waits elsewhere (`awaiting`); it comes back as stored, to be uploaded.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from comity.attachment import PROGRESS_BYTES, Progress, Stage, Tell, untold
from comity.envelope.core import encode_core
from comity.envelope.profile import encode_profile, is_urgent, transport_class
from comity.envelope.run_form import PortionInput, UploadedPortion
from comity.envelope.seal import SealInput
from comity.envelope.uploads import UploadSealer
from comity.errors import (
    AccessError,
    ComityError,
    ErrorCode,
    KeyFault,
    NotFoundError,
    StorageError,
    UnreachableError,
    UsageError,
)
from comity.node.attached_files import AttachedFile, AttachedFiles
from comity.node.background import Background
from comity.node.backoff import Backoff
from comity.node.cleared import Cleared, StoredPortion
from comity.node.collecting import Pending
from comity.node.connection import Connection
from comity.node.outbox import Lane, Outbox, SegmentState, StoredBatch
from comity.node.pipeline import Pipeline
from comity.node.publishing import Outgoing
from comity.node.sealing import Sealed, Sealing
from comity.node.uploading import Ciphertext, upload
from comity.portion import StoredContent
from comity.suites import RandomBytes

_BLOCK_BYTES: Final = 1 << 20
_ANEW: Final = 3
_AHEAD: Final = 2

T = TypeVar("T")


class Sending(Protocol):
    """What a sender does with reports that have attachments."""

    def clear(self, pending: Pending) -> Cleared:
        """Decide a report as of now; raises what refuses it."""

    def ended(self, outgoing: Outgoing, error: ComityError) -> None:
        """Take that a stored segment is refused for good."""

    def troubled(self, error: ComityError, delayed: list[Outgoing]) -> None:
        """Take that something delays segments."""


@dataclass(slots=True)
class _Line:
    """What waits, of one urgency: reports to be encrypted, stored segments to be uploaded, and uploads to be made again."""

    connection: Connection
    backoff: Backoff
    pendings: deque[Pending] = field(default_factory=deque)
    outgoings: deque[Outgoing] = field(default_factory=deque)
    again: dict[bytes, Outgoing] = field(default_factory=dict)
    sealing: asyncio.Event = field(default_factory=asyncio.Event)
    uploading: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)


class Attaching:
    """Reports with attachments of one sender. `start` first; `close` after the tasks it started have ended."""

    def __init__(
        self,
        outbox: Outbox,
        sending: Sending,
        sealing: Sealing,
        pipeline: Pipeline,
        *,
        connections: tuple[Connection, Connection],
        random_bytes: RandomBytes,
    ) -> None:
        self._outbox = outbox
        self._sending = sending
        self._sealing = sealing
        self._pipeline = pipeline
        self._random_bytes = random_bytes
        self._files: AttachedFiles | None = None
        self._rows = ThreadPoolExecutor(1, "comity-attach")
        self._lines = {
            urgent: _Line(connection, Backoff(random_bytes))
            for urgent, connection in zip((False, True), connections, strict=True)
        }
        self._broken: set[Lane] = set()
        self._background: Background | None = None

    async def start(
        self, background: Background, unanswered: Sequence[StoredBatch], waiting: frozenset[bytes]
    ) -> list[StoredBatch]:
        """Take up what an earlier process stored with attachments, and begin; give the batches without.

        The files of segments that wait for approvals stay where they are.
        """
        self._background = background
        left = list(unanswered)
        if AttachedFiles.any_in(self._outbox.directory):
            files = await self._open()
            await self._in_thread(files.release_unfinished)
            ids = frozenset(await self._in_thread(files.segment_ids))
            left = [one for one in unanswered if ids.isdisjoint(one.segment_ids)]
            for batch in unanswered:
                for segment in batch.segments if not ids.isdisjoint(batch.segment_ids) else ():
                    self._line(segment.lane).outgoings.append(Outgoing(segment, batch, dict(batch.packets)))
            await self._release(files, ids - waiting)
        for urgent, line in self._lines.items():
            word = "urgent attachments" if urgent else "attachments"
            background.start(self._seal_all(line), f"seal {word}")
            background.start(self._upload_all(line), f"upload {word}")
            line.uploading.set()
        return left

    async def close(self) -> None:
        """Let go of the files."""
        files, self._files = self._files, None
        if files is not None:
            await self._in_thread(files.close)
        self._rows.shutdown(wait=True)

    def take(self, pending: Pending, cleared: Cleared) -> None:
        """Take a report that may go."""
        line = self._lines[is_urgent(transport_class(cleared.profile))]
        line.pendings.append(pending)
        line.sealing.set()

    def deliver(self, outgoing: Outgoing) -> None:
        """Upload what a stored segment names, then hand it on."""
        line = self._line(outgoing.segment.lane)
        line.outgoings.append(outgoing)
        line.uploading.set()

    async def files_of(self, segment_id: bytes) -> tuple[AttachedFile, ...]:
        """Give the encrypted attachments of a sealed segment."""
        return await self._in_thread((await self._open()).of, segment_id)

    async def drop(self, segment_id: bytes) -> None:
        """Let go of the files of a sealed segment that is not to be sent; one that is stored keeps them."""
        if AttachedFiles.any_in(self._outbox.directory):
            await self._release(await self._open(), frozenset([segment_id]))

    def again(self, outgoing: Outgoing) -> None:
        """Upload once more what the broker says it has lost; its segment waits at its stream."""
        line = self._line(outgoing.segment.lane)
        line.again[outgoing.segment.segment_id] = outgoing
        line.uploading.set()

    def retire(self, lane: Lane) -> None:
        """Use a lane no more that broke; the one report that was in it has ended."""
        self._broken.add(lane)
        if self._files is not None and self._background is not None:
            self._background.start(self._retired(self._files, lane), "retire lane")

    async def _retired(self, files: AttachedFiles, lane: Lane) -> None:
        await self._in_thread(files.retire, lane)

    # --- encrypting ---------------------------------------------------------------------------------------------------

    async def _seal_all(self, line: _Line) -> None:
        while True:
            await line.sealing.wait()
            line.sealing.clear()
            while line.pendings:
                while len(line.outgoings) >= _AHEAD:
                    line.room.clear()
                    await line.room.wait()
                pending = line.pendings.popleft()
                try:
                    outgoing = await self._stored(pending)
                except ComityError as error:
                    pending.refuse(error)
                    continue
                self.deliver(outgoing)

    async def _stored(self, pending: Pending) -> Outgoing:
        """Encrypt, seal and store a report; raises ComityError where it is not stored, and then nothing of it stays."""
        cleared = self._sending.clear(pending)
        lane = await self._lane(await self._open(), cleared)
        number = await self._pipeline.on_disk(self._outbox.next_number, lane)
        alone = await self.sealed(pending, cleared, lane, number)
        try:
            return await self._pipeline.stored_alone(alone, alone)
        except ComityError:
            await self.drop(alone.stored.segment_id)
            raise

    async def sealed(self, pending: Pending, cleared: Cleared, lane: Lane, number: int) -> Sealed:
        """Encrypt a report's files and seal it by itself, with that number of a lane of its own; where that fails nothing of it stays."""
        files = await self._open()
        core = self._sealing.core_alone(cleared, lane, number)
        core_bytes = encode_core(core, encode_profile(core.profile))
        portions: list[PortionInput | UploadedPortion] = []
        names: list[str] = []
        written: list[tuple[str, int, bytes, int]] = []
        try:
            for index, portion in enumerate(cleared.portions):
                if isinstance(portion, PortionInput):
                    portions.append(portion)
                    continue
                names.append(await self._in_thread(files.begin))
                sealed = await self._encrypted(files, names[-1], core_bytes, (index, portion), pending.tell)
                portions.append(sealed)
                written.append((names[-1], index, sealed.digest, sealed.length))
            seal_input = SealInput(core, tuple(portions), cleared.recipients)
            alone = self._sealing.sealed_alone(pending, cleared, lane, seal_input)
            await self._in_thread(files.keep, alone.stored.segment_id, written)
        except BaseException:
            await self._in_thread(files.forget, names)
            raise
        return alone

    async def _encrypted(
        self, files: AttachedFiles, name: str, core_bytes: bytes, which: tuple[int, StoredPortion], tell: Tell
    ) -> UploadedPortion:
        index, portion = which
        length = portion.content.length
        sealer = UploadSealer(core_bytes, index, portion.header, length=length, random_bytes=self._random_bytes)
        telling = _telling(tell, Stage.SEALING, index, length)
        stopped = threading.Event()

        def go_on() -> None:
            if stopped.is_set():
                raise UnreachableError("the node was closed while an attachment was encrypted")

        ciphertext = sealer.encrypt(_content(portion.content, telling))
        writing = asyncio.ensure_future(asyncio.to_thread(files.write, name, ciphertext, go_on))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            stopped.set()
            await asyncio.wait([writing])
            raise
        return sealer.portion

    async def _lane(self, files: AttachedFiles, cleared: Cleared) -> Lane:
        """Give a lane that no report is in, and in which none was refused."""
        profile = cleared.profile
        taken: set[Lane] = set(self._broken)
        for state in (SegmentState.UNANSWERED, SegmentState.ENDED):
            taken |= await self._pipeline.on_disk(self._outbox.lanes_in, state)
        return await self._in_thread(files.free_lane, profile.agreement_id, transport_class(profile), taken)

    # --- uploading ----------------------------------------------------------------------------------------------------

    async def _upload_all(self, line: _Line) -> None:
        while True:
            await line.uploading.wait()
            line.uploading.clear()
            while line.again or line.outgoings:
                if line.again:
                    outgoing = line.again.pop(next(iter(line.again)))
                    await self._uploaded(line, outgoing)
                    continue
                outgoing = line.outgoings.popleft()
                line.room.set()
                if await self._uploaded(line, outgoing):
                    self._pipeline.hand_on(outgoing)

    async def _uploaded(self, line: _Line, outgoing: Outgoing) -> bool:
        """Upload what a segment names, however long it takes; False where it ended meanwhile or is refused for good."""
        files = await self._open()
        mismatches = 0
        while outgoing.segment.lane not in self._broken:
            try:
                for one in await self._in_thread(files.of, outgoing.segment.segment_id):
                    await self._upload(line, outgoing, one)
            except ComityError as error:
                mismatches += error.code is ErrorCode.UPLOAD_MISMATCH
                if isinstance(error, KeyFault | AccessError) and error.retry_after_seconds is None:
                    raise
                if not _delays(error) and not (error.code is ErrorCode.UPLOAD_MISMATCH and mismatches < _ANEW):
                    self._sending.ended(outgoing, error)
                    return False
                self._sending.troubled(error, [outgoing])
                await asyncio.sleep(line.backoff.next_seconds(error.retry_after_seconds))
            else:
                line.backoff.succeeded()
                return True
        return False

    async def _upload(self, line: _Line, outgoing: Outgoing, one: AttachedFile) -> None:
        tell = outgoing.sealed.pendings[0].tell if outgoing.sealed is not None else untold
        what = Ciphertext(outgoing.segment.lane.agreement_id, one.digest, one.length, one.path)
        await upload(line.connection, what, lambda done: tell(Progress(Stage.UPLOADING, one.portion, done, one.length)))

    # --- files --------------------------------------------------------------------------------------------------------

    async def _release(self, files: AttachedFiles, segment_ids: frozenset[bytes]) -> None:
        """Let go of files whose segment the outbox has let go of, or a refusal ended."""
        states = {one: await self._pipeline.on_disk(self._outbox.state_of, one) for one in segment_ids}
        gone = [one for one, state in states.items() if state is None or state is SegmentState.ENDED]
        await self._in_thread(files.release, gone)

    async def _open(self) -> AttachedFiles:
        if self._files is None:
            self._files = await self._in_thread(lambda: AttachedFiles(self._outbox.directory, self._random_bytes))
        return self._files

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._rows, work, *arguments)

    def _line(self, lane: Lane) -> _Line:
        return self._lines[is_urgent(lane.transport_class)]


def _delays(error: ComityError) -> bool:
    """Say whether an upload is tried again after this."""
    again = isinstance(error, UnreachableError | StorageError) or error.code is ErrorCode.SUPERSEDED
    return again or error.retry_after_seconds is not None


def _content(content: StoredContent, told: Callable[[int], None]) -> Iterator[bytes]:
    """Give a file's content in blocks; raises NotFoundError, UsageError where it is not the file that was named."""
    try:
        descriptor = os.open(content.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", 0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != content.length:
                raise UsageError(
                    f"{content.path} is not the file of {content.length} bytes that was to be attached",
                    what_to_do="Attach it again, and do not change it meanwhile.",
                )
            done = 0
            while block := file.read(min(_BLOCK_BYTES, content.length + 1 - done)):
                done += len(block)
                yield block
                told(done)
    except OSError as error:
        raise NotFoundError(f"{content.path} cannot be read: {error.strerror}", code=ErrorCode.FILE_UNKNOWN) from error


def _telling(tell: Tell, stage: Stage, portion: int, total: int) -> Callable[[int], None]:
    """Give what tells from another thread how far it is, at most once a block and at the end."""
    loop = asyncio.get_running_loop()
    if tell is untold:
        return lambda _: None
    heard = 0

    def told(done: int) -> None:
        nonlocal heard
        if done - heard >= PROGRESS_BYTES or done == total:
            heard = done
            loop.call_soon_threadsafe(tell, Progress(stage, portion, done, total))

    return told
