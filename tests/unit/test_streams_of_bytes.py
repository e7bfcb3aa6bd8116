"""Long files beside the event loop: hashed, flushed and read ahead in threads, and what fails there is told."""

import asyncio
import errno
import hashlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.hashing import AHEAD_BYTES, RunningDigest
from comity.node import flushing
from comity.node.flushing import WINDOW_BYTES, Flushing
from comity.node.read_ahead import ReadAhead


@given(st.lists(st.lists(st.binary(max_size=5000), max_size=3), max_size=6))
def test_a_running_digest_is_that_of_all_pieces_in_their_order(calls):
    digest, whole = RunningDigest(), hashlib.sha384()
    for pieces in calls:
        digest.update(pieces)
        for piece in pieces:
            whole.update(piece)
    assert digest.value == whole.digest()
    digest.update([b"more"])
    whole.update(b"more")
    assert digest.value == whole.digest()


class Disk:
    """An fsync that is counted, waits where it is told to, and fails with what it is told to."""

    def __init__(self, monkeypatch):
        self.flushed = []
        self.failing = []
        self.let_go = threading.Event()
        self.let_go.set()
        monkeypatch.setattr(flushing.os, "fsync", self.fsync)

    def fsync(self, descriptor):
        assert self.let_go.wait(60)
        self.flushed.append(os.fstat(descriptor).st_size)
        if self.failing:
            raise OSError(self.failing.pop(), "the disk says no")


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def descriptor(tmp_path):
    number = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def grow(descriptor, flushed, size):
    os.truncate(descriptor, os.fstat(descriptor).st_size + size)
    flushed.wrote(size)


def test_a_window_is_flushed_while_the_next_is_written_and_the_rest_at_the_end(disk, descriptor):
    disk.let_go.clear()
    with Flushing(descriptor) as flushed:
        grow(descriptor, flushed, WINDOW_BYTES - 1)
        grow(descriptor, flushed, 1)
        # The first flush is stuck, and writing goes on: no second one runs beside it.
        for _ in range(3):
            grow(descriptor, flushed, WINDOW_BYTES)
        assert disk.flushed == []
        disk.let_go.set()
        flushed.finish()
    assert len(disk.flushed) == 2
    assert disk.flushed[-1] == 4 * WINDOW_BYTES


def test_a_flush_that_failed_beside_the_writing_is_told_before_anything_counts_as_written(disk, descriptor):
    disk.failing = [errno.EIO]
    with Flushing(descriptor) as flushed:
        grow(descriptor, flushed, WINDOW_BYTES)
        with pytest.raises(OSError, match="the disk says no"):
            flushed.finish()


def test_whoever_gives_a_file_up_waits_for_its_flush(disk, descriptor):
    disk.let_go.clear()
    disk.failing = [errno.EIO]
    releasing = threading.Timer(0.05, disk.let_go.set)
    with Flushing(descriptor) as flushed:
        grow(descriptor, flushed, WINDOW_BYTES)
        releasing.start()
    assert disk.flushed == [WINDOW_BYTES]
    releasing.join()


async def test_blocks_are_read_one_ahead_and_in_their_order():
    taken, asked = [], []
    blocks = [[b"a"], [b"b", b"c"], [b"d"]]

    def read():
        asked.append(len(asked))
        return blocks[asked[-1]] if asked[-1] < len(blocks) else []

    ahead = ReadAhead(read)
    while block := await ahead.block():
        taken.append(block)
    assert taken == blocks
    assert asked == [0, 1, 2, 3]
    await ahead.end()


async def test_what_reading_ahead_raised_is_told_to_who_takes_it_and_ends_with_it():
    calls = []

    def read():
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.EIO, "unreadable")
        return [b"first"]

    ahead = ReadAhead(read)
    assert await ahead.block() == [b"first"]
    with pytest.raises(OSError, match="unreadable"):
        await ahead.block()
    await ahead.end()


async def test_a_file_is_not_closed_under_a_reader_that_was_cancelled():
    reading, go_on, done = threading.Event(), threading.Event(), []

    def read():
        reading.set()
        assert go_on.wait(60)
        done.append(True)
        return [b"late"]

    ahead = ReadAhead(read)
    taking = asyncio.create_task(ahead.block())
    await asyncio.to_thread(reading.wait)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    ending = asyncio.create_task(ahead.end())
    await asyncio.sleep(0)
    assert not ending.done()
    go_on.set()
    await ending
    assert done == [True]


def test_whoever_brings_bytes_to_hash_runs_ahead_so_far_and_no_further():
    """Memory does not grow where a disk or a wire is faster than the hashing."""
    go_on, given = threading.Event(), []

    class Slow:
        def __init__(self):
            self._hash = hashlib.sha384()

        def update(self, piece):
            assert go_on.wait(60)
            self._hash.update(piece)

        def digest(self):
            return self._hash.digest()

    digest = RunningDigest()
    digest._hash = Slow()
    pieces = [bytes([number]) * (1 << 20) for number in range(8)]

    def bring():
        for piece in pieces:
            digest.update([piece])
            given.append(piece)

    bringing = threading.Thread(target=bring)
    bringing.start()
    while len(given) < AHEAD_BYTES // len(pieces[0]) + 1:
        assert bringing.is_alive()
    bringing.join(0.1)
    assert len(given) == AHEAD_BYTES // len(pieces[0]) + 1
    go_on.set()
    bringing.join()
    assert digest.value == hashlib.sha384(b"".join(pieces)).digest()
