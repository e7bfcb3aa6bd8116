"""Attachments from node to node through a real broker: whole or not at all, for whom they are meant, resumed wherever they were cut."""

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import comity
from builders_attached import BOTH, SIZE, received, video, with_video
from builders_attachments import no_streams, rows
from builders_sdk import AGREEMENT, report, sharing
from comity.attachment import Stage
from comity.errors import ErrorCode, NotFoundError, RefusedError, UsageError
from comity.node.attached_files import AttachedFiles
from comity_broker.attachments import Attachments
from comity_broker.settings import Settings
from comity_broker.storage.blob_directory import BlobDirectory
from comity_broker.storage.protocol import UploadState
from comity_broker.sweeping import Sweeping

PARTS = ("blobs", "journal", "reader", "ledger", "clock", "settings")


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
