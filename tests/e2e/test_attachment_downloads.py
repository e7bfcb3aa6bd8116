"""Downloads past the SDK and through it: of what was handed over and may still be had, resumed wherever they were cut."""

import asyncio
import fcntl
import os

import grpc
import pytest

from builders_attached import SIZE, received, video, with_video
from builders_attachments import code_of, rows
from builders_sdk import AGREEMENT, sharing
from comity.attachment import Into
from comity.errors import ConflictError, ErrorCode, RefusedError, StorageError
from comity.v1 import attachments_pb2
from comity_broker.downloads import Downloads
from comity_broker.services import attachments as services
from comity_broker.storage.blobs import blob_name
from comity_broker.storage.protocol import UploadState
from comity_policy.steps import StepKind


async def test_a_portion_for_own_eyes_is_neither_shown_nor_fetched(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        sent = with_video(video(tmp_path), "SECRET//NOFORN", marking="SECRET//NOFORN")
        receipt = await sender.send(sent, agreement=AGREEMENT)
        (delivery,) = await received(reader)
        assert delivery.report.attachments == ()
        assert delivery.report.withheld == (1,)
        await refused_download(reader, receipt.report_id.bytes, 1)


async def refused_download(node, report_id: bytes, portion: int, offset: int = 0) -> ErrorCode:
    """Ask the broker past the SDK; give why it says no, having given nothing."""
    request = attachments_pb2.DownloadRequest(
        agreement_id=AGREEMENT, report_id=report_id, portion=portion, offset=offset
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await node.connection.attachments.Download(request).read()
    return node.connection.error_of(caught.value).code


async def test_nothing_is_handed_out_that_was_not_handed_over(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        receipt = await sender.send(with_video(video(tmp_path)), agreement=AGREEMENT)
        report_id = receipt.report_id.bytes
        assert await refused_download(reader, report_id, 1) is ErrorCode.REPORT_UNKNOWN
        assert await refused_download(sender, report_id, 1) is ErrorCode.REPORT_UNKNOWN
        await received(reader)
        assert await refused_download(reader, report_id, 0) is ErrorCode.REPORT_UNKNOWN
        assert await refused_download(reader, report_id, 2) is ErrorCode.REPORT_UNKNOWN
        assert await refused_download(reader, bytes(16), 1) is ErrorCode.REPORT_UNKNOWN
        assert await refused_download(reader, b"short", 1) is ErrorCode.MALFORMED
        assert await refused_download(reader, report_id, 1, 1 << 63) is ErrorCode.RANGE_INVALID
        other = await world.enrol(world.world.xbo, "n2")
        async with world.node("XBO/n2") as second:
            assert str(other.identity) == "XBO/n2"
            assert await refused_download(second, report_id, 1) is ErrorCode.REPORT_UNKNOWN


async def test_a_suspended_agreement_gives_nothing_more_and_a_resumed_one_goes_on(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        await sender.send(with_video(video(tmp_path)), agreement=AGREEMENT)
        (delivery,) = await received(reader)
        await world.treaty.take(StepKind.SUSPEND, world.world.xar, clauses=(), reason="a review")
        with pytest.raises(RefusedError) as caught:
            await delivery.report.attachments[0].save(tmp_path / "saved")
        assert caught.value.code is ErrorCode.AGREEMENT_NOT_IN_FORCE
        assert not (tmp_path / "saved").exists()
        await world.treaty.take(StepKind.RESUME, world.world.xar, clauses=(), reason="it was in order")
        assert (await delivery.report.attachments[0].save(tmp_path / "saved")).new


async def download(node, report_id: bytes, portion: int) -> int:
    """Take all of a portion past the SDK; give its length. Raises ComityError."""
    request = attachments_pb2.DownloadRequest(agreement_id=AGREEMENT, report_id=report_id, portion=portion)
    call, length = node.connection.attachments.Download(request), 0
    try:
        while (response := await call.read()) is not grpc.aio.EOF:
            length += len(response.piece)
    except grpc.aio.AioRpcError as error:
        raise node.connection.error_of(error) from error
    return length


async def test_what_stands_against_a_report_later_ends_its_downloads(tmp_path, monkeypatch):
    """Looked at on the way, a lost or shortened ciphertext, a recall, a freeze, the end of the broker: each says what it is."""
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        receipts = [await sender.send(with_video(video(tmp_path)), agreement=AGREEMENT) for _ in range(2)]
        first, second = (one.report_id.bytes for one in receipts)
        await received(reader)
        broker = world.world.broker
        permitted, asked = Downloads.permitted, []

        async def once(*arguments):
            asked.append(arguments)
            if len(asked) > 1:
                raise RefusedError("it was suspended", code=ErrorCode.AGREEMENT_NOT_IN_FORCE)
            return await permitted(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(services, "AGAIN_BYTES", 1_000_000)
            patched.setattr(Downloads, "permitted", once)
            assert await code_of(download(reader, first, 1)) is ErrorCode.AGREEMENT_NOT_IN_FORCE
        assert await download(reader, first, 1) > SIZE

        uploads = {row.digest: row for row in await rows(world)}
        (row, other) = uploads.values()
        names = {one.digest: blob_name(AGREEMENT, one.node, one.digest) for one in (row, other)}
        for one in (row, other):
            path = world.world.data / "attachments" / names[one.digest]
            os.truncate(path, one.length - 1000)
        with pytest.raises(StorageError, match="ends before its length"):
            await download(reader, second, 1)
        for one in (row, other):
            assert await broker.attaching.sweeping._replaced(AGREEMENT, one, one._replace(state=UploadState.OPEN))
        with pytest.raises(StorageError, match="has lost a ciphertext"):
            await download(reader, second, 1)

        await sender.recall(receipts[0].report_id, agreement=AGREEMENT, reason="it was wrong")
        assert await code_of(download(reader, first, 1)) is ErrorCode.REPORT_RECALLED
        await broker.agreements.freeze(AGREEMENT, "two histories")
        assert await code_of(download(reader, second, 1)) is ErrorCode.LOG_FROZEN
        broker.attaching.drain()
        assert await code_of(download(reader, second, 1)) is ErrorCode.DRAINING


async def test_a_cut_download_goes_on_and_a_garbled_one_begins_anew(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        path = video(tmp_path)
        await sender.send(with_video(path), agreement=AGREEMENT)
        (delivery,) = await received(reader)
        (attachment,) = delivery.report.attachments
        begun = asyncio.Event()
        saving = asyncio.create_task(attachment.save(tmp_path / "a", progress=lambda _: begun.set()))
        await begun.wait()
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        (spool,) = (tmp_path / "home" / "XBO").rglob("attachments/*/*")
        whole = attachment.length
        assert 0 < spool.stat().st_size <= whole
        spool.write_bytes(b"\x00" * 1_000_000)
        heard = []
        assert (await attachment.save(tmp_path / "a", progress=heard.append)).new
        assert (tmp_path / "a").read_bytes() == path.read_bytes()
        assert not spool.exists()


async def test_a_file_that_is_there_is_kept_whatever_it_holds(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        path = video(tmp_path)
        await sender.send(with_video(path), agreement=AGREEMENT)
        (delivery,) = await received(reader)
        (attachment,) = delivery.report.attachments
        (tmp_path / "other").write_bytes(b"something else")
        with pytest.raises(ConflictError) as caught:
            await attachment.save(tmp_path / "other")
        assert caught.value.code is ErrorCode.FILE_EXISTS
        assert not (tmp_path / ".other.partial").exists()
        assert (tmp_path / "other").read_bytes() == b"something else"
        (tmp_path / "same").write_bytes(path.read_bytes())
        assert not (await attachment.save(tmp_path / "same")).new
        named = await attachment.save(Into(tmp_path / "named", lambda portion: portion.file_name))
        assert named.path == tmp_path / "named" / "video.mp4"


async def test_what_a_killed_process_was_writing_is_written_anew_and_leaves_nothing(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        path = video(tmp_path)
        await sender.send(with_video(path), agreement=AGREEMENT)
        (delivery,) = await received(reader)
        (tmp_path / "in").mkdir()
        left = tmp_path / "in" / ".a.partial"
        left.write_bytes(bytes(2 * SIZE))
        with left.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(ConflictError) as caught:
                await delivery.report.attachments[0].save(tmp_path / "in" / "a")
        assert caught.value.code is ErrorCode.LOCKED
        assert (await delivery.report.attachments[0].save(tmp_path / "in" / "a")).new
        assert [one.name for one in (tmp_path / "in").iterdir()] == ["a"]
        assert (tmp_path / "in" / "a").read_bytes() == path.read_bytes()
