"""Maintenance: the broker accepts and holds, and says so (design of exchange; `comity broker maintenance`).

Rules in order:
1. While it lasts reports are admitted, receipts given and acknowledgements taken; nothing is handed over, of no class. Every stream is
   told until when. Duties and expiry go on by the clock.
2. It has an end, at most `LONGEST_MS` ahead, which comes by itself: a broker that was forgotten delivers again.
3. It outlives the process: a small file beside the store, written before anybody is told. A file that does not read stops a start, since
   what it held back must not go out by mistake.
4. Beginning and end are in the operations log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from comity.errors import ErrorCode, MalformedError, StorageError
from comity.node.files import read_file, storage_error, sync_directory, write_file
from comity.node.times import rfc3339
from comity_broker.clock import BrokerClock

FILE: Final = "maintenance.json"
LONGEST_MS: Final = 7 * 24 * 3600 * 1000
_FILE_BYTES: Final = 4096
# A clock that is set under way is noticed within a minute.
_LOOK_SECONDS: Final = 60.0


class ActsLog(Protocol):
    """Where it is written that maintenance came to its end."""

    def went_on(self, action: str, target: str, outcome: str) -> None:
        """Record what the broker did by itself; never blocks."""


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    until: int


@dataclass(slots=True)
class Maintenance:
    """One broker's. `changed` is told after every change, `acts` when it came to its end by itself. `run` must be running."""

    path: Path
    clock: BrokerClock
    acts: ActsLog
    broker: str
    changed: Callable[[], None] = lambda: None
    _until: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, data: Path, clock: BrokerClock, acts: ActsLog, broker: str) -> Maintenance:
        """Read what the data directory of a broker says; raises StorageError for a file that does not read."""
        made = cls(data / FILE, clock, acts, broker)
        if made.path.exists():
            try:
                made._until = msgspec.json.decode(read_file(made.path, _FILE_BYTES), type=_Kept).until
            except msgspec.MsgspecError as error:
                raise StorageError(
                    f"{made.path} is damaged: {error}",
                    what_to_do="Look whether the broker was in maintenance; then take the file away.",
                ) from error
        return made

    def until(self) -> int:
        """Give until when it lasts, Unix milliseconds; 0 where the broker hands over."""
        return self._until if self._until > self.clock.now_ms() else 0

    def begin(self, until_ms: int) -> None:
        """Begin it, or move its end; raises MalformedError for an end that is no time to come, StorageError."""
        now = self.clock.now_ms()
        if not now < until_ms <= now + LONGEST_MS:
            raise MalformedError(
                f"maintenance ends after {rfc3339(now)}, which is now, and at most 7 days later",
                what_to_do="Say --until with a time to come; it can be moved later.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )
        write_file(self.path, msgspec.json.encode(_Kept(until_ms)))
        self._until = until_ms
        self._tell()

    def end(self) -> bool:
        """End it; says whether it lasted."""
        lasted = self._until > 0
        try:
            self.path.unlink(missing_ok=True)
            sync_directory(self.path.parent)
        except OSError as error:
            raise storage_error(self.path, error) from error
        self._until = 0
        if lasted:
            self._tell()
        return lasted

    async def run(self) -> None:
        """Let it come to its end by itself, until cancelled."""
        while True:
            self._wake.clear()
            if self._until and not self.until():
                self.end()
                self.acts.went_on("maintenance", self.broker, "came to its end")
            left = (self._until - self.clock.now_ms()) / 1000 if self._until else None
            try:
                async with asyncio.timeout(None if left is None else min(max(left, 0.0), _LOOK_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _tell(self) -> None:
        self._wake.set()
        self.changed()
