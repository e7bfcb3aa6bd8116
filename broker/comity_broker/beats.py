"""What a running broker does at a fixed beat: it signs what has grown in its logs, and looks around for what time alone changed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from comity.errors import ComityError
from comity_broker import systemd
from comity_broker.access import LiveStreams
from comity_broker.directory import Directory
from comity_broker.dispatch.dispatcher import Dispatcher
from comity_broker.journal import Journal
from comity_broker.ledger import Ledger
from comity_broker.logs import Logs
from comity_broker.monitor import Monitor
from comity_broker.operations import OperationsLog
from comity_broker.settings import Settings
from comity_broker.storage.protocol import KEYS
from comity_policy.governing import Key

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Checkpoints:
    """Signs what has grown, and shows it to the streams that are open. `run` must be running, in a task group of the server's."""

    ledger: Ledger
    logs: Logs
    dispatcher: Dispatcher
    operations: OperationsLog
    every_seconds: float
    _shown: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Sign and show, until cancelled."""
        while True:
            await asyncio.sleep(self.every_seconds)
            for shard in (KEYS, *(one.agreement_id for one in self.ledger.books() if not one.frozen_reason)):
                try:
                    note, size = await self.logs.checkpoint(shard)
                except ComityError as error:
                    _LOG.error("checkpoint_failed", extra={"log": shard, "reason": error.message})
                    self.operations.audit_failed(shard, error)
                    continue
                if self._shown.get(shard) != size:
                    self._shown[shard] = size
                    self.dispatcher.checkpoint("" if shard == KEYS else shard, note)


@dataclass(slots=True)
class Around:
    """Looks for streams that time ended, dates that passed and clock steps nobody met, and feeds the watchdog; `run` as above."""

    ledger: Ledger
    streams: LiveStreams
    directory: Directory
    monitor: Monitor
    journal: Journal
    settings: Settings
    _bases: dict[str, Key] = field(default_factory=dict)

    async def run(self) -> None:
        """Look, until cancelled."""
        beat = min(self.settings.revocation_poll, systemd.watchdog_seconds() or self.settings.revocation_poll)
        while True:
            await asyncio.sleep(beat)
            self._look()

    def _look(self) -> None:
        # Asked in any case: a step is noticed by whoever asks for the time.
        now = self.monitor.clock.now_ms()
        for standing in self.ledger.standings():
            basis = standing.basis(now).key
            if self._bases.setdefault(standing.agreement_id, basis) != basis:
                # A date has passed: nobody's step, and yet what may be handed over is another.
                self._bases[standing.agreement_id] = basis
                self.ledger.changed(standing.agreement_id)
        self.streams.expel(self.directory.still)
        if self.journal.last_commit_age() < self.settings.commit_timeout:
            systemd.notify("WATCHDOG=1")
