"""The outbox: what was used is on disk before it leaves, and comes out again byte for byte, whatever happened between."""

import shutil
from dataclasses import replace

import apsw
import pytest

from builders_identity import fails
from comity.errors import ConflictError, ErrorCode, StorageError, UsageError
from comity.node.database import storing
from comity.node.outbox import Lane, Outbox, SegmentState, StoredBatch, StoredReceipt, StoredSegment

AGREEMENT = "XAR-XBO-1"


class CrashError(Exception):
    """What a test puts where the process would die."""


def crash_at(point: str):
    def fault(reached: str) -> None:
        if reached == point:
            raise CrashError(point)

    return fault


def segment(lane: Lane, first: int, slots: int = 2, position: int = 0, expires_at: int = 1000) -> StoredSegment:
    name = f"{lane.transport_class} {first} {lane.origin_epoch.hex()}".encode()
    return StoredSegment(
        segment_id=name.ljust(48, b".")[:48],
        lane=lane,
        first_origin_sequence=first,
        slots=slots,
        data=b"sealed " + name,
        position=position,
        packet_ids=(b"p" * 48, b"q" * 48),
        expires_at=expires_at,
    )


def batch(*segments: StoredSegment) -> StoredBatch:
    placed = tuple(replace(one, position=number) for number, one in enumerate(segments))
    return StoredBatch(
        signature=b"signature of " + placed[0].segment_id,
        segment_ids=tuple(one.segment_id for one in placed),
        segments=placed,
        packets=((b"p" * 48, b"packet p"), (b"q" * 48, b"packet q")),
    )


def receipt(of: StoredSegment, log_index: int = 7) -> StoredReceipt:
    return StoredReceipt(of.segment_id, of.lane.agreement_id, log_index, b"l" * 32, b"signed", b"k" * 48, b"entry")


async def opened(path, **options) -> Outbox:
    return await Outbox.open(path, wait=False, **options)


def lane(outbox: Outbox, transport_class: int = 4) -> Lane:
    return Lane(AGREEMENT, outbox.origin_epoch, transport_class)


async def test_what_was_stored_comes_out_again_byte_for_byte_in_its_order(tmp_path):
    outbox = await opened(tmp_path)
    routine, flash = lane(outbox), lane(outbox, 1)
    first = batch(segment(routine, 1), segment(flash, 1))
    second = batch(segment(routine, 3))
    outbox.append([first])
    outbox.append([second])
    outbox.close()
    again = await opened(tmp_path)
    assert again.unanswered() == (first, second)
    assert again.numbers() == {routine: 5, flash: 3}
    again.close()


@pytest.mark.parametrize("point", ["append:begin", "append:before-commit"])
async def test_a_number_whose_segment_did_not_reach_the_disk_was_never_used(tmp_path, point):
    outbox = await opened(tmp_path, fault=crash_at(point))
    with pytest.raises(CrashError):
        outbox.append([batch(segment(lane(outbox), 1))])
    outbox.close()
    again = await opened(tmp_path)
    assert again.unanswered() == ()
    assert again.numbers() == {}
    again.append([batch(segment(lane(again), 1))])
    again.close()


async def test_a_segment_that_reached_the_disk_is_sent_though_nobody_was_told(tmp_path):
    outbox = await opened(tmp_path, fault=crash_at("append:after-commit"))
    stored = batch(segment(lane(outbox), 1))
    with pytest.raises(CrashError):
        outbox.append([stored])
    outbox.close()
    again = await opened(tmp_path)
    assert again.unanswered() == (stored,)
    again.close()


async def test_a_power_failure_in_the_middle_of_a_write_loses_the_whole_of_it_or_nothing(tmp_path):
    """Every prefix of the write-ahead log is what a torn write may leave."""
    outbox = await opened(tmp_path / "live")
    outbox.append([batch(segment(lane(outbox), 1))])
    before = (tmp_path / "live/outbox.sqlite-wal").read_bytes()
    outbox.append([batch(segment(lane(outbox), 3))])
    after = (tmp_path / "live/outbox.sqlite-wal").read_bytes()
    for cut in range(len(before), len(after), 1111):
        torn = tmp_path / f"torn{cut}"
        torn.mkdir()
        shutil.copy(tmp_path / "live/outbox.sqlite", torn / "outbox.sqlite")
        (torn / "outbox.sqlite-wal").write_bytes(after[:cut])
        found = await opened(torn)
        assert [one.segments[0].first_origin_sequence for one in found.unanswered()] == [1]
        assert found.numbers() == {lane(found): 3}
        found.close()
    outbox.close()


async def test_a_receipt_ends_a_segment_and_stays(tmp_path):
    outbox = await opened(tmp_path)
    one, two = segment(lane(outbox), 1), segment(lane(outbox), 3)
    outbox.append([batch(one, two)])
    outbox.settle([receipt(one)])
    outbox.settle([receipt(one)])
    outbox.close()
    again = await opened(tmp_path)
    assert [left.segment_id for left in again.unanswered()[0].segments] == [two.segment_id]
    assert again.unanswered()[0].segment_ids == (one.segment_id, two.segment_id)
    assert again.receipt(one.segment_id) == receipt(one)
    assert again.receipt(two.segment_id) is None
    again.close()


async def test_a_refusal_for_good_ends_a_segment_without_a_receipt(tmp_path):
    outbox = await opened(tmp_path)
    one = segment(lane(outbox), 1)
    outbox.append([batch(one)])
    outbox.settle([], [one.segment_id])
    assert outbox.unanswered() == ()
    assert outbox.receipt(one.segment_id) is None
    outbox.close()


async def test_a_lane_leaves_no_number_out_and_uses_none_twice(tmp_path):
    outbox = await opened(tmp_path)
    outbox.append([batch(segment(lane(outbox), 1))])
    for first in (1, 2, 4):
        fails(lambda first=first: outbox.append([batch(segment(lane(outbox), first))]), ErrorCode.USAGE, UsageError)
    outbox.append([batch(segment(lane(outbox), 3))])
    outbox.close()


async def test_a_new_epoch_begins_every_lane_anew_and_keeps_what_is_unanswered(tmp_path):
    outbox = await opened(tmp_path)
    old = batch(segment(lane(outbox), 1))
    outbox.append([old])
    epoch = outbox.begin_epoch()
    assert epoch == outbox.origin_epoch != old.segments[0].lane.origin_epoch
    outbox.append([batch(segment(lane(outbox), 1))])
    outbox.close()
    again = await opened(tmp_path)
    assert again.origin_epoch == epoch
    assert [one.segments[0].lane.origin_epoch for one in again.unanswered()] == [
        old.segments[0].lane.origin_epoch,
        epoch,
    ]
    again.close()


async def test_an_outbox_that_was_lost_begins_another_epoch(tmp_path):
    first = await opened(tmp_path)
    epoch = first.origin_epoch
    first.close()
    shutil.rmtree(tmp_path)
    second = await opened(tmp_path)
    assert second.origin_epoch != epoch
    second.close()


async def test_receipts_wait_to_be_compared_with_the_log(tmp_path):
    outbox = await opened(tmp_path)
    one, two = segment(lane(outbox), 1), segment(lane(outbox), 3)
    outbox.append([batch(one, two)])
    outbox.settle([receipt(one, 7), receipt(two, 9)])
    assert [left.log_index for left in outbox.unproved(AGREEMENT, 9)] == [7]
    outbox.proved([one.segment_id])
    assert [left.log_index for left in outbox.unproved(AGREEMENT, 100)] == [9]
    assert outbox.unproved("XAR-XBO-2", 100) == ()
    outbox.close()


async def test_sealed_bytes_go_when_their_reports_expired_and_receipts_stay(tmp_path):
    outbox = await opened(tmp_path)
    done, open_one = segment(lane(outbox), 1, expires_at=100), segment(lane(outbox), 3, expires_at=100)
    outbox.append([batch(done), batch(open_one)])
    outbox.settle([receipt(done)])
    assert outbox.drop_expired(99) == 0
    assert outbox.drop_expired(100) == 1
    assert outbox.receipt(done.segment_id) == receipt(done)
    assert [left.segments for left in outbox.unanswered()] == [(open_one,)]
    outbox.close()


async def test_a_second_process_is_kept_out_until_the_first_one_ends(tmp_path):
    first = await opened(tmp_path)
    with pytest.raises(ConflictError) as caught:
        await opened(tmp_path)
    assert caught.value.code is ErrorCode.LOCKED
    first.close()
    (await opened(tmp_path)).close()


async def test_a_damaged_outbox_is_refused_and_not_touched(tmp_path):
    outbox = await opened(tmp_path)
    outbox.append([batch(segment(lane(outbox), 1))])
    outbox.close()
    path = tmp_path / "outbox.sqlite"
    spoilt = b"not a database" + path.read_bytes()[14:]
    path.write_bytes(spoilt)
    with pytest.raises(StorageError):
        await opened(tmp_path)
    assert path.read_bytes() == spoilt
    # Nobody is kept out by a file that could not be opened.
    path.unlink()
    (await opened(tmp_path)).close()


async def test_nobody_else_reads_an_outbox(tmp_path):
    outbox = await opened(tmp_path / "outbox")
    assert (tmp_path / "outbox").stat().st_mode & 0o077 == 0
    assert (tmp_path / "outbox/outbox.sqlite").stat().st_mode & 0o077 == 0
    outbox.close()


async def test_a_file_of_a_later_version_is_refused(tmp_path):
    (await opened(tmp_path)).close()

    with apsw.Connection(str(tmp_path / "outbox.sqlite")) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(StorageError, match="version 99"):
        await opened(tmp_path)


async def test_a_disk_that_filled_up_is_told_as_such_though_sqlite_rolled_back_by_itself(tmp_path):
    outbox = await opened(tmp_path)
    pages = 64
    outbox._db.execute(f"PRAGMA max_page_count={pages}")
    outbox._db.execute("PRAGMA cache_size=1")
    large = replace(segment(lane(outbox), 1), data=bytes(pages << 14))
    fails(lambda: outbox.append([batch(large)]), ErrorCode.STORAGE_FULL, StorageError)
    outbox.close()


def test_what_failed_first_is_told_and_not_the_rollback_that_failed_after_it(tmp_path):
    def write() -> None:
        with storing(tmp_path / "outbox.sqlite"):
            try:
                raise apsw.IOError("disk I/O error")
            finally:
                raise apsw.SQLError("cannot rollback - no transaction is active")

    assert "disk I/O error" in fails(write, ErrorCode.STORAGE_FAILED, StorageError).message


async def test_lanes_are_told_by_what_became_of_their_segments(tmp_path):
    outbox = await opened(tmp_path)
    taken, ended, waits = [Lane(AGREEMENT, bytes([number]) * 16, 1) for number in range(3)]
    outbox.append([batch(*(segment(one, 1, 1) for one in (taken, ended, waits)))])
    outbox.settle([receipt(segment(taken, 1, 1))], [segment(ended, 1, 1).segment_id])
    assert outbox.lanes_in(SegmentState.UNANSWERED) == {waits}
    assert outbox.lanes_in(SegmentState.ENDED) == {ended}
    outbox.close()


async def test_a_process_that_died_before_it_left_a_broken_lane_has_it_left_by_the_next(tmp_path):
    outbox = await opened(tmp_path)
    broken, behind, other = segment(lane(outbox), 1), segment(lane(outbox), 3), segment(lane(outbox, 1), 1)
    outbox.append([batch(broken, behind, other)])
    outbox.settle([receipt(other)], [broken.segment_id])
    outbox.close()
    again = await opened(tmp_path)
    assert again.origin_epoch != broken.lane.origin_epoch
    assert again.numbers() == {}
    assert [one.segments for one in again.unanswered()] == [(replace(behind, position=1),)]
    epoch = again.origin_epoch
    again.drop_expired(5000)
    again.close()
    third = await opened(tmp_path)
    assert third.origin_epoch == epoch
    third.close()
