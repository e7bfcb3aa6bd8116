"""The encrypted attachments of an outbox: rows before files and after them, and a lane for each report."""

import os

import pytest

from builders_blobs import flushes
from comity.errors import ErrorCode, StorageError
from comity.node.attached_files import FOLDER, LANES, AttachedFiles

AGREEMENT = "XAR-XBO-1"
SEGMENT = bytes(range(48))


@pytest.fixture
def opened(tmp_path):
    """Opens the files of one outbox, as another process would."""
    return lambda: AttachedFiles(tmp_path, os.urandom)


def go_on() -> None:
    """Nothing stops the writing."""


def names(tmp_path):
    return sorted(path.name for path in (tmp_path / FOLDER).iterdir())


def test_a_written_file_is_kept_until_its_segment_is_released(opened, tmp_path):
    files = opened()
    written = [files.begin() for _ in range(2)]
    for name in written:
        files.write(name, [b"sealed ", name.encode()], go_on)
    files.keep(SEGMENT, [(written[1], 3, bytes(48), 7), (written[0], 1, bytes(48), 9)])
    files.close()
    files = opened()
    files.release_unfinished()
    assert [(one.portion, one.length, one.path.name) for one in files.of(SEGMENT)] == [
        (1, 9, written[0]),
        (3, 7, written[1]),
    ]
    assert files.of(SEGMENT)[0].path.read_bytes() == b"sealed " + written[0].encode()
    assert files.of(SEGMENT)[0].path.stat().st_mode & 0o777 == 0o600
    assert files.segment_ids() == (SEGMENT,)
    files.release([SEGMENT, bytes(48)])
    assert (files.segment_ids(), names(tmp_path)) == ((), [])
    files.release([SEGMENT])
    files.close()


def test_what_a_process_was_writing_when_it_died_goes_and_nothing_else(opened, tmp_path):
    files = opened()
    kept, begun, written = (files.begin() for _ in range(3))
    files.write(kept, [b"whole"], go_on)
    files.keep(SEGMENT, [(kept, 0, bytes(48), 5)])
    files.write(written, [b"whole, and of no segment"], go_on)
    (tmp_path / FOLDER / "stray").write_bytes(b"of nobody")
    files.close()
    files = opened()
    assert begun not in names(tmp_path)
    files.release_unfinished()
    assert names(tmp_path) == sorted([kept, "stray"])
    files.close()


def test_writing_stops_where_it_is_told_to(opened, tmp_path):
    files, asked = opened(), []

    def stop() -> None:
        asked.append(True)
        if len(asked) == 2:
            raise KeyboardInterrupt

    name = files.begin()
    with pytest.raises(KeyboardInterrupt):
        files.write(name, iter([b"one", b"two", b"three"]), stop)
    files.forget([name])
    assert names(tmp_path) == []
    files.close()


def test_a_lane_is_used_again_unless_it_is_taken_or_broke(opened):
    files = opened()
    first = files.free_lane(AGREEMENT, 4, ())
    assert files.free_lane(AGREEMENT, 4, ()) == first
    second = files.free_lane(AGREEMENT, 4, {first})
    assert second != first
    assert files.free_lane(AGREEMENT, 1, ()).origin_epoch not in {first.origin_epoch, second.origin_epoch}
    files.retire(first)
    files.close()
    files = opened()
    assert files.free_lane(AGREEMENT, 4, ()) == second
    files.close()


def test_there_are_so_many_lanes_and_no_more(opened):
    files, taken = opened(), set()
    for _ in range(LANES):
        taken.add(files.free_lane(AGREEMENT, 4, taken))
    assert len(taken) == LANES
    with pytest.raises(StorageError) as caught:
        files.free_lane(AGREEMENT, 4, taken)
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
    assert files.free_lane("XAR-XDE-1", 4, taken)
    files.close()


def test_a_file_is_on_disk_with_its_name_before_it_is_kept(opened, tmp_path, monkeypatch):
    events = []
    files = opened()
    name = files.begin()
    flushes(monkeypatch, events)
    files.write(name, [b"sealed"], go_on)
    assert events == [name, FOLDER]
    monkeypatch.undo()
    files.close()
