"""Waking people for urgent reports that nobody has read: one contact after the other, by the clock of the agreement (design 04).

Rules in order:
1. The first contact is woken when a report of a watched precedence arrives, before anything is made of it: also where it waits
   for a reader. Each further one is, after half of the time that is left to read it, unless the own mirror has by then that an officer
   of the party read it (`comity_policy.alerting`). Without a time to read the first alone is.
2. A contact that cannot be woken hands on to the next at once. That is told, as is every alert.
3. A process that begins anew goes on where the clock stands: of what was handed over and not read it wakes whose turn it is, once.
   What is overdue for longer than a day is left to the desk. A report is alerted once a contact and process.
4. Nobody is woken for an instruction to nodes.
5. For a report of an exercise the first contact alone is woken, and told that it is one: no log says who read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from comity.envelope.answering import is_control, precedence_of
from comity.envelope.profile import is_exercise_class
from comity.errors import ComityError
from comity.node.acts import handlings_of
from comity.node.background import Background
from comity.node.clock import NowMs
from comity.node.contacting import Contact, Facts
from comity.node.duties import duties_of
from comity.node.mirror import Mirror
from comity.node.times import rfc3339
from comity_policy.alerting import alert_times, alerted, read_within
from comity_policy.facts import Precedence
from comity_policy.obligations import DutyKind, DutyState, Tracked

LEFT_TO_THE_DESK_MS: Final = 86_400_000
CLOSE_SECONDS: Final = 35.0
# However a machine's clock is set meanwhile, it is looked at again.
LOOK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Urgent:
    """An urgent report at the own party: which, whose, and until when it is to be read (Unix ms; None: no time is set)."""

    agreement_id: str
    report_id: UUID
    originator: str
    precedence: Precedence
    since_ms: int
    due_ms: int | None
    exercise: bool = False

    def facts(self, contact: int, contacts: int) -> Facts:
        """Give what a contact is told."""
        return {
            "report_id": str(self.report_id),
            "agreement_id": self.agreement_id,
            "originator": self.originator,
            "precedence": self.precedence.name,
            "exercise": "yes" if self.exercise else "no",
            "reading_due": None if self.due_ms is None else rfc3339(self.due_ms),
            "contact": contact,
            "contacts": contacts,
        }


@dataclass(frozen=True, slots=True)
class Alerted:
    """One contact was woken for a report, or could not be; `contact` counts from 1."""

    urgent: Urgent
    contact: int
    contacts: int
    name: str
    woken: bool


@dataclass(frozen=True, slots=True)
class _Watched:
    urgent: Urgent
    times: tuple[int, ...]
    woken: int

    @property
    def next_ms(self) -> int | None:
        return self.times[self.woken] if self.woken < len(self.times) else None


class Alerting:
    """Wakes these contacts, in their order; `told` gets every alert. `begin` it within a running event loop, and `close` it."""

    def __init__(
        self,
        mirror: Mirror,
        contacts: Sequence[Contact],
        *,
        precedences: Iterable[Precedence],
        told: Callable[[Alerted], None],
        now_ms: NowMs,
    ) -> None:
        self._mirror = mirror
        self._contacts = tuple(contacts)
        self._precedences = frozenset(precedences)
        self._told = told
        self._now_ms = now_ms
        self._watched: dict[UUID, _Watched] = {}
        self._seen: set[UUID] = set()
        self._changed = asyncio.Event()
        self._waking: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
        self._background = Background(self._failed)

    def begin(self) -> None:
        """Go on where the clock stands (rule 3), and watch from now on."""
        for one in self._unread():
            times = self._times(one)
            self._watch(one, times, max(0, alerted(times, self._now_ms()) - 1))
        self._background.start(self._run(), "alert")

    def arrived(self, agreement_id: str, report_id: UUID, origin: str, transport_class: int) -> None:
        """Take that a report came to the node; raises what ended the watching."""
        if self._failure is not None:
            raise self._failure
        precedence = precedence_of(transport_class)
        if is_control(transport_class) or precedence not in self._precedences or report_id in self._seen:
            return
        now = self._now_ms()
        within = read_within(self._mirror.fold(agreement_id).documents_at(now), precedence)
        due = None if within is None else now + within
        exercise = is_exercise_class(transport_class)
        urgent = Urgent(agreement_id, report_id, origin.partition("/")[0], precedence, now, due, exercise)
        self._watch(urgent, self._times(urgent), 0)

    async def close(self) -> None:
        """Stop watching; wait for those who are being woken, at most so long."""
        await self._background.close()
        waking = list(self._waking)
        if waking:
            await asyncio.wait(waking, timeout=CLOSE_SECONDS)
        for task in waking:
            task.cancel()

    # --- the clock --------------------------------------------------------------------------------------------------

    def _watch(self, urgent: Urgent, times: tuple[int, ...], woken: int) -> None:
        self._seen.add(urgent.report_id)
        self._watched[urgent.report_id] = _Watched(urgent, times, woken)
        self._changed.set()
        self._look()

    def _times(self, urgent: Urgent) -> tuple[int, ...]:
        times = alert_times(urgent.since_ms, urgent.due_ms, len(self._contacts))
        return times[:1] if urgent.exercise else times

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._look()
            coming = [at for one in self._watched.values() if (at := one.next_ms) is not None]
            left = (min(coming) - self._now_ms()) / 1000 if coming else LOOK_SECONDS
            try:
                async with asyncio.timeout(min(LOOK_SECONDS, max(0.0, left))):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _look(self) -> None:
        """Wake whose turn it is of what nobody has read."""
        for report_id, one in list(self._watched.items()):
            at_ms = one.next_ms
            if at_ms is None:
                del self._watched[report_id]
            elif at_ms <= self._now_ms():
                if self._is_read(one.urgent):
                    del self._watched[report_id]
                else:
                    self._watched[report_id] = replace(one, woken=one.woken + 1)
                    self._wake(one.urgent, one.woken)

    def _wake(self, urgent: Urgent, index: int) -> None:
        task = asyncio.create_task(self._woken(urgent, index), name="wake")
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _woken(self, urgent: Urgent, index: int) -> None:
        contact, contacts = self._contacts[index], len(self._contacts)
        woken = await contact.wake(urgent.facts(index + 1, contacts))
        self._told(Alerted(urgent, index + 1, contacts, contact.name, woken))
        watched = self._watched.get(urgent.report_id)
        if not woken and watched is not None and watched.woken == index + 1 < contacts:
            self._watched[urgent.report_id] = replace(watched, woken=index + 2)
            self._wake(urgent, index + 1)

    # --- the mirror -------------------------------------------------------------------------------------------------

    def _is_read(self, urgent: Urgent) -> bool:
        try:
            said = handlings_of(self._mirror, urgent.agreement_id, {urgent.report_id.hex})
        except ComityError:
            # What stops the agreement is told elsewhere; whoever cannot know wakes rather than not.
            return False
        return any(one.party == self._mirror.party for one in said)

    def _unread(self) -> Iterable[Urgent]:
        """Give what was handed to the own party, is to be read, and was not: not yet, or not for long."""
        now = self._now_ms()
        for view in self._mirror.agreements():
            owed = duties_of(self._mirror, view.agreement_id, now)
            handed = {one.report: one for one in owed.handovers if one.recipient == self._mirror.party}
            # The one that is due first counts where several clauses ask.
            readings = {one.duty.subject: one for one in reversed(owed.of(self._mirror.party)) if _is_reading(one)}
            for report, tracked in readings.items():
                one, duty = handed[report], tracked.duty
                if one.precedence in self._precedences and duty.due_ms + LEFT_TO_THE_DESK_MS > now:
                    about = (view.agreement_id, UUID(hex=report), one.originator, one.precedence)
                    yield Urgent(*about, duty.since_ms, duty.due_ms)

    def _failed(self, error: Exception) -> None:
        self._failure = self._failure or error


def _is_reading(one: Tracked) -> bool:
    return one.duty.kind is DutyKind.READ and one.state in {DutyState.OPEN, DutyState.OVERDUE}
