"""What became of reports after they were sent: handed over, read, acted on, by the own verified mirror (design 04).

Rules in order:
1. A party sees it of reports that it sent, and of those that it was handed itself: of others it knows nothing.
2. A hand-over is the first to a node of a party. It is read when the first officer of that party says so, or says what was done.
3. The time to read runs from the hand-over, by the version that governed then; the shortest where several clauses say one.
4. Whom the recipient alerts meanwhile follows from the clock alone: its contacts of the agreement in their order, each after half of
   the time that is left (`comity_policy.alerting`). Whether it does, no log says.

    for one in handled(mirror, "XAR-XBO-1", rows, now_ms): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from comity.node.acts import acts_of, handlings_of
from comity.node.duties import Admitted, admitted_in, handover_of, slots_in
from comity.node.mirror import Mirror
from comity_policy.acts import Act, ActKind
from comity_policy.alerting import alert_times, alerted
from comity_policy.clauses import Contact
from comity_policy.contacts import contacts_of
from comity_policy.facts import Precedence
from comity_policy.obligations import DutyKind, Handover, duties_of_handover, first_handovers
from comity_policy.state import State

_DELIVERED: Final = frozenset({"DELIVERED"})


@dataclass(frozen=True, slots=True)
class Said:
    """An officer's word: when the log took it (Unix ms), who, in which role; `note` where it acted."""

    at_ms: int
    officer: str
    role: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Handled:
    """One report at one party: handed over, to be read by `due_ms` (None: no time is set), read, acted on.

    `contacts` are the party's by the agreement; `alerting` how many of them it is to have alerted by now, 0 once it was read.
    """

    report_id: UUID
    party: str
    precedence: Precedence
    handed_ms: int
    due_ms: int | None
    read: Said | None
    actions: tuple[Said, ...]
    contacts: tuple[Contact, ...]
    alerting: int
    now_ms: int

    @property
    def overdue(self) -> bool:
        """Say whether nobody has read it in time."""
        return self.read is None and self.due_ms is not None and self.now_ms > self.due_ms

    @property
    def read_late(self) -> bool:
        """Say whether it was read after its time."""
        return self.read is not None and self.due_ms is not None and self.read.at_ms > self.due_ms

    @property
    def now_alerting(self) -> Contact | None:
        """Give whom the party is to be alerting by now."""
        return self.contacts[self.alerting - 1] if self.alerting else None


def handled(mirror: Mirror, agreement_id: str, admissions: Mapping[UUID, int], now_ms: int) -> tuple[Handled, ...]:
    """Give where reports stand at each party that was handed them; `admissions` are their entries. Raises as `Mirror.agreement`."""
    fold = mirror.fold(agreement_id)
    state = fold.state(now_ms)
    umbrella = fold.umbrella_of(state)
    above = None if umbrella is None else umbrella.state
    wanted = {report.hex for report in admissions}
    handovers = _handovers(mirror, agreement_id, set(admissions.values()), wanted)
    if not handovers:
        return ()
    said = handlings_of(mirror, agreement_id, wanted)
    contacts = contacts_of(state.document, acts_of(mirror, agreement_id))
    return tuple(_handled(state, above, one, said, contacts, now_ms) for one in first_handovers(handovers, now_ms))


def _handled(  # noqa: PLR0917 - what a report's handling follows from
    state: State, above: State | None, handover: Handover, said: Iterable[Act], contacts: Iterable[Contact], now_ms: int
) -> Handled:
    mine = [one for one in said if one.party == handover.recipient and handover.report in one.reports]
    read = min(mine, key=lambda one: one.at_ms, default=None)
    dues = [one.due_ms for one in duties_of_handover(state, handover, above) if one.kind is DutyKind.READ]
    due = min(dues, default=None)
    theirs = tuple(one for one in contacts if one.party == handover.recipient)
    times = alert_times(handover.at_ms, due, len(theirs))
    waits = read is None and due is not None
    return Handled(
        report_id=UUID(hex=handover.report),
        party=handover.recipient,
        precedence=handover.precedence,
        handed_ms=handover.at_ms,
        due_ms=due,
        read=None if read is None else _said(read),
        actions=tuple(_said(one) for one in mine if one.kind is ActKind.ACTION),
        contacts=theirs,
        alerting=alerted(times, now_ms) if waits else 0,
        now_ms=now_ms,
    )


def _said(act: Act) -> Said:
    return Said(act.at_ms, act.officer, act.role.word, act.note)


def _handovers(mirror: Mirror, agreement_id: str, entries: set[int], wanted: set[str]) -> list[Handover]:
    admitted = dict(_admitted(mirror, agreement_id, entries))
    found: list[Handover] = []
    for entry in mirror.entries_of(agreement_id, _DELIVERED) if admitted else ():
        own = entry.own(mirror.party)
        if own and not admitted.keys().isdisjoint(one["segment_id"] for one in own["segments"]):
            found += _handed(admitted, own, entry.shared()["time"], wanted)
    return found


def _handed(admitted: Mapping[str, Admitted], own: dict[str, Any], at_ms: int, wanted: set[str]) -> Iterator[Handover]:
    for segment_id, slot in slots_in("DELIVERED", own):
        one = admitted.get(segment_id)
        report, leaf = ("", "") if one is None else one.reports.get(slot, ("", ""))
        if one is not None and report in wanted:
            yield handover_of(one, report, leaf, own["recipient"]["party"], at_ms)


def _admitted(mirror: Mirror, agreement_id: str, entries: set[int]) -> Iterator[tuple[str, Admitted]]:
    for log_index in sorted(entries):
        for entry in mirror.entry_at(agreement_id, log_index):
            if entry.kind == "SUBMIT_ACCEPTED":
                shared = entry.shared()
                yield shared["segment_id"], admitted_in(entry, shared)
