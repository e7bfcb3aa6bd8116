"""Attachments from node to node through a real broker: whole or not at all, for whom they are meant, resumed wherever they were cut."""

import asyncio
import fcntl
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

import comity
from builders_attachments import no_streams, rows
from builders_sdk import AGREEMENT, report, sharing
from comity.attachment import Into, Stage
from comity.errors import ComityError, ConflictError, ErrorCode, NotFoundError, RefusedError, StorageError, UsageError
from comity.node.attached_files import AttachedFiles
from comity.portion import Portion
from comity.v1 import attachments_pb2
from comity_broker.attachments import Attachments
from comity_broker.downloads import Downloads
from comity_broker.services import attachments as services
from comity_broker.settings import Settings
from comity_broker.storage.blob_directory import BlobDirectory
from comity_broker.storage.blobs import blob_name
from comity_broker.storage.protocol import UploadState
from comity_broker.sweeping import Sweeping
from comity_policy.steps import StepKind

BOTH = "SECRET//REL TO XAR, XBO"
SIZE = 3_000_000
PARTS = ("blobs", "journal", "reader", "ledger", "clock", "settings")


def video(folder: Path, size: int = SIZE, name: str = "video.mp4") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


def with_video(path: Path, of_file: str = BOTH, **fields):
    return report("", Portion.of_text("two boats", BOTH), comity.attached(path, of_file, title="Boats"), **fields)


class Slow(BlobDirectory):
    """A store of blobs that is stuck, until it is let go on."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def begin(self, name):
        self.asked.set()
        self.go_on.wait(60)
        return super().begin(name)


class Losing(Attachments):
    """Uploads, the first of which is lost as soon as it is ready."""

    lost = 0

    async def commit_ready(self, key, length):
        await super().commit_ready(key, length)
        if not Losing.lost:
            Losing.lost += 1
            (row,) = await self.reader.uploads(AGREEMENT)
            sweeping = Sweeping(self, lambda: True)
            assert await sweeping._replaced(AGREEMENT, row, row._replace(state=UploadState.LEAVING))
            assert await sweeping.sweep() == 1


async def received(node):
    """Give what is due, acknowledged."""
    found = []
    async for delivery in node.receive(follow=False, purpose="counter-terrorism"):
        found.append(delivery)
        delivery.acknowledge()
    return found


async def test_a_file_arrives_byte_for_byte_and_was_ciphertext_everywhere_on_its_way(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        path = video(tmp_path)
        told = []
        receipt = await sender.send(with_video(path), agreement=AGREEMENT, progress=told.append)
        assert receipt.recipients == (("XBO/n1", (0, 1)),)
        assert {one.stage for one in told} == {Stage.SEALING, Stage.UPLOADING}
        assert all(one.portion == 1 and 0 <= one.done <= one.total for one in told)
        assert [one.done for one in told if one.stage is Stage.SEALING][-1] == SIZE
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery as got:
                assert (got.text, got.withheld, got.shown) == ("two boats", (), (0, 1))
                (attachment,) = got.attachments
                assert attachment.index == 1
                assert attachment.length > SIZE
                heard = []
                saved = await attachment.save(tmp_path / "in" / "boats.mp4", progress=heard.append)
                assert (saved.portion.file_name, saved.portion.media_type) == ("video.mp4", "application/octet-stream")
                assert (saved.portion.title, saved.portion.length, saved.new) == ("Boats", SIZE, True)
                assert {one.stage for one in heard} == {Stage.DOWNLOADING}
                assert (heard[0].done, heard[-1].done) == (0, attachment.length)
        content = path.read_bytes()
        assert (tmp_path / "in" / "boats.mp4").read_bytes() == content
        assert (tmp_path / "in" / "boats.mp4").stat().st_mode & 0o777 == 0o600
        written = [one for one in tmp_path.rglob("*") if one.is_file() and one.name not in {"video.mp4", "boats.mp4"}]
        assert not [one for one in written if content[1000:1100] in one.read_bytes()]
        assert not list((tmp_path / "home" / "XBO").rglob("attachments/*/*"))
        assert not (*sender.alarms(), *reader.alarms())


async def test_an_upload_lives_as_long_as_the_report_that_names_it(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        expires_at = datetime.now(UTC) + timedelta(hours=1)
        await sender.send(with_video(video(tmp_path), expires_at=expires_at), agreement=AGREEMENT)
        (row,) = await rows(world)
        (delivery,) = await received(reader)
        assert row.expires_at == delivery.expires_at > 0
        attaching = world.world.broker.attaching
        attaching.uploads.clock.committed(row.expires_at - 1)
        assert await attaching.sweeping.sweep() == 0
        attaching.uploads.clock.committed(row.expires_at)
        with pytest.raises(RefusedError) as caught:
            await delivery.report.attachments[0].save(tmp_path / "late")
        assert caught.value.code is ErrorCode.REPORT_EXPIRED
        assert await attaching.sweeping.sweep() == 1
        assert await rows(world) == []
        assert attaching.uploads.blobs.names() == frozenset()


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


async def code_of(coroutine) -> ErrorCode:
    with pytest.raises(ComityError) as caught:
        await coroutine
    return caught.value.code


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


async def test_an_empty_file_and_several_files_arrive(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        paths = [video(tmp_path, size, f"{size}.bin") for size in (0, 1, 1_048_576)]
        sent = report("", *(comity.attached(one, BOTH) for one in paths))
        await sender.send(sent, agreement=AGREEMENT)
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery as got:
                assert got.opened == ()
                assert got.banner.endswith("SECRET//REL TO XAR, XBO")
                for path, attachment in zip(paths, got.attachments, strict=True):
                    await attachment.save(tmp_path / "in" / path.name)
        assert [(tmp_path / "in" / one.name).read_bytes() for one in paths] == [one.read_bytes() for one in paths]


async def test_what_was_stored_goes_on_in_the_next_process_and_what_was_not_is_gone(tmp_path):
    blobs = Slow(tmp_path / "broker")
    async with sharing(tmp_path, blobs=lambda _: blobs) as world, world.node("XBO") as reader:
        outbox = tmp_path / "home" / "XAR" / "n1" / "outbox"
        async with world.node("XAR") as sender:
            sending = asyncio.create_task(sender.send(with_video(video(tmp_path)), agreement=AGREEMENT))
            await asyncio.to_thread(blobs.asked.wait)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        files = AttachedFiles(outbox, os.urandom)
        (outbox / "attachments" / files.begin()).write_bytes(b"of a process that died")
        files.close()
        assert len(list((outbox / "attachments").iterdir())) == 2
        blobs.go_on.set()
        async with world.node("XAR") as sender:
            await sender.settle()
            assert [one.report.text for one in await received(reader)] == ["two boats"]
        assert len(list((outbox / "attachments").iterdir())) == 1


async def test_a_broker_that_lost_an_upload_gets_it_again_before_it_admits_the_report(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        attaching = world.world.broker.attaching
        before, Losing.lost = attaching.uploads, 0
        attaching.uploads = Losing(*(getattr(before, name) for name in PARTS))
        receipt = await sender.send(with_video(video(tmp_path)), agreement=AGREEMENT)
        assert Losing.lost == 1
        (delivery,) = await received(reader)
        assert delivery.report.report_id == receipt.report_id
        assert (await delivery.report.attachments[0].save(tmp_path / "saved")).new


async def test_other_reports_do_not_wait_for_an_upload(tmp_path):
    blobs = Slow(tmp_path / "broker")
    async with (
        sharing(tmp_path, blobs=lambda _: blobs) as world,
        world.node("XAR") as sender,
        world.node("XBO") as reader,
    ):
        sending = asyncio.create_task(sender.send(with_video(video(tmp_path)), agreement=AGREEMENT))
        await asyncio.to_thread(blobs.asked.wait)
        await sender.send(report("meanwhile"), agreement=AGREEMENT)
        assert [one.report.text for one in await received(reader)] == ["meanwhile"]
        blobs.go_on.set()
        await sending
        assert [one.report.text for one in await received(reader)] == ["two boats"]


async def test_a_file_that_changed_or_is_gone_is_refused_and_the_next_report_goes(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender, world.node("XBO") as reader:
        path = video(tmp_path)
        changed, gone = with_video(path), with_video(path)
        path.write_bytes(b"shorter")
        with pytest.raises(UsageError, match="is not the file"):
            await sender.send(changed, agreement=AGREEMENT)
        path.unlink()
        with pytest.raises(NotFoundError):
            await sender.send(gone, agreement=AGREEMENT)
        with pytest.raises(NotFoundError):
            comity.attached(path, BOTH)
        with pytest.raises(UsageError):
            comity.attached(tmp_path, BOTH)
        await sender.send(with_video(video(tmp_path)), agreement=AGREEMENT)
        assert len(await received(reader)) == 1
        assert len(list((tmp_path / "home" / "XAR" / "n1" / "outbox" / "attachments").iterdir())) == 1
        await no_streams(world)


async def test_what_the_broker_will_not_take_is_refused_and_what_comes_after_it_goes(tmp_path):
    settings = Settings(listen="127.0.0.1:0", drain=2.0, attachment_bytes=1_000_000)
    async with (
        sharing(tmp_path, settings=settings) as world,
        world.node("XAR") as sender,
        world.node("XBO") as reader,
    ):
        large, small = video(tmp_path), video(tmp_path, 500_000, "small.mp4")
        sent = [one async for one in sender.send_many(map(with_video, (large, small, large)), agreement=AGREEMENT)]
        assert [one.accepted for one in sent] == [False, True, False]
        assert {one.refusal.code for one in sent if one.refusal} == {ErrorCode.LIMIT_EXCEEDED}
        (delivery,) = await received(reader)
        saved = await delivery.report.attachments[0].save(tmp_path / "saved")
        assert saved.path.read_bytes() == small.read_bytes()
        await sender.send(report("after"), agreement=AGREEMENT)
        assert [one.report.text for one in await received(reader)] == ["after"]


async def test_what_the_agreement_refuses_is_not_even_encrypted(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        sent = report("", comity.attached(video(tmp_path), "SECRET//NOFORN"), marking="SECRET//NOFORN")
        with pytest.raises(RefusedError):
            await sender.send(sent, agreement=AGREEMENT)
        assert not (tmp_path / "home" / "XAR" / "n1" / "outbox" / "attachments").exists()
