"""A store's next incarnation: numbers go on, trees begin anew, lanes may jump once, a freeze loses what it wrote."""

import asyncio
import shutil

import apsw
import pytest

from builders_storage import AGREEMENT, opening, segment, statement, with_entry
from comity.errors import ConflictError
from comity.verify.trees import EMPTY_ROOT
from comity_broker.storage.protocol import Committed, Rows, Unit
from comity_broker.storage.sqlite import begin_incarnation, copy_store, open_storage

NEXT = bytes([2]) * 16


def frozen(kinds):
    """Give a unit that ends a log as a freeze does."""

    def build(head, _):
        rows = Rows(head, None)
        for kind in kinds:
            with_entry(rows.head, rows, kind, kind.encode())
        return rows

    return Unit(AGREEMENT, build)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with open_storage(folder, create=True) as storage:
        outcomes = storage.writer.commit([opening(), segment(1, 3), statement(1), segment(4, 2)])
        assert all(isinstance(one, Committed) for one in outcomes)
    return folder


def head_of(storage):
    return asyncio.run(storage.reader.head(AGREEMENT))


def test_indices_and_items_go_on_and_the_tree_begins_anew(data):
    with open_storage(data) as storage:
        before = head_of(storage)
    begin_incarnation(data, NEXT)
    with open_storage(data) as storage:
        head = head_of(storage)
        assert (storage.incarnation, head.incarnation) == (NEXT, NEXT)
        assert (head.log_first, head.leaf_next, head.tree_size) == (before.leaf_next, before.leaf_next, 0)
        assert (head.frontier, head.root) == ((), EMPTY_ROOT)
        assert (head.item_next, head.agreement_sequence_next) == (before.item_next, before.agreement_sequence_next)
        assert head.state_epoch > before.state_epoch
        (left,) = asyncio.run(storage.reader.continued(AGREEMENT))
        assert (left.incarnation, left.log_first) == (before.incarnation, 0)
        assert (left.frontier, left.root) == (before.frontier, before.root)
        assert [one.restored for one in asyncio.run(storage.reader.lanes(AGREEMENT))] == [1]
        assert asyncio.run(storage.reader.check()) == []


def test_what_follows_stands_after_what_was_restored(data):
    begin_incarnation(data, NEXT)
    with open_storage(data) as storage:
        first = head_of(storage).log_first
        (outcome,) = storage.writer.commit([segment(6, 2)])
        assert isinstance(outcome, Committed)
        assert (outcome.head.leaf_next, outcome.head.tree_size) == (first + 1, 1)
        entries = asyncio.run(storage.reader.entries(AGREEMENT, 0, 100))
        assert [one.log_index for one in entries] == list(range(first + 1))
        assert [one.log_index for one in asyncio.run(storage.reader.statements(AGREEMENT))] == [2]
        assert asyncio.run(storage.reader.check()) == []


def test_a_store_is_restored_more_than_once(data):
    for number in (2, 3):
        begin_incarnation(data, bytes([number]) * 16)
        with open_storage(data) as storage:
            assert isinstance(storage.writer.commit([statement(number)])[0], Committed)
    with open_storage(data) as storage:
        assert [one.log_first for one in asyncio.run(storage.reader.continued(AGREEMENT))] == [0, 4]
        assert asyncio.run(storage.reader.check()) == []


@pytest.mark.parametrize(
    ("kinds", "lost"),
    [(["LOG_FROZEN"], 1), (["FORK_SEEN", "LOG_FROZEN"], 2), (["FORK_SEEN", "FORK_SEEN", "LOG_FROZEN"], 2)],
)
def test_a_frozen_log_loses_what_its_freezing_wrote(data, kinds, lost):
    with open_storage(data) as storage:
        assert isinstance(storage.writer.commit([frozen(kinds)])[0], Committed)
        end = head_of(storage).leaf_next
    connection = apsw.Connection(str(data / "store.sqlite"))
    connection.execute("UPDATE shard SET frozen_reason = 'a fork' WHERE name = ?", (AGREEMENT,))
    connection.close()
    begin_incarnation(data, NEXT)
    with open_storage(data) as storage:
        head = head_of(storage)
        assert (head.log_first, head.frozen_reason) == (end - lost, "")
        assert asyncio.run(storage.reader.check()) == []


def test_a_store_in_use_is_not_moved(data):
    with open_storage(data), pytest.raises(ConflictError, match="another broker"):
        begin_incarnation(data, NEXT)


@pytest.mark.parametrize("running", [True, False])
def test_a_copy_is_one_moment_of_the_store(data, tmp_path, running):
    into = tmp_path / "copy"
    into.mkdir()
    told = []
    storage = open_storage(data) if running else None
    try:
        copied = copy_store(data, into, lambda done, everything: told.append((done, everything)))
        if storage is not None:
            # What is committed afterwards is not in it, and the broker's own store goes on.
            assert isinstance(storage.writer.commit([segment(6, 2)])[0], Committed)
            assert asyncio.run(storage.reader.check()) == []
    finally:
        if storage is not None:
            storage.close()
    assert copied.running is running
    assert told[-1][0] == told[-1][1] > 0
    assert [path.name for path in into.iterdir()] == ["store.sqlite"]
    assert (into / "store.sqlite").stat().st_mode & 0o777 == 0o600
    with open_storage(into) as storage:
        assert head_of(storage) in copied.heads
        assert asyncio.run(storage.reader.check()) == []
    shutil.rmtree(into)
