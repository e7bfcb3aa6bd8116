"""The end of uploads at a real broker: what nobody names goes in time, and nothing goes by a clock that was set or while it is used."""

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
from builders_sdk import AGREEMENT, sharing
from comity.errors import ErrorCode
from comity.node.clock import wall_ms
from comity.node.uploading import upload
from comity.v1 import attachments_pb2
from comity_broker.attachment_check import check_attachments
from comity_broker.storage.protocol import UploadState
from comity_broker.sweeping import ABANDONED_MS


async def test_under_a_frozen_log_nothing_is_taken_and_nothing_goes(tmp_path):
    async with sharing(tmp_path) as world:
        broker = world.world.broker
        await brought(world, ciphertext(tmp_path, 5000))
        await broker.agreements.freeze(AGREEMENT, "two histories")
        assert await code_of(brought(world, ciphertext(tmp_path, 5000, name="other"))) is ErrorCode.LOG_FROZEN
        (row,) = await rows(world)
        broker.attaching.uploads.clock.committed(row.touched_at + ABANDONED_MS)
        assert await broker.attaching.sweeping.sweep() == 0
        assert await rows(world) == [row]


async def test_what_a_stream_brings_stays_however_old_and_what_was_taken_away_is_not_made_ready(tmp_path):
    async with sharing(tmp_path) as world, world.world.connection(world.nodes["XAR"]) as connection:
        broker, what = world.world.broker, ciphertext(tmp_path, 5000)
        content = what.path.read_bytes()
        call = connection.attachments.Upload()
        await call.write(opening(what))
        await call.read()
        (row,) = await rows(world)
        broker.attaching.uploads.clock.committed(row.touched_at + ABANDONED_MS)
        assert await broker.attaching.sweeping.sweep() == 0
        assert await broker.attaching.sweeping._replaced(AGREEMENT, row, row._replace(state=0))
        # Once more, and it is another row than the one that was seen.
        assert not await broker.attaching.sweeping._replaced(AGREEMENT, row, row._replace(state=0))
        await call.write(attachments_pb2.UploadRequest(piece=content))
        with pytest.raises(Exception, match="removed meanwhile") as caught:
            await call.read()
        assert connection.error_of(caught.value).code is ErrorCode.RATE_LIMITED
        assert await rows(world) == []


async def test_what_nobody_names_goes_after_three_days_and_not_by_a_clock_that_was_set(tmp_path):
    async with sharing(tmp_path) as world:
        broker = world.world.broker
        async with world.world.connection(world.nodes["XAR"]) as connection:
            await upload(connection, ciphertext(tmp_path, 5000), lambda _: None)
            await cut_upload(connection, ciphertext(tmp_path, 300_000, name="cut"), 1)
            await no_streams(world)
        sweep = broker.attaching.sweeping.sweep
        assert await sweep() == 0
        later = max(row.touched_at for row in await rows(world)) + ABANDONED_MS
        broker.attaching.uploads.clock.committed(later - 1)
        assert await sweep() < 2
        broker.monitor.clock_stepped()
        broker.attaching.uploads.clock.committed(later)
        assert await sweep() == 0
        broker.monitor._time_counts = True
        await sweep()
        assert await rows(world) == []
        assert blobs_of(world).names() == frozenset()


async def test_a_clock_that_was_set_a_moment_ago_takes_no_upload_away(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.world.connection(world.nodes["XAR"]) as connection:
            await upload(connection, ciphertext(tmp_path, 5000), lambda _: None)
            await no_streams(world)
        world.world.clock.wall = lambda: wall_ms() + 2 * ABANDONED_MS
        assert await world.world.broker.attaching.sweeping.sweep() == 0
        assert len(await rows(world)) == 1


async def test_an_upload_that_was_leaving_when_the_broker_died_goes_and_is_taken_again(tmp_path):
    async with sharing(tmp_path) as world:
        what = ciphertext(tmp_path, 5000)
        await brought(world, what)
        (row,) = await rows(world)
        sweeping = world.world.broker.attaching.sweeping
        assert await sweeping._replaced(AGREEMENT, row, row._replace(state=UploadState.LEAVING))
        assert not await sweeping._replaced(AGREEMENT, row, row._replace(state=0))
        assert await code_of(brought(world, what)) is ErrorCode.RATE_LIMITED
        assert await sweeping.sweep() == 1
        assert await brought(world, what) == [0, what.length]


async def test_a_file_without_a_row_is_reported_and_stays_and_a_changed_one_is_found(tmp_path):
    async with sharing(tmp_path) as world:
        await brought(world, ciphertext(tmp_path, 5000))
        folder = world.world.data / "attachments"
        (whole,) = folder.iterdir()
        (folder / "stray").write_bytes(b"x")
        whole.write_bytes(b"y" * 5000)
        found = await check_attachments(reader_of(world), blobs_of(world))
        assert len(found) == 2
        assert "has not the length or the digest" in found[0]
        assert found[1] == "attachments: no upload names stray; it stays"
        whole.unlink()
        assert "is not there" in (await check_attachments(reader_of(world), blobs_of(world)))[0]
        await world.world.broker.attaching.sweeping.sweep()
        assert (folder / "stray").exists()
