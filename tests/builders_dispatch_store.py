"""A store in memory for tests of delivery: what dispatch reads and what it commits, with the broker killed where a test wants it."""

from __future__ import annotations

import asyncio

from builders_storage_model import Shard
from comity.errors import ComityError, ConflictError, ErrorCode
from comity_broker.storage.protocol import SESSIONS, Committed, Head, Refused, Unit

INCARNATION = bytes(range(16))


class KilledError(BaseException):
    """The broker was killed here."""


# --- stores ---------------------------------------------------------------------------------------------------------


class MemoryStore:
    """Reader and journal over dictionaries. `kill` "before" or "after" has the next commit killed there, and all after it.

    While `gate` is closed, what is given to the journal stays under way.
    """

    def __init__(self) -> None:
        self.shards: dict[str, Shard] = {}
        self.kill = ""
        self.dead = False
        self.commits = 0
        self.refusals = 0
        self.gate: asyncio.Event | None = None
        self.gated = 0

    async def submit(self, unit: Unit) -> Committed | Refused:
        await asyncio.sleep(0)
        if self.gate is not None and unit.shard != SESSIONS:
            self.gated += 1
            await self.gate.wait()
        if self.dead or self.kill == "before":
            self.dead = True
            raise KilledError
        outcome = self._commit(unit)
        if self.kill == "after":
            self.dead = True
            raise KilledError
        return outcome

    def _commit(self, unit: Unit) -> Committed | Refused:
        shard = self.shards.get(unit.shard)
        if shard is None:
            shard = self.shards[unit.shard] = Shard(Head(unit.shard, INCARNATION))
        beside = unit.beside is None or self.shards[unit.beside[0]].head.state_epoch == unit.beside[1]
        if unit.expected_epoch not in (None, shard.head.state_epoch) or not beside:
            self.refusals += 1
            return Refused(ConflictError("the state changed", code=ErrorCode.STATE_CHANGED))
        try:
            rows = unit.build(shard.head, shard.known(unit.reads))
        except ComityError as error:
            return Refused(error)
        assert shard.take(rows)
        self.commits += 1
        return Committed(rows.result, rows.head)

    def _of(self, shard: str, kind: str) -> list:
        return list(self.shards[shard].rows[kind].values()) if shard in self.shards else []

    async def head(self, shard):
        return self.shards[shard].head if shard in self.shards else None

    async def known(self, shard, reads):
        return self.shards[shard].known(reads)

    async def inbox(self, shard, node, lane, after_item, limit):
        found = [row for row in self._of(shard, "inboxes") if row[:2] == (node, lane) and row.item > after_item]
        return sorted(found, key=lambda row: row.item)[:limit]

    async def segments(self, shard, items):
        return {row.item: row for row in self._of(shard, "segments") if row.item in items}

    async def segments_from(self, shard, first_log_index, limit):
        found = [row for row in self._of(shard, "segments") if row.log_index >= first_log_index]
        return sorted(found, key=lambda row: row.log_index)[:limit]

    async def reports_of(self, shard, items):
        found: dict[int, list] = {}
        for row in sorted(self._of(shard, "reports"), key=lambda row: (row.item, row.slot)):
            if row.item in items:
                found.setdefault(row.item, []).append(row)
        return found

    async def batches(self, shard, digests):
        return {row.digest: row.record for row in self._of(shard, "batches") if row.digest in digests}

    async def packets(self, shard, packet_ids):
        return {row.packet_id: row.data for row in self._of(shard, "packets") if row.packet_id in packet_ids}

    async def lanes(self, shard):
        return sorted(self._of(shard, "lanes"), key=lambda row: row.lane)

    async def floors(self, shard, node=None, consumer=None):
        return [row for row in self._of(shard, "floors") if row.node == node and row.consumer == consumer]

    async def exceptions(self, shard, node=None, consumer=None):
        found = [row for row in self._of(shard, "exceptions") if row.node == node and row.consumer == consumer]
        return sorted(found, key=lambda row: row[:4])

    async def holds(self, shard):
        return sorted(self._of(shard, "holds"), key=lambda row: row.log_index)

    async def holdings(self, shard):
        return sorted(self._of(shard, "holdings"))

    async def consumers(self):
        return [row for name in self.shards for row in self._of(name, "consumers")]

    async def entries(self, shard, first, limit):
        return sorted(self._of(shard, "entries"), key=lambda row: row.log_index)[first : first + limit]

    async def bodies(self, shard, log_indices, parts):
        found = [row for row in self._of(shard, "bodies") if row.log_index in log_indices and row.part in parts]
        return sorted(found, key=lambda row: row[:2])
