"""What a store refuses to open, what it finds when it is checked, and that it repairs and deletes nothing."""

import asyncio
import os
import stat

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_storage import AGREEMENT, OTHER, acknowledgement, everything, exception, opening, segment, statement
from comity.errors import ConflictError, ErrorCode, NotFoundError, StorageError
from comity_broker.storage.protocol import Committed
from comity_broker.storage.sqlite import open_storage
from faulty_vfs import files_of, lay_down

INCARNATION = b"incarnation here"


def new_store(folder):
    return open_storage(folder, create=True, random_bytes=lambda _: INCARNATION)


def commits():
    return [
        [opening(), opening(OTHER), segment(1, 5)],
        [segment(100, 4, weight=9_000), statement(1), acknowledgement(1)],
        [segment(200, 4, weight=9_000), exception(1, 2), segment(1, shard=OTHER)],
        [segment(300, 4, weight=9_000), acknowledgement(3)],
    ]


@pytest.fixture
def made(tmp_path):
    """A closed store with four commits, everything in the database and nothing in the write-ahead log."""
    folder = tmp_path / "made"
    folder.mkdir()
    with new_store(folder) as storage:
        for units in commits():
            assert all(isinstance(outcome, Committed) for outcome in storage.writer.commit(units))
    open_storage(folder).close()
    return folder


def edit(folder, *statements, bindings=()):
    """Change a store behind the broker's back."""
    connection = apsw.Connection(str(folder / "store.sqlite"))
    for each in statements:
        connection.execute(each, bindings)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


def refusal_of(folder) -> StorageError:
    """Open a store that must be refused: with words, exit code 18, the lock let go, and every file as it was."""
    before = files_of(folder)
    with pytest.raises(StorageError) as caught:
        open_storage(folder)
    with pytest.raises(StorageError):
        open_storage(folder)
    assert caught.value.exit_code == 18
    assert caught.value.what_to_do
    after = files_of(folder)
    assert {name: data for name, data in after.items() if data or name in before} == before
    return caught.value


# --- the directory ------------------------------------------------------------------------------------------------------


def test_two_brokers_never_share_a_directory(tmp_path):
    with new_store(tmp_path):
        with pytest.raises(ConflictError, match=f"another broker has .*process {os.getpid()}") as caught:
            open_storage(tmp_path)
        assert caught.value.code is ErrorCode.LOCKED
        assert caught.value.what_to_do
    open_storage(tmp_path).close()


def test_a_directory_or_store_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(NotFoundError, match="no data directory"):
        open_storage(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="no store"):
        open_storage(tmp_path)


def test_a_new_store_never_takes_the_place_of_one(made):
    before = files_of(made)
    with pytest.raises(ConflictError) as caught:
        open_storage(made, create=True)
    assert caught.value.code is ErrorCode.FILE_EXISTS
    after = files_of(made)
    assert after["store.sqlite"] == before["store.sqlite"]


def test_nobody_else_may_read_any_file_of_a_store(tmp_path):
    before = os.umask(0)
    try:
        with new_store(tmp_path) as storage:
            storage.writer.commit([opening()])
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes.keys() == {"broker.lock", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def test_a_store_that_others_may_read_is_refused(made):
    (made / "store.sqlite").chmod(0o640)
    assert "read by others" in refusal_of(made).message


# --- the file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("text", lambda data: b"SQLite is not what this is".ljust(len(data)), "not a store"),
        ("a header cut short", lambda data: data[:90], "not a store"),
        ("an end cut off", lambda data: data[:-16384], "bytes|malformed"),
        ("half a page more", lambda data: data + bytes(8192), "bytes"),
        ("a page more", lambda data: data + bytes(16384), "bytes"),
        ("other pages", lambda data: data[:16] + b"\x10\x00" + data[18:], "pages"),
        ("a page of zeros", lambda data: data[: 16384 * 7] + bytes(16384) + data[16384 * 8 :], "damaged|malformed"),
    ],
)
def test_a_damaged_store_is_refused(made, name, damage, words):
    path = made / "store.sqlite"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageError, match=words):
        open_storage(made)
    refusal_of(made)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("PRAGMA user_version = 99", "schema version 99"),
        ("PRAGMA application_id = 1", "another program"),
        ("CREATE TABLE note (text TEXT)", "tables"),
        ("CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM report; END", "tables"),
        ("DROP INDEX report_by_id", "tables"),
        ("PRAGMA journal_mode = delete", "not kept"),
        ("DELETE FROM incarnation", "no incarnation"),
    ],
)
def test_a_store_that_is_not_exactly_ours_is_refused(made, change, words):
    edit(made, change)
    with pytest.raises(StorageError, match=words):
        open_storage(made)
    refusal_of(made)


@pytest.mark.parametrize("size", [0, 16384])
def test_a_store_whose_making_was_interrupted_is_said_so_and_can_be_made_again(tmp_path, size):
    path = tmp_path / "store.sqlite"
    path.touch(0o600)
    if size:
        connection = apsw.Connection(str(path))
        connection.pragma("page_size", size)
        connection.pragma("journal_mode", "wal")
        connection.close()
    assert "being made" in refusal_of(tmp_path).message
    with new_store(tmp_path) as storage:
        assert storage.incarnation == INCARNATION


# --- the write-ahead log ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A store with four commits in its write-ahead log: its files, the log's length and what is shown after each commit."""
    folder = tmp_path_factory.mktemp("logged") / "store"
    folder.mkdir()
    lengths, states = [], []
    with new_store(folder) as storage:
        for units in commits():
            storage.writer.commit(units)
            lengths.append((folder / "store.sqlite-wal").stat().st_size)
            states.append(asyncio.run(everything(storage.reader)))
        return files_of(folder), lengths, states


@given(st.data())
def test_a_bit_that_flips_in_the_log_never_makes_a_durable_commit_vanish_in_silence(tmp_path_factory, logged, data):
    files, lengths, states = logged
    log = bytearray(files["store.sqlite-wal"])
    position = data.draw(st.integers(0, len(log) - 1), "position")
    log[position] ^= 1 << data.draw(st.integers(0, 7), "bit")
    folder = lay_down({**files, "store.sqlite-wal": bytes(log)}, tmp_path_factory.mktemp("flipped") / "store")
    try:
        with open_storage(folder) as storage:
            found = asyncio.run(everything(storage.reader))
    except StorageError:
        found = None
    # In the last commit it looks torn; and the frame that ends the one before it may be what flipped.
    ends_before = lengths[2] - 24 - 16384
    assert (
        found is None
        or (position >= lengths[2] and found == states[2])
        or (ends_before <= position < ends_before + 24 and found == states[1])
    )


@pytest.mark.parametrize("commit", [0, 1, 2])
def test_damage_before_a_later_commit_is_refused_and_named(tmp_path, logged, commit):
    files, lengths, _ = logged
    log = bytearray(files["store.sqlite-wal"])
    log[lengths[commit] - 100] ^= 1
    folder = lay_down({**files, "store.sqlite-wal": bytes(log)}, tmp_path / "store")
    assert "whole commits follow" in refusal_of(folder).message or commit == 2


def test_a_torn_last_commit_is_what_a_crash_leaves_and_is_not_refused(tmp_path, logged):
    files, lengths, states = logged
    for number, cut in enumerate(range(lengths[2], lengths[3], 5_000)):
        folder = lay_down({**files, "store.sqlite-wal": files["store.sqlite-wal"][:cut]}, tmp_path / f"store-{number}")
        with open_storage(folder) as storage:
            assert asyncio.run(everything(storage.reader)) == states[2]


# --- check --------------------------------------------------------------------------------------------------------------


def test_a_sound_store_is_found_sound(made):
    with open_storage(made) as storage:
        assert asyncio.run(storage.reader.check()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE entry SET entry = x'00' WHERE log_index = 1", "leaf hash"),
        ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE log_index = 1", "leaf hash"),
        ("UPDATE entry SET entry = x'00', leaf_hash = unhex(:hash) WHERE log_index = 1", "frontier or root"),
        ("UPDATE shard SET root = zeroblob(32) WHERE number = 1", "frontier or root"),
        ("UPDATE shard SET frontier = zeroblob(length(frontier)) WHERE number = 1", "frontier or root"),
        ("DELETE FROM entry WHERE log_index = 2", "log entries 0 to"),
        ("UPDATE shard SET leaf_next = 3 WHERE number = 1", "beyond the head"),
        ("DELETE FROM segment WHERE item = 2", "items 1 to"),
        ("UPDATE shard SET item_next = 2 WHERE number = 1", "items beyond the head"),
        ("UPDATE segment SET log_index = 900 WHERE item = 2", "beyond the log"),
        ("DELETE FROM report WHERE item = 1 AND slot = 1", "without a hole"),
        ("UPDATE report SET agreement_sequence = 77 WHERE item = 1 AND slot = 1", "without a hole"),
        ("UPDATE shard SET agreement_sequence_next = 90 WHERE number = 1", "reports end before"),
        ("UPDATE report SET item = 99 WHERE item = 4", "reports without their segment"),
        ("UPDATE inbox SET item = 99 WHERE item = 2", "inbox rows without"),
        ("UPDATE body SET log_index = 99 WHERE log_index = 2", "bodies without"),
        ("UPDATE statement SET log_index = 99", "statements without"),
        ("UPDATE floor SET floor = handed + 1", "beyond what was handed"),
        ("UPDATE floor SET handed = 900", "what is not there"),
        ("UPDATE lane SET lane = 50", "lanes beyond"),
        ("INSERT INTO tile VALUES (1, 1, 1, 0, zeroblob(32))", "too short for"),
    ],
)
def test_a_check_finds_what_does_not_belong_together(made, change, words):
    edit(made, change, bindings={"hash": "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"})
    with open_storage(made) as storage:
        found = asyncio.run(storage.reader.check())
    assert any(words in line for line in found), found
    assert all(AGREEMENT in line or OTHER in line for line in found)


@pytest.mark.parametrize("change", ["DELETE FROM tile WHERE number = 0", "UPDATE tile SET root = zeroblob(32)"])
def test_a_check_recomputes_full_tiles(tmp_path, change):
    with new_store(tmp_path) as storage:
        storage.writer.commit([opening(), *(statement(2) for _ in range(600))])
    edit(tmp_path, change)
    with open_storage(tmp_path) as storage:
        found = asyncio.run(storage.reader.check())
    assert any("tile 0 of level 1" in line for line in found)


def test_a_check_finds_pages_that_are_not_sound_in_a_store_that_runs(made):
    with open_storage(made) as storage:
        size = (made / "store.sqlite").stat().st_size
        with (made / "store.sqlite").open("r+b") as file:
            for page in range(3, size // 16384):
                file.seek(16384 * page + 3)
                file.write(b"\xff\xff")
        assert any("pages" in line or "malformed" in line for line in asyncio.run(storage.reader.check()))


def test_a_check_says_at_most_a_hundred_things(made):
    edit(made, *(f"UPDATE entry SET entry = x'00' WHERE log_index = {number}" for number in range(5)))
    with open_storage(made) as storage:
        storage.writer.commit([statement(2) for _ in range(300)])
    edit(made, "UPDATE entry SET entry = x'00'")
    with open_storage(made) as storage:
        assert len(asyncio.run(storage.reader.check())) == 100
