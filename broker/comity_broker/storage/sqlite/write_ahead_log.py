"""What is done with a write-ahead log before a restarted broker believes it (https://sqlite.org/fileformat2.html, section 4).

1. It is written again in place and synced. After a failed fsync the system shows what a power cut would take away, and takes
   those pages for clean: a further fsync alone does nothing. The same bytes again can only make more of it durable.
2. Damage that SQLite takes for the log's end is found. SQLite reads up to the first frame that does not verify, which is right
   after a crash: the last commit may be torn. A bit that flips in the middle looks the same, and every commit behind it would
   be gone without a word. The two differ: a commit is written only after the one before it was synced. So where, behind the
   end that SQLite sees, a whole commit follows on from another one's last frame, the other one was durable, and the log is
   damaged, not torn. (Damage in the last commit cannot be told from a torn one here; the tree that the broker last signed
   tells.) A log whose own header does not verify is refused where frames follow: it is one small write, synced before any.
"""

from __future__ import annotations

import sys
from array import array
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import apsw

from comity_broker.storage.sqlite.directory import PAGE_BYTES

HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24 + PAGE_BYTES

_MAGIC_LITTLE: Final = 0x377F0682
_MAGIC_BIG: Final = 0x377F0683
_MASK: Final = 0xFFFFFFFF
_PIECE_BYTES: Final = 1 << 16  # SQLite takes 17 bits of a length

Sum = tuple[int, int]


class _Frame(NamedTuple):
    """The first 24 bytes of a frame, and where it stands."""

    number: int
    covered: bytes
    commits: bool
    salts: bytes
    checksum: Sum


def renew_log(path: Path, vfs: str | None = None) -> None:
    """Write a write-ahead log again in place and sync it, before SQLite opens it; raises apsw errors."""
    if not path.exists():
        return
    file = apsw.VFSFile(vfs or "", str(path), [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL, 0])
    try:
        size = file.xFileSize()
        for offset in range(0, size, _PIECE_BYTES):
            file.xWrite(file.xRead(min(_PIECE_BYTES, size - offset), offset), offset)
        file.xSync(apsw.SQLITE_SYNC_FULL)
    finally:
        file.xClose()


def find_log_damage(path: Path, frames_seen: int) -> str:
    """Say what is wrong behind the frames that SQLite sees in a write-ahead log; empty where nothing is."""
    if not path.exists() or path.stat().st_size < HEADER_BYTES + FRAME_BYTES:
        return ""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        magic = int.from_bytes(header[:4], "big")
        big = magic == _MAGIC_BIG
        if magic not in (_MAGIC_LITTLE, _MAGIC_BIG) or checksum((0, 0), header[:24], big=big) != _sum_at(header, 24):
            return "the write-ahead log's header is damaged"
        last: _Frame | None = None
        for number in range(frames_seen, (path.stat().st_size - HEADER_BYTES) // FRAME_BYTES):
            frame = _frame(file, number)
            if frame.salts != header[16:24] or not frame.commits:
                continue
            if last is not None and _follows(file, last, frame, big=big):
                return f"the write-ahead log is damaged at or before frame {last.number + 1}, and whole commits follow"
            last = frame
    return ""


def checksum(start: Sum, data: bytes, *, big: bool) -> Sum:
    """Give SQLite's running sum over further bytes, a multiple of 8."""
    words = array("I", data)
    if big != (sys.byteorder == "big"):
        words.byteswap()
    first, second = start
    values = iter(words)
    for even, odd in zip(values, values, strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


def _follows(file: BinaryIO, last: _Frame, frame: _Frame, *, big: bool) -> bool:
    running = last.checksum
    for number in range(last.number + 1, frame.number + 1):
        one = _frame(file, number)
        running = checksum(checksum(running, one.covered, big=big), file.read(PAGE_BYTES), big=big)
        if running != one.checksum or one.salts != last.salts:
            return False
    return True


def _frame(file: BinaryIO, number: int) -> _Frame:
    file.seek(HEADER_BYTES + number * FRAME_BYTES)
    head = file.read(24)
    return _Frame(number, head[:8], any(head[4:8]), head[8:16], _sum_at(head, 16))


def _sum_at(data: bytes, at: int) -> Sum:
    return int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")
