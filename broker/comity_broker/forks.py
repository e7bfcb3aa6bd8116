"""Views that contradict a log, written into that log: FORK_SEEN (design of audit, "Nobody can be shown a different history").

Rules in order:
1. Only a view that a node validly signed (in a core or an acknowledgement) comes here; who reads this log later finds who signed
   it, where, and what this log was then. The view is refused where it came, and freezes nothing (ADR 0005).
2. One view is written once, and a bounded number of views of one node in one log: more of them prove no more. One of a size
   that no body can state is in the operations log alone. One whose write failed counts as never taken: it is taken when its
   signer shows it again.
3. The key log is read beyond the agreement in question: there the envelope or acknowledgement is not named.
4. A frozen log takes nothing. The operations log has every one of them too, as REJECTED.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from comity.canonical import INTEGER_LIMIT
from comity.envelope.core import LogSeen
from comity.errors import ComityError
from comity.suites import RandomBytes
from comity_broker.auditlog.bodies import Caller
from comity_broker.auditlog.events import fork_seen
from comity_broker.clock import BrokerClock
from comity_broker.entries import Salts, add_events
from comity_broker.journal import Journal
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import KEYS, Head, Known, Rows, Unit

_LOG: Final = logging.getLogger(__name__)
_VIEWS_OF_A_NODE: Final = 16


@dataclass(frozen=True, slots=True)
class _Fork:
    shard: str
    seen: LogSeen
    caller: Caller
    target: bytes


@dataclass(slots=True)
class Forks:
    """The writer of FORK_SEEN. `take` never blocks; `write` is called by whoever runs the operations log."""

    journal: Journal
    logs: Logs
    clock: BrokerClock
    random_bytes: RandomBytes
    _waiting: deque[_Fork] = field(default_factory=deque)
    _taken: dict[tuple[str, str, str], set[LogSeen]] = field(default_factory=dict)

    def take(self, shard: str, seen: LogSeen, caller: Caller, target: bytes) -> None:
        """Take a view to be written: `target` is the digest of the envelope or acknowledgement that carries it."""
        if seen.size > INTEGER_LIMIT:
            return
        taken = self._taken.setdefault(_whose(shard, caller), set())
        if seen not in taken and len(taken) < _VIEWS_OF_A_NODE:
            taken.add(seen)
            self._waiting.append(_Fork(shard, seen, caller, b"" if shard == KEYS else target))

    async def write(self) -> int:
        """Write what waits; give how many could not be written."""
        lost = 0
        while self._waiting:
            fork = self._waiting.popleft()
            try:
                settled(await self.journal.submit(self._unit(fork)))
            except ComityError as error:
                lost += 1
                self._taken[_whose(fork.shard, fork.caller)].discard(fork.seen)
                _LOG.error("fork_not_logged", extra={"log": fork.shard, "code": error.code.name})
        return lost

    def _unit(self, fork: _Fork) -> Unit[None]:
        log = self.logs.log(fork.shard)
        salts = Salts.draw(log, 1, self.random_bytes)
        now = self.clock.now_ms()

        def build(head: Head, _: Known) -> Rows[None]:
            if head.frozen_reason:
                return Rows(head, None)
            at = max(head.broker_time, now)
            rows = Rows(replace(head, broker_time=at), None)
            own = LogSeen(head.incarnation, head.tree_size, head.root)
            event = fork_seen(time=at, caller=fork.caller, target=fork.target, seen=fork.seen, own=own)
            add_events(rows, log, [event], salts)
            return rows

        return Unit(fork.shard, build, urgency=9)


def _whose(shard: str, caller: Caller) -> tuple[str, str, str]:
    return shard, caller.party, caller.node
