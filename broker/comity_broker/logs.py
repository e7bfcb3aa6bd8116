"""The broker's logs as they are read and signed: names, checkpoints, proofs, tiles, and what a peer's view is worth.

Rules: a checkpoint is signed over committed trees only, at most once in so many seconds a log or when somebody asks for a size
that the newest one lacks; a log that must not be signed is frozen, and says so. Proofs are built in a worker thread, which
reads through the event loop, so that no backend blocks it.

A log that a restore continued has a tree of its own, whose first leaf is not entry 0; of what a peer saw of an earlier incarnation,
the part that the restore kept is compared, and what it lost is not known here (docs/adr/0023).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from comity.envelope.core import LogSeen
from comity.errors import ErrorCode, NotFoundError, StorageError, VerificationError
from comity.identity.names import (
    agreement_log_origin,
    agreement_of,
    is_exercise,
    key_log_origin,
    operations_log_origin,
)
from comity.verify.notes import VerifierKey
from comity.verify.trees import EMPTY_ROOT
from comity_broker.auditlog.checkpoint import Checkpointer, LogFrozenError, LogKeys
from comity_broker.auditlog.log import Log
from comity_broker.auditlog.tiles import HashReader, Tiles, from_leaf_hashes
from comity_broker.finishing import Finishing
from comity_broker.storage.protocol import KEYS, OPERATIONS, ContinuedRow, Head, Reader

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
class _Left:
    """The log of an earlier incarnation, as far as the restore kept it."""

    incarnation: bytes
    size: int
    tiles: Tiles


@dataclass(slots=True)
class _Served:
    log: Log
    checkpointer: Checkpointer
    tiles: Tiles
    first: int = 0
    left: tuple[_Left, ...] = ()
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
        self._signing = Finishing()

    # --- names ------------------------------------------------------------------------------------------------------

    def origin(self, shard: str) -> str:
        """Give the origin of a shard's log."""
        return self._origin(shard, self._incarnation)

    def first(self, shard: str) -> int:
        """Give the log_index of the first leaf of a shard's log; raises NotFoundError."""
        return self._of(shard).first

    def _origin(self, shard: str, incarnation: bytes) -> str:
        return origin_of(self._tls_name, shard, incarnation)

    def vkeys(self, shard: str) -> tuple[str, str]:
        """Give the verifier keys that entry 0 of a shard's log names."""
        return self._keys.vkeys(self.origin(shard))

    def verifier_keys(self, shard: str) -> tuple[VerifierKey, VerifierKey]:
        """Give the same keys, to verify with."""
        return self._keys.verifier_keys(self.origin(shard))

    def open(
        self,
        shard: str,
        parties: Sequence[str] = (),
        *,
        create: bool = False,
        first: int = 0,
        continued: Sequence[ContinuedRow] = (),
    ) -> Log:
        """Take a log into service. With `create` it is new and its last-signed file is made.

        `first` is the log_index of its tree's first leaf, `continued` the logs that restores left behind, the oldest first.
        """
        origin = self.origin(shard)
        log = Log(origin, parties)
        checkpointer = Checkpointer(self._folder / signed_file(shard), origin, self._keys)
        if create:
            _create(checkpointer)
        ends = [*(row.log_first for row in continued[1:]), first]
        left = tuple(
            _Left(row.incarnation, end - row.log_first, Tiles(self._read_left(shard, row.log_first)))
            for row, end in zip(continued, ends, strict=False)
        )
        self._served[shard] = _Served(log, checkpointer, Tiles(self._read_hashes(shard, first)), first, left)
        return log

    def log(self, shard: str) -> Log:
        """Give what makes entries for a shard; raises NotFoundError."""
        return self._of(shard).log

    # --- checkpoints ------------------------------------------------------------------------------------------------

    async def checkpoint(self, shard: str, at_least: int = 0) -> tuple[bytes, int]:
        """Give the newest signed note and its size, at least of the size asked for; raises NotFoundError, StorageError."""
        served = self._of(shard)
        if self._is_due(served, at_least):
            # A caller may be gone before the thread that signs: the lock is the thread's, so that no other writes its file meanwhile.
            await self._signing.whole(shard, lambda: self._sign_if_due(shard, served, at_least))
        return served.note, served.size

    def _is_due(self, served: _Served, at_least: int) -> bool:
        return served.size < max(at_least, 0) or self._monotonic() - served.signed_at >= self._every

    async def _sign_if_due(self, shard: str, served: _Served, at_least: int) -> None:
        async with served.lock:
            if self._is_due(served, at_least):
                await self._sign(shard, served)

    async def _sign(self, shard: str, served: _Served) -> None:
        head = await self._head(shard)
        if head.tree_size == served.size:
            served.signed_at = self._monotonic()
            return
        if head.frozen_reason:
            raise LogFrozenError(f"the log of {shard} is frozen: {head.frozen_reason}")
        try:
            note = await asyncio.to_thread(
                served.checkpointer.sign, head.tree_size, head.root or EMPTY_ROOT, served.tiles.consistency
            )
        except LogFrozenError as error:
            await self._frozen(shard, error.message)
            raise
        served.note, served.size, served.signed_at = note, head.tree_size, self._monotonic()
        self._remember(served, head.tree_size, head.root)

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
        served = self._of(shard)
        leaf = log_index - served.first
        await self._check_range(shard, max(leaf, -1) + 1, size)
        if leaf < 0:
            raise NotFoundError(
                f"entry {log_index} is of an earlier incarnation of the log of {shard}", code=ErrorCode.RANGE_INVALID
            )
        return await asyncio.to_thread(served.tiles.inclusion, leaf, size)

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
            await self._check_left(shard, seen)
            return
        try:
            root = await self.root(shard, seen.size)
        except NotFoundError:
            root = b""
        if root != seen.root:
            raise ForkSeenError(shard, seen, f"({seen.size} entries) is not a part of this one")

    async def seen(self, shard: str) -> LogSeen:
        """Give this broker's own newest view of a log."""
        head = await self._head(shard)
        return LogSeen(self._incarnation, head.tree_size, head.root)

    def left(self, shard: str) -> list[tuple[str, tuple[VerifierKey, VerifierKey]]]:
        """Give the origins of the logs that restores left behind, with the keys that signed them, the oldest first."""
        origins = [self._origin(shard, one.incarnation) for one in self._of(shard).left]
        return [(origin, self._keys.verifier_keys(origin)) for origin in origins]

    async def _check_left(self, shard: str, seen: LogSeen) -> None:
        """Check a view of an earlier incarnation; what the restore lost of it is not known here."""
        for one in self._of(shard).left:
            if one.incarnation == seen.incarnation:
                if seen.size <= one.size and await asyncio.to_thread(one.tiles.root, seen.size) != seen.root:
                    raise ForkSeenError(
                        shard, seen, f"({seen.size} entries) is not a part of the one that was restored"
                    )
                return
        if is_exercise(shard) and not self._of(shard).left and self._was_left(agreement_of(shard), seen.incarnation):
            # It began anew after a restore from a backup that was taken before it began.
            return
        raise ForkSeenError(shard, seen, "has an incarnation that nothing here names")

    def _was_left(self, shard: str, incarnation: bytes) -> bool:
        return any(one.incarnation == incarnation for one in self._of(shard).left)

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
        if not 0 <= low <= high <= head.tree_size:
            raise NotFoundError(
                f"the log of {shard} has {head.tree_size} entries; {low} to {high} is no range of it",
                code=ErrorCode.RANGE_INVALID,
            )

    def _remember(self, served: _Served, size: int, root: bytes) -> None:
        if len(served.roots) >= _ROOTS_KEPT:
            del served.roots[next(iter(served.roots))]
        served.roots[size] = root

    def _read_hashes(self, shard: str, first: int) -> HashReader:
        loop = asyncio.get_running_loop()

        def read(level: int, start: int, end: int) -> Sequence[bytes]:
            coroutine = (
                self._reader.tiles(shard, level, start, end - start)
                if level
                else self._reader.leaf_hashes(shard, first + start, end - start)
            )
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        return read

    def _read_left(self, shard: str, first: int) -> HashReader:
        loop = asyncio.get_running_loop()

        def read(start: int, end: int) -> Sequence[bytes]:
            coroutine = self._reader.leaf_hashes(shard, first + start, end - start)
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        return from_leaf_hashes(read)


def signed_file(shard: str) -> str:
    """Give the name of the file of the tree of a shard's log that was signed last; an exercise's has a dot for the slash."""
    return f"{shard.replace('/', '.')}.signed"


def origin_of(tls_name: str, shard: str, incarnation: bytes) -> str:
    """Give the origin of a shard's log in an incarnation."""
    if shard == KEYS:
        return key_log_origin(tls_name, incarnation)
    if shard == OPERATIONS:
        return operations_log_origin(tls_name, incarnation)
    return agreement_log_origin(tls_name, shard, incarnation)


def _create(checkpointer: Checkpointer) -> None:
    """Make the last-signed file, or keep one that a crash left behind before anything was committed."""
    try:
        checkpointer.create()
    except StorageError:
        if checkpointer.last_signed().size:
            raise
