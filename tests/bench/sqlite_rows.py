"""The floor of storage: the rows that a segment leaves in the broker, written by bare apsw, a commit a segment, with fsync.

Nothing of the broker's writer is in it but the tables: no units, no reads, no log, no thread. Every commit holds what a full segment
leaves behind from admission to its acknowledgement (segment, reports, batch, lane, inbox, three entries with their bodies, floor,
head), with values of the sizes that the whole path was found to have. The write-ahead log is moved back as often as the journal does.
Measured idle, and beside a thread that never stops running Python, as the event loop of a busy broker does: the interpreter is handed
over at every step of SQLite, with the switch interval that the broker runs with. No target: it is a property of the disk.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import apsw
from results import A_SECOND, Row

from comity_broker.journal import DEFAULT_LIMITS
from comity_broker.storage.rows import ReportRow, SegmentRow
from comity_broker.storage.sqlite.connection import new_store, open_writer
from comity_broker.storage.sqlite.directory import PAGE_BYTES
from comity_broker.storage.sqlite.schema import (
    BATCH,
    BODY,
    ENTRY,
    FLOOR,
    INBOX,
    LANE,
    REPORT,
    SEGMENT,
    Table,
    insert_heads,
    make_tables,
)

SLOTS = 256
# As measured on the whole path with reports of 1 KiB for one recipient node.
_REPORT_BYTES = 1_930
_ENTRIES = 3
_AT_ONCE = 64
SWITCH_SECONDS = 0.0005


def sqlite_floor(folder: Path, seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds, with nothing beside it."""
    return {"sqlite_floor": _measured(folder, seconds)}


def sqlite_floor_busy(folder: Path, seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds, beside a busy thread."""
    with _busy_thread():
        return {"sqlite_floor_busy": _measured(folder, seconds)}


@contextmanager
def _busy_thread() -> Iterator[None]:
    before = sys.getswitchinterval()
    stopped = threading.Event()

    def run() -> None:
        count = 0
        while not stopped.is_set():
            for _ in range(1_000):
                count += 1

    thread = threading.Thread(target=run)
    sys.setswitchinterval(SWITCH_SECONDS)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        sys.setswitchinterval(before)


def _measured(folder: Path, seconds: float) -> Row:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "floor.sqlite"
    path.touch(0o600)
    connection = new_store(path)
    make_tables(connection)
    connection.execute("INSERT INTO incarnation VALUES (1, ?)", (os.urandom(16),))
    connection.close()
    connection = open_writer(path)
    data = os.urandom(SLOTS * _REPORT_BYTES)
    commits: list[float] = []
    # Of this thread alone: what runs beside it is not the floor's.
    cpu = time.thread_time()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(commits) < 2:
        before = time.perf_counter()
        _commit(connection, len(commits) + 1, data)
        commits.append(time.perf_counter() - before)
        if path.with_name(f"{path.name}-wal").stat().st_size > DEFAULT_LIMITS.backlog_bytes:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    took = time.perf_counter() - began
    cpu = time.thread_time() - cpu
    connection.close()
    reports = len(commits) * SLOTS
    commits.sort()
    context: dict[str, object] = {
        "reports_a_commit": SLOTS,
        "bytes_a_report": _REPORT_BYTES,
        "page_bytes": PAGE_BYTES,
        "commit_p50_ms": round(commits[len(commits) // 2] * 1e3, 2),
        "cpu_us_a_report": round(cpu / reports * 1e6, 2),
        "sqlite": apsw.sqlite_lib_version(),
    }
    return Row(reports / took, A_SECOND, None, context)


def _commit(connection: apsw.Connection, number: int, data: bytes) -> None:
    """Write segment `number` and all that follows from it."""
    digest, root = os.urandom(48), os.urandom(32)
    first = (number - 1) * SLOTS + 1
    at = 1_800_000_000_000 + number
    connection.execute("BEGIN IMMEDIATE")
    segment = SegmentRow(
        item=number, segment_id=digest, data=data, batch=digest, batch_index=0, batch_path=digest * 6, lane=1, transport_class=4,
        first_origin_sequence=first, slots=SLOTS, log_index=number, admitted_at=at, expires_at=at, epoch=1, receipt=bytes(400),
        expires_first=at, not_before_last=0, packets=digest,
    )  # fmt: skip
    _insert(connection, SEGMENT, [(1, *segment)])
    _insert(connection, REPORT, [
        (1, *ReportRow(
            report_id=os.urandom(16), leaf=os.urandom(48), item=number, slot=slot, origin_sequence=first + slot,
            agreement_sequence=first + slot, outcome=1, not_before=0, expires_at=at, log_index=number,
        ))
        for slot in range(SLOTS)
    ])  # fmt: skip
    _insert(connection, BATCH, [(1, digest, bytes(3_500))])
    _insert(connection, LANE, [(1, "XAR/n1", bytes(16), 4, 1, first + SLOTS, 0)])
    _insert(connection, INBOX, [(1, "XBO/n1", 1, number, bytes(SLOTS // 8), b"")])
    entries = range(number * _ENTRIES, (number + 1) * _ENTRIES)
    _insert(connection, ENTRY, [(1, index, "SUBMIT_ACCEPTED", bytes(280), root) for index in entries])
    _insert(connection, BODY, [
        (1, index, part, root, bytes(900), bytes(SLOTS * 160 if index == entries[0] and part == "shared" else 0))
        for index in entries for part in ("XAR", "XBO", "shared")
    ])  # fmt: skip
    _insert(connection, FLOOR, [(1, "XBO/n1", "default", 1, number, number, b"")])
    head = (1, "XAR-XBO-1", 1, 1, at, number + 1, entries[-1] + 1, first + SLOTS, 2, root * 8, root, "", 0)
    connection.execute(insert_heads(1), head)
    connection.execute("COMMIT")


def _insert(connection: apsw.Connection, table: Table, rows: list[tuple[object, ...]]) -> None:
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        connection.execute(table.insert(len(some)), tuple(chain.from_iterable(some)))
