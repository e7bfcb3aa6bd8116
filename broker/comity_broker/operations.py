"""The operations log: what has no agreement, and the precise reason behind what peers are told in one word (design of audit).

Records are queued and written in groups by one task, so that a flood of failures costs neither memory nor the event loop:
beyond the bound, and beyond so many a second for one peer and reason, they are counted, and the count is written: what this
log lacks, AUDIT_FAILURE says as soon as it can be written again. A signed view that contradicts a log goes into that log too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from comity.errors import ComityError, ErrorCode, RejectedError
from comity.suites import RandomBytes
from comity_broker.access import Caller
from comity_broker.auditlog.bodies import BROKER, Event
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.auditlog.events import audit_failure
from comity_broker.auditlog.operations import admin_action, authn_failed, authz_denied, clock_stepped, rejected
from comity_broker.budget import RefusalBudget
from comity_broker.clock import BrokerClock
from comity_broker.counts import Counts
from comity_broker.entries import Salts, add_events
from comity_broker.forks import Forks
from comity_broker.journal import Journal
from comity_broker.logs import ForkSeenError, Logs
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import OPERATIONS, Head, Known, Rows, Unit

_LOG: Final = logging.getLogger(__name__)
_WAITING: Final = 1024
_GROUP: Final = 64
_COUNT_SECONDS: Final = 60.0
_PEER_BYTES: Final = 256
_REASON: Final = 1000
_DENIALS_PER_SECOND: Final = 10


@dataclass(slots=True)
class _Failures:
    since_ms: int
    until: float
    count: int = 0


def log_caller(caller: Caller | None, request: bytes = b"") -> LogCaller:
    """Give what audit bodies say of a caller."""
    if caller is None:
        return LogCaller()
    officer = caller.identity.kind.value == "officer"
    return LogCaller(
        party=caller.party,
        node="" if officer else caller.identity.name,
        officer=str(caller.identity) if officer else "",
        certificate=caller.certificate,
        request=request,
    )


@dataclass(slots=True)
class OperationsLog:
    """The writer of the operations log. `run` must be running, in a task group of the server's.

    `dropped` counts the records that were not written since the start, for whatever reason.
    """

    journal: Journal
    logs: Logs
    clock: BrokerClock
    random_bytes: RandomBytes
    counts: Counts = field(default_factory=Counts)
    dropped: int = 0
    _waiting: deque[Callable[[int], Event]] = field(default_factory=deque)
    _failures: dict[tuple[str, str], _Failures] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _denials: RefusalBudget | None = None
    _told: int = 0
    _faults: dict[tuple[str, str], float] = field(default_factory=dict)
    _forks: Forks = field(init=False)

    def __post_init__(self) -> None:
        self._forks = Forks(self.journal, self.logs, self.clock, self.random_bytes)

    # --- what is recorded -------------------------------------------------------------------------------------------

    def denied(self, method: str, caller: Caller | None, peer: str, error: ComityError) -> None:
        """Record a call that was refused before it was served."""
        self.counts.denied(error.code.name)
        if caller is None:
            self._failed(peer, error)
            return
        if not self._may_write_denial(str(caller.identity)):
            self.dropped += 1
            return
        by = log_caller(caller)
        self._put(lambda at: authz_denied(time=at, caller=by, action=method, agreement_id="", reason=error.code.name))

    def rejected(
        self, caller: Caller, agreement_id: str, target: bytes, error: ComityError, slots: tuple[int, ...] = ()
    ) -> None:
        """Record why something of a peer's was refused, precisely; `target` is its digest."""
        by = log_caller(caller)
        if isinstance(error, ForkSeenError):
            self._forks.take(error.shard, error.seen, by, target)
        reason = error.reason if isinstance(error, RejectedError) else f"{error.code.name}: {error.message}"
        self._put(
            lambda at: rejected(
                time=at, caller=by, agreement_id=agreement_id, target=target, slots=slots, reason=str(reason)[:_REASON]
            )
        )

    def acted(self, caller: Caller, action: str, target: str, outcome: str) -> None:
        """Record an operator's act."""
        by = log_caller(caller)
        self._put(lambda at: admin_action(time=at, caller=by, action=action, target=target, outcome=outcome))

    def went_on(self, action: str, target: str, outcome: str) -> None:
        """Record what the broker did by itself after an operator's act."""
        self._put(lambda at: admin_action(time=at, caller=BROKER, action=action, target=target, outcome=outcome))

    def stepped(self, before: int, after: int) -> None:
        """Record a step of the wall clock, Unix milliseconds."""
        self._put(lambda at: clock_stepped(time=at, before=before, after=after))

    def audit_failed(self, shard: str, error: ComityError) -> None:
        """Record that a log could not be read or signed; the same fault of the same log once a minute.

        That it is frozen, a log says itself.
        """
        key, now = (shard, error.code.name), self.clock.monotonic()
        if error.code is ErrorCode.LOG_FROZEN or now < self._faults.get(key, 0.0):
            return
        self._faults[key] = now + _COUNT_SECONDS
        reason = f"the log of {shard}: {error.code.name}: {error.message}"[:_REASON]
        self._put(lambda at: audit_failure(time=at, reason=reason))

    # --- writing ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self.flush()

    async def flush(self) -> None:
        """Write the forks and one group of what waits."""
        self.dropped += await self._forks.write()
        group = [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]
        if not group:
            return
        dropped = self.dropped
        if dropped > self._told:
            group.insert(0, _missing(dropped - self._told))
        log = self.logs.log(OPERATIONS)
        salts = Salts.draw(log, len(group), self.random_bytes)
        now = self.clock.now_ms()

        def build(head: Head, _: Known) -> Rows[int]:
            at = max(head.broker_time, now)
            rows = Rows(replace(head, broker_time=at), at)
            add_events(rows, log, [make(at) for make in group], salts)
            return rows

        try:
            settled(await self.journal.submit(Unit(OPERATIONS, build, urgency=9)))
        except ComityError as error:
            lost = len(group) - (dropped > self._told)
            self.dropped += lost
            _LOG.error("operations_log_failed", extra={"lost": lost, "code": error.code.name})
            return
        self._told = dropped

    def _put(self, make: Callable[[int], Event]) -> None:
        if len(self._waiting) >= _WAITING:
            self.dropped += 1
            return
        self._waiting.append(make)
        self._wake.set()

    def _may_write_denial(self, identity: str) -> bool:
        if self._denials is None:
            self._denials = RefusalBudget(_DENIALS_PER_SECOND, self.clock.monotonic)
        try:
            self._denials.check(identity)
        except ComityError:
            return False
        self._denials.spend(identity)
        return True

    def _failed(self, peer: str, error: ComityError) -> None:
        key = (peer.rpartition(":")[0][:_PEER_BYTES], error.code.name)
        now = self.clock.monotonic()
        counted = self._failures.get(key)
        if counted is None or counted.until <= now:
            if len(self._failures) >= _WAITING:
                self._failures.clear()
            more = 0 if counted is None else counted.count
            since = self.clock.now_ms() if counted is None else counted.since_ms
            self._failures[key] = _Failures(self.clock.now_ms(), now + _COUNT_SECONDS)
            self._put(
                lambda at: authn_failed(
                    time=at,
                    certificate=b"",
                    peer=key[0],
                    identity="",
                    reason=f"{error.code.name}: {error.message}"[:_REASON],
                    count=1 + more,
                    since=since,
                )
            )
        else:
            counted.count += 1


def _missing(count: int) -> Callable[[int], Event]:
    return lambda at: audit_failure(
        time=at, reason=f"{count} records of this log could not be written, or were too many"
    )
