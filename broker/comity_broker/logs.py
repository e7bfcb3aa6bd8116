"""The broker's logs as they are read and signed: names, checkpoints, proofs, tiles, and what a peer's view is worth.

Rules: a checkpoint is signed over committed trees only, at most once in so many seconds a log or when somebody asks for a size
that the newest one lacks; a log that must not be signed is frozen, and says so. Proofs are built in a worker thread, which
reads through the event loop, so that no backend blocks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from comity.envelope.core import LogSeen
from comity.errors import ErrorCode, NotFoundError, StorageError, VerificationError
from comity.identity.names import agreement_log_origin, key_log_origin, operations_log_origin
from comity.verify.notes import VerifierKey
from comity.verify.trees import EMPTY_ROOT
from comity_broker.auditlog.checkpoint import Checkpointer, LogFrozenError, LogKeys
from comity_broker.auditlog.log import Log
from comity_broker.auditlog.tiles import Tiles
from comity_broker.storage.protocol import KEYS, OPERATIONS, Head, Reader

_ROOTS_KEPT: Final = 4096


class ForkSeenError(VerificationError):
    """A view of the log of `shard` that is no part of it."""

    default_code = ErrorCode.FORK

    def __init__(self, shard: str, seen: LogSeen, problem: str) -> None:
        super().__init__(
            f"the log of {shard} seen by the sender {problem}",
            what_to_do="Compare both mirrors of the log before anything else.",
        )
        self.shard = shard
        self.seen = seen


@dataclass(slots=True)
class _Served:
    log: Log
    checkpointer: Checkpointer
    tiles: Tiles
    note: bytes = b""
    size: int = -1
    signed_at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    roots: dict[int, bytes] = field(default_factory=dict)


class Logs:
    """Every log of this broker. `frozen` is told of a log that must not be signed any more."""

    def __init__(
        self,
        *,
        tls_name: str,
        incarnation: bytes,
        keys: LogKeys,
        folder: Path,
        reader: Reader,
        monotonic: Callable[[], float],
        every_seconds: float,
        frozen: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._tls_name = tls_name
        self._incarnation = incarnation
        self._keys = keys
        self._folder = folder
        self._reader = reader
        self._monotonic = monotonic
        self._every = every_seconds
        self._frozen = frozen
        self._served: dict[str, _Served] = {}

    # --- names ------------------------------------------------------------------------------------------------------

    def origin(self, shard: str) -> str:
        """Give the origin of a shard's log."""
        if shard == KEYS:
            return key_log_origin(self._tls_name, self._incarnation)
        if shard == OPERATIONS:
            return operations_log_origin(self._tls_name, self._incarnation)
        return agreement_log_origin(self._tls_name, shard, self._incarnation)

    def vkeys(self, shard: str) -> tuple[str, str]:
        """Give the verifier keys that entry 0 of a shard's log names."""
        return self._keys.vkeys(self.origin(shard))

    def verifier_keys(self, shard: str) -> tuple[VerifierKey, VerifierKey]:
        """Give the same keys, to verify with."""
        return self._keys.verifier_keys(self.origin(shard))

    def open(self, shard: str, parties: Sequence[str] = (), *, create: bool = False) -> Log:
        """Take a log into service. With `create` it is new and its last-signed file is made."""
        origin = self.origin(shard)
        log = Log(origin, parties)
        checkpointer = Checkpointer(self._folder / f"{shard}.signed", origin, self._keys)
        if create:
            _create(checkpointer)
        self._served[shard] = _Served(log, checkpointer, Tiles(self._read_hashes(shard)))
        return log

    def log(self, shard: str) -> Log:
        """Give what makes entries for a shard; raises NotFoundError."""
        return self._of(shard).log

    # --- checkpoints ------------------------------------------------------------------------------------------------

    async def checkpoint(self, shard: str, at_least: int = 0) -> tuple[bytes, int]:
        """Give the newest signed note and its size, at least of the size asked for; raises NotFoundError, StorageError."""
        served = self._of(shard)
        async with served.lock:
            fresh = self._monotonic() - served.signed_at < self._every
            if served.size < at_least or served.size < 0 or not fresh:
                await self._sign(shard, served)
            return served.note, served.size

    async def _sign(self, shard: str, served: _Served) -> None:
        head = await self._head(shard)
        if head.leaf_next == served.size:
            served.signed_at = self._monotonic()
            return
        if head.frozen_reason:
            raise LogFrozenError(f"the log of {shard} is frozen: {head.frozen_reason}")
        try:
            note = await asyncio.to_thread(
                served.checkpointer.sign, head.leaf_next, head.root or EMPTY_ROOT, served.tiles.consistency
            )
        except LogFrozenError as error:
            await self._frozen(shard, error.message)
            raise
        served.note, served.size, served.signed_at = note, head.leaf_next, self._monotonic()
        self._remember(served, head.leaf_next, head.root)

    async def check_continuity(self, shard: str) -> None:
        """Compare the stored log with the tree signed last, at a start; a log behind it is frozen."""
        try:
            await self.checkpoint(shard)
        except LogFrozenError:
            return

    # --- proofs -----------------------------------------------------------------------------------------------------

    async def consistency(self, shard: str, old: int, new: int) -> tuple[bytes, ...]:
        """Give the proof that the tree of `old` entries is a prefix of that of `new`; raises NotFoundError RANGE_INVALID."""
        await self._check_range(shard, old, new)
        if old in {0, new}:
            return ()
        return await asyncio.to_thread(self._of(shard).tiles.consistency, old, new)

    async def inclusion(self, shard: str, log_index: int, size: int) -> tuple[bytes, ...]:
        """Give the path of an entry in the tree of so many entries; raises NotFoundError RANGE_INVALID."""
        await self._check_range(shard, log_index + 1, size)
        return await asyncio.to_thread(self._of(shard).tiles.inclusion, log_index, size)

    async def tile(self, shard: str, level: int, number: int, size: int) -> bytes:
        """Give a hash tile as served for a tree of that size; raises NotFoundError."""
        await self._check_range(shard, 0, size)
        return await asyncio.to_thread(self._of(shard).tiles.tile, level, number, size)

    async def root(self, shard: str, size: int) -> bytes:
        """Give the root over the first `size` entries; raises NotFoundError RANGE_INVALID."""
        served = self._of(shard)
        found = served.roots.get(size)
        if found is None:
            await self._check_range(shard, 0, size)
            found = await asyncio.to_thread(served.tiles.root, size)
            self._remember(served, size, found)
        return found

    async def check_seen(self, shard: str, seen: LogSeen) -> None:
        """Check a view that a peer signed against this log; raises ForkSeenError."""
        if seen.incarnation != self._incarnation:
            raise ForkSeenError(shard, seen, "has an incarnation that nothing here names")
        try:
            root = await self.root(shard, seen.size)
        except NotFoundError:
            root = b""
        if root != seen.root:
            raise ForkSeenError(shard, seen, f"({seen.size} entries) is not a part of this one")

    async def seen(self, shard: str) -> LogSeen:
        """Give this broker's own newest view of a log."""
        head = await self._head(shard)
        return LogSeen(self._incarnation, head.leaf_next, head.root)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _of(self, shard: str) -> _Served:
        served = self._served.get(shard)
        if served is None:
            raise NotFoundError(f"there is no log of {shard} here", code=ErrorCode.LOG_UNKNOWN)
        return served

    async def _head(self, shard: str) -> Head:
        head = await self._reader.head(shard)
        if head is None:
            raise NotFoundError(f"there is no log of {shard} here", code=ErrorCode.LOG_UNKNOWN)
        return head

    async def _check_range(self, shard: str, low: int, high: int) -> None:
        head = await self._head(shard)
        if not 0 <= low <= high <= head.leaf_next:
            raise NotFoundError(
                f"the log of {shard} has {head.leaf_next} entries; {low} to {high} is no range of it",
                code=ErrorCode.RANGE_INVALID,
            )

    def _remember(self, served: _Served, size: int, root: bytes) -> None:
        if len(served.roots) >= _ROOTS_KEPT:
            del served.roots[next(iter(served.roots))]
        served.roots[size] = root

    def _read_hashes(self, shard: str) -> Callable[[int, int, int], Sequence[bytes]]:
        loop = asyncio.get_running_loop()

        def read(level: int, start: int, end: int) -> Sequence[bytes]:
            coroutine = (
                self._reader.tiles(shard, level, start, end - start)
                if level
                else self._reader.leaf_hashes(shard, start, end - start)
            )
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        return read


def _create(checkpointer: Checkpointer) -> None:
    """Make the last-signed file, or keep one that a crash left behind before anything was committed."""
    try:
        checkpointer.create()
    except StorageError:
        if checkpointer.last_signed().size:
            raise
