"""A flipped bit, a cut end and an old copy of every file of a broker and of a node: refused or harmless, and never deleted or mended.

Each file of a world that has exchanged reports is damaged alone. Either the process that reads it refuses to start, and every file is
byte for byte as the damage left it; or it starts, and then the exchange is whole: the checker says so of everything.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from comity_broker.storage.sqlite import open_storage
from comity_broker.storage.sqlite.directory import PAGE_BYTES
from fault_arena import Arena
from kill_oracle import STORE
from processes import EndedEarlyError, until
from world_files import made_world

pytestmark = [
    pytest.mark.skipif("COMITY_KILLS" not in os.environ, reason="the long version: make faults"),
    pytest.mark.timeout(900),
]

# What a command ends with where a store is damaged.
DAMAGED = 18
# What the system keeps for itself: nobody reads it after a restart, or it holds nothing.
IGNORED = (".lock", "-shm", ".sqlite-wal")


def flipped(data: bytes) -> bytes:
    """A bit in the middle of what is there; of a store, in the head of a page (what is inside of a row only its readers can tell)."""
    middle = len(data) // 2 // PAGE_BYTES * PAGE_BYTES if data.startswith(b"SQLite format 3") else len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def cut(data: bytes) -> bytes:
    """The first half."""
    return data[: len(data) // 2]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {"flipped": flipped, "cut": cut}


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def damageable(folder: Path) -> list[Path]:
    return [path for path, data in files_of(folder).items() if data and not path.name.endswith(IGNORED)]


def exchanged(arena: Arena) -> None:
    """Exchange some reports, and stop everything in order."""
    arena.start()
    arena.progress(20)
    assert arena.settle() == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_a_broker_is_refused_and_left_as_it_is(tmp_path, damage):
    with Arena(made_world(tmp_path)) as arena:
        exchanged(arena)
        whole = files_of(arena.world.data)
        served = []
        for path in damageable(arena.world.data):
            path.write_bytes(DAMAGES[damage](whole[path]))
            damaged = files_of(arena.world.data)
            try:
                arena.start_broker().kill()
            except EndedEarlyError:
                left = files_of(arena.world.data)
                changed = [one.name for one in damaged if left.get(one) != damaged[one] and not _ignored(one)]
                assert changed == [], f"{path.name} was damaged, and these were changed or deleted"
            else:
                served.append(path.relative_to(arena.world.data).as_posix())
            for one, data in whole.items():
                one.write_bytes(data)
        print(f"\n{damage}: {len(damageable(arena.world.data))} files, a broker serves with these damaged: {served}")
        assert "store.sqlite" not in served
        assert arena.settle() == []


@pytest.mark.parametrize("code", ["XAR", "XBO"])
def test_a_damaged_database_of_a_node_is_refused_and_left_as_it_is(tmp_path, code):
    name = {"XAR": "sender", "XBO": "receiver"}[code]
    with Arena(made_world(tmp_path)) as arena:
        exchanged(arena)
        arena.start_broker()
        folder = arena.world.node_directory(code)
        whole = files_of(folder)
        for path in (one for one in damageable(folder) if one.suffix == ".sqlite"):
            # The head of the file: what SQLite itself cannot take for its own.
            path.write_bytes(bytes(100) + whole[path][100:])
            damaged = path.read_bytes()
            arena.restart(name)
            process = arena.process(name)
            until(lambda one=process: one.exit_code is not None, f"the end of a node whose {path.name} is damaged")
            assert "StorageError" in process.log.read_text(), process.tail
            assert path.read_bytes() == damaged, f"{path.name} was changed"
            for one, data in whole.items():
                one.write_bytes(data)
        arena.mend()
        assert arena.settle() == []


def test_an_old_copy_of_a_brokers_files_is_found_out(tmp_path):
    """Restored by hand, without `comity broker restore`: the log is not the one that was signed last."""
    with Arena(made_world(tmp_path)) as arena:
        old = tmp_path / "old"
        shutil.copytree(arena.world.data, old)
        exchanged(arena)
        for path in arena.world.data.glob("store.sqlite*"):
            path.unlink()
        for path in old.glob("store.sqlite*"):
            shutil.copy2(path, arena.world.data)
        broker = arena.start_broker()
        broker.wait_for(lambda: "log_frozen" in broker.log.read_text(), "the frozen log")
        assert broker.exit_code is None


def test_a_flipped_bit_inside_of_a_log_entry_is_found_by_broker_check(tmp_path):
    world = made_world(tmp_path)
    store = world.data / STORE
    open_storage(world.data).close()  # moves the write-ahead log into it
    database = apsw.Connection(str(store))
    entry = bytes(database.execute("SELECT entry FROM entry ORDER BY log_index DESC LIMIT 1").get)
    database.close()
    data = store.read_bytes()
    place = data.index(entry[:60]) + 30
    damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    store.write_bytes(damaged)
    ran = world.machine("XAR").run("broker", "check", "--data", str(world.data))
    assert ran.code == DAMAGED
    assert "does not have its leaf hash" in ran.err
    assert store.read_bytes() == damaged


def _ignored(path: Path) -> bool:
    return path.name.endswith(IGNORED)
