"""The monitor: looks at what is stored and owed, at a beat, on every change of an agreement and act under it, and hourly.

Rules in order:
1. A look follows an agreement's log (`duties`), writes what is new as DUTY_* entries, each once, and tells nobody else: people see
   them in their own mirrors.
2. Every hour it has everything stored decided again before it is handed over (`Ledger.changed`); a change of an agreement, or a date
   that passed, has said so already.
3. After a step of the wall clock nothing falls due or is destroyed by the time alone until the broker was started again: who sets a
   clock forward must not be able to make evidence go.
4. A frozen log is not written to. What could not be written is tried again at the next beat.
5. What fails for one agreement stops neither the others nor the broker; its duties stand still meanwhile. So it is counted and shown
   to the operator (`alarms`) until a look at it succeeds; so is what rule 3 stopped, until the restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from comity.errors import ComityError
from comity.suites import RandomBytes
from comity_broker.acts import Acts
from comity_broker.auditlog.acts import duties_changed
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.kinds import EventKind
from comity_broker.clock import BrokerClock
from comity_broker.directory import Directory
from comity_broker.duties import Change, Duties
from comity_broker.entries import Salts, add_events
from comity_broker.journal import Journal
from comity_broker.ledger import Ledger
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.standing import Standing
from comity_broker.storage.protocol import Head, Known, Reader, Rows, Unit

_LOG: Final = logging.getLogger(__name__)
_HOUR_SECONDS: Final = 3600.0
_DUTIES: Final = 256
_WHAT_TO_DO: Final = (
    "Read monitor_failed in the service's log, run comity broker check on a copy of the data, and report it; it is tried again at "
    "every look."
)


@dataclass(slots=True)
class Standstill:
    """What stands still: the duties of an agreement, or (without one) all that time alone brings about after a step of the clock.

    Since when (Unix ms), how often since, why the last time, what to do.
    """

    agreement_id: str
    since_ms: int
    times: int = 0
    reason: str = ""
    what_to_do: str = ""

    def again(self, reason: str, what_to_do: str) -> None:
        """Count it once more."""
        self.times, self.reason, self.what_to_do = self.times + 1, reason, what_to_do


@dataclass(slots=True)
class Monitor:
    """The task that looks. `run` must be running, in a task group of the server's; `look` is one look at everything."""

    ledger: Ledger
    duties: Duties
    journal: Journal
    logs: Logs
    clock: BrokerClock
    random_bytes: RandomBytes
    beat_seconds: float
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: set[str] = field(default_factory=set)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _decided_at: float | None = None
    _time_counts: bool = True
    _standing_still: dict[str, Standstill] = field(default_factory=dict)

    @property
    def alarms(self) -> tuple[Standstill, ...]:
        """Give what stands still: what a step of the clock stopped first, then the agreements by id."""
        return tuple(one for _, one in sorted(self._standing_still.items()))

    @property
    def time_counts(self) -> bool:
        """Say whether anything falls due or is destroyed by the time alone (rule 3)."""
        return self._time_counts

    @classmethod
    def of(
        cls,
        *,
        ledger: Ledger,
        directory: Directory,
        journal: Journal,
        logs: Logs,
        reader: Reader,
        clock: BrokerClock,
        random_bytes: RandomBytes,
        beat_seconds: float,
    ) -> Monitor:
        """Make a monitor with the acts and the ledger of duties that it looks at."""
        acts = Acts(ledger, directory, journal, logs, reader, clock, random_bytes)
        return cls(ledger, Duties(ledger, acts, reader), journal, logs, clock, random_bytes, beat_seconds)

    async def read_back(self) -> None:
        """Read acts and duties at a start, after the agreements and before anything is admitted."""
        await self.duties.acts.read_back()
        await self.duties.read_back()

    def wake(self, agreement_id: str) -> None:
        """Have an agreement looked at, at once."""
        self._changed.add(agreement_id)
        self._wake.set()

    def clock_stepped(self) -> None:
        """Take note of a step of the wall clock: rule 3 holds from here on."""
        self._time_counts = False
        self._stands_still(
            "",
            "the wall clock was set: nothing falls due by the time alone",
            "Set the clock right, read CLOCK_STEPPED (comity audit tail --operations) and what the logs say since, then restart the "
            "broker: that is the confirmation.",
        )

    async def run(self) -> None:
        """Look, until cancelled."""
        self.ledger.on_change(self.wake)
        self.duties.acts.on_act(lambda act: self.wake(act.agreement_id))
        while True:
            self._wake.clear()
            self._changed.clear()
            await self.look()
            # However often something changes, everything is looked at in time. No look is cut short: what it writes must be known.
            until = self.clock.monotonic() + self.beat_seconds
            while await self._woken(until):
                named, self._changed = frozenset(self._changed), set()
                await self.look(named)

    async def _woken(self, until: float) -> bool:
        """Wait until something changed, at most to that monotonic second; say whether something did."""
        try:
            async with asyncio.timeout(until - self.clock.monotonic()):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return self.clock.monotonic() < until

    async def look(self, named: frozenset[str] | None = None) -> None:
        """Look at every agreement once, or at those named; one look after the other, so that nothing is told twice."""
        async with self._looking:
            for standing in self.ledger.standings():
                if named is not None and standing.agreement_id not in named:
                    continue
                # Between two agreements whatever is urgent goes first.
                await asyncio.sleep(0)
                try:
                    await self._look_at(standing)
                except ComityError as error:
                    said = {"log": standing.agreement_id, "code": error.code.name, "reason": error.message}
                    _LOG.error("monitor_failed", extra=said)
                    self._failed(standing, f"{error.code.name}: {error.message}", error.what_to_do)
                except Exception as error:  # noqa: BLE001 - one agreement's log stops neither the others' duties nor the broker
                    _LOG.exception("monitor_failed", extra={"log": standing.agreement_id})
                    self._failed(standing, f"an error of the program: {type(error).__name__}", "")
                else:
                    self._standing_still.pop(standing.agreement_id, None)
            self._decide_anew()

    def _failed(self, standing: Standing, reason: str, what_to_do: str) -> None:
        self._stands_still(standing.agreement_id, f"its duties stand still: {reason}", what_to_do or _WHAT_TO_DO)

    def _stands_still(self, agreement_id: str, reason: str, what_to_do: str) -> None:
        found = self._standing_still.setdefault(agreement_id, Standstill(agreement_id, self.clock.now_ms()))
        found.again(reason, what_to_do)

    async def _look_at(self, standing: Standing) -> None:
        agreement_id = standing.agreement_id
        await self.duties.follow(agreement_id)
        if standing.frozen_reason:
            return
        # Whoever asks for the time sees whether it was set: whether it counts is known only then.
        now = self.clock.now_ms()
        changes = await self.duties.changes(agreement_id, now, time_counts=self._time_counts)
        if changes:
            await self._write(standing, changes)
            self.duties.told(agreement_id, changes)

    async def _write(self, standing: Standing, changes: Sequence[Change]) -> None:
        log = self.logs.log(standing.agreement_id)
        groups = tuple(_grouped(standing, changes))
        salts = Salts.draw(log, len(groups), self.random_bytes)
        now = self.clock.now_ms()

        def build(head: Head, _: Known) -> Rows[int]:
            at = max(head.broker_time, now)
            rows = Rows(replace(head, broker_time=at), at)
            if not head.frozen_reason:
                events: list[Event] = [
                    duties_changed(kind, time=at, duties=[one for _, one in group], readers=readers)
                    for kind, readers, group in groups
                ]
                add_events(rows, log, events, salts)
            return rows

        settled(await self.journal.submit(Unit(standing.agreement_id, build, urgency=9)))

    def _decide_anew(self) -> None:
        now = self.clock.monotonic()
        if self._decided_at is None:
            self._decided_at = now
        elif now - self._decided_at >= _HOUR_SECONDS:
            self._decided_at = now
            for standing in self.ledger.standings():
                self.ledger.changed(standing.agreement_id)


def _grouped(
    standing: Standing, changes: Iterable[Change]
) -> Iterable[tuple[EventKind, frozenset[str], Sequence[Change]]]:
    """Give the changes by kind and by who may read them, so many at a time."""
    groups: dict[tuple[EventKind, frozenset[str]], list[Change]] = {}
    for kind, one in changes:
        about = one.duty.kind.about_reports
        readers = frozenset({one.duty.owner, one.duty.originator} if about else standing.parties)
        groups.setdefault((kind, readers), []).append((kind, one))
    for (kind, readers), group in groups.items():
        for some in _some(group):
            yield kind, readers, some


def _some(group: Sequence[Change]) -> Iterable[Sequence[Change]]:
    return (group[first : first + _DUTIES] for first in range(0, len(group), _DUTIES))
