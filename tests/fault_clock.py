"""A wall clock that a test sets while processes run: eight bytes of offset in a file that all of them map.

clock = SteppedClock.made(path)
clock.step(hours=1)             # from now on every process that was given this clock is an hour ahead
"""

from __future__ import annotations

import mmap
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_OFFSET = struct.Struct("<q")
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class SteppedClock:
    """Unix milliseconds, and as many more as the file says."""

    _map: mmap.mmap

    @classmethod
    def made(cls, path: Path) -> SteppedClock:
        """Make the file, without an offset, and open it."""
        path.write_bytes(_OFFSET.pack(0))
        return cls.at(path)

    @classmethod
    def at(cls, path: Path) -> SteppedClock:
        """Open a clock that somebody made."""
        with path.open("r+b") as file:
            return cls(mmap.mmap(file.fileno(), _OFFSET.size))

    def now_ms(self) -> int:
        """Give the time by this clock."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    @property
    def offset_ms(self) -> int:
        """How far it is ahead of the true one; negative for behind."""
        return _OFFSET.unpack_from(self._map)[0]

    def step(self, milliseconds: int) -> None:
        """Step it for everybody at once."""
        _OFFSET.pack_into(self._map, 0, self.offset_ms + milliseconds)
