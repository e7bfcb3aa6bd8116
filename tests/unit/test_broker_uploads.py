"""Uploads at a real broker: taken in pieces, from where they were cut, whole or not at all, and within their limits."""

import threading
from dataclasses import replace

import msgspec
import pytest

from builders_attachments import (
    blobs_of,
    brought,
    ciphertext,
    code_of,
    cut_upload,
    no_streams,
    opening,
    reader_of,
    rows,
)
from builders_sdk import AGREEMENT, sharing, until
from comity.errors import AccessError, ComityError, ErrorCode, MalformedError, StorageError
from comity.node.uploading import PIECE_BYTES, upload
from comity.v1 import attachments_pb2
from comity_broker import attachments
from comity_broker.attachment_check import check_attachments
from comity_broker.storage.blob_directory import BlobDirectory
from comity_broker.storage.blobs import BlobPoint, blob_name
from comity_broker.storage.protocol import UploadState, Usage
from comity_policy.steps import StepKind


async def read_to_the_end(call):
    while True:
        assert (await call.read()).WhichOneof("frame") == "opened"


async def test_what_was_uploaded_is_there_byte_for_byte_and_is_not_sent_twice(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path)
        assert await brought(world, what) == [0, what.length]
        ((node, digest, length, state, _, expires_at),) = await rows(world)
        assert (node, digest, length, state, expires_at) == ("XAR/n1", what.digest, what.length, 2, 0)
        blob = blobs_of(world).open(blob_name(AGREEMENT, node, digest), 0)
        assert blob.read(length + 1, 2) == [what.path.read_bytes()]
        blob.close()
        what.path.unlink()
        (tmp_path / "sealed").write_bytes(b"")
        assert await brought(world, what) == [what.length] * 2
        assert await check_attachments(reader_of(world), blobs_of(world)) == []


async def test_an_upload_that_was_cut_goes_on_where_it_ended(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path)
        async with world.world.connection(world.nodes["XAR"]) as connection:
            await cut_upload(connection, what, 9)
            await no_streams(world)
            await cut_upload(connection, what, 2)
            await no_streams(world)
        (first, *_, last) = await brought(world, what)
        assert 0 < first < what.length == last
        assert [row.state for row in await rows(world)] == [UploadState.READY]


async def test_the_newest_stream_of_an_upload_has_it(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XAR"]) as connection:
        what = ciphertext(tmp_path)
        content = what.path.read_bytes()
        older = connection.attachments.Upload()
        await older.write(opening(what))
        await older.read()
        await older.write(attachments_pb2.UploadRequest(piece=content[: 100 << 10]))
        await upload(connection, what, lambda _: None)
        await older.write(attachments_pb2.UploadRequest(piece=content[: 100 << 10]))
        with pytest.raises(Exception, match="newer stream"):
            await older.read()
        assert [row.state for row in await rows(world)] == [UploadState.READY]


async def test_other_bytes_than_were_announced_begin_anew(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path)
        right = what.path.read_bytes()
        what.path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
        assert await code_of(brought(world, what)) is ErrorCode.UPLOAD_MISMATCH
        assert [row.state for row in await rows(world)] == [UploadState.OPEN]
        assert await code_of(brought(world, replace(what, length=what.length - 1))) is ErrorCode.UPLOAD_MISMATCH
        what.path.write_bytes(right)
        assert await brought(world, what) == [0, what.length]


@pytest.mark.parametrize(
    "frames",
    [
        lambda what: [attachments_pb2.UploadRequest(piece=b"x")],
        lambda what: [attachments_pb2.UploadRequest()],
        lambda what: [opening(what), opening(what)],
        lambda what: [opening(what), attachments_pb2.UploadRequest(piece=b"")],
        lambda what: [opening(what), attachments_pb2.UploadRequest(piece=bytes(PIECE_BYTES + 1))],
        lambda what: [opening(replace(what, digest=what.digest[:-1]))],
        lambda what: [opening(replace(what, length=0))],
        lambda what: [opening(replace(what, length=(64 << 30) + 1))],
        lambda what: [opening(replace(what, length=(1 << 64) - 1))],
    ],
)
async def test_what_is_no_upload_is_refused_in_words(tmp_path, frames):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XAR"]) as connection:
        call = connection.attachments.Upload()
        for frame in frames(ciphertext(tmp_path)):
            await call.write(frame)
        await call.done_writing()
        with pytest.raises(Exception, match=r"upload|piece") as caught:
            await read_to_the_end(call)
        error = connection.error_of(caught.value)
        assert error.code in {ErrorCode.MALFORMED, ErrorCode.LIMIT_EXCEEDED}
        assert isinstance(error, MalformedError)


async def test_an_end_before_the_last_piece_keeps_what_came(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XAR"]) as connection:
        what = ciphertext(tmp_path)
        call = connection.attachments.Upload()
        await call.write(opening(what))
        await call.read()
        await call.write(attachments_pb2.UploadRequest(piece=what.path.read_bytes()[:1000]))
        await call.done_writing()
        with pytest.raises(Exception, match="until all of it came"):
            await call.read()
        await no_streams(world)
        assert (await brought(world, what))[0] == 1000


async def test_bytes_beyond_the_announced_are_refused_and_cost_none_of_those_before(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XAR"]) as connection:
        what = ciphertext(tmp_path, 5000)
        content = what.path.read_bytes()
        call = connection.attachments.Upload()
        await call.write(opening(what))
        await call.read()
        await call.write(attachments_pb2.UploadRequest(piece=content[:4000]))
        await call.write(attachments_pb2.UploadRequest(piece=content[4000:] + b"x"))
        with pytest.raises(Exception, match="more bytes came than were announced") as caught:
            await call.read()
        assert connection.error_of(caught.value).code is ErrorCode.UPLOAD_MISMATCH
        await no_streams(world)
        assert await brought(world, what) == [4000, what.length]


async def test_tiny_pieces_are_taken_and_do_not_pile_up(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XAR"]) as connection:
        what = ciphertext(tmp_path, 500)
        call = connection.attachments.Upload()
        await call.write(opening(what))
        await call.read()
        for byte in what.path.read_bytes()[:-1]:
            await call.write(attachments_pb2.UploadRequest(piece=bytes([byte])))
        uploads = world.world.broker.attaching.uploads
        (upload_,) = uploads._streams.values()
        await until(lambda: upload_.offset == 499)
        assert len(upload_._waiting) < 64
        await call.write(attachments_pb2.UploadRequest(piece=what.path.read_bytes()[-1:]))
        assert (await call.read()).WhichOneof("frame") == "ready"


async def test_only_parties_of_the_agreement_upload_and_only_while_it_is_in_force(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path, 5000)
        assert await code_of(brought(world, replace(what, agreement_id="XDE-XFR-1"))) is ErrorCode.AGREEMENT_UNKNOWN
        async with world.world.connection(world.treaty.officer(world.world.xar, "liaison1")) as officer:
            with pytest.raises(AccessError):
                await upload(officer, what, lambda _: None)
        await world.treaty.take(StepKind.SUSPEND, world.world.xbo, clauses=(), reason="a review")
        assert await code_of(brought(world, what)) is ErrorCode.AGREEMENT_NOT_IN_FORCE
        assert await rows(world) == []


async def test_two_nodes_with_the_same_ciphertext_have_an_upload_each(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path, 5000)
        await brought(world, what, "XBO")
        assert await brought(world, what) == [0, what.length]
        assert [(row.node, row.state) for row in await rows(world)] == [("XAR/n1", 2), ("XBO/n1", 2)]


async def test_limits_of_uploads_are_told_with_a_time_to_come_again(tmp_path):
    async with sharing(tmp_path) as world:
        uploads = world.world.broker.attaching.uploads
        uploads.settings = msgspec.structs.replace(
            uploads.settings, uploads_per_node=2, upload_bytes_per_node=200_000, attachments_total_bytes=250_000
        )
        some = [ciphertext(tmp_path, 100_000, name=f"{number}") for number in range(3)]
        async with world.world.connection(world.nodes["XAR"]) as connection:
            await cut_upload(connection, some[0], 0)
            await no_streams(world)
            large = ciphertext(tmp_path, 100_001, name="large")
            assert await code_of(upload(connection, large, lambda _: None)) is ErrorCode.RATE_LIMITED
            await cut_upload(connection, some[1], 0)
            await no_streams(world)
            with pytest.raises(ComityError) as caught:
                await upload(connection, some[2], lambda _: None)
            assert (caught.value.code, caught.value.retry_after_seconds) == (ErrorCode.RATE_LIMITED, 5.0)
            for one in some[:2]:
                await upload(connection, one, lambda _: None)
            assert await code_of(upload(connection, some[2], lambda _: None)) is ErrorCode.STORAGE_FULL
        uploads.settings = msgspec.structs.replace(uploads.settings, attachment_bytes=99_999)
        assert await code_of(brought(world, some[2])) is ErrorCode.LIMIT_EXCEEDED


async def test_an_upload_counts_on_the_disk_before_its_bytes_are_there(tmp_path):
    async with sharing(tmp_path) as world:
        uploads = world.world.broker.attaching.uploads
        free = [100_000]

        class Disk:
            def __getattr__(self, name):
                return getattr(reader, name)

            async def usage(self):
                return Usage(free_bytes=free[0], total_bytes=200_000)

        reader, uploads.reader = uploads.reader, Disk()
        what, other = ciphertext(tmp_path, 80_000), ciphertext(tmp_path, 80_000, name="other")
        with pytest.raises(StorageError) as caught:
            await brought(world, what)
        assert (caught.value.code, caught.value.retry_after_seconds) == (ErrorCode.STORAGE_FULL, 30.0)
        assert await rows(world) == []
        async with world.world.connection(world.nodes["XAR"]) as connection:
            free[0] = 180_000
            call = connection.attachments.Upload()
            await call.write(opening(what))
            assert (await call.read()).opened.offset == 0
            # Nothing of it came yet, and its room is taken.
            assert await code_of(brought(world, other, "XBO")) is ErrorCode.STORAGE_FULL
            await call.write(attachments_pb2.UploadRequest(piece=what.path.read_bytes()[:1000]))
            call.cancel()
            await no_streams(world)
        free[0] = 100_000
        assert await code_of(brought(world, what)) is ErrorCode.STORAGE_FULL
        await no_streams(world)
        free[0] = 120_000
        (offset, *_, last) = await brought(world, what)
        assert offset <= 1000
        assert last == what.length


async def test_a_disk_that_fills_up_ends_an_upload_on_its_way(tmp_path, monkeypatch):
    monkeypatch.setattr(attachments, "SYNC_BYTES", PIECE_BYTES)
    async with sharing(tmp_path) as world:
        uploads = world.world.broker.attaching.uploads

        class Filling:
            asked = 0

            def __getattr__(self, name):
                return getattr(reader, name)

            async def usage(self):
                self.asked += 1
                return Usage(free_bytes=(10**9 if self.asked <= 2 else 0), total_bytes=10**9)

        reader, uploads.reader = uploads.reader, Filling()
        what = ciphertext(tmp_path, 12 * PIECE_BYTES)
        assert await code_of(brought(world, what)) is ErrorCode.STORAGE_FULL
        await no_streams(world)
        uploads.reader = reader
        assert (await brought(world, what))[-1] == what.length


async def test_uploads_of_others_and_those_that_are_whole_leave_a_node_its_share(tmp_path):
    async with sharing(tmp_path) as world:
        uploads = world.world.broker.attaching.uploads
        uploads.settings = msgspec.structs.replace(uploads.settings, uploads_per_node=1)
        one, other = ciphertext(tmp_path, 5000), ciphertext(tmp_path, 5000, name="other")
        async with world.world.connection(world.nodes["XAR"]) as connection:
            await cut_upload(connection, one, 0)
            await no_streams(world)
        assert await code_of(brought(world, other)) is ErrorCode.RATE_LIMITED
        assert (await brought(world, other, "XBO"))[-1] == 5000
        await brought(world, one)
        assert (await brought(world, other))[-1] == 5000


async def test_a_file_that_is_longer_than_its_upload_begins_anew(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path, 5000)
        async with world.world.connection(world.nodes["XAR"]) as connection:
            await cut_upload(connection, what, 0)
            await no_streams(world)
        (partial,) = (world.world.data / "attachments").iterdir()
        partial.write_bytes(bytes(6000))
        assert await brought(world, what) == [0, what.length]


async def test_a_broker_that_stops_ends_uploads_and_keeps_what_came(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XAR"]) as connection:
        what = ciphertext(tmp_path, 5000)
        call = connection.attachments.Upload()
        await call.write(opening(what))
        await call.read()
        await call.write(attachments_pb2.UploadRequest(piece=what.path.read_bytes()[:4000]))
        (upload_,) = world.world.broker.attaching.uploads._streams.values()
        await until(lambda: upload_.offset == 4000)
        world.world.broker.attaching.drain()
        with pytest.raises(Exception, match="about to stop") as caught:
            await call.read()
        assert connection.error_of(caught.value).code is ErrorCode.DRAINING
        await no_streams(world)
        (partial,) = (world.world.data / "attachments").iterdir()
        assert partial.read_bytes() == what.path.read_bytes()[:4000]
        assert await code_of(brought(world, what)) is ErrorCode.DRAINING


async def test_a_file_of_ciphertext_that_is_gone_or_shorter_is_said_so(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path)
        what.path.write_bytes(what.path.read_bytes()[:-1])
        assert await code_of(brought(world, what)) is ErrorCode.FILE_UNKNOWN
        what.path.unlink()
        assert await code_of(brought(world, what)) is ErrorCode.FILE_UNKNOWN


async def pieces_to(call, what, count):
    content = what.path.read_bytes()
    await call.write(opening(what))
    assert (await call.read()).opened.offset == 0
    for number in range(count):
        piece = content[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
        await call.write(attachments_pb2.UploadRequest(piece=piece))


async def test_bytes_are_taken_while_others_are_flushed_and_told_as_durable_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(attachments, "SYNC_BYTES", 2 * PIECE_BYTES)
    go_on, synced = threading.Event(), []

    def reach(point):
        if point is BlobPoint.BEFORE_SYNC:
            assert go_on.wait(60)
            (partial,) = (tmp_path / "blobs" / "attachments").iterdir()
            synced.append(partial.stat().st_size)

    blobs = BlobDirectory(tmp_path / "blobs", reach=reach)
    async with sharing(tmp_path, blobs=lambda _: blobs) as world:
        what = ciphertext(tmp_path, 9 * PIECE_BYTES)
        async with world.world.connection(world.nodes["XAR"]) as connection:
            call = connection.attachments.Upload()
            await pieces_to(call, what, 8)
            (upload_,) = world.world.broker.attaching.uploads._streams.values()
            await until(lambda: upload_.offset == 8 * PIECE_BYTES)
            assert synced == []
            go_on.set()
            last = what.path.read_bytes()[8 * PIECE_BYTES :]
            # Tiny pieces, until the broker looks at the flush again.
            await call.write(attachments_pb2.UploadRequest(piece=last[:1]))
            await until(lambda: upload_._syncing is None or upload_._syncing.done())
            for at in range(1, 101):
                await call.write(attachments_pb2.UploadRequest(piece=last[at : at + 1]))
            first = await call.read()
            assert first.WhichOneof("frame") == "progress"
            assert 2 * PIECE_BYTES <= first.progress.offset <= synced[0]
            await call.write(attachments_pb2.UploadRequest(piece=last[101:]))
            while (response := await call.read()).WhichOneof("frame") == "progress":
                assert response.progress.offset <= max(synced)
            assert response.WhichOneof("frame") == "ready"


async def test_an_upload_ends_with_the_flush_that_failed_and_goes_on_when_the_disk_does(tmp_path, monkeypatch):
    monkeypatch.setattr(attachments, "SYNC_BYTES", 2 * PIECE_BYTES)
    failing = [StorageError("the disk is full", code=ErrorCode.STORAGE_FULL)]

    def reach(point):
        if point is BlobPoint.BEFORE_SYNC and failing:
            raise failing.pop()

    async with sharing(tmp_path, blobs=lambda data: BlobDirectory(data, reach=reach)) as world:
        what = ciphertext(tmp_path, 9 * PIECE_BYTES)
        assert await code_of(brought(world, what)) is ErrorCode.STORAGE_FULL
        await no_streams(world)
        (first, *_, last) = await brought(world, what)
        assert 0 <= first < what.length == last
        assert [row.state for row in await rows(world)] == [UploadState.READY]
