"""What a broker does before it listens: its own logs are there, memory is what the store says, trusted cards are logged.

In order: the registers and logs of the broker itself, made at the first start; the key log folded; every log compared with the
tree that was signed last; cards, directory keys and the broker's bundle that the key log lacks; the agreements.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from comity.errors import ComityError
from comity.identity.directory import KeyDirectory
from comity.statement import Statement, decode
from comity.suites import RandomBytes
from comity_broker.agreements import Agreements
from comity_broker.auditlog.bodies import BROKER
from comity_broker.auditlog.events import log_opened
from comity_broker.clock import BrokerClock
from comity_broker.directory import Directory
from comity_broker.entries import Salts, add_events
from comity_broker.installation import Installation
from comity_broker.journal import Journal
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import KEYS, OPERATIONS, SESSIONS, Head, Known, Rows, Storage, Unit

_LOG: Final = logging.getLogger(__name__)


class Starting:
    """One start."""

    def __init__(
        self,
        *,
        installation: Installation,
        storage: Storage,
        keys: KeyDirectory,
        journal: Journal,
        logs: Logs,
        directory: Directory,
        agreements: Agreements,
        clock: BrokerClock,
        random_bytes: RandomBytes,
    ) -> None:
        self._installation = installation
        self._storage = storage
        self._keys = keys
        self._journal = journal
        self._logs = logs
        self._directory = directory
        self._agreements = agreements
        self._clock = clock
        self._random = random_bytes

    async def read_back(self) -> None:
        """Make what is not there yet, read back what is; raises ComityError for what cannot be read."""
        reader = self._storage.reader
        for shard in (SESSIONS, KEYS, OPERATIONS):
            head = await reader.head(shard)
            if head is None:
                await self._make(shard)
            elif shard != SESSIONS:
                self._logs.open(shard, first=head.log_first, continued=await reader.continued(shard))
                self._clock.committed(head.broker_time)
        for head in await reader.shards():
            self._clock.committed(head.broker_time)
        for row in await reader.statements(KEYS):
            self._keys.apply(decode(row.signatures), log_index=row.log_index, at_ms=row.at_ms)
        for shard in (KEYS, OPERATIONS):
            await self._logs.check_continuity(shard)
        for card in self._installation.cards.values():
            for statement in (card.card.statement, *card.directory):
                await self._take(statement)
        await self._take(self._installation.bundle)
        await self._agreements.read_back()

    async def _take(self, statement: Statement) -> None:
        try:
            await self._directory.take(statement, BROKER)
        except ComityError as error:
            # An expired directory key of a partner, for example: the broker serves the others.
            _LOG.warning("statement_not_taken", extra={"type": statement.type, "code": error.code.name})

    async def _make(self, shard: str) -> None:
        if shard == SESSIONS:
            settled(await self._journal.submit(Unit(shard, lambda head, _: Rows(head, None), create=True)))
            return
        log = self._logs.open(shard, create=True)
        salts, now = Salts.draw(log, 1, self._random), self._clock.now_ms()
        event = log_opened(
            time=now,
            origin=log.origin,
            log_vkeys=self._logs.vkeys(shard),
            broker=str(self._installation.identity),
        )

        def build(head: Head, _: Known) -> Rows[None]:
            rows: Rows[None] = Rows(replace(head, broker_time=now), None)
            add_events(rows, log, [event], salts)
            return rows

        settled(await self._journal.submit(Unit(shard, build, create=True)))
