"""Which parties were late with their acknowledgements by a log's own entries, held against what its decision records say.

Rules in order:
1. A hand-over owes an answer in the time of its precedence, by the version that governed then, once per party and report; any answer
   of that party for it ends that, as does its end (`comity_policy.obligations`, `comity.envelope.answering`).
2. A broker may know of a hand-over or of an answer a moment late (`ORDER_MS`): who was late all that time must be told of, and who
   was not late in any of it must not.
3. Who may not read every hand-over, or was not shown one, cannot say of a party that it owed nothing: that is a gap. Under texts in
   which nothing stops anybody no one is late.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comity.envelope.answering import answered, is_control, precedence_of
from comity.envelope.evidence import decode_ack
from comity.node.directory import ORDER_MS
from comity.node.logged_entries import SUBMISSIONS, LoggedEntry, slots_in
from comity.node.logged_life import LoggedLife
from comity_policy.clauses import Acknowledge
from comity_policy.document import Document
from comity_policy.obligations import DutyKind, Handover, duties_of_handover, stops_at
from comity_policy.recorded import Difference, Gap, Missing, Recorded, What

_ENDING: Final = frozenset({"EXPIRED", "PARKED_DROPPED"})
_NONE: Final = frozenset[str]()
# What its originator took back is owed to nobody any more.
_TAKEN_BACK: Final = frozenset({"RECALLED", "SUPERSEDED"})
_FOLLOWED: Final = frozenset({"DELIVERED", "ACKNOWLEDGED", *_ENDING, *_TAKEN_BACK})
# A report at a party: (party, segment id in hex, slot).
Report = tuple[str, str, int]
Late = tuple[str, str]


@dataclass(frozen=True, slots=True, order=True)
class _Stop:
    """From when on an unanswered report stops what is not urgent, in Unix milliseconds, and when it was handed over."""

    at_ms: int
    handed_ms: int
    report: Report


@dataclass(slots=True)
class LoggedDuties:
    """What is owed by the entries of one log, which come in their order; `life` has taken the same ones.

    `stopping` says whether a text that is held lets a late acknowledgement stop anything.
    """

    life: LoggedLife
    stopping: bool
    _sent: dict[str, tuple[str, int]] = field(default_factory=dict)
    _owed: dict[Report, dict[Late, _Stop]] = field(default_factory=dict)
    _done: set[Report] = field(default_factory=set)
    _stops: dict[Late, list[_Stop]] = field(default_factory=dict)
    _just_done: dict[Late, deque[tuple[int, _Stop]]] = field(default_factory=dict)
    _unseen: Gap | None = None
    _elsewhere: Gap | None = None

    def take(self, entry: LoggedEntry) -> None:
        """Take the next entry; raises VerificationError for an acknowledgement that does not read."""
        if entry.kind in SUBMISSIONS and entry.shared:
            self._sent[entry.shared["segment_id"]] = entry.shared["actor"]["party"], entry.shared["class"]
        elif entry.kind in SUBMISSIONS or (entry.kind in _FOLLOWED and (entry.told is None or not entry.shared)):
            self._unseen = self._unseen or entry.unseen
        elif entry.kind in _FOLLOWED and not entry.told:
            self._elsewhere = self._elsewhere or Gap(
                Missing.ENTRY, f"what other parties read of entry {entry.log_index}"
            )
        elif entry.kind in _FOLLOWED:
            for report in _reports(entry.kind, entry.told or {}):
                if entry.kind == "DELIVERED":
                    self._hand_over(entry, report)
                else:
                    self._answer(report, entry.shared["time"])

    @classmethod
    def of(cls, life: LoggedLife, documents: Iterable[Document]) -> LoggedDuties:
        """Begin with the texts that are held."""
        return cls(life, any(map(_may_stop, documents)))

    def compare(self, recorded: Recorded) -> Difference | Gap | None:
        """Hold what a decision says of recipients that are late against what was owed before its entry."""
        if self._owes_nothing and all(one.overdue == _NONE for one in recorded.nodes):
            return None
        told = {(one.party, one.overdue) for one in recorded.nodes}
        if any(said is None for _, said in told):
            return Difference(What.FACT, "overdue is not told")
        unseen, stopping = self._unseen, self.stopping
        if unseen is not None and (stopping or any(said for _, said in told) or unseen.what is Missing.TEXT):
            return unseen
        for party, overdue in sorted(told, key=str):
            said = overdue or frozenset()
            surely, perhaps = self._late(party, recorded.moment.now)
            if not surely <= said or (not said <= perhaps and not (stopping and self._elsewhere)):
                found = ", ".join(sorted(surely)) or "none"
                words = ", ".join(sorted(said)) or "none"
                return Difference(What.FACT, f"overdue of {party} is {words}, by the log {found}")
        return self._elsewhere if stopping else None

    @property
    def _owes_nothing(self) -> bool:
        """Say whether nothing speaks for anybody's being late, and nothing that might was not shown."""
        return not (self._stops or self._just_done or self._unseen or (self.stopping and self._elsewhere))

    def _hand_over(self, entry: LoggedEntry, report: Report) -> None:
        party, segment, _ = report
        at_ms = entry.shared["time"]
        state = self.life.state(entry.log_index, at_ms)
        if isinstance(state, Gap) or segment not in self._sent:
            self._unseen = self._unseen or (state if isinstance(state, Gap) else entry.unseen)
            return
        if report in self._owed or report in self._done:
            return
        originator, transport_class = self._sent[segment]
        handover = Handover(
            report="",
            leaf="",
            entry=0,
            admitted_at=at_ms,
            originator=originator,
            recipient=party,
            precedence=precedence_of(transport_class),
            at_ms=at_ms,
            control=is_control(transport_class),
        )
        owed = [one for one in duties_of_handover(state, handover) if one.kind is not DutyKind.END_KEEPING]
        document = state.governing(at_ms).document
        stopping = ((duty, stops_at(document, duty)) for duty in owed)
        stops = {(party, duty.clause_id): _Stop(at, at_ms, report) for duty, at in stopping if at is not None}
        for late, stop in stops.items():
            heapq.heappush(self._stops.setdefault(late, []), stop)
        if owed:
            self._owed[report] = stops

    def _answer(self, report: Report, at_ms: int) -> None:
        stops = self._owed.pop(report, None)
        if stops is None:
            return
        self._done.add(report)
        for late, stop in stops.items():
            self._just_done.setdefault(late, deque()).append((at_ms, stop))

    def _late(self, party: str, now_ms: int) -> tuple[set[str], set[str]]:
        """Give the clauses under which a party was late all the last moment, and in some of it."""
        surely, perhaps = set[str](), set[str]()
        for late in (one for one in {*self._stops, *self._just_done} if one[0] == party):
            stops, just_done = self._stops.get(late, []), self._just_done.get(late, deque())
            while stops and late not in self._owed.get(stops[0].report, ()):
                heapq.heappop(stops)
            while just_done and just_done[0][0] < now_ms - ORDER_MS:
                just_done.popleft()
            if stops and stops[0].at_ms < now_ms:
                perhaps.add(late[1])
                surely |= {late[1]} if stops[0].handed_ms <= now_ms - ORDER_MS else set()
            if any(stop.at_ms < now_ms for _, stop in just_done):
                perhaps.add(late[1])
        return surely, perhaps


def _may_stop(document: Document) -> bool:
    """Say whether a text lets a late acknowledgement stop anything."""
    return any(isinstance(one, Acknowledge) and one.stop_after is not None for one in document.clauses)


def _reports(kind: str, told: Mapping[str, Any]) -> Iterator[Report]:
    party: str = told["recipient"]["party"]
    if kind == "ACKNOWLEDGED":
        for segment_id, outcomes in decode_ack(bytes.fromhex(told["ack"])).segments:
            yield from ((party, segment_id.hex(), slot) for slot in answered(outcomes))
        return
    for one in told["segments"]:
        yield from ((party, one["segment_id"], slot) for slot in slots_in(one["slots"]))
